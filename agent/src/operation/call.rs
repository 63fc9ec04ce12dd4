//! From a request to the arguments of an API method, in the API's order and in wire form.

use serde_json::{Value, json};
use uuid::Uuid;

use super::args::{self, Args};
use super::{ability, context};
use crate::command::Command;
use crate::error::{Error, Kind, Result};
use crate::inventory::model::parse_line;
use crate::inventory::{Element, FileSystem, Server, Snapshot, Target};
use crate::plugin::Plugin;
use crate::plugin::api::{Method, PluginType, Source, method};
use crate::record::{Dict as _, File, StorageElement, View};

/// The storage server that a target belongs to.
///
/// # Errors
/// [`Kind::NotFound`] naming what is not there.
pub fn server_of<'a>(snapshot: &'a Snapshot, target: &Target) -> Result<&'a Server> {
    let ss = match target {
        Target::Server(ss) | Target::Element(ss, _) | Target::FileSystem(ss, _) => *ss,
        Target::Manager | Target::Operation(_) => return Err(Error::not_found("no storage server is named")),
    };
    let server = snapshot.servers.get(&ss).map(|server| &**server);
    server.ok_or_else(|| Error::not_found(format!("no storage server {ss} is registered")))
}

/// The element of that id.
///
/// # Errors
/// [`Kind::NotFound`].
pub fn element<'a>(server: &'a Server, id: &str) -> Result<&'a Element> {
    let element = server.elements.by_id.get(id).map(|element| &**element);
    element.ok_or_else(|| {
        Error::not_found(format!("storage server {} ({}) has no element {id}", server.uuid, server.name()))
    })
}

/// The file system of that id.
///
/// # Errors
/// [`Kind::NotFound`].
pub fn file_system<'a>(server: &'a Server, id: &str) -> Result<&'a FileSystem> {
    let fs = server.file_systems.get(id).map(|fs| &**fs);
    fs.ok_or_else(|| {
        Error::not_found(format!(
            "storage server {} ({}) has no file system {id}",
            server.uuid,
            server.name()
        ))
    })
}

/// The plug-in of a storage server, if calls can be made of it.
///
/// # Errors
/// [`Kind::PluginUnavailable`].
pub fn plugin_of<'a>(snapshot: &'a Snapshot, name: &str) -> Result<&'a Plugin> {
    match snapshot.plugins.get(name) {
        Some(plugin) if plugin.status.usable => Ok(plugin),
        Some(plugin) => {
            let why = plugin.status.error.as_deref().unwrap_or("it could not be loaded");
            Err(Error::new(Kind::PluginUnavailable, format!("the plug-in {name} cannot be used: {why}")))
        }
        None => Err(Error::new(
            Kind::PluginUnavailable,
            match unloaded(snapshot, name) {
                Some(why) => format!("the plug-in {name} cannot be used: {why}"),
                None => {
                    format!("the plug-in {name} is not installed; installed are: {}", installed(snapshot))
                }
            },
        )),
    }
}

/// Why the module that `name` would be a class of is there and cannot be loaded.
fn unloaded<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a str> {
    let ends = name.match_indices('.').map(|(end, _)| &name[..end]);
    let modules = ends.filter_map(|module| snapshot.plugins.get(module));
    modules.filter(|plugin| !plugin.status.usable).find_map(|plugin| plugin.status.error.as_deref())
}

/// The names of the installed plug-ins, for a message.
pub fn installed(snapshot: &Snapshot) -> String {
    match snapshot.plugins.len() {
        0 => "none".into(),
        _ => snapshot.plugins.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}

/// Whether an element is a snapshot, to which other methods belong.
pub fn is_snapshot(record: &StorageElement) -> bool {
    record.se_type.as_deref() == Some("Snap")
}

/// The method that does what `command` asks of `target`.
///
/// A clone of a snapshot is `cloneFromSnap`; the removal of one is `snapRemove`, unless snapshots
/// are ruled out (then `remove` may still do).
///
/// # Errors
/// [`Kind::NoSuchOperation`] where that type of plug-in has none.
pub fn method_for(command: &Command, server: &Server, target: &Target) -> Result<&'static Method> {
    let none = || {
        Error::new(
            Kind::NoSuchOperation,
            format!("{} is not something a {} plug-in does", command.name, server.plugin_type.as_str()),
        )
    };
    let plain = command.method(server.plugin_type).ok_or_else(none)?;
    if let Target::Element(_, id) = target
        && server.plugin_type == PluginType::StorageArray
        && is_snapshot(&element(server, id)?.record())
    {
        let special = match command.name {
            "clone" => method(server.plugin_type, "cloneFromSnap"),
            "remove" => {
                method(server.plugin_type, "snapRemove").filter(|row| !ability::ruled_out(server, row))
            }
            _ => None,
        };
        return Ok(special.unwrap_or(plain));
    }
    Ok(plain)
}

/// What abilities are checked against for `target`.
pub enum Known {
    /// Nothing of that kind.
    Other,
    /// An element's record.
    Element(StorageElement),
    /// A file system's record.
    FileSystem(crate::record::FileSystem),
}

impl Known {
    /// What is known of `target`.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub fn of(server: &Server, command: &Command, target: &Target) -> Result<Known> {
        Ok(match target {
            Target::Element(_, id) => Known::Element(element(server, id)?.record()),
            Target::FileSystem(_, id) if command.name.starts_with("file-") => {
                file_system(server, id)?;
                Known::Other
            }
            Target::FileSystem(_, id) => Known::FileSystem(file_system(server, id)?.record()),
            Target::Manager | Target::Server(_) | Target::Operation(_) => Known::Other,
        })
    }

    /// The same, as abilities are checked.
    pub fn subject(&self) -> ability::Subject<'_> {
        match self {
            Known::Other => ability::Subject::Other,
            Known::Element(record) => ability::Subject::Element(record),
            Known::FileSystem(record) => ability::Subject::FileSystem(record),
        }
    }
}

/// The wire form of an element's record.
///
/// # Errors
/// [`Kind::NotFound`].
pub fn element_wire(server: &Server, id: &str) -> Result<Value> {
    Ok(element(server, id)?.record().to_value(View::Wire))
}

/// The arguments of a method.
///
/// # Errors
/// [`Kind::NotFound`] for an object that has gone, and what is wrong with a wanted record.
pub fn arguments(
    method: &'static Method,
    command: &Command,
    snapshot: &Snapshot,
    target: &Target,
    args: &Args,
) -> Result<Vec<(&'static str, Value)>> {
    let server = server_of(snapshot, target)?;
    let plugin = plugin_of(snapshot, &server.plugin)?;
    let object = || -> Result<Value> {
        match target {
            Target::Element(_, id) => element_wire(server, id),
            Target::FileSystem(_, id) => Ok(file_system(server, id)?.record().to_value(View::Wire)),
            Target::Manager | Target::Server(_) | Target::Operation(_) => Ok(Value::Null),
        }
    };
    let mut list = Vec::with_capacity(method.args.len());
    for arg in method.args {
        let given = args.argument(command, arg.name);
        let argument = match arg.source {
            Source::Server => context::sent(server, plugin).to_value(View::Wire),
            Source::Element | Source::FileSystem if matches!(target, Target::Server(_)) => {
                match args.get("record") {
                    Some(record) => wanted(server, method, record)?,
                    None => Value::Null,
                }
            }
            Source::Element | Source::FileSystem | Source::Record => object()?,
            Source::OtherElement => match given.and_then(Value::as_str) {
                Some(id) => element_wire(server, id)?,
                None => Value::Null,
            },
            Source::Elements => args
                .element_ids(command)
                .map(|id| element_wire(server, id))
                .collect::<Result<Vec<_>>>()?
                .into(),
            Source::File => file(server, target, method, arg.name, given, args)?,
            Source::Value if method.name == "unmount" && arg.name == "mount_point" && given.is_none() => {
                only_mount(server, target)?
            }
            Source::Value => value(server, arg.name, given),
        };
        list.push((arg.name, argument));
    }
    Ok(list)
}

/// The record that a `create` wants, checked and in wire form.
fn wanted(server: &Server, method: &Method, wanted: &Value) -> Result<Value> {
    if method.name == "createFileSystem" {
        let mut wanted = args::wanted_file_system(wanted)?;
        wanted.ss_uuid = Some(server.uuid);
        ability::check_backing(server, &mut wanted)?;
        Ok(wanted.to_value(View::Wire))
    } else {
        let mut wanted = args::wanted_element(wanted)?;
        wanted.ss_uuid = Some(server.uuid);
        Ok(wanted.to_value(View::Wire))
    }
}

/// The record of a file that the request names by its path.
fn file(
    server: &Server,
    target: &Target,
    method: &Method,
    arg: &str,
    path: Option<&Value>,
    args: &Args,
) -> Result<Value> {
    let Target::FileSystem(_, id) = target else { return Ok(Value::Null) };
    let path = path.and_then(Value::as_str);
    // A listing without a path is one of the file system's root.
    let ty = match (arg, path) {
        ("file_comp_record", None) => return Ok(Value::Null),
        ("snap_record", _) => "Snap",
        (_, None) => "Directory",
        _ if method.name == "list" => "Directory",
        _ => "File",
    };
    let record = File {
        fr_type: Some(ty.into()),
        fs_uuid: file_system(server, id)?.record().uuid.or_else(|| Uuid::parse_str(id).ok()),
        file_path: Some(path.unwrap_or("").into()),
        name_pattern: args.text("pattern").map(str::to_owned),
        ..File::default()
    };
    Ok(record.to_value(View::Wire))
}

/// Where the file system is mounted, for somebody who did not say; null where it is not known to be.
fn only_mount(server: &Server, target: &Target) -> Result<Value> {
    let Target::FileSystem(_, id) = target else { return Ok(Value::Null) };
    let mounts = file_system(server, id)?.mounts.values();
    let mut points: Vec<String> =
        mounts.filter_map(|line| parse_line::<crate::record::Mount>(line).mount_point).collect();
    points.sort();
    match points.as_slice() {
        [] => Ok(Value::Null),
        [point] => Ok(point.as_str().into()),
        several => {
            Err(Error::invalid(format!("it is mounted on {}: say which to unmount", several.join(", "))))
        }
    }
}

/// A value of the request, or what stands for one that was left out.
fn value(server: &Server, arg: &str, given: Option<&Value>) -> Value {
    match (arg, given) {
        // The API takes the groups' records; users name them.
        ("access_grps", Some(Value::Array(names))) => names
            .iter()
            .map(|name| match name.as_str() {
                None => name.clone(),
                Some(name) => {
                    let mut known = server.record.access_grps.iter().flatten();
                    known.find(|group| group.grp_name.as_deref() == Some(name)).map_or_else(
                        || json!({"grp_name": name, "grp_entries": []}),
                        |group| group.to_value(View::Wire),
                    )
                }
            })
            .collect(),
        (_, Some(value)) => value.clone(),
        // mount and unmount act on this host, now.
        ("active", None) => Value::Bool(true),
        ("options" | "access_grp_names", None) => json!([]),
        ("file_type", None) => "File".into(),
        ("size", None) => 0.into(),
        _ => Value::Null,
    }
}
