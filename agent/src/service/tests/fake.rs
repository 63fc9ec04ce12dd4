//! An array that exists only in memory, in the place of the plug-in runtime.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use super::super::core::lock;
use super::super::{Agent, Item, Plugins, Request};
use crate::command::{Object, command};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::host::Host;
use crate::inventory::{Caller, Target};
use crate::plugin::announcement::Announcement;
use crate::plugin::api::PluginType;
use crate::plugin::{Call, Event, Plugin, PluginStatus};

pub const PLUGIN: &str = "acme.box.Box.Box";
pub const PATIENCE: Duration = Duration::from_secs(30);

type Behaviour = Arc<dyn Fn(&Map<String, Value>) -> Result<Value> + Send + Sync>;

/// The array, and what is done to it.
#[derive(Default)]
pub struct Fake {
    /// What methods do other than the usual.
    behaviours: Mutex<HashMap<&'static str, Behaviour>>,
    /// Methods that wait for a permit before they answer.
    gates: Mutex<HashMap<&'static str, Arc<Semaphore>>>,
    /// Every call that began: method and arguments.
    pub calls: Mutex<Vec<(&'static str, Map<String, Value>)>>,
    /// What `list` answers, by name.
    pub elements: Mutex<BTreeMap<String, Value>>,
    /// What was reported.
    pub reports: Mutex<Vec<String>>,
    pub forgotten: Mutex<Vec<Uuid>>,
    /// The host whose devices elements are.
    pub host: Mutex<Option<Host>>,
}

pub fn element(name: &str, size: i64) -> Value {
    json!({"se_type": "LUN", "name": name, "id": name, "size": size, "status": "ok", "state": 1, "access_grp_names": []})
}

impl Fake {
    pub fn with(elements: impl IntoIterator<Item = Value>) -> Arc<Fake> {
        let fake = Fake::default();
        for element in elements {
            fake.put(element);
        }
        Arc::new(fake)
    }

    pub fn put(&self, element: Value) {
        let name = element["name"].as_str().expect("a name").to_owned();
        lock(&self.elements).insert(name, element);
    }

    /// Lets `method` do something else from now on.
    pub fn when(
        &self,
        method: &'static str,
        behaviour: impl Fn(&Map<String, Value>) -> Result<Value> + Send + Sync + 'static,
    ) {
        lock(&self.behaviours).insert(method, Arc::new(behaviour));
    }

    /// Holds `method` until permits are added.
    pub fn hold(&self, method: &'static str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        lock(&self.gates).insert(method, gate.clone());
        gate
    }

    pub fn release(&self, method: &str) {
        if let Some(gate) = lock(&self.gates).remove(method) {
            gate.close();
        }
    }

    pub fn called(&self, method: &str) -> usize {
        lock(&self.calls).iter().filter(|(name, _)| *name == method).count()
    }

    pub fn last(&self, method: &str) -> Map<String, Value> {
        let calls = lock(&self.calls);
        calls.iter().rev().find(|(name, _)| *name == method).expect("a call").1.clone()
    }

    fn answer(&self, method: &str, args: &Map<String, Value>) -> Result<Value> {
        let behaviour = lock(&self.behaviours).get(method).cloned();
        if let Some(behaviour) = behaviour {
            return behaviour(args);
        }
        let text = |name: &str| args.get(name).and_then(Value::as_str).map(str::to_owned);
        match method {
            "validate" | "getInfo" | "getStorageServerInfo" | "start" | "stop" => {
                Ok(args["ss_record"].clone())
            }
            "list" => Ok(lock(&self.elements).values().cloned().collect()),
            "create" => {
                let mut made = args["se_record"].clone();
                made["id"] = made["name"].clone();
                made["state"] = 1.into();
                made["status"] = "ok".into();
                self.put(made.clone());
                Ok(made)
            }
            "createSnap" => {
                let name = text("snap_name").unwrap_or_else(|| format!("auto-{}", self.called("createSnap")));
                let mut made = element(&name, 1);
                made["se_type"] = "Snap".into();
                made["parent"] = args["se_record"]["name"].clone();
                self.put(made.clone());
                Ok(made)
            }
            "remove" => {
                lock(&self.elements).remove(args["se_record"]["name"].as_str().unwrap_or(""));
                Ok(Value::Null)
            }
            "resize" => {
                let mut changed = args["se_record"].clone();
                changed["size"] = args["new_size"].clone();
                self.put(changed.clone());
                Ok(changed)
            }
            "isSnapable" => Ok(Value::Bool(true)),
            other => Err(Error::new(Kind::NoSuchOperation, format!("no {other}")).in_method(PLUGIN, other)),
        }
    }
}

/// The fake as the agent holds it.
pub struct Handle(pub Arc<Fake>);

impl Plugins for Handle {
    fn host(&self) -> Option<Host> {
        lock(&self.0.host).clone()
    }

    fn call<'a>(&'a self, _: &'a str, call: Call, item: Item<'a>) -> BoxFuture<'a, Result<Value>> {
        async move {
            let method = call.method.name;
            let args: Map<_, _> =
                call.args.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            lock(&self.0.calls).push((method, args.clone()));
            let gate = lock(&self.0.gates).get(method).cloned();
            if let Some(gate) = gate {
                tokio::select! {
                    permit = gate.acquire() => permit.map_or((), |permit| permit.forget()),
                    () = call.cancel.cancelled() => return Err(Error::new(Kind::Cancelled, "cancelled")),
                }
            }
            // As the wire does it: a list of dicts arrives one by one.
            match self.0.answer(method, &args)? {
                Value::Array(items) if items.iter().all(Value::is_object) => {
                    for value in items {
                        let raw: Box<RawValue> = to_raw_value(&value).expect("JSON");
                        item(&raw);
                    }
                    Ok(Value::Null)
                }
                other => Ok(other),
            }
        }
        .boxed()
    }

    fn plugins(&self) -> Vec<Arc<Plugin>> {
        Vec::new()
    }

    fn reload<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<()>> {
        async { Ok(()) }.boxed()
    }

    fn announce(&self, _: Announcement) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }

    fn report(&self, _: &str, text: &str) {
        lock(&self.0.reports).push(text.to_owned());
    }

    fn forget_cache(&self, ss: Uuid) {
        lock(&self.0.forgotten).push(ss);
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

/// The plug-in's class, with these abilities.
pub fn plugin(abilities: &[(&str, &str)]) -> Plugin {
    let info = json!({"storage_types": ["SAN", "iSCSI"], "required_api_vers": ["1", "2", "7"]});
    Plugin {
        impl_name: PLUGIN.into(),
        module: "acme.box".into(),
        plugin_type: Some(PluginType::StorageArray),
        info: info.as_object().cloned().expect("an object"),
        abilities: abilities.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        status: PluginStatus { usable: true, ..PluginStatus::default() },
    }
}

/// The same for a file system plug-in.
pub fn fs_plugin(abilities: &[(&str, &str)]) -> Plugin {
    let info = json!({"filesys_type": "LocalFS", "filesys_name": "boxfs"});
    Plugin {
        plugin_type: Some(PluginType::FileSystem),
        info: info.as_object().cloned().expect("an object"),
        ..plugin(abilities)
    }
}

/// An agent with the fake for its plug-ins.
pub struct Rig {
    pub agent: Agent,
    pub fake: Arc<Fake>,
    pub events: mpsc::UnboundedSender<Event>,
}

pub fn config(state: &Path) -> Config {
    Config { state_dir: state.into(), refresh_interval: Duration::ZERO, ..Config::default() }
}

impl Rig {
    pub async fn start(state: &Path, fake: &Arc<Fake>, abilities: &[(&str, &str)]) -> Rig {
        Rig::start_with(config(state), fake, plugin(abilities)).await
    }

    pub async fn start_with(config: Config, fake: &Arc<Fake>, plugin: Plugin) -> Rig {
        let rig = Rig::bare(config, fake).await.expect("the agent starts");
        rig.install(plugin).await;
        rig
    }

    pub async fn bare(config: Config, fake: &Arc<Fake>) -> Result<Rig> {
        let (events, inbox) = mpsc::unbounded_channel();
        let agent = Agent::start_with(config, Arc::new(Handle(fake.clone())), inbox).await?;
        Ok(Rig { agent, fake: fake.clone(), events })
    }

    pub async fn install(&self, plugin: Plugin) {
        let plugin = Arc::new(plugin);
        let name = plugin.impl_name.clone();
        self.events.send(Event::Present(plugin.clone())).expect("the agent listens");
        self.until(|rig| rig.agent.snapshot().plugins.get(&name) == Some(&plugin)).await;
    }

    /// Waits until something is so.
    pub async fn until(&self, mut so: impl FnMut(&Rig) -> bool) {
        let wait = async {
            while !so(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("what was waited for comes");
    }

    pub async fn submit(&self, target: Target, name: &str, args: Value) -> Result<Uuid> {
        let object = match target {
            Target::Manager => Object::Manager,
            Target::Server(_) => Object::Server,
            Target::Element(..) => Object::Element,
            Target::FileSystem(..) => Object::FileSystem,
            Target::Operation(_) => Object::Operation,
        };
        let command = command(object, name).expect("a command");
        let args = args.as_object().cloned().expect("an object");
        let caller = Caller { uid: 7, pid: Some(1), door: "tree" };
        self.agent.submit(Request { target, command, args, caller }).await
    }

    pub async fn ask(&self, target: Target, name: &str, args: Value) -> Result<Value> {
        let operation = self.submit(target, name, args).await?;
        self.agent.wait(operation, PATIENCE).await
    }

    pub async fn register(&self, record: Value) -> Result<Uuid> {
        let args = json!({"plugin": PLUGIN, "record": record});
        let registered = self.ask(Target::Manager, "register", args).await?;
        Ok(registered["uuid"].as_str().and_then(|uuid| uuid.parse().ok()).expect("a uuid"))
    }

    /// Registers a storage server named "box".
    pub async fn server(&self) -> Uuid {
        self.register(json!({"name": "box", "storage_type": "SAN"})).await.expect("registered")
    }

    /// What happened after `seq`, operations and refreshed states left out: kind and path.
    pub fn told(&self, seq: u64) -> Vec<(String, String)> {
        let lines = self.agent.events_since(seq).into_iter();
        lines
            .map(|(_, line)| serde_json::from_str::<Value>(&line).expect("an event is JSON"))
            .map(|event| {
                (
                    event["kind"].as_str().unwrap_or("").to_owned(),
                    event["path"].as_str().unwrap_or("").to_owned(),
                )
            })
            .filter(|(kind, _)| !kind.starts_with("operation-"))
            .collect()
    }
}

pub fn se(ss: Uuid, id: &str) -> Target {
    Target::Element(ss, id.into())
}
