//! What the abilities rule out, before a plug-in is called (specification, "ABILITY_TYPES
//! enumeration").
//!
//! An ability that neither the class nor the storage server names rules nothing out.

use crate::command::Command;
use crate::error::{Error, Kind, Result};
use crate::inventory::Server;
use crate::plugin::api::Method;
use crate::record::{BackingDeviceType, Devices, FileSystem, FsState, SeState, StorageElement};

/// What a call is about, as far as abilities matter.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// The storage server, or a file in a file system: whether it is in use, only the plug-in knows.
    Other,
    /// An element.
    Element(&'a StorageElement),
    /// A file system.
    FileSystem(&'a FileSystem),
}

/// The value of an ability, in upper case.
pub fn of(server: &Server, key: &str) -> Option<String> {
    server.abilities.get(key).map(|value| value.to_ascii_uppercase())
}

/// Whether the abilities rule a method out altogether.
pub fn ruled_out(server: &Server, method: &Method) -> bool {
    let value = method.ability.and_then(|key| of(server, key));
    matches!(value.as_deref(), Some("UNSUPPORTED" | "NO" | "INVALID"))
}

/// Checks a method against the abilities.
///
/// # Errors
/// [`Kind::NoSuchOperation`] when it is ruled out; [`Kind::StorageElementBusy`] or
/// [`Kind::FileSystemBusy`] when it needs an object offline that is online.
pub fn check(server: &Server, method: &Method, subject: Subject<'_>) -> Result<()> {
    let Some((key, value)) = method.ability.and_then(|key| Some((key, of(server, key)?))) else {
        return Ok(());
    };
    let said = |kind, text: String| Err(Error::new(kind, text).in_method(&server.plugin, method.name));
    match (value.as_str(), subject) {
        ("UNSUPPORTED" | "NO" | "INVALID", _) => said(
            Kind::NoSuchOperation,
            format!(
                "storage server {} does not support {}: its ability {key} is {value}",
                called(server),
                method.name
            ),
        ),
        // OFFLINE is said of what is copied, and a removal copies nothing.
        ("OFFLINE", _) if method.name == "snapRemove" => Ok(()),
        ("OFFLINE", Subject::Element(element)) if element.state == Some(SeState::Online) => {
            let name = element.name.as_deref().unwrap_or("the element");
            said(
                Kind::StorageElementBusy,
                format!(
                    "{name} is online, and {} can do this only with an offline element (ability {key}): take it offline first",
                    called(server)
                ),
            )
        }
        ("OFFLINE", Subject::FileSystem(fs))
            if matches!(fs.state, Some(FsState::Mounted | FsState::MountedReadonly)) =>
        {
            let name = fs.name.as_deref().unwrap_or("the file system");
            said(
                Kind::FileSystemBusy,
                format!(
                    "{name} is mounted, and {} can do this only with an unmounted file system (ability {key}): unmount it first",
                    called(server)
                ),
            )
        }
        _ => Ok(()),
    }
}

/// Checks whether a name may, or must, be given for what a method makes.
///
/// # Errors
/// [`Kind::InvalidValue`].
pub fn check_name(server: &Server, command: &Command, method: &Method, given: bool) -> Result<()> {
    let (key, what) = match method.name {
        "createSnap" | "createMultiSnap" => ("custom_snap_name", "a snapshot"),
        "clone" | "cloneFromSnap" => ("custom_clone_name", "a clone"),
        _ => return Ok(()),
    };
    let text = match of(server, key).as_deref() {
        Some("NO" | "UNSUPPORTED") if given => {
            format!(
                "{} names {what} itself ({key} is NO): repeat the {} without a name",
                called(server),
                command.name
            )
        }
        Some("YES") if !given => {
            format!(
                "{} needs a name for {what} ({key} is YES): repeat the {} with one",
                called(server),
                command.name
            )
        }
        _ => return Ok(()),
    };
    Err(Error::invalid(text).in_method(&server.plugin, method.name))
}

/// Brings the wanted file system's backing device into the form that `backing_device_type` asks for.
///
/// # Errors
/// [`Kind::NoSuchOperation`], [`Kind::MissingKey`] or [`Kind::InvalidValue`].
pub fn check_backing(server: &Server, wanted: &mut FileSystem) -> Result<()> {
    let Some(ty) = of(server, "backing_device_type").and_then(|name| BackingDeviceType::from_name(&name))
    else {
        return Ok(());
    };
    let wrong = |kind, text: String| {
        Err(Error::new(kind, text).in_method(&server.plugin, "createFileSystem").with_key("backing_device"))
    };
    use BackingDeviceType::{DeviceMulti, DeviceSingle, Invalid, PluginMulti, PluginSingle, Unsupported};
    match (ty, wanted.backing_device.take()) {
        (Unsupported | Invalid, _) => wrong(
            Kind::NoSuchOperation,
            format!(
                "{} cannot create file systems: its ability backing_device_type is {}",
                called(server),
                ty.name()
            ),
        ),
        (_, None) => wrong(
            Kind::MissingKey,
            format!(
                "the wanted file system has no backing_device, and {} needs one ({})",
                called(server),
                ty.name()
            ),
        ),
        (DeviceSingle | PluginSingle, Some(Devices::Many(devices))) => match <[String; 1]>::try_from(devices)
        {
            Ok([device]) => {
                wanted.backing_device = Some(Devices::One(device));
                Ok(())
            }
            Err(devices) => wrong(
                Kind::InvalidValue,
                format!(
                    "{} makes a file system on one device ({}), not on {}",
                    called(server),
                    ty.name(),
                    devices.len()
                ),
            ),
        },
        (DeviceMulti | PluginMulti, Some(Devices::One(device))) => {
            wanted.backing_device = Some(Devices::Many(vec![device]));
            Ok(())
        }
        (_, device) => {
            wanted.backing_device = device;
            Ok(())
        }
    }
}

/// How messages call a storage server.
pub fn called(server: &Server) -> &str {
    match server.name() {
        "" => "the storage server",
        name => name,
    }
}
