//! Checking a request: everything that can be known without calling the plug-in is refused here,
//! and then no operation exists.

use serde_json::{Map, Value};

use super::Request;
use super::core::{Core, Key};
use super::register::Registration;
use crate::command::Object;
use crate::error::{Error, Kind, Result};
use crate::inventory::{Snapshot, Target};
use crate::operation::call::{Known, arguments, element, file_system, method_for, plugin_of, server_of};
use crate::operation::{Args, ability, merge};

/// A request that was understood.
pub struct Work {
    pub args: Args,
    pub registration: Option<Box<Registration>>,
    /// The parameters as everybody may see them.
    pub shown: Value,
    /// The plug-in that will do it.
    pub plugin: Option<String>,
    /// What it takes turns over; `None` where it changes nothing.
    pub keys: Option<Vec<Key>>,
    /// Whether the journal knows of it.
    pub journaled: bool,
}

/// Checks a request against what there is.
///
/// # Errors
/// What is wrong with it.
pub fn check(core: &Core, snapshot: &Snapshot, request: &Request) -> Result<Work> {
    let Request { target, command, args: given, .. } = request;
    let object = match target {
        Target::Manager => Object::Manager,
        Target::Server(_) => Object::Server,
        Target::Element(..) => Object::Element,
        Target::FileSystem(..) => Object::FileSystem,
        Target::Operation(_) => Object::Operation,
    };
    if object != command.object {
        return Err(Error::invalid(format!("{} is not something to ask of this object", command.name)));
    }
    match (target, command.name) {
        (Target::Manager, _) => register(snapshot, request),
        (Target::Operation(id), _) => {
            let args = Args::check(command, given, None)?;
            let operation = snapshot.operations.get(id);
            let operation =
                operation.ok_or_else(|| Error::not_found(format!("there is no operation {id}")))?;
            if operation.state.ended() {
                let text = format!("the operation {id} has ended already, as {}", operation.state.as_str());
                return Err(Error::invalid(text));
            }
            Ok(Work {
                shown: args.shown(),
                args,
                registration: None,
                plugin: None,
                keys: None,
                journaled: false,
            })
        }
        (Target::Server(ss), "unregister") => {
            let server = server_of(snapshot, target)?;
            let args = Args::check(command, given, Some(server))?;
            let plugin = Some(server.plugin.clone());
            Ok(Work {
                shown: args.shown(),
                args,
                registration: None,
                plugin,
                keys: Some(vec![(*ss, "unregister".into())]),
                journaled: true,
            })
        }
        _ => on_server(core, snapshot, request),
    }
}

fn register(snapshot: &Snapshot, request: &Request) -> Result<Work> {
    let args = Args::check(request.command, &request.args, None)?;
    let plugin = args.text("plugin").unwrap_or_default();
    let registration = Registration::check(snapshot, plugin, args.get("record").unwrap_or(&Value::Null))?;
    let shown: Map<_, _> = [
        ("plugin".to_owned(), Value::from(registration.plugin.as_str())),
        ("record".to_owned(), merge::public(&registration.record)),
    ]
    .into_iter()
    .collect();
    Ok(Work {
        // The record is with the registration; nothing else holds its secrets.
        args: Args::default(),
        shown: shown.into(),
        plugin: Some(registration.plugin.clone()),
        keys: Some(registration.keys()),
        registration: Some(Box::new(registration)),
        journaled: true,
    })
}

fn on_server(core: &Core, snapshot: &Snapshot, request: &Request) -> Result<Work> {
    let Request { target, command, args: given, .. } = request;
    let server = server_of(snapshot, target)?;
    match target {
        Target::Element(_, id) => drop(element(server, id)?),
        Target::FileSystem(_, id) => drop(file_system(server, id)?),
        Target::Manager | Target::Server(_) | Target::Operation(_) => {}
    }
    let args = Args::check(command, given, Some(server))?;
    core.desk(server.uuid)?;
    plugin_of(snapshot, &server.plugin)?;
    let method = method_for(command, server, target)?;
    ability::check(server, method, Known::of(server, command, target)?.subject())?;
    let name_param =
        command.params.iter().find(|param| matches!(param.arg, "snap_name" | "snap_names" | "clone_name"));
    if let Some(param) = name_param {
        ability::check_name(server, command, method, args.get(param.name).is_some())?;
    }
    if method.name == "createMultiSnap" {
        let elements = args.element_ids(command).count();
        let names = args.get("names").and_then(Value::as_array).map(Vec::len);
        if let Some(names) = names.filter(|names| *names != elements) {
            return Err(Error::invalid(format!("{names} names were given for {elements} elements")));
        }
        for id in args.element_ids(command) {
            ability::check(server, method, ability::Subject::Element(&element(server, id)?.record()))?;
        }
    }
    // The same that will be made when its turn has come: what is wrong with it, is wrong now.
    arguments(method, command, snapshot, target, &args)?;
    let keys = method.changes.then(|| keys(request, &args));
    Ok(Work {
        shown: args.shown(),
        registration: None,
        plugin: Some(server.plugin.clone()),
        keys,
        journaled: method.changes,
        args,
    })
}

/// What a mutation takes turns over: the objects that it changes.
fn keys(request: &Request, args: &Args) -> Vec<Key> {
    match &request.target {
        Target::Manager | Target::Operation(_) => Vec::new(),
        // Something new is nobody else's.
        Target::Server(_) if request.command.name == "create" => Vec::new(),
        Target::Server(ss) => {
            let elements: Vec<Key> = args.element_ids(request.command).map(|id| (*ss, id.into())).collect();
            if elements.is_empty() { vec![(*ss, "".into())] } else { elements }
        }
        Target::Element(ss, id) => {
            let others = args.element_ids(request.command).map(|id| (*ss, id.into()));
            std::iter::once((*ss, id.clone())).chain(others).collect()
        }
        Target::FileSystem(ss, id) if request.command.name.starts_with("file-") => ["path", "snapshot"]
            .iter()
            .filter_map(|name| args.text(name))
            .map(|path| (*ss, format!("{id}:{path}").into()))
            .collect(),
        Target::FileSystem(ss, id) => vec![(*ss, id.clone())],
    }
}

/// The refusal of an agent that stops, or has too much to do.
pub fn busy(text: &str) -> Error {
    Error::new(Kind::TryAgain, text)
}
