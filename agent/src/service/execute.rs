//! Carrying an operation out: the call of the plug-in, what it answered taken in, and the wait for
//! work that goes on after the call.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::Request;
use super::core::{Core, Errand};
use super::desk::Desk;
use super::{apply, beforehand, follow, refresh, register};
use crate::command::{Command, Object};
use crate::error::{Error, Kind, Result};
use crate::inventory::{Server, Snapshot, Target};
use crate::operation::call::{Known, arguments, file_system, method_for, plugin_of, server_of};
use crate::operation::{Args, ability};
use crate::plugin::api::{Answer, Method, method};

/// Does what a request asks of a storage server, or of something on it.
pub async fn run(
    core: &Arc<Core>,
    desk: &Arc<Desk>,
    request: &Request,
    args: &Args,
    errand: &Errand,
) -> Result<Value> {
    let Request { target, command, .. } = request;
    match (command.object, command.name) {
        (Object::Server, "refresh") => {
            tokio::select! {
                done = desk.refresh(core, true) => done?,
                () = errand.cancel.cancelled() => return Err(Error::new(Kind::Cancelled, "cancelled")),
            }
            let snapshot = core.inventory.snapshot();
            let server = server_of(&snapshot, target)?;
            Ok(json!({"elements": server.elements.by_id.len(), "file_systems": server.file_systems.len()}))
        }
        (Object::Server, "unregister") => register::unregister(core, desk.uuid, errand).await,
        _ => {
            let snapshot = core.inventory.snapshot();
            let server = server_of(&snapshot, target)?;
            let chosen = method_for(command, server, target)?;
            match call(core, desk, &snapshot, request, chosen, args, errand).await {
                // A plug-in without a snapRemove of its own removes snapshots like anything else.
                Err(error) if error.kind() == Kind::NoSuchOperation && chosen.name == "snapRemove" => {
                    match method(server.plugin_type, "remove").filter(|_| command.object == Object::Element) {
                        Some(remove) => call(core, desk, &snapshot, request, remove, args, errand).await,
                        None => Err(error),
                    }
                }
                result => result,
            }
        }
    }
}

async fn call(
    core: &Arc<Core>,
    desk: &Arc<Desk>,
    snapshot: &Snapshot,
    request: &Request,
    method: &'static Method,
    args: &Args,
    errand: &Errand,
) -> Result<Value> {
    let Request { target, command, .. } = request;
    let server = server_of(snapshot, target)?;
    // What waited may find things changed.
    ability::check(server, method, Known::of(server, command, target)?.subject())?;
    beforehand::check(core, snapshot, server, method, target, args, errand).await?;
    let arguments = arguments(method, command, snapshot, target, args)?;
    let wanted = match method.answer {
        Answer::NewElement | Answer::NewFileSystem if command.name == "create" => {
            arguments.last().map(|(_, record)| record.clone())
        }
        _ => None,
    };
    let sent = arguments.first().map(|(_, record)| record.clone()).unwrap_or_default();
    let answer = core.call(server, method, arguments, errand).await?;
    let about = apply::About { core, desk, target, method, sent: &sent, wanted: wanted.as_ref() };
    let result = about.take_in(&answer)?;
    let asynchronous = method.is_sync.and_then(|key| ability::of(server, key)).as_deref() == Some("NO");
    let result =
        if asynchronous { follow::until_done(&about, answer, result, errand).await? } else { result };
    afterwards(core, desk, command, target, method, errand, result).await
}

/// What has to be asked besides, so that the answer shows what it led to.
async fn afterwards(
    core: &Arc<Core>,
    desk: &Arc<Desk>,
    command: &Command,
    target: &Target,
    method: &'static Method,
    errand: &Errand,
    result: Value,
) -> Result<Value> {
    let snapshot = core.inventory.snapshot();
    let server = server_of(&snapshot, target)?;
    match (method.answer, target) {
        (Answer::Mount, Target::FileSystem(ss, id)) => {
            list_mounts(core, desk, server, *ss, id, errand).await?
        }
        (Answer::FileSystem, Target::FileSystem(ss, id)) if command.name == "refresh" => {
            list_mounts(core, desk, server, *ss, id, errand).await?;
        }
        (Answer::AccessGroups, Target::Server(ss)) if method.changes => {
            let plugin = plugin_of(&snapshot, &server.plugin)?;
            let args = [refresh::about(server, plugin), vec![("record", Value::Null)]].concat();
            if let Some(answer) = core.call_optional(server, "getAccessGroups", args, errand).await? {
                core.inventory.publish(|draft| {
                    draft.edit_server(*ss, |server| refresh::set_access_groups(core, server, &answer));
                });
            }
        }
        _ => {}
    }
    Ok(result)
}

async fn list_mounts(
    core: &Core,
    desk: &Desk,
    server: &Server,
    ss: Uuid,
    id: &Arc<str>,
    errand: &Errand,
) -> Result<()> {
    let snapshot = core.inventory.snapshot();
    let plugin = plugin_of(&snapshot, &server.plugin)?;
    let fs = file_system(server, id)?;
    let fs =
        crate::inventory::FileSystem { id: fs.id.clone(), line: fs.line.clone(), mounts: fs.mounts.clone() };
    let listed = refresh::with_mounts(core, server, plugin, fs, errand).await?;
    core.inventory.publish(|draft| {
        desk.touch(id);
        draft.put_file_system(ss, Arc::new(listed));
    });
    Ok(())
}
