//! What every part of the service shares: the inventory, the store, the plug-ins, and who waits
//! for what.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::desk::Desk;
use super::plugins::{Item, Plugins};
use crate::config::{Config, Standing};
use crate::error::{Error, Kind, Result};
use crate::inventory::{Inventory, Server};
use crate::operation::locks::Turns;
use crate::plugin::Call;
use crate::plugin::api::{Method, method};
use crate::pulse::Pulse;
use crate::record::Problem;
use crate::store::Store;

/// What mutations take turns over: a storage server and what of it.
pub type Key = (Uuid, Arc<str>);

/// An operation that has not ended.
pub struct Live {
    /// Ends it early.
    pub cancel: CancellationToken,
    /// True once it has ended.
    pub ended: watch::Receiver<bool>,
}

/// Who makes a call, as far as the call needs to know.
#[derive(Clone)]
pub struct Errand {
    /// The operation, or an id of its own.
    pub id: Uuid,
    /// Ends the call early.
    pub cancel: CancellationToken,
}

/// The shared part of the agent.
pub struct Core {
    config: ArcSwap<Config>,
    pub standing: Arc<ArcSwap<Standing>>,
    pub inventory: Inventory,
    pub store: Store,
    pub plugins: Arc<dyn Plugins>,
    pub turns: Turns<Key>,
    pub stopping: CancellationToken,
    pub tasks: TaskTracker,
    /// Beaten by whoever takes turns with the operations.
    pub pulse: Arc<Pulse>,
    live: Mutex<HashMap<Uuid, Live>>,
    desks: Mutex<HashMap<Uuid, Arc<Desk>>>,
    /// (plug-in, method, field) of every breach of the contract that was reported.
    reported: Mutex<HashSet<(String, &'static str, String)>>,
}

/// What the lock guards is whole at every moment, also where somebody panicked.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub fn new(config: Config, inventory: Inventory, store: Store, plugins: Arc<dyn Plugins>) -> Core {
        Core {
            config: ArcSwap::from_pointee(config),
            standing: Arc::default(),
            inventory,
            store,
            plugins,
            turns: Turns::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            pulse: Arc::default(),
            live: Mutex::default(),
            desks: Mutex::default(),
            reported: Mutex::default(),
        }
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Puts other settings in force.
    pub fn configure(&self, config: Config) {
        self.config.store(Arc::new(config));
    }

    pub fn live(&self) -> MutexGuard<'_, HashMap<Uuid, Live>> {
        lock(&self.live)
    }

    pub fn desks(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Desk>>> {
        lock(&self.desks)
    }

    /// The desk of a registered storage server.
    pub fn desk(&self, ss: Uuid) -> Result<Arc<Desk>> {
        let desk = self.desks().get(&ss).cloned();
        desk.ok_or_else(|| Error::not_found(format!("no storage server {ss} is registered")))
    }

    /// How long a method may take.
    pub fn deadline(&self, method: &Method) -> Duration {
        self.config().deadlines.get(method.name).copied().unwrap_or_else(|| method.deadline.duration())
    }

    /// Calls a method and gives the records of a list to `item`.
    pub async fn call_each(
        &self,
        server: &Server,
        method: &'static Method,
        args: Vec<(&'static str, Value)>,
        errand: &Errand,
        item: Item<'_>,
    ) -> Result<Value> {
        let cancel = errand.cancel.child_token();
        let call = Call { id: errand.id, method, args, deadline: self.deadline(method), cancel };
        self.plugins.call(&server.plugin, call, item).await
    }

    /// Calls a method; a list of records arrives as one.
    pub async fn call(
        &self,
        server: &Server,
        method: &'static Method,
        args: Vec<(&'static str, Value)>,
        errand: &Errand,
    ) -> Result<Value> {
        let mut items = Vec::new();
        // What the wire parsed once is JSON.
        let mut item = |raw: &RawValue| items.push(serde_json::from_str(raw.get()).unwrap_or_default());
        let value = self.call_each(server, method, args, errand, &mut item).await?;
        Ok(if value.is_null() && (is_list(method) || !items.is_empty()) {
            Value::Array(items)
        } else {
            value
        })
    }

    /// Calls a method that a plug-in need not have; `None` where it does not.
    pub async fn call_optional(
        &self,
        server: &Server,
        name: &str,
        args: Vec<(&'static str, Value)>,
        errand: &Errand,
    ) -> Result<Option<Value>> {
        let Some(method) = method(server.plugin_type, name) else { return Ok(None) };
        match self.call(server, method, args, errand).await {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == Kind::NoSuchOperation => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reports what a plug-in's answer broke: once by plug-in, method and field.
    pub fn report(&self, plugin: &str, method: &'static Method, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            let first = lock(&self.reported).insert((plugin.to_owned(), method.name, problem.field.clone()));
            if first {
                self.plugins.report(plugin, &format!("{} answered {problem}", method.name));
            }
        }
    }

    /// Lets a plug-in that was replaced be reported afresh.
    pub fn forget_reports(&self, plugin: &str) {
        lock(&self.reported).retain(|(name, _, _)| name != plugin);
    }
}

/// Whether the method answers a list of records.
fn is_list(method: &Method) -> bool {
    use crate::plugin::api::Answer::*;
    matches!(
        method.answer,
        Elements | AllElements | AllFileSystems | Mounts | Files | AccessGroups | QosValues | BackingDevices
    )
}
