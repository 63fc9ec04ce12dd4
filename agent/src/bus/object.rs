//! The objects that a snapshot has, found by their paths.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::interface::{Interface, Property, Read};
use super::label;
use super::path::{Path, ROOT};
use super::table::interface;
use super::value::{self, Props};
use crate::config::Standing;
use crate::inventory::{Element, FileSystem, Operation, Server, Snapshot};
use crate::plugin::Plugin;
use crate::record::{Dict, View};

/// What the manager's properties tell of the process.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Where the tree is mounted.
    pub mount_point: String,
    /// When the door was opened, RFC 3339.
    pub started_at: String,
    /// How the configuration stands.
    pub standing: Arc<ArcSwap<Standing>>,
}

/// One object with what its properties are read from.
#[derive(Clone, Debug)]
pub enum Object {
    /// The manager, at a sequence number.
    Manager(Arc<Facts>, u64),
    /// A plug-in.
    Plugin(Arc<Plugin>),
    /// A storage server.
    Server(Arc<Server>),
    /// A storage element and its server.
    Element(Uuid, Arc<Element>),
    /// A file system and its server.
    FileSystem(Uuid, Arc<FileSystem>),
    /// A mount: its server, its file system's id, its UUID and its record's line.
    Mount(Uuid, Arc<str>, Uuid, Arc<str>),
    /// An operation.
    Operation(Arc<Operation>),
}

impl Object {
    /// The object of that path, if there is one.
    pub fn find(snapshot: &Snapshot, facts: &Arc<Facts>, path: &Path) -> Option<Object> {
        let server = |ss: &Uuid| snapshot.servers.get(ss);
        Some(match path {
            Path::Root => Object::Manager(facts.clone(), snapshot.seq),
            Path::Plugin(name) => Object::Plugin(snapshot.plugins.get(name)?.clone()),
            Path::Server(ss) => Object::Server(server(ss)?.clone()),
            Path::Element(ss, id) => {
                Object::Element(*ss, server(ss)?.elements.by_id.get(id.as_str())?.clone())
            }
            Path::FileSystem(ss, fs) => {
                Object::FileSystem(*ss, server(ss)?.file_systems.get(fs.as_str())?.clone())
            }
            Path::Mount(ss, fs, id) => {
                let (key, fs) = server(ss)?.file_systems.get_key_value(fs.as_str())?;
                Object::Mount(*ss, key.clone(), *id, fs.mounts.get(id)?.clone())
            }
            Path::Operation(id) => Object::Operation(snapshot.operations.get(id)?.clone()),
            _ => return None,
        })
    }

    /// What it is one of.
    pub fn interface(&self) -> &'static Interface {
        interface(match self {
            Object::Manager(..) => "Manager",
            Object::Plugin(_) => "Plugin",
            Object::Server(_) => "StorageServer",
            Object::Element(..) => "StorageElement",
            Object::FileSystem(..) => "FileSystem",
            Object::Mount(..) => "Mount",
            Object::Operation(_) => "Operation",
        })
    }

    /// Its path.
    pub fn path(&self) -> Path {
        match self {
            Object::Manager(..) => Path::Root,
            Object::Plugin(plugin) => Path::Plugin(plugin.impl_name.clone()),
            Object::Server(server) => Path::Server(server.uuid),
            Object::Element(ss, element) => Path::Element(*ss, element.id.to_string()),
            Object::FileSystem(ss, fs) => Path::FileSystem(*ss, fs.id.to_string()),
            Object::Mount(ss, fs, id, _) => Path::Mount(*ss, fs.to_string(), *id),
            Object::Operation(operation) => Path::Operation(operation.id),
        }
    }

    /// Its public record, where it has one of the specification's.
    fn record(&self) -> Map<String, Value> {
        let value = match self {
            Object::Server(server) => server.record.to_value(View::Public),
            Object::Element(_, element) => parse(&element.line),
            Object::FileSystem(_, fs) => parse(&fs.line),
            Object::Mount(_, _, _, line) => parse(line),
            _ => Value::Null,
        };
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// Every property with its value; without those that `skip` names.
    pub fn properties(&self, skip: &[&str]) -> Props {
        let record = self.record();
        let read = |property: &'static Property| (property.name.as_str(), self.read(property, &record));
        let shown =
            self.interface().properties.iter().filter(|property| !skip.contains(&property.name.as_str()));
        Props(shown.map(read).collect())
    }

    fn read(&self, property: &Property, record: &Map<String, Value>) -> zbus::Variant<'static> {
        match &property.read {
            Read::Field(field) => value::field(field.ty, record.get(field.name)),
            Read::Own(read) => read(self),
        }
    }
}

fn parse(line: &str) -> Value {
    // A line is always what `Dict::to_line` printed; a broken one would read as an empty record.
    serde_json::from_str(line).unwrap_or(Value::Null)
}

/// The paths of the objects that an object manager shows.
pub fn managed<'a>(snapshot: &'a Snapshot, manager: &Path) -> Box<dyn Iterator<Item = Object> + 'a> {
    match manager {
        Path::Root => {
            let plugins = snapshot.plugins.values().map(|plugin| Object::Plugin(plugin.clone()));
            let servers = snapshot.servers.values().map(|server| Object::Server(server.clone()));
            let operations = snapshot.operations.values().map(|op| Object::Operation(op.clone()));
            Box::new(plugins.chain(servers).chain(operations))
        }
        Path::Server(ss) => match snapshot.servers.get(ss) {
            Some(server) => Box::new(contents(server)),
            None => Box::new(std::iter::empty()),
        },
        _ => Box::new(std::iter::empty()),
    }
}

/// What all object managers show together.
pub fn everything(snapshot: &Snapshot) -> impl Iterator<Item = Object> + '_ {
    managed(snapshot, &Path::Root).chain(snapshot.servers.values().flat_map(|server| contents(server)))
}

/// Everything below a storage server: elements, then file systems with their mounts.
pub fn contents(server: &Server) -> impl Iterator<Item = Object> + '_ {
    let ss = server.uuid;
    let elements = server.elements.by_id.values().map(move |element| Object::Element(ss, element.clone()));
    let file_systems = server.file_systems.values().flat_map(move |fs| {
        let mounts =
            fs.mounts.iter().map(move |(id, line)| Object::Mount(ss, fs.id.clone(), *id, line.clone()));
        std::iter::once(Object::FileSystem(ss, fs.clone())).chain(mounts)
    });
    elements.chain(file_systems)
}

/// Whether there is an object, or a parent of objects, at that path.
pub fn exists(snapshot: &Snapshot, path: &Path) -> bool {
    let server = |ss: &Uuid| snapshot.servers.get(ss);
    match path {
        Path::Above(_) | Path::Root | Path::Plugins | Path::Servers | Path::Operations => true,
        Path::Plugin(name) => snapshot.plugins.contains_key(name),
        Path::Server(ss) | Path::Elements(ss) | Path::FileSystems(ss) => server(ss).is_some(),
        Path::Element(ss, id) => server(ss).is_some_and(|it| it.elements.by_id.contains_key(id.as_str())),
        Path::FileSystem(ss, fs) | Path::Mounts(ss, fs) => {
            server(ss).is_some_and(|it| it.file_systems.contains_key(fs.as_str()))
        }
        Path::Mount(ss, fs, id) => server(ss)
            .and_then(|it| it.file_systems.get(fs.as_str()))
            .is_some_and(|fs| fs.mounts.contains_key(id)),
        Path::Operation(id) => snapshot.operations.contains_key(id),
    }
}

/// The paths one element below `path`, by their last element.
pub fn children(snapshot: &Snapshot, path: &Path) -> Vec<String> {
    let uuid = |id: &Uuid| label::encode(&id.to_string());
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let server = |ss: &Uuid| snapshot.servers.get(ss);
    let file_system = |ss: &Uuid, fs: &str| server(ss).and_then(|it| it.file_systems.get(fs));
    match path {
        Path::Above(depth) => ROOT.split('/').skip(depth + 1).take(1).map(str::to_owned).collect(),
        Path::Root => names(&["plugin", "server", "op"]),
        Path::Plugins => snapshot.plugins.keys().map(|name| label::encode(name)).collect(),
        Path::Servers => snapshot.servers.keys().map(uuid).collect(),
        Path::Operations => snapshot.operations.keys().map(uuid).collect(),
        Path::Server(ss) => server(ss).map(|_| names(&["se", "fs"])).unwrap_or_default(),
        Path::Elements(ss) => server(ss)
            .into_iter()
            .flat_map(|it| it.elements.by_id.keys())
            .map(|id| label::encode(id))
            .collect(),
        Path::FileSystems(ss) => {
            server(ss).into_iter().flat_map(|it| it.file_systems.keys()).map(|id| label::encode(id)).collect()
        }
        Path::FileSystem(ss, fs) => file_system(ss, fs).map(|_| names(&["mount"])).unwrap_or_default(),
        Path::Mounts(ss, fs) => {
            file_system(ss, fs).into_iter().flat_map(|fs| fs.mounts.keys()).map(uuid).collect()
        }
        Path::Plugin(_) | Path::Element(..) | Path::Mount(..) | Path::Operation(_) => Vec::new(),
    }
}
