//! What a plug-in answered, by the method table's `Answer`: merged into the inventory by the
//! "Allow Update" rules, and handed to the user in public form.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::error::{Error, Kind, Result};
use crate::inventory::index::{element_id, file_system_id, mount_id};
use crate::inventory::model::parse_line;
use crate::inventory::{Element, FileSystem, Server};
use crate::record::{self, Dict, Opaque, Problem, StorageElement, View, redact};

/// Something the plug-in did that the contract forbids, and that was put right.
pub type Problems = Vec<Problem>;

/// An answer that is not a record where one is needed.
pub fn unusable(what: &str, value: &Value) -> Error {
    let got = match value {
        Value::Null => "None",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a dict that names nothing",
    };
    Error::new(Kind::PluginFault, format!("the plug-in answered {got} instead of {what}"))
}

/// The items of an answer that has to be a list; `what` says of what.
///
/// # Errors
/// [`Kind::PluginFault`] for anything else.
pub fn items<'a>(answer: &'a Value, what: &str) -> Result<&'a Vec<Value>> {
    answer.as_array().ok_or_else(|| unusable(what, answer))
}

/// Reads an answer as a record; `None` where the plug-in said nothing.
///
/// # Errors
/// [`Kind::PluginFault`] for anything but a dict or None.
pub fn answered<T: Dict>(value: &Value) -> Result<Option<(T, Problems)>> {
    match value {
        Value::Null => Ok(None),
        Value::Object(_) => Ok(Some(T::parse(value))),
        other => Err(unusable(&format!("an {}", T::NAME), other)),
    }
}

/// Merges an element's record as answered into what is known of the storage server.
///
/// `known` is the element that the call was about, which keeps its identity whatever the answer says
/// of it; `None` for one that the call made or listed.
///
/// # Errors
/// [`Kind::PluginFault`] where the record names nothing.
pub fn element(
    server: &Server,
    known: Option<&Element>,
    answer: StorageElement,
    wanted: Option<StorageElement>,
) -> Result<(Arc<Element>, Problems)> {
    let id = match known {
        Some(known) => known.id.clone(),
        None => element_id(server.uuid, &answer).ok_or_else(|| {
            unusable("an se_record with a uuid, page83_id, id, array_path or name", &json!({}))
        })?,
    };
    let base = match known.or_else(|| server.elements.by_id.get(&id).map(|element| &**element)) {
        Some(known) => Some(known.record()),
        None => wanted,
    };
    let (record, problems) = held(server, base, answer, |record| Common {
        ss_uuid: &mut record.ss_uuid,
        async_handle: &mut record.async_handle,
        async_progress: &mut record.async_progress,
    });
    Ok((Arc::new(Element { id, line: line(&record) }), problems))
}

/// Merges a file system's record as answered; as [`element`].
///
/// # Errors
/// [`Kind::PluginFault`] where the record names nothing.
pub fn file_system(
    server: &Server,
    known: Option<&FileSystem>,
    answer: record::FileSystem,
    wanted: Option<record::FileSystem>,
) -> Result<(FileSystem, Problems)> {
    let id = match known {
        Some(known) => known.id.clone(),
        None => file_system_id(server.uuid, &answer).ok_or_else(|| {
            unusable("an fs_record with a uuid, access_path, array_path or name", &json!({}))
        })?,
    };
    let known = known.or_else(|| server.file_systems.get(&id).map(|fs| &**fs));
    let (record, problems) =
        held(server, known.map(FileSystem::record).or(wanted), answer, |record| Common {
            ss_uuid: &mut record.ss_uuid,
            async_handle: &mut record.async_handle,
            async_progress: &mut record.async_progress,
        });
    let mounts = known.map(|known| known.mounts.clone()).unwrap_or_default();
    Ok((FileSystem { id, line: line(&record), mounts }, problems))
}

/// What an element and a file system have in common.
struct Common<'a> {
    ss_uuid: &'a mut Option<Uuid>,
    async_handle: &'a mut Option<Opaque>,
    async_progress: &'a mut Option<i64>,
}

impl Common<'_> {
    /// How far work on it is belongs to an operation, not to the record.
    fn forget_work(&mut self) {
        *self.async_handle = None;
        *self.async_progress = None;
    }
}

/// An answer merged into what it is an answer about, and held to the storage server that it came from.
fn held<T: Dict>(
    server: &Server,
    base: Option<T>,
    mut answer: T,
    common: fn(&mut T) -> Common<'_>,
) -> (T, Problems) {
    common(&mut answer).forget_work();
    let (mut record, mut problems) = match base {
        Some(mut base) => {
            let problems = base.merge(&answer);
            (base, problems)
        }
        None => (answer, Vec::new()),
    };
    let mut held = common(&mut record);
    if held.ss_uuid.is_some_and(|ss| ss != server.uuid) {
        problems.push(Problem { field: "ss_uuid".into(), text: "is not the storage server's".into() });
    }
    *held.ss_uuid = Some(server.uuid);
    held.forget_work();
    (record, problems)
}

/// Merges one mount record of a file system into `fs`. A mount that is known already, by its mount point,
/// keeps its UUID: the agent may have seen it before the plug-in told of it.
///
/// # Errors
/// [`Kind::PluginFault`] where the record names nothing.
pub fn mount(fs: &mut FileSystem, mut answer: record::Mount) -> Result<(Uuid, Problems)> {
    let uuid = mount_id(&fs.id, &answer)
        .ok_or_else(|| unusable("a mount_record with a uuid or mount_point", &json!({})))?;
    let known = |point: &str| {
        let mounts = fs.mounts.iter().map(|(uuid, line)| (*uuid, parse_line::<record::Mount>(line)));
        mounts
            .into_iter()
            .find_map(|(uuid, mount)| (mount.mount_point.as_deref() == Some(point)).then_some(uuid))
    };
    let seen = match answer.mount_point.as_deref() {
        Some(point) if !fs.mounts.contains_key(&uuid) => known(point),
        _ => None,
    };
    let uuid = seen.unwrap_or(uuid);
    if seen.is_some() {
        answer.uuid = seen;
    }
    let mut problems = Vec::new();
    let mut record = match fs.mounts.get(&uuid) {
        Some(line) => {
            let mut known: record::Mount = parse_line(line);
            problems = known.merge(&answer);
            known
        }
        None => answer,
    };
    record.uuid = Some(uuid);
    problems.extend(held_to(fs.record().uuid, &mut record.fs_uuid));
    fs.mounts.insert(uuid, line(&record));
    Ok((uuid, problems))
}

/// Holds a record of something in a file system to the file system that it is in.
pub fn held_to(fs: Option<Uuid>, told: &mut Option<Uuid>) -> Option<Problem> {
    let wrong = fs.is_some() && told.is_some() && *told != fs;
    *told = fs.or(*told);
    wrong.then(|| Problem { field: "fs_uuid".into(), text: "is not the file system's".into() })
}

/// A record's public line.
pub fn line<T: Dict>(record: &T) -> Arc<str> {
    public(record).to_string().into()
}

/// A record in public form.
pub fn public<T: Dict>(record: &T) -> Value {
    record.to_value(View::Public)
}

/// A line as JSON.
pub fn shown(line: &str) -> Value {
    // Lines are JSON that the agent printed.
    serde_json::from_str(line).unwrap_or_default()
}

/// Records of a kind the inventory does not hold, in public form.
pub fn public_records<T: Dict>(values: &[Value]) -> (Vec<Value>, Problems) {
    let mut problems = Vec::new();
    let records = values
        .iter()
        .map(|value| {
            let (record, found) = T::parse(value);
            problems.extend(found);
            public(&record)
        })
        .collect();
    (records, problems)
}

/// An ability dict: names of abilities to names of values.
pub fn abilities(value: &Value) -> Option<crate::plugin::Abilities> {
    use crate::record::{Ability, BackingDeviceType, FieldType as _};
    let Value::Object(map) = value else { return None };
    let name = |key: &str, value: &Value| {
        let known = if key == "backing_device_type" {
            BackingDeviceType::parse(value).ok().flatten().map(BackingDeviceType::name)
        } else {
            Ability::parse(value).ok().flatten().map(Ability::name)
        };
        known.map(str::to_owned).or_else(|| value.as_str().map(str::to_owned))
    };
    Some(map.iter().filter_map(|(key, value)| Some((key.clone(), name(key, value)?))).collect())
}

/// What a method that answers plain JSON answered.
pub fn plain(mut value: Value) -> Value {
    redact(&mut value);
    if let Value::Object(map) = &mut value {
        let transient = ["async_handle", "async_progress"];
        *map = std::mem::take(map)
            .into_iter()
            .filter(|(key, _)| !transient.contains(&key.as_str()))
            .collect::<Map<_, _>>();
    }
    value
}
