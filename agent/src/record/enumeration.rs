//! The specification's enumerations: numbers to a plug-in, names to everybody else.

use serde_json::Value;

use super::field::{FieldType, Type, View, kind_of, text};

macro_rules! enumeration {
    ($(#[doc = $doc:literal])* $name:ident = $python:literal, $ty:ident { $($(#[doc = $vdoc:literal])* $variant:ident = $text:literal,)* }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $vdoc])* $variant,)* }

        impl $name {
            /// The enumeration's name in the plug-in API.
            pub const PYTHON: &str = $python;
            /// Every member in the order of the specification's table, which is its number.
            pub const ALL: &[($name, &str)] = &[$(($name::$variant, $text),)*];

            /// The member's name in the specification.
            pub fn name(self) -> &'static str {
                Self::ALL[self as usize].1
            }

            /// The member of that name, in any case.
            pub fn from_name(name: &str) -> Option<$name> {
                Self::ALL.iter().find(|(_, text)| text.eq_ignore_ascii_case(name)).map(|row| row.0)
            }

            /// The member of that number.
            pub fn from_number(number: i64) -> Option<$name> {
                Self::ALL.get(usize::try_from(number).ok()?).map(|row| row.0)
            }
        }

        impl FieldType for $name {
            const TYPE: Type = Type::$ty;

            fn parse(value: &Value) -> Result<Option<$name>, String> {
                if let Some(number) = value.as_i64() {
                    return $name::from_number(number)
                        .map(Some)
                        .ok_or_else(|| format!("{number} is no number of {}", $python));
                }
                let text = match text(value) {
                    None if value.is_null() => return Ok(None),
                    None => return Err(format!("expected a member of {}, got {}", $python, kind_of(value))),
                    Some(text) => text,
                };
                let word = text.trim();
                if word.is_empty() {
                    return Ok(None);
                }
                word.parse().ok().and_then($name::from_number)
                    .or_else(|| $name::from_name(word))
                    .map(Some)
                    .ok_or_else(|| format!("{word:?} is no member of {}", $python))
            }

            fn print(&self, view: View) -> Value {
                match view {
                    View::Public => Value::from(self.name()),
                    View::Wire => Value::from(*self as u8),
                }
            }
        }
    };
}

enumeration! {
    /// What state a storage element is in (specification, "SE_STATES enumeration").
    SeState = "SE_STATES", SeState {
        /// An error condition.
        Unknown = "UNKNOWN",
        /// Not accessible for I/O.
        Offline = "OFFLINE",
        /// Still being created.
        BusyCreate = "BUSY_CREATE",
        /// The destination of a clone in progress.
        BusyClone = "BUSY_CLONE",
        /// Being split from its parent.
        BusyCopy = "BUSY_COPY",
        /// Locked by its children.
        BusyChildren = "BUSY_CHILDREN",
        /// Cannot be used.
        Error = "ERROR",
        /// The normal state.
        Online = "ONLINE",
    }
}

enumeration! {
    /// What state a file system is in (specification, "FS_STATES enumeration").
    FsState = "FS_STATES", FsState {
        /// An error condition.
        Unknown = "UNKNOWN",
        /// Available, not mounted.
        Unmounted = "UNMOUNTED",
        /// The normal state.
        Mounted = "MOUNTED",
        /// Mounted read-only.
        MountedReadonly = "MOUNTED_READONLY",
        /// Cannot be used.
        Error = "ERROR",
    }
}

enumeration! {
    /// What a plug-in or storage server can do (specification, "ABILITY_TYPES enumeration").
    Ability = "ABILITY_TYPES", String {
        /// Not at all.
        Unsupported = "UNSUPPORTED",
        /// Only while the element is offline.
        Offline = "OFFLINE",
        /// Also while the element is in use.
        Online = "ONLINE",
        /// It does not have the feature.
        No = "NO",
        /// It has the feature.
        Yes = "YES",
        /// A placeholder that no plug-in may use.
        Invalid = "INVALID",
    }
}

enumeration! {
    /// What a file system is made on (specification, "BACKING_DEVICE_TYPES enumeration").
    BackingDeviceType = "BACKING_DEVICE_TYPES", String {
        /// The plug-in cannot create file systems.
        Unsupported = "UNSUPPORTED",
        /// One block device.
        DeviceSingle = "DEVICE_SINGLE",
        /// Any number of block devices.
        DeviceMulti = "DEVICE_MULTI",
        /// One backing device of `getFileSystemBackingDevices`.
        PluginSingle = "PLUGIN_SINGLE",
        /// Any number of backing devices of `getFileSystemBackingDevices`.
        PluginMulti = "PLUGIN_MULTI",
        /// A placeholder that no plug-in may use.
        Invalid = "INVALID",
    }
}
