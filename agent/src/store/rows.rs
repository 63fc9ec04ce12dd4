//! What the tables hold, as the types the agent works with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, Row as SqlRow, Transaction, params};
use serde_json::{Map, Value, json};
use uuid::Uuid;
use zeroize::{Zeroize as _, Zeroizing};

use super::{Lines, schema, seal::Key};
use crate::command::{Object, command};
use crate::error::{Error, Result};
use crate::inventory::{Caller, Operation, State, Target};
use crate::plugin::Abilities;
use crate::plugin::api::PluginType;
use crate::record::{Dict, StorageServer, View};

/// A row of the tables that hold lines.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Row {
    /// A storage server's record, abilities and quality-of-service values.
    Server(Uuid),
    /// A storage element.
    Element(Uuid, Arc<str>),
    /// A file system.
    FileSystem(Uuid, Arc<str>),
    /// A mount.
    Mount(Uuid, Arc<str>, Uuid),
}

impl Row {
    /// The storage server it belongs to.
    pub fn server(&self) -> Uuid {
        match self {
            Row::Server(ss) | Row::Element(ss, _) | Row::FileSystem(ss, _) | Row::Mount(ss, _, _) => *ss,
        }
    }
}

/// What becomes of a row.
#[derive(Clone, Debug)]
pub enum RowChange {
    /// Its line is this now.
    Line(Row, Arc<str>),
    /// It is gone.
    Gone(Row),
    /// A registered storage server is this now.
    Server(Box<ServerRow>),
}

/// A registration with what is known of the storage server itself.
#[derive(Clone, Debug)]
pub struct ServerRow {
    /// Its UUID.
    pub uuid: Uuid,
    /// The implementation name of its plug-in.
    pub plugin: String,
    /// The type of its plug-in.
    pub plugin_type: PluginType,
    /// Its record, secrets included.
    pub record: Arc<StorageServer>,
    /// How often it is refreshed, where its registration says so.
    pub refresh_interval: Option<Duration>,
    /// What it can do.
    pub abilities: Arc<Abilities>,
    /// Quality-of-service values.
    pub qos: Arc<BTreeMap<String, Arc<str>>>,
}

/// A storage server as it was read back.
#[derive(Debug)]
pub struct LoadedServer {
    /// The registration.
    pub row: ServerRow,
    /// Whether its secrets could be opened.
    pub unsealed: bool,
    /// Lines of its elements.
    pub elements: Lines,
    /// Lines of its file systems.
    pub file_systems: Lines,
    /// Lines of its mounts, by file system.
    pub mounts: BTreeMap<Arc<str>, BTreeMap<Uuid, Arc<str>>>,
}

/// Everything the database holds.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Registered storage servers.
    pub servers: BTreeMap<Uuid, LoadedServer>,
    /// The operation journal.
    pub operations: Vec<Operation>,
    /// The highest event number that may have been used.
    pub events: u64,
}

/// Reads everything.
pub fn load(database: &mut Connection, key: &Key) -> Result<Loaded> {
    let path = std::path::PathBuf::from(database.path().unwrap_or_default());
    read(database, key).map_err(|source| schema::explain(&source, "reading it", &path))
}

fn read(database: &mut Connection, key: &Key) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded::default();
    let mut query = database.prepare(
        "SELECT uuid, plugin, plugin_type, line, sealed, refresh_interval, abilities, qos FROM servers",
    )?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let server = read_server(row, key)?;
        loaded.servers.insert(server.row.uuid, server);
    }
    let mut query = database.prepare("SELECT ss, id, line FROM elements")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(server) = loaded.servers.get_mut(&row.get(0)?) {
            server.elements.insert(text(row, 1)?, text(row, 2)?);
        }
    }
    let mut query = database.prepare("SELECT ss, id, line FROM file_systems")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(server) = loaded.servers.get_mut(&row.get(0)?) {
            server.file_systems.insert(text(row, 1)?, text(row, 2)?);
        }
    }
    let mut query = database.prepare("SELECT ss, fs, uuid, line FROM mounts")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(server) = loaded.servers.get_mut(&row.get(0)?) {
            server.mounts.entry(text(row, 1)?).or_default().insert(row.get(2)?, text(row, 3)?);
        }
    }
    let mut query = database.prepare("SELECT line FROM operations ORDER BY id")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        // A command that this version does not have any more is history nobody can act on.
        loaded.operations.extend(serde_json::from_str(&line).ok().as_ref().and_then(operation_from_json));
    }
    let mut query = database.prepare("SELECT value FROM meta WHERE key = 'events'")?;
    if let Some(row) = query.query([])?.next()? {
        loaded.events = row.get::<_, i64>(0)?.unsigned_abs();
    }
    Ok(loaded)
}

/// Reserves event numbers up to `high`, before any is used.
pub(super) fn reserve_events(database: &Connection, high: u64) {
    let high = i64::try_from(high).unwrap_or(i64::MAX);
    // On a full disk the agent still starts: to be read is more than numbers that never repeat.
    if let Err(error) = database.execute("INSERT OR REPLACE INTO meta VALUES ('events', ?)", params![high]) {
        tracing::warn!(%error, "event numbers could not be reserved; they may repeat after a restart");
    }
}

fn text(row: &SqlRow<'_>, index: usize) -> rusqlite::Result<Arc<str>> {
    Ok(row.get_ref(index)?.as_str()?.into())
}

fn read_server(row: &SqlRow<'_>, key: &Key) -> rusqlite::Result<LoadedServer> {
    let uuid: Uuid = row.get(0)?;
    let json = |index: usize| -> rusqlite::Result<Value> {
        Ok(serde_json::from_str(&row.get::<_, String>(index)?).unwrap_or_default())
    };
    let (mut record, _) = StorageServer::parse(&json(3)?);
    let secrets = key
        .unseal(uuid, &row.get::<_, Vec<u8>>(4)?)
        .and_then(|plain| serde_json::from_slice::<Value>(&plain).ok().map(Secrets));
    if let Some(secrets) = &secrets {
        record.absorb(&secrets.0);
    }
    let plugin_type = PluginType::from_name(&row.get::<_, String>(2)?).unwrap_or(PluginType::StorageArray);
    let row = ServerRow {
        uuid,
        plugin: row.get(1)?,
        plugin_type,
        record: Arc::new(record),
        refresh_interval: row.get::<_, Option<u32>>(5)?.map(|seconds| Duration::from_secs(seconds.into())),
        abilities: Arc::new(serde_json::from_value(json(6)?).unwrap_or_default()),
        qos: Arc::new(serde_json::from_value::<BTreeMap<String, String>>(json(7)?).unwrap_or_default())
            .iter()
            .map(|(name, line)| (name.clone(), Arc::from(line.as_str())))
            .collect::<BTreeMap<_, _>>()
            .into(),
    };
    Ok(LoadedServer {
        row,
        unsealed: secrets.is_some(),
        elements: Lines::new(),
        file_systems: Lines::new(),
        mounts: BTreeMap::new(),
    })
}

/// JSON that is wiped when it is dropped.
struct Secrets(Value);

impl Drop for Secrets {
    fn drop(&mut self) {
        fn wipe(value: &mut Value) {
            match value {
                Value::String(text) => text.zeroize(),
                Value::Array(items) => items.iter_mut().for_each(wipe),
                Value::Object(map) => map.values_mut().for_each(wipe),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        wipe(&mut self.0);
    }
}

/// Every field that the public line leaves out, and the lists that hold such fields.
fn secrets(record: &StorageServer) -> Secrets {
    let public = record.to_value(View::Public);
    let wire = record.to_value(View::Wire);
    let (Value::Object(public), Value::Object(wire)) = (public, wire) else {
        return Secrets(Value::Null);
    };
    let hidden: Map<_, _> =
        wire.into_iter().filter(|(name, value)| public.get(name) != Some(value)).collect();
    Secrets(Value::Object(hidden))
}

pub(super) fn write_server(change: &Transaction<'_>, key: &Key, row: &ServerRow) -> Result<(), WriteError> {
    let plain = Zeroizing::new(secrets(&row.record).0.to_string());
    let sealed = key.seal(row.uuid, plain.as_bytes())?;
    let qos: BTreeMap<&str, &str> = row.qos.iter().map(|(name, line)| (name.as_str(), &**line)).collect();
    change.prepare_cached("INSERT OR REPLACE INTO servers VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?.execute(
        params![
            row.uuid,
            row.plugin,
            row.plugin_type.as_str(),
            row.record.to_line(),
            sealed,
            row.refresh_interval.map(|interval| u32::try_from(interval.as_secs()).unwrap_or(u32::MAX)),
            json!(*row.abilities).to_string(),
            json!(qos).to_string(),
        ],
    )?;
    Ok(())
}

/// Why a row could not be written.
#[derive(Debug)]
pub(super) enum WriteError {
    Database(rusqlite::Error),
    Agent(Error),
}

impl From<rusqlite::Error> for WriteError {
    fn from(source: rusqlite::Error) -> WriteError {
        WriteError::Database(source)
    }
}

impl From<Error> for WriteError {
    fn from(source: Error) -> WriteError {
        WriteError::Agent(source)
    }
}

/// The most of a result that the journal keeps, in bytes; the objects themselves show the rest.
const RESULT_MAX: usize = 64 * 1024;

pub(super) fn write_operation(change: &Transaction<'_>, operation: &Operation) -> rusqlite::Result<()> {
    change.prepare_cached("INSERT OR REPLACE INTO operations VALUES (?, ?, ?)")?.execute(params![
        operation.id,
        operation.state.as_str(),
        operation_to_json(operation).to_string()
    ])?;
    Ok(())
}

fn operation_to_json(operation: &Operation) -> Value {
    let (object, ids) = match &operation.target {
        Target::Manager => (Object::Manager, json!([])),
        Target::Server(ss) => (Object::Server, json!([ss])),
        Target::Element(ss, id) => (Object::Element, json!([ss, &**id])),
        Target::FileSystem(ss, id) => (Object::FileSystem, json!([ss, &**id])),
        Target::Operation(op) => (Object::Operation, json!([op])),
    };
    let result = operation.result.as_ref().filter(|result| result.to_string().len() <= RESULT_MAX);
    json!({
        "id": operation.id, "object": format!("{object:?}"), "target": ids,
        "command": operation.command.name, "args": operation.args,
        "uid": operation.caller.uid, "pid": operation.caller.pid, "door": operation.caller.door,
        "plugin": operation.plugin, "state": operation.state.as_str(), "progress": operation.progress,
        "created": millis(operation.created), "ended": operation.ended.map(millis),
        "result": result, "error": operation.error.as_ref().map(Error::to_json),
    })
}

fn operation_from_json(value: &Value) -> Option<Operation> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    let ids = value.get("target")?.as_array()?;
    let uuid = |index: usize| ids.get(index)?.as_str()?.parse::<Uuid>().ok();
    let id = || Some(Arc::from(ids.get(1)?.as_str()?));
    let (object, target) = match text("object")? {
        "Manager" => (Object::Manager, Target::Manager),
        "Server" => (Object::Server, Target::Server(uuid(0)?)),
        "Element" => (Object::Element, Target::Element(uuid(0)?, id()?)),
        "FileSystem" => (Object::FileSystem, Target::FileSystem(uuid(0)?, id()?)),
        "Operation" => (Object::Operation, Target::Operation(uuid(0)?)),
        _ => return None,
    };
    let present = |key: &str| value.get(key).filter(|value| !value.is_null());
    Some(Operation {
        id: text("id")?.parse().ok()?,
        target,
        command: command(object, text("command")?)?,
        args: value.get("args").cloned().unwrap_or_default(),
        caller: Caller {
            uid: number("uid").and_then(|uid| uid.try_into().ok()).unwrap_or(u32::MAX),
            pid: number("pid").and_then(|pid| pid.try_into().ok()),
            door: ["tree", "dbus"].into_iter().find(|door| text("door") == Some(door)).unwrap_or("agent"),
        },
        plugin: text("plugin").map(str::to_owned),
        state: State::from_name(text("state")?)?,
        progress: number("progress").and_then(|percent| percent.try_into().ok()),
        created: moment(number("created")?),
        ended: number("ended").map(moment),
        result: present("result").cloned(),
        error: present("error").map(Error::from_json),
    })
}

fn millis(at: SystemTime) -> u64 {
    // Before 1970 only on a host without a clock; then age does not matter.
    at.duration_since(UNIX_EPOCH).map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

fn moment(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}
