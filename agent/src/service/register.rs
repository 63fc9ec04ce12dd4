//! Registering a storage server, and forgetting one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use uuid::Uuid;

use super::core::{Core, Errand, Key, lock};
use super::desk::Desk;
use super::refresh;
use crate::error::{Error, Kind, Result};
use crate::inventory::{Elements, Server, ServerState, Snapshot, draft};
use crate::operation::args::{NAME_MAX, check_text, server_record};
use crate::operation::call::plugin_of;
use crate::operation::{ability, merge};
use crate::plugin::Plugin;
use crate::plugin::api::PluginType;
use crate::record::{Dict as _, StorageServer, Type, Update, View};

/// The key of a registration record that is the agent's own: seconds between refreshes, 0 for never.
const REFRESH_INTERVAL: &str = "refresh_interval";

/// A registration that was understood, and not carried out yet.
#[derive(Clone, Debug)]
pub struct Registration {
    pub plugin: String,
    pub record: StorageServer,
    pub uuid: Uuid,
    pub refresh_interval: Option<Duration>,
}

impl Registration {
    /// Checks what can be checked without asking the storage server.
    ///
    /// # Errors
    /// What is wrong with which key, or which plug-ins there are.
    pub fn check(snapshot: &Snapshot, plugin: &str, record: &Value) -> Result<Registration> {
        let plugin = plugin_of(snapshot, plugin)?;
        let mut record = server_record(record)?;
        let refresh_interval = take_interval(&mut record)?;
        let name = record.name.get_or_insert_default();
        check_text(name, NAME_MAX).map_err(|error| {
            Error::new(error.kind(), format!("the name {}", error.message())).with_key("name")
        })?;
        record.storage_type = Some(storage_type(plugin, record.storage_type.as_deref())?);
        let uuid = *record.uuid.get_or_insert_with(Uuid::new_v4);
        fill_in(&mut record);
        let registration = Registration { plugin: plugin.impl_name.clone(), record, uuid, refresh_interval };
        registration.known(snapshot)?;
        Ok(registration)
    }

    /// The storage server that this very registration made already, if one did. Neither the UUID
    /// nor the name may be another's.
    fn known<'a>(&self, snapshot: &'a Snapshot) -> Result<Option<&'a Server>> {
        if let Some(known) = snapshot.servers.get(&self.uuid) {
            if self.made(known) {
                return Ok(Some(known));
            }
            let text = format!(
                "the storage server {} is registered already, as {:?} and not with this plug-in and record",
                self.uuid,
                known.name()
            );
            return Err(Error::new(Kind::AlreadyExists, text).with_key("uuid"));
        }
        let name = self.record.name.as_deref().unwrap_or("");
        match snapshot.servers.values().find(|server| server.name() == name) {
            None => Ok(None),
            Some(known) => {
                let text = format!(
                    "a storage server named {name:?} is registered already ({}): choose another name",
                    known.uuid
                );
                Err(Error::new(Kind::AlreadyExists, text).with_key("name"))
            }
        }
    }

    /// Whether `known` is what this registration makes: everything that it says, and that plug-ins do
    /// not bring up to date, is as it says.
    fn made(&self, known: &Server) -> bool {
        let same_interval = self.refresh_interval.is_none_or(|own| known.refresh_interval == Some(own));
        let wire = |record: &StorageServer| record.to_value(View::Wire);
        let (own, theirs) = (wire(&self.record), wire(&known.record));
        let updated = |key: &str| {
            crate::record::index_of::<StorageServer>(key)
                .is_some_and(|index| StorageServer::FIELDS[index].update == Update::Yes)
        };
        let mut fields = own.as_object().into_iter().flatten();
        known.plugin == self.plugin
            && same_interval
            // The access groups are those that the storage server has.
            && fields.all(|(key, own)| updated(key) || key == "access_grps" || says(&theirs[key], own))
    }

    /// What registrations of the same storage server take turns over.
    pub fn keys(&self) -> Vec<Key> {
        let name = self.record.name.as_deref().unwrap_or("");
        vec![(self.uuid, "".into()), (Uuid::nil(), name.into())]
    }

    /// Validates the registration with the plug-in, asks for everything, and only then keeps it.
    ///
    /// # Errors
    /// What the plug-in or the store says; nothing is registered then.
    pub async fn carry_out(self, core: &Arc<Core>, errand: &Errand) -> Result<Value> {
        let snapshot = core.inventory.snapshot();
        if let Some(known) = self.known(&snapshot)? {
            tracing::info!(operation = %errand.id, server = %known.uuid, "registered already, and just so");
            let mut told = told(known);
            told["existed"] = true.into();
            return Ok(told);
        }
        let plugin = plugin_of(&snapshot, &self.plugin)?;
        let mut server = self.server(core, plugin)?;
        check_storage_name(core, &server, plugin, errand).await?;
        refresh::update_server(core, &mut server, plugin, "validate", errand).await?;
        let survey = refresh::survey(core, &server, plugin, &refresh::Seen::new(), false, errand).await?;
        let mut elements = Elements::default();
        for element in survey.elements.into_values() {
            elements.insert(element);
        }
        server.record = Arc::new(survey.record);
        server.abilities = survey.abilities;
        server.qos = Arc::new(survey.qos);
        server.elements = Arc::new(elements);
        server.file_systems = Arc::new(survey.file_systems);
        server.state.refreshed = Some(SystemTime::now());
        check_storage_name(core, &server, plugin, errand).await?;
        core.store.register(draft::row(&server)).await?;
        let result = told(&server);
        let uuid = server.uuid;
        let desk = Arc::new(Desk::new(core, uuid));
        *lock(&desk.seen) = survey.seen;
        core.desks().insert(uuid, desk.clone());
        tracing::info!(operation = %errand.id, server = %uuid, plugin = server.plugin, "registered");
        core.inventory.publish(|draft| draft.add_server(server));
        core.tasks.spawn(desk.keep(core.clone()));
        Ok(result)
    }

    fn server(self, core: &Core, plugin: &Plugin) -> Result<Server> {
        let plugin_type = plugin.plugin_type.ok_or_else(|| {
            Error::new(Kind::PluginUnavailable, format!("the plug-in {} has no type", plugin.impl_name))
        })?;
        Ok(Server {
            uuid: self.uuid,
            plugin: self.plugin,
            plugin_type,
            record: Arc::new(self.record),
            abilities: Arc::new(plugin.abilities.clone()),
            state: ServerState {
                plugin_available: true,
                refresh_interval: self.refresh_interval.unwrap_or(core.config().refresh_interval),
                ..ServerState::default()
            },
            refresh_interval: self.refresh_interval,
            qos: Arc::default(),
            elements: Arc::default(),
            file_systems: Arc::new(BTreeMap::new()),
        })
    }
}

/// The result of a registration.
fn told(server: &Server) -> Value {
    json!({
        "uuid": server.uuid.to_string(), "path": format!("/ss/{}", server.uuid), "name": server.name(),
        "elements": server.elements.by_id.len(), "file_systems": server.file_systems.len(),
        "record": merge::public(&*server.record),
    })
}

/// Whether `known` holds all that `given` says; what is empty says nothing.
fn says(known: &Value, given: &Value) -> bool {
    match (known, given) {
        (_, Value::Null) => true,
        (_, Value::String(text)) if text.is_empty() => true,
        (_, Value::Array(items)) if items.is_empty() => true,
        (Value::Array(known), Value::Array(given)) => {
            known.len() == given.len() && known.iter().zip(given).all(|(known, given)| says(known, given))
        }
        (Value::Object(known), Value::Object(given)) => {
            given.iter().all(|(key, given)| says(known.get(key).unwrap_or(&Value::Null), given))
        }
        (known, given) => known == given,
    }
}

/// The storage type in the plug-in's own spelling.
fn storage_type(plugin: &Plugin, wanted: Option<&str>) -> Result<String> {
    let known: Vec<String> = match plugin.plugin_type {
        Some(PluginType::FileSystem) => plugin.info.get("filesys_type"),
        _ => plugin.info.get("storage_types"),
    }
    .map(|value| match value {
        Value::Array(types) => types.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(one) => vec![one.clone()],
        _ => Vec::new(),
    })
    .unwrap_or_default();
    let wanted = wanted.filter(|wanted| !wanted.is_empty());
    let file_system = plugin.plugin_type == Some(PluginType::FileSystem);
    match wanted {
        // Clients of the original sent this one for every file system.
        Some(alias) if file_system && alias.eq_ignore_ascii_case("FileSys") => {
            Ok(known.first().cloned().unwrap_or_else(|| alias.to_owned()))
        }
        Some(wanted) => match known.iter().find(|ty| ty.eq_ignore_ascii_case(wanted)) {
            Some(ty) => Ok(ty.clone()),
            None if known.is_empty() => Ok(wanted.to_owned()),
            None => {
                let kind = if file_system { Kind::InvalidFSType } else { Kind::InvalidValue };
                let text = format!(
                    "the storage_type is {wanted:?}, and {} takes {}",
                    plugin.impl_name,
                    known.join(", ")
                );
                Err(Error::new(kind, text).with_key("storage_type"))
            }
        },
        None if known.len() == 1 => Ok(known[0].clone()),
        None => {
            let text =
                format!("the record has no storage_type; {} takes {}", plugin.impl_name, known.join(", "));
            Err(Error::new(Kind::MissingKey, text).with_key("storage_type"))
        }
    }
}

fn take_interval(record: &mut StorageServer) -> Result<Option<Duration>> {
    match record.extra.remove(REFRESH_INTERVAL) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let seconds = match &value {
                Value::Number(number) => number.as_u64(),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            };
            let seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok()).ok_or_else(|| {
                Error::new(
                    Kind::ValueFormat,
                    format!("{REFRESH_INTERVAL} is a number of seconds, 0 for never"),
                )
                .with_key(REFRESH_INTERVAL)
            })?;
            Ok(Some(Duration::from_secs(seconds.into())))
        }
    }
}

/// Plug-ins read required keys without looking; those that a client left out are empty.
fn fill_in(record: &mut StorageServer) {
    for name in record.missing() {
        let Some(index) = crate::record::index_of::<StorageServer>(name) else { continue };
        let empty = match StorageServer::FIELDS[index].ty {
            Type::String | Type::Secret => json!(""),
            Type::DictList | Type::StringList => json!([]),
            _ => continue,
        };
        // Empty is legal for each of these types.
        let _ = record.set(index, &empty);
    }
}

/// A plug-in for managers of several controllers must be told which one.
async fn check_storage_name(core: &Core, server: &Server, plugin: &Plugin, errand: &Errand) -> Result<()> {
    let required = ability::of(server, "require_storage_name").as_deref() == Some("YES");
    if !required || server.record.storage_name.as_deref().is_some_and(|name| !name.is_empty()) {
        return Ok(());
    }
    // The names only make the message better.
    let names = core.call_optional(server, "getStorageNames", refresh::about(server, plugin), errand).await;
    let names: Vec<_> = match names {
        Ok(Some(Value::Array(names))) => names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let advice = match names.is_empty() {
        true => "set it to the controller's name".to_owned(),
        false => format!("set it to one of {}", names.join(", ")),
    };
    let text = format!("the record has no storage_name, and {} needs one: {advice}", plugin.impl_name);
    Err(Error::new(Kind::StorageNameRequired, text).with_key("storage_name"))
}

/// Forgets a storage server: what waits for it is cancelled, what runs goes on without a trace here.
///
/// # Errors
/// When the store cannot forget it; it stays registered then.
pub async fn unregister(core: &Arc<Core>, ss: Uuid, errand: &Errand) -> Result<Value> {
    let snapshot = core.inventory.snapshot();
    let server = snapshot
        .servers
        .get(&ss)
        .ok_or_else(|| Error::not_found(format!("no storage server {ss} is registered")))?;
    core.store.unregister(ss).await?;
    let desk = core.desks().remove(&ss);
    if let Some(desk) = desk {
        desk.gone.cancel();
    }
    core.inventory.publish(|draft| draft.remove_server(ss));
    core.plugins.forget_cache(ss);
    tracing::info!(operation = %errand.id, server = %ss, plugin = server.plugin, "unregistered");
    Ok(json!({"uuid": ss.to_string(), "name": server.name()}))
}
