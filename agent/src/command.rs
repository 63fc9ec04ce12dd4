//! What a user can ask for: one table behind the tree's control files, the D-Bus methods and
//! `oscctl`'s commands.
//!
//! A row names the object it belongs to, its parameters, and the API method that does the work on
//! either type of plug-in. The few rows without a method are done by the agent itself.

use crate::plugin::api::{Method, PluginType, method};

/// What a command belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// The agent itself.
    Manager,
    /// A storage server.
    Server,
    /// A storage element.
    Element,
    /// A file system.
    FileSystem,
    /// An operation.
    Operation,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamType {
    /// Text.
    Text,
    /// A size in bytes, or with a unit: `10GiB`.
    Size,
    /// A truth value.
    Bool,
    /// A list of strings.
    TextList,
    /// The id of an element of the same storage server.
    ElementId,
    /// Ids of elements of the same storage server.
    ElementIds,
    /// A path in the file system.
    Path,
    /// A record, as a JSON object.
    Record,
    /// A list of records, as a JSON array.
    Records,
}

/// One parameter of a command.
#[derive(Debug)]
pub struct Param {
    /// What users call it.
    pub name: &'static str,
    /// The API argument it becomes.
    pub arg: &'static str,
    /// Its type.
    pub ty: ParamType,
    /// Whether it may be left out.
    pub optional: bool,
}

/// One row of the command table.
#[derive(Debug)]
pub struct Command {
    /// What it belongs to.
    pub object: Object,
    /// Its name, in kebab case: a control file's, and under `oscctl` and D-Bus (CamelCase) too.
    pub name: &'static str,
    /// Its parameters; the first is the one that a bare word gives.
    pub params: &'static [Param],
    /// The API method on a storage array plug-in.
    pub isa: Option<&'static str>,
    /// The API method on a file system plug-in.
    pub ifs: Option<&'static str>,
    /// Whether the object's directory has a control file of that name.
    pub file: bool,
    /// What it does, in one line.
    pub doc: &'static str,
}

impl Command {
    /// The API method that does the work on a plug-in of that type.
    pub fn method(&self, plugin_type: PluginType) -> Option<&'static Method> {
        let name = match plugin_type {
            PluginType::StorageArray => self.isa,
            PluginType::FileSystem => self.ifs,
        }?;
        method(plugin_type, name)
    }

    /// The name of the D-Bus method.
    pub fn dbus_name(&self) -> String {
        camel_case(self.name)
    }

    /// Whether anybody who may read may ask it.
    pub fn open_to_readers(&self) -> bool {
        !self.changes() && !COSTLY.contains(&self.name)
    }

    /// Whether it changes anything.
    pub fn changes(&self) -> bool {
        let types = [PluginType::StorageArray, PluginType::FileSystem];
        let mut methods = types.iter().filter_map(|ty| self.method(*ty)).peekable();
        methods.peek().is_none() || methods.any(|method| method.changes)
    }
}

/// What may be asked only by those who may change things, although it changes nothing itself: it
/// has the storage server list everything, and replaces what everybody sees.
const COSTLY: &[&str] = &["refresh", "update-records"];

/// `snap-limits` and `snap_limits` as `SnapLimits`.
pub fn camel_case(name: &str) -> String {
    name.split(['-', '_'])
        .filter_map(|word| {
            let mut letters = word.chars();
            let first = letters.next()?;
            Some(first.to_uppercase().chain(letters).collect::<String>())
        })
        .collect()
}

/// The command of that object and name.
pub fn command(object: Object, name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|row| row.object == object && row.name == name)
}

macro_rules! optional {
    (required) => {
        false
    };
    (optional) => {
        true
    };
}

macro_rules! door {
    (file) => {
        true
    };
    (call) => {
        false
    };
}

macro_rules! api {
    (-) => {
        None
    };
    ($name:ident) => {
        Some(stringify!($name))
    };
}

macro_rules! commands {
    ($($object:ident { $($name:literal [$($param:literal = $arg:ident: $ty:ident $need:ident),*] $isa:tt $ifs:tt $door:ident $doc:literal;)* })*) => {
        /// Every command.
        pub const COMMANDS: &[Command] = &[$($(Command {
            object: Object::$object,
            name: $name,
            params: &[$(Param { name: $param, arg: stringify!($arg), ty: ParamType::$ty, optional: optional!($need) }),*],
            isa: api!($isa),
            ifs: api!($ifs),
            file: door!($door),
            doc: $doc,
        },)*)*];
    };
}

commands! {
    Manager {
        "register" ["plugin" = plugin: Text required, "record" = record: Record required] - - file
            "Register a storage server with a plug-in.";
    }
    Server {
        "refresh" [] refresh refresh file "List everything afresh.";
        "start" [] start start file "Make the storage server usable on this host.";
        "stop" [] stop stop file "Stop using the storage server on this host.";
        "create" ["record" = record: Record required] create createFileSystem file "Create an element or a file system.";
        "unregister" [] - - file "Forget the storage server; nothing on it is changed.";
        "validate" [] validate validate call "Check that the registration works.";
        "discover" [] discover - call "Discover the targets of the storage server.";
        "info" [] getInfo getStorageServerInfo call "Ask for the storage server's record.";
        "status" [] getStatus getStatus call "Ask for the storage server's status.";
        "capabilities" [] getCapabilities getCapabilities call "Ask what the storage server can do.";
        "storage-names" [] getStorageNames getStorageNames call "List the names of the controllers behind one manager.";
        "access-groups" [] getAccessGroups getAccessGroups call "List the access groups.";
        "create-access-groups" ["groups" = access_grps: Records required] createAccessGroups createAccessGroups call "Create access groups.";
        "rename-access-group" ["name" = access_grp_name: Text required, "new_name" = new_access_grp_name: Text required]
            renameAccessGroup renameAccessGroup call "Rename an access group.";
        "remove-access-groups" ["groups" = access_grps: TextList required] removeAccessGroups removeAccessGroups call "Remove access groups.";
        "add-to-access-group" ["name" = access_grp_name: Text required, "entries" = grp_entries: TextList required]
            addToAccessGroup addToAccessGroup call "Add entries to an access group.";
        "remove-from-access-group" ["name" = access_grp_name: Text required, "entries" = grp_entries: TextList required]
            removeFromAccessGroup removeFromAccessGroup call "Remove entries from an access group.";
        "qos-list" [] getQoSList getQoSList call "List the quality-of-service values.";
        "multi-snapshot" ["elements" = se_records: ElementIds required, "names" = snap_names: TextList optional]
            createMultiSnap - call "Snapshot several elements at one point in time.";
        "update-records" ["elements" = se_records: ElementIds required] updateSERecords - call "Refresh some elements.";
        "backing-devices" [] - getFileSystemBackingDevices call "List what file systems can be made on.";
    }
    Element {
        "snapshot" ["name" = snap_name: Text optional] createSnap - file "Take a read-only snapshot.";
        "clone" ["name" = clone_name: Text optional] clone - file "Make a writable clone, of an element or of a snapshot.";
        "restore" ["snapshot" = snap_record: ElementId required] snapRestore - file "Roll the element back to one of its snapshots.";
        "split" [] splitClone - file "Make a clone independent of its parent.";
        "resize" ["size" = new_size: Size required] resize - file "Change the size.";
        "online" [] online - file "Bring the element online.";
        "offline" [] offline - file "Take the element offline.";
        "present" ["groups" = access_grp_names: TextList optional] startPresent - file "Present the element to access groups, or to this host.";
        "unpresent" ["groups" = access_grp_names: TextList optional] stopPresent - file "Stop presenting the element to access groups, or to this host.";
        "qos" ["value" = qos: Text required] setQoS - file "Set the quality of service.";
        "remove" [] remove - file "Remove the element and its data.";
        "info" [] getInfo - call "Ask for the element's record.";
        "status" [] getStatus - call "Ask for the element's status.";
        "access-groups" [] getAccessGroups - call "List the access groups of the element.";
        "snapshots" [] getCurrentSnaps - call "List the element's snapshots.";
        "clones" [] getCurrentClones - call "List the element's clones.";
        "snap-limits" [] getSnapLimits - call "How many snapshots there are and can be.";
        "clone-limits" [] getCloneLimits - call "How many clones there are and can be.";
        "is-snapable" [] isSnapable - call "Whether a snapshot can be taken now.";
        "is-cloneable" [] isCloneable - call "Whether a clone can be made now.";
        "is-restorable" ["snapshot" = snap_record: ElementId required] isRestorable - call "Whether the element can be rolled back to a snapshot now.";
        "device-teardown" [] deviceTeardown - call "Remove the element's devices from this host.";
        "device-resize" [] deviceResize - call "Grow the element's devices on this host.";
        "device-size-refresh" [] deviceSizeRefresh - call "Read the size of the element's devices again.";
    }
    FileSystem {
        "mount" ["mount_point" = mount_point: Text required, "share_path" = share_path: Text optional, "options" = options: TextList optional]
            - mount file "Mount the file system on this host.";
        "unmount" ["mount_point" = mount_point: Text optional] - unmount file "Unmount the file system from this host.";
        "resize" ["size" = new_size: Size required] - resizeFileSystem file "Change the size.";
        "destroy" [] - destroyFileSystem file "Destroy the file system and everything in it.";
        "refresh" [] - getFileSystemInfo file "Read the file system's record and mounts afresh.";
        "present" ["groups" = access_grp_names: TextList optional] - startPresent call "Export the file system to access groups.";
        "unpresent" ["groups" = access_grp_names: TextList optional] - stopPresent call "Stop exporting the file system to access groups.";
        "qos" ["value" = qos: Text required] - setQoS call "Set the quality of service.";
        "status" [] - getStatus call "Ask for the file system's status.";
        "access-groups" [] - getAccessGroups call "List the access groups of the file system.";
        "mounts" [] - listMountPoints call "List where the file system is mounted.";
        "snap-limits" [] - getFileSystemSnapLimits call "How many snapshots there are and can be.";
        "clone-limits" [] - getFileSystemCloneLimits call "How many clones there are and can be.";
        "file-list" ["path" = file_record: Path optional, "pattern" = name_pattern: Text optional] - list call "List files.";
        "file-info" ["path" = file_record: Path required, "compare" = file_comp_record: Path optional] - getFileInfo call
            "Ask for a file's record; with a second file, how much they share.";
        "file-create" ["path" = file_path: Text required, "type" = file_type: Text optional, "size" = size: Size optional] - create call
            "Create a file or a directory.";
        "file-remove" ["path" = file_record: Path required] - destroy call "Remove a file or a directory.";
        "file-resize" ["path" = file_record: Path required, "size" = new_size: Size required] - resize call "Change a file's size.";
        "file-snapshot" ["path" = file_record: Path required, "name" = snap_name: Text optional] - createSnap call "Take a snapshot of a file.";
        "file-restore" ["path" = file_record: Path required, "snapshot" = snap_record: Path required] - snapRestore call "Roll a file back to a snapshot.";
        "file-snap-remove" ["snapshot" = snap_record: Path required] - snapRemove call "Remove a file's snapshot.";
        "file-snapshots" ["path" = file_record: Path required] - getCurrentSnaps call "List a file's snapshots.";
        "file-clone" ["path" = file_record: Path required, "name" = clone_name: Text optional] - clone call "Clone a file.";
        "file-clone-snapshot" ["snapshot" = snap_record: Path required, "name" = clone_name: Text optional] - cloneFromSnap call "Clone a file's snapshot.";
        "file-split" ["path" = file_record: Path required] - splitClone call "Make a cloned file independent.";
        "file-is-snapable" ["path" = file_record: Path required] - isSnapable call "Whether a snapshot can be taken now.";
        "file-is-cloneable" ["path" = file_record: Path required] - isCloneable call "Whether a clone can be made now.";
        "file-is-restorable" ["path" = file_record: Path required, "snapshot" = snap_record: Path required] - isRestorable call
            "Whether a file can be rolled back to a snapshot now.";
    }
    Operation {
        "cancel" [] - - file "Cancel the operation.";
    }
}

/// The control file `file` of a file system: `{"op": "create|clone|snapshot|resize|remove", …}`
/// stands for the command `file-<op>` with the other keys as its parameters.
pub const FILE_CONTROL: &str = "file";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plugin::api::METHODS;

    #[test]
    fn every_method_that_a_command_names_exists() {
        for row in COMMANDS {
            for (ty, name) in [(PluginType::StorageArray, row.isa), (PluginType::FileSystem, row.ifs)] {
                assert!(name.is_none_or(|name| method(ty, name).is_some()), "{}: {name:?}", row.name);
            }
        }
    }

    #[test]
    fn every_method_can_be_reached() {
        // What a clone or a removal means depends on the element's type; the rest is the agent's own.
        let indirect = ["getAsyncProgress", "cloneFromSnap", "snapRemove", "list", "listFileSystems"];
        for row in METHODS {
            let reached = COMMANDS
                .iter()
                .any(|command| command.method(row.plugin_type).is_some_and(|method| method.name == row.name));
            assert!(reached || indirect.contains(&row.name), "{:?} {}", row.plugin_type, row.name);
        }
    }

    #[test]
    fn the_bus_policy_opens_to_anybody_what_readers_may_ask() {
        let policy = include_str!("../../systemd/org.storageconnect.Agent1.conf");
        let (_, anybody) = policy.split_once("context=\"default\"").expect("it has a part for anybody");
        let value = |line: &str, attribute: &str| {
            let (_, rest) = line.split_once(&format!("{attribute}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let allowed: BTreeSet<_> = anybody
            .lines()
            .filter(|line| line.contains("<allow"))
            .map(|line| (value(line, "send_interface"), value(line, "send_member")))
            .filter(|(interface, _)| {
                !interface.as_ref().is_some_and(|name| name.starts_with("org.freedesktop."))
            })
            .collect();
        let row = |interface: &str, member: &str| {
            (Some(format!("org.storageconnect.Agent1.{interface}")), Some(member.to_owned()))
        };
        let mut wanted: BTreeSet<_> = COMMANDS
            .iter()
            .filter(|command| command.open_to_readers())
            .map(|command| {
                let interface = match command.object {
                    Object::Manager => "Manager",
                    Object::Server => "StorageServer",
                    Object::Element => "StorageElement",
                    Object::FileSystem => "FileSystem",
                    Object::Operation => "Operation",
                };
                row(interface, &command.dbus_name())
            })
            .collect();
        // What is on D-Bus beside the commands.
        wanted.extend([row("Manager", "GetEvents"), row("Operation", "Wait")]);
        assert_eq!(allowed, wanted);
    }

    #[test]
    fn a_parameter_becomes_an_argument_of_its_method() {
        for command in COMMANDS {
            for method in
                [PluginType::StorageArray, PluginType::FileSystem].iter().filter_map(|ty| command.method(*ty))
            {
                for param in command.params {
                    let known = method.args.iter().any(|arg| arg.name == param.arg);
                    // A create takes the wanted record itself; a pattern travels in the file's record.
                    let special = matches!(param.name, "record" | "pattern");
                    assert!(known || special, "{} {}", command.name, param.name);
                }
            }
        }
    }
}
