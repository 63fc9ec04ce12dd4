//! Asking a storage server for everything, and publishing what is different.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;
use uuid::Uuid;

use super::core::{Core, Errand, lock};
use super::desk::Desk;
use super::listing::{Listing, merged};
use super::mounts;
use crate::error::{Error, Kind, Result};
use crate::inventory::{Element, FileSystem, Server};
use crate::operation::call::plugin_of;
use crate::operation::{context, merge};
use crate::plugin::api::{PluginType, method};
use crate::plugin::{Abilities, Plugin};
use crate::record::{self, AccessGroup, Dict as _, Problem, QosValue, StorageServer, View};

pub use super::listing::Seen;

/// What a storage server says of itself and of what it has.
pub struct Survey {
    pub record: StorageServer,
    pub abilities: Arc<Abilities>,
    pub qos: BTreeMap<String, Arc<str>>,
    pub elements: BTreeMap<Arc<str>, Arc<Element>>,
    pub seen: Seen,
    pub file_systems: BTreeMap<Arc<str>, Arc<FileSystem>>,
}

/// Refreshes a registered storage server. Its state tells of a failure, too.
pub async fn run(core: &Arc<Core>, desk: &Arc<Desk>, thorough: bool, errand: &Errand) -> Result<()> {
    let snapshot = core.inventory.snapshot();
    let Some(server) = snapshot.servers.get(&desk.uuid).cloned() else {
        return Err(Error::not_found(format!("no storage server {} is registered", desk.uuid)));
    };
    let moment = desk.moment();
    let before = std::mem::take(&mut *lock(&desk.seen));
    let surveyed = match plugin_of(&snapshot, &server.plugin) {
        Ok(plugin) => survey(core, &server, plugin, &before, thorough, errand).await,
        Err(error) => Err(error),
    };
    match surveyed {
        Ok(survey) => {
            *lock(&desk.seen) = publish(core, desk, &server, survey, moment);
            Ok(())
        }
        Err(error) => {
            *lock(&desk.seen) = before;
            // Ending the call is not the storage server's failure.
            if !matches!(error.kind(), Kind::Cancelled | Kind::Interrupted) {
                failed(core, &server, &error);
            }
            Err(error)
        }
    }
}

fn publish(core: &Core, desk: &Desk, asked: &Server, survey: Survey, moment: u64) -> Seen {
    let Survey { record, abilities, qos, elements, seen, file_systems } = survey;
    core.inventory.publish(|draft| {
        let Some(current) = draft.snapshot().servers.get(&desk.uuid).cloned() else { return };
        let touched = desk.touched_since(moment);
        // Operations may have changed the storage server itself meanwhile.
        let mine = Arc::ptr_eq(&current.record, &asked.record);
        draft.edit_server(desk.uuid, |server| {
            if mine && *server.record != record {
                server.record = Arc::new(record);
            }
            if server.abilities != abilities {
                server.abilities = abilities;
            }
            if *server.qos != qos {
                server.qos = Arc::new(qos);
            }
            server.state.stale = false;
            server.state.error = None;
            server.state.failures = 0;
            server.state.refreshed = Some(SystemTime::now());
        });
        if let Some(elements) = merged(&current.elements, &elements, &touched) {
            draft.replace_elements(desk.uuid, elements);
        }
        for id in current.file_systems.keys().filter(|id| !file_systems.contains_key(*id)) {
            if !touched.contains_key(id) {
                draft.remove_file_system(desk.uuid, id);
            }
        }
        for (id, fs) in file_systems {
            if !touched.contains_key(&id) {
                draft.put_file_system(desk.uuid, fs);
            }
        }
    });
    seen
}

fn failed(core: &Core, server: &Server, error: &Error) {
    tracing::warn!(server = %server.uuid, plugin = server.plugin, %error, "the storage server could not be refreshed");
    core.inventory.publish(|draft| {
        draft.edit_server(server.uuid, |server| {
            server.state.failures = server.state.failures.saturating_add(1);
            server.state.error = Some(error.clone());
        });
    });
}

/// Asks for the storage server's record, abilities, quality-of-service values and access groups,
/// and for everything it has.
///
/// # Errors
/// What any of the calls fails with, but for a method that the plug-in does not have.
pub async fn survey(
    core: &Core,
    server: &Server,
    plugin: &Plugin,
    before: &Seen,
    thorough: bool,
    errand: &Errand,
) -> Result<Survey> {
    let mut server = server.clone();
    if thorough {
        core.call_optional(&server, "refresh", about(&server, plugin), errand).await?;
    }
    let info = match server.plugin_type {
        PluginType::StorageArray => "getInfo",
        PluginType::FileSystem => "getStorageServerInfo",
    };
    update_server(core, &mut server, plugin, info, errand).await?;
    if let Some(answer) =
        core.call_optional(&server, "getCapabilities", about(&server, plugin), errand).await?
    {
        server.abilities = abilities(plugin, &answer);
    }
    let groups = [about(&server, plugin), vec![("record", Value::Null)]].concat();
    if let Some(answer) = core.call_optional(&server, "getAccessGroups", groups, errand).await? {
        set_access_groups(core, &mut server, &answer);
    }
    let mut qos = BTreeMap::new();
    if let Some(answer) = core.call_optional(&server, "getQoSList", about(&server, plugin), errand).await? {
        qos = qos_values(core, &server, &answer);
    }
    let mut survey = Survey {
        record: StorageServer::default(),
        abilities: server.abilities.clone(),
        qos,
        elements: BTreeMap::new(),
        seen: Seen::new(),
        file_systems: BTreeMap::new(),
    };
    match server.plugin_type {
        PluginType::StorageArray => {
            let (elements, seen) = list(core, &server, plugin, before, errand).await?;
            survey.elements = elements;
            survey.seen = seen;
        }
        PluginType::FileSystem => survey.file_systems = file_systems(core, &server, plugin, errand).await?,
    }
    survey.record = Arc::unwrap_or_clone(server.record);
    Ok(survey)
}

/// The arguments of a call about the storage server itself.
pub fn about(server: &Server, plugin: &Plugin) -> Vec<(&'static str, Value)> {
    vec![("ss_record", context::sent(server, plugin).to_value(View::Wire))]
}

/// Calls a method that answers the storage server's record, and merges it.
pub async fn update_server(
    core: &Core,
    server: &mut Server,
    plugin: &Plugin,
    name: &str,
    errand: &Errand,
) -> Result<()> {
    let Some(method) = method(server.plugin_type, name) else { return Ok(()) };
    let sent = context::sent(server, plugin);
    let args: Vec<_> = method
        .args
        .iter()
        .map(|arg| (arg.name, if arg.name == "ss_record" { sent.to_value(View::Wire) } else { Value::Null }))
        .collect();
    let Some(value) = core.call_optional(server, name, args, errand).await? else { return Ok(()) };
    let Some((answer, mut problems)) = merge::answered::<StorageServer>(&value)
        .map_err(|error| error.in_method(&server.plugin, method.name))?
    else {
        return Ok(());
    };
    problems.extend(context::merge(Arc::make_mut(&mut server.record), &sent, answer));
    core.report(&server.plugin, method, problems);
    Ok(())
}

/// The abilities of the class with those of the storage server over them.
pub fn abilities(plugin: &Plugin, answer: &Value) -> Arc<Abilities> {
    let mut all = plugin.abilities.clone();
    all.extend(merge::abilities(answer).unwrap_or_default());
    Arc::new(all)
}

/// Takes the access groups that the plug-in lists; the record's own field only the agent sets.
pub fn set_access_groups(core: &Core, server: &mut Server, answer: &Value) {
    let groups = records::<AccessGroup>(core, server, "getAccessGroups", answer);
    Arc::make_mut(&mut server.record).access_grps = Some(groups);
}

/// Quality-of-service values by name.
pub fn qos_values(core: &Core, server: &Server, answer: &Value) -> BTreeMap<String, Arc<str>> {
    let values = records::<QosValue>(core, server, "getQoSList", answer);
    values.into_iter().filter_map(|value| Some((value.value.clone()?, merge::line(&value)))).collect()
}

fn records<T: record::Dict>(core: &Core, server: &Server, name: &str, answer: &Value) -> Vec<T> {
    let mut all = Vec::new();
    for value in answer.as_array().into_iter().flatten() {
        let (record, problems) = T::parse(value);
        if let Some(method) = method(server.plugin_type, name) {
            core.report(&server.plugin, method, problems);
        }
        all.push(record);
    }
    all
}

async fn list(
    core: &Core,
    server: &Server,
    plugin: &Plugin,
    before: &Seen,
    errand: &Errand,
) -> Result<(BTreeMap<Arc<str>, Arc<Element>>, Seen)> {
    let Some(method) = method(PluginType::StorageArray, "list") else { return Ok(Default::default()) };
    let mut listing = Listing::new(server, before);
    let mut item = |raw: &serde_json::value::RawValue| listing.item(raw);
    let value = core.call_each(server, method, about(server, plugin), errand, &mut item).await?;
    match value {
        Value::Null => {}
        Value::Array(items) if items.is_empty() => {}
        other => {
            return Err(
                merge::unusable("a list of se_records", &other).in_method(&server.plugin, method.name)
            );
        }
    }
    let Listing { found, seen, problems, unusable, .. } = listing;
    core.report(&server.plugin, method, problems);
    if let Some(error) = unusable {
        core.report(
            &server.plugin,
            method,
            [Problem { field: "se_record".into(), text: error.message().to_owned() }],
        );
    }
    Ok((found, seen))
}

async fn file_systems(
    core: &Core,
    server: &Server,
    plugin: &Plugin,
    errand: &Errand,
) -> Result<BTreeMap<Arc<str>, Arc<FileSystem>>> {
    let Some(method) = method(PluginType::FileSystem, "listFileSystems") else { return Ok(BTreeMap::new()) };
    let answer = core.call(server, method, about(server, plugin), errand).await?;
    let mut all = BTreeMap::new();
    for value in answer.as_array().into_iter().flatten() {
        let (record, mut problems) = record::FileSystem::parse(value);
        match merge::file_system(server, None, record, None) {
            Ok((fs, more)) => {
                problems.extend(more);
                if all.contains_key(&fs.id) {
                    let text = format!("lists the file system {} twice; the first counts", fs.id);
                    problems.push(Problem { field: "fs_record".into(), text });
                } else {
                    let fs = with_mounts(core, server, plugin, fs, errand).await?;
                    all.insert(fs.id.clone(), Arc::new(fs));
                }
            }
            Err(error) => {
                problems.push(Problem { field: "fs_record".into(), text: error.message().to_owned() });
            }
        }
        core.report(&server.plugin, method, problems);
    }
    Ok(all)
}

/// The file system with the mounts that the plug-in lists for it now.
pub async fn with_mounts(
    core: &Core,
    server: &Server,
    plugin: &Plugin,
    mut fs: FileSystem,
    errand: &Errand,
) -> Result<FileSystem> {
    let Some(method) = method(server.plugin_type, "listMountPoints") else { return Ok(fs) };
    let args = [about(server, plugin), vec![("fs_record", fs.record().to_value(View::Wire))]].concat();
    let Some(answer) = core.call_optional(server, method.name, args, errand).await? else { return Ok(fs) };
    let mut listed: Vec<Uuid> = Vec::new();
    let mut problems = Vec::new();
    for value in answer.as_array().into_iter().flatten() {
        let (record, found) = record::Mount::parse(value);
        problems.extend(found);
        match merge::mount(&mut fs, record) {
            Ok((uuid, found)) => {
                problems.extend(found);
                listed.push(uuid);
            }
            Err(error) => {
                problems.push(Problem { field: "mount_record".into(), text: error.message().to_owned() });
            }
        }
    }
    if fs.mounts.keys().any(|uuid| !listed.contains(uuid)) {
        // What the kernel shows is there, whether or not the plug-in knows of it.
        let there = mounts::points(&fs.record());
        fs.mounts.retain(|uuid, line| listed.contains(uuid) || there.contains(&mounts::point(line)));
    }
    core.report(&server.plugin, method, problems);
    Ok(fs)
}
