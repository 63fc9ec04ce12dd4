//! What the inventory holds: immutable objects that readers share and writers replace.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::json;
use uuid::Uuid;

use crate::error::Error;
use crate::plugin::api::PluginType;
use crate::plugin::{Abilities, Plugin};
use crate::record::{self, Dict, StorageServer};

use super::operation::{Operation, rfc3339};

/// Everything there is at one moment. Cheap to clone; never changed once published.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The sequence number of the last change in it.
    pub seq: u64,
    /// Plug-ins by implementation name.
    pub plugins: Arc<BTreeMap<String, Arc<Plugin>>>,
    /// Storage servers by UUID.
    pub servers: Arc<BTreeMap<Uuid, Arc<Server>>>,
    /// Operations by id, which orders them by age.
    pub operations: Arc<BTreeMap<Uuid, Arc<Operation>>>,
}

/// A registered storage server with what is known of it.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its UUID.
    pub uuid: Uuid,
    /// The implementation name of its plug-in.
    pub plugin: String,
    /// The type of its plug-in.
    pub plugin_type: PluginType,
    /// Its record, secrets included: print it with [`Dict::to_line`] only.
    pub record: Arc<StorageServer>,
    /// What it can do (`getCapabilities` over the class's abilities).
    pub abilities: Arc<Abilities>,
    /// How fresh this is.
    pub state: ServerState,
    /// How often it is refreshed, where its registration says so; zero is never.
    pub refresh_interval: Option<std::time::Duration>,
    /// Quality-of-service values by name: the public record's line.
    pub qos: Arc<BTreeMap<String, Arc<str>>>,
    /// Its storage elements.
    pub elements: Arc<Elements>,
    /// Its file systems, by id.
    pub file_systems: Arc<BTreeMap<Arc<str>, Arc<FileSystem>>>,
}

/// How fresh a server's elements are.
#[derive(Clone, Debug, Default)]
pub struct ServerState {
    /// Whether the elements come from the state directory and no refresh has confirmed them yet.
    pub stale: bool,
    /// Whether its plug-in is there and usable.
    pub plugin_available: bool,
    /// When the last refresh that worked ended.
    pub refreshed: Option<SystemTime>,
    /// Why the last refresh failed, if it did.
    pub error: Option<Error>,
    /// The number of refreshes that failed since the last that worked.
    pub failures: u32,
    /// How often it is refreshed; zero is never.
    pub refresh_interval: std::time::Duration,
}

impl Server {
    /// The name users know it by.
    pub fn name(&self) -> &str {
        self.record.name.as_deref().unwrap_or("")
    }

    /// How fresh it is, as one line of JSON without a newline (`state` in the tree and on D-Bus).
    pub fn state_line(&self) -> String {
        let state = &self.state;
        json!({
            "stale": state.stale,
            "plugin_available": state.plugin_available,
            "refreshed": state.refreshed.map(rfc3339),
            "failures": state.failures,
            "error": state.error.as_ref().map(Error::to_json),
            "refresh_interval": state.refresh_interval.as_secs(),
        })
        .to_string()
    }
}

/// Something of a server that has a record: one line of public JSON, and an id.
#[derive(Debug, PartialEq, Eq)]
pub struct Element {
    /// Its id in the tree and on D-Bus: `uuid`, else `page83_id`, else `id`, else a UUIDv5.
    pub id: Arc<str>,
    /// The public record, one line of JSON without a newline.
    pub line: Arc<str>,
}

impl Element {
    /// The record. Kept as its line, since ten thousand of them are.
    pub fn record(&self) -> record::StorageElement {
        parse_line(&self.line)
    }
}

/// Reads back a line that [`Dict::to_line`] printed.
pub fn parse_line<T: Dict>(line: &str) -> T {
    // A line is always what `to_line` printed; a broken one would read as an empty record.
    serde_json::from_str(line).map(|value| T::parse(&value).0).unwrap_or_default()
}

/// A server's storage elements with the indexes that links need.
#[derive(Clone, Debug, Default)]
pub struct Elements {
    /// By id.
    pub by_id: BTreeMap<Arc<str>, Arc<Element>>,
    /// (name, id) of every element that has a name.
    pub by_name: std::collections::BTreeSet<(Arc<str>, Arc<str>)>,
    /// (page 83 id, id) of every element that has one.
    pub by_page83: std::collections::BTreeSet<(Arc<str>, Arc<str>)>,
    /// Device name (`sda`, `dm-3`, `loop7`) to id.
    pub by_device: BTreeMap<Arc<str>, Arc<str>>,
}

/// A file system with its mounts.
#[derive(Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its id: `uuid`, else a UUIDv5 of (ss_uuid, access_path, array_path or name).
    pub id: Arc<str>,
    /// The public record, one line of JSON without a newline.
    pub line: Arc<str>,
    /// Mount records' lines by the mount's UUID.
    pub mounts: BTreeMap<Uuid, Arc<str>>,
}

impl FileSystem {
    /// The record.
    pub fn record(&self) -> record::FileSystem {
        parse_line(&self.line)
    }
}

/// One thing that happened, as the tree, D-Bus, the journal and `events` are told.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its number: one higher than that of the change before it.
    pub seq: u64,
    /// When it was published.
    pub at: SystemTime,
    /// What happened. The snapshot that was current when it was published shows the result.
    pub what: What,
}

/// What a [`Change`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A plug-in was installed.
    PluginAdded(String),
    /// A plug-in was replaced, or its status changed.
    PluginChanged(String),
    /// A plug-in was erased.
    PluginRemoved(String),
    /// A storage server was registered.
    ServerAdded(Uuid),
    /// The record, the abilities or the state of a storage server changed.
    ServerChanged(Uuid),
    /// A storage server was unregistered; its elements and file systems went with it.
    ServerRemoved(Uuid),
    /// An element appeared.
    ElementAdded(Uuid, Arc<str>),
    /// An element's record changed; the names of the fields that did.
    ElementChanged(Uuid, Arc<str>, Vec<String>),
    /// An element disappeared.
    ElementRemoved(Uuid, Arc<str>),
    /// A file system appeared.
    FileSystemAdded(Uuid, Arc<str>),
    /// A file system's record changed; the names of the fields that did.
    FileSystemChanged(Uuid, Arc<str>, Vec<String>),
    /// A file system disappeared; its mounts went with it.
    FileSystemRemoved(Uuid, Arc<str>),
    /// A mount appeared.
    MountAdded(Uuid, Arc<str>, Uuid),
    /// A mount's record changed.
    MountChanged(Uuid, Arc<str>, Uuid),
    /// A mount disappeared.
    MountRemoved(Uuid, Arc<str>, Uuid),
    /// An operation was accepted.
    OperationAdded(Uuid),
    /// An operation's state or progress changed.
    OperationChanged(Uuid),
    /// An ended operation was forgotten.
    OperationRemoved(Uuid),
}

impl What {
    /// The kind as events name it: `element-added`.
    pub fn kind(&self) -> &'static str {
        match self {
            What::PluginAdded(..) => "plugin-added",
            What::PluginChanged(..) => "plugin-changed",
            What::PluginRemoved(..) => "plugin-removed",
            What::ServerAdded(..) => "server-added",
            What::ServerChanged(..) => "server-changed",
            What::ServerRemoved(..) => "server-removed",
            What::ElementAdded(..) => "element-added",
            What::ElementChanged(..) => "element-changed",
            What::ElementRemoved(..) => "element-removed",
            What::FileSystemAdded(..) => "fs-added",
            What::FileSystemChanged(..) => "fs-changed",
            What::FileSystemRemoved(..) => "fs-removed",
            What::MountAdded(..) => "mount-added",
            What::MountChanged(..) => "mount-changed",
            What::MountRemoved(..) => "mount-removed",
            What::OperationAdded(..) => "operation-added",
            What::OperationChanged(..) => "operation-changed",
            What::OperationRemoved(..) => "operation-removed",
        }
    }
}
