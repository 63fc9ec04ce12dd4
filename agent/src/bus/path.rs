//! Object paths: what each stands for, and what each object's is.

use std::fmt;

use uuid::Uuid;

use super::label;
use crate::inventory::{Target, What};

/// The root object, the `Manager`.
pub const ROOT: &str = "/org/storageconnect/Agent1";

/// A path below (or above) the root object, whether or not anything is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Path {
    /// A path on the way to the root: how many of its elements.
    Above(usize),
    /// The manager.
    Root,
    /// The parent of the plug-ins.
    Plugins,
    /// A plug-in, by implementation name.
    Plugin(String),
    /// The parent of the storage servers.
    Servers,
    /// A storage server.
    Server(Uuid),
    /// The parent of a storage server's elements.
    Elements(Uuid),
    /// A storage element: its server and its id.
    Element(Uuid, String),
    /// The parent of a storage server's file systems.
    FileSystems(Uuid),
    /// A file system: its server and its id.
    FileSystem(Uuid, String),
    /// The parent of a file system's mounts.
    Mounts(Uuid, String),
    /// A mount: its server, its file system and its UUID.
    Mount(Uuid, String, Uuid),
    /// The parent of the operations.
    Operations,
    /// An operation.
    Operation(Uuid),
}

impl Path {
    /// What a path stands for; `None` where no object can ever be.
    pub fn parse(path: &str) -> Option<Path> {
        let Some(below) = path.strip_prefix(ROOT) else {
            let above = path == "/" || ROOT.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
            return above.then(|| Path::Above(path.split('/').filter(|part| !part.is_empty()).count()));
        };
        if !below.is_empty() && !below.starts_with('/') {
            return None;
        }
        let parts: Vec<&str> = below.split('/').skip(1).collect();
        Some(match parts.as_slice() {
            [] => Path::Root,
            ["plugin"] => Path::Plugins,
            ["plugin", name] => Path::Plugin(label::decode(name)?),
            ["server"] => Path::Servers,
            ["server", ss] => Path::Server(uuid(ss)?),
            ["server", ss, "se"] => Path::Elements(uuid(ss)?),
            ["server", ss, "se", id] => Path::Element(uuid(ss)?, label::decode(id)?),
            ["server", ss, "fs"] => Path::FileSystems(uuid(ss)?),
            ["server", ss, "fs", id] => Path::FileSystem(uuid(ss)?, label::decode(id)?),
            ["server", ss, "fs", id, "mount"] => Path::Mounts(uuid(ss)?, label::decode(id)?),
            ["server", ss, "fs", id, "mount", mount] => {
                Path::Mount(uuid(ss)?, label::decode(id)?, uuid(mount)?)
            }
            ["op"] => Path::Operations,
            ["op", id] => Path::Operation(uuid(id)?),
            _ => return None,
        })
    }

    /// The object an operation works on.
    pub fn of_target(target: &Target) -> Path {
        match target {
            Target::Manager => Path::Root,
            Target::Server(ss) => Path::Server(*ss),
            Target::Element(ss, id) => Path::Element(*ss, id.to_string()),
            Target::FileSystem(ss, id) => Path::FileSystem(*ss, id.to_string()),
            Target::Operation(id) => Path::Operation(*id),
        }
    }

    /// The object a change is about.
    pub fn of_change(what: &What) -> Path {
        match what {
            What::PluginAdded(name) | What::PluginChanged(name) | What::PluginRemoved(name) => {
                Path::Plugin(name.clone())
            }
            What::ServerAdded(ss) | What::ServerChanged(ss) | What::ServerRemoved(ss) => Path::Server(*ss),
            What::ElementAdded(ss, id) | What::ElementChanged(ss, id, _) | What::ElementRemoved(ss, id) => {
                Path::Element(*ss, id.to_string())
            }
            What::FileSystemAdded(ss, id)
            | What::FileSystemChanged(ss, id, _)
            | What::FileSystemRemoved(ss, id) => Path::FileSystem(*ss, id.to_string()),
            What::MountAdded(ss, fs, id)
            | What::MountChanged(ss, fs, id)
            | What::MountRemoved(ss, fs, id) => Path::Mount(*ss, fs.to_string(), *id),
            What::OperationAdded(id) | What::OperationChanged(id) | What::OperationRemoved(id) => {
                Path::Operation(*id)
            }
        }
    }

    /// The object manager that tells of the object: the root, or the storage server it belongs to.
    pub fn manager(&self) -> Path {
        match self {
            Path::Element(ss, _) | Path::FileSystem(ss, _) | Path::Mount(ss, _, _) => Path::Server(*ss),
            _ => Path::Root,
        }
    }
}

fn uuid(part: &str) -> Option<Uuid> {
    let id = label::decode(part)?;
    Uuid::try_parse(&id).ok().filter(|uuid| uuid.to_string() == id)
}

fn part(uuid: &Uuid) -> String {
    label::encode(&uuid.to_string())
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file_system =
            |ss: &Uuid, fs: &str| format!("{ROOT}/server/{}/fs/{}", part(ss), label::encode(fs));
        match self {
            Path::Above(0) => f.write_str("/"),
            Path::Above(depth) => {
                ROOT.split('/').skip(1).take(*depth).try_for_each(|name| write!(f, "/{name}"))
            }
            Path::Root => f.write_str(ROOT),
            Path::Plugins => write!(f, "{ROOT}/plugin"),
            Path::Plugin(name) => write!(f, "{ROOT}/plugin/{}", label::encode(name)),
            Path::Servers => write!(f, "{ROOT}/server"),
            Path::Server(ss) => write!(f, "{ROOT}/server/{}", part(ss)),
            Path::Elements(ss) => write!(f, "{ROOT}/server/{}/se", part(ss)),
            Path::Element(ss, id) => write!(f, "{ROOT}/server/{}/se/{}", part(ss), label::encode(id)),
            Path::FileSystems(ss) => write!(f, "{ROOT}/server/{}/fs", part(ss)),
            Path::FileSystem(ss, fs) => f.write_str(&file_system(ss, fs)),
            Path::Mounts(ss, fs) => write!(f, "{}/mount", file_system(ss, fs)),
            Path::Mount(ss, fs, id) => write!(f, "{}/mount/{}", file_system(ss, fs), part(id)),
            Path::Operations => write!(f, "{ROOT}/op"),
            Path::Operation(id) => write!(f, "{ROOT}/op/{}", part(id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_path_to_the_root_is_known_and_no_other() {
        for (path, depth) in [("/", 0), ("/org", 1), ("/org/storageconnect", 2)] {
            assert_eq!(Path::parse(path), Some(Path::Above(depth)));
            assert_eq!(Path::Above(depth).to_string(), path);
        }
        for path in ["/or", "/org/storageconnect/Agent", "/org/storageconnect/Agent12", "/org/freedesktop"] {
            assert_eq!(Path::parse(path), None, "{path}");
        }
    }

    fn any_path() -> impl Strategy<Value = Path> {
        (any::<u128>(), any::<u128>(), ".*", 0..13u8).prop_map(|(a, b, text, kind)| {
            let (a, b) = (Uuid::from_u128(a), Uuid::from_u128(b));
            match kind {
                0 => Path::Root,
                1 => Path::Plugins,
                2 => Path::Plugin(text),
                3 => Path::Servers,
                4 => Path::Server(a),
                5 => Path::Elements(a),
                6 => Path::Element(a, text),
                7 => Path::FileSystems(a),
                8 => Path::FileSystem(a, text),
                9 => Path::Mounts(a, text),
                10 => Path::Mount(a, text, b),
                11 => Path::Operations,
                _ => Path::Operation(b),
            }
        })
    }

    proptest! {
        #[test]
        fn a_path_survives_its_text(path in any_path()) {
            let text = path.to_string();
            prop_assert!(zbus::ObjectPath::try_from(text.as_str()).is_ok());
            prop_assert_eq!(Path::parse(&text), Some(path));
        }

        #[test]
        fn a_parsed_path_prints_as_it_was(rest in "(/(server|se|fs|op|plugin|[a-z0-9_]{0,40})){0,6}") {
            let text = format!("{ROOT}{rest}");
            if let Some(path) = Path::parse(&text) {
                prop_assert_eq!(path.to_string(), text);
            }
        }
    }
}
