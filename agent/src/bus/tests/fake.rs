//! An agent that does what a test tells it to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::Source;
use crate::command::{Object, command};
use crate::error::{Error, Kind, Result};
use crate::inventory::{
    Caller, Change, Element, Elements, FileSystem, Operation, Server, ServerState, Snapshot, State, Target,
    What,
};
use crate::plugin::api::PluginType;
use crate::plugin::{Plugin, PluginStatus};
use crate::record::{Dict, StorageServer};
use crate::service::Request;

pub const PLUGIN: &str = "osc.filearray.FileArray.FileArray";
pub const SS: Uuid = Uuid::from_u128(0x0190_a1b2_0000_7000_8000_0000_0000_0001);
pub const MOUNT: Uuid = Uuid::from_u128(0x0190_a1b2_0000_7000_8000_0000_0000_0009);
pub const FS: &str = "0190a1b2-0000-7000-8000-000000000005";

#[derive(Clone)]
pub struct Fake(Arc<Inner>);

struct Inner {
    snapshot: ArcSwap<Snapshot>,
    changes: broadcast::Sender<Arc<Change>>,
    events: Mutex<Vec<(u64, Arc<str>)>>,
    pub requests: Mutex<Vec<Request>>,
    pub words: Mutex<Vec<Vec<String>>>,
}

pub fn element_id(number: usize) -> Arc<str> {
    Uuid::from_u128(0x0190_a1b2_0000_7000_9000_0000_0000_0000 + number as u128).to_string().into()
}

pub fn element(number: usize, status: &str) -> Arc<Element> {
    let id = element_id(number);
    // About 1 KiB, as real records are.
    let line = json!({
        "se_type": "LUN", "ss_uuid": SS.to_string(), "name": format!("lun-{number}"), "uuid": &*id,
        "page83_id": format!("3600a0b80000{number:08}"), "id": format!("{number}"), "vendor": "OSC",
        "product_id": "FILEARRAY", "path": [format!("/dev/disk/by-id/wwn-0x600a0b8{number:08}")],
        "array_path": format!("/vol/vg0/lun-{number}"), "size": 10_737_418_240u64, "status": status,
        "vol_group_name": "vg0", "access_grp_names": ["hosts-a", "hosts-b"], "state": "ONLINE",
        "extra_info": "x".repeat(350), "vendor_key": {"pool": "p0", "raid": [5, 6]},
    })
    .to_string();
    Arc::new(Element { id, line: line.into() })
}

pub fn server(elements: usize) -> Server {
    let (record, problems) = StorageServer::parse(&json!({
        "name": "array", "uuid": SS.to_string(), "storage_type": "SAN", "admin_host": "/srv/array",
        "admin_user": "admin", "admin_passwd": "topsecret", "total_sz": "1000", "status": "ok",
        "access_grps": [{"grp_name": "hosts-a", "grp_entries": ["iqn.a"]}],
        "vol_groups": [{"vol_name": "vg0", "vol_total_sz": 1000}], "storage_desc": "",
    }));
    assert_eq!(problems, []);
    let by_id = (0..elements).map(|number| (element_id(number), element(number, "ok"))).collect();
    let fs: Arc<str> = FS.into();
    let mount = json!({"uuid": MOUNT.to_string(), "mount_point": "/mnt/a", "options": ["ro"]}).to_string();
    let file_system = FileSystem {
        id: fs.clone(),
        line: json!({"name": "fs a", "uuid": FS, "state": "MOUNTED", "backing_device": "/dev/loop0"})
            .to_string()
            .into(),
        mounts: [(MOUNT, mount.into())].into(),
    };
    Server {
        uuid: SS,
        plugin: PLUGIN.into(),
        plugin_type: PluginType::StorageArray,
        record: Arc::new(record),
        abilities: Arc::new([("snapshot".to_owned(), "ONLINE".to_owned())].into()),
        refresh_interval: None,
        state: ServerState { plugin_available: true, ..Default::default() },
        qos: Arc::default(),
        elements: Arc::new(Elements { by_id, ..Default::default() }),
        file_systems: Arc::new([(fs, Arc::new(file_system))].into()),
    }
}

impl Fake {
    pub fn new(elements: usize) -> Fake {
        Fake::with_capacity(elements, 4096)
    }

    pub fn with_capacity(elements: usize, changes: usize) -> Fake {
        let plugin = Plugin {
            impl_name: PLUGIN.into(),
            module: "osc.filearray".into(),
            plugin_type: Some(PluginType::StorageArray),
            info: serde_json::Map::new(),
            abilities: BTreeMap::new(),
            status: PluginStatus { usable: true, problems: vec!["one".into()], ..Default::default() },
        };
        let snapshot = Snapshot {
            seq: 7,
            plugins: Arc::new([(PLUGIN.to_owned(), Arc::new(plugin))].into()),
            servers: Arc::new([(SS, Arc::new(server(elements)))].into()),
            operations: Arc::default(),
        };
        Fake(Arc::new(Inner {
            snapshot: ArcSwap::from_pointee(snapshot),
            changes: broadcast::channel(changes).0,
            events: Mutex::default(),
            requests: Mutex::default(),
            words: Mutex::default(),
        }))
    }

    /// Replaces the snapshot and tells of it, as one step for each change.
    pub fn publish(&self, whats: Vec<What>, edit: impl FnOnce(&mut Snapshot)) {
        let mut next = (**self.0.snapshot.load()).clone();
        edit(&mut next);
        let first = next.seq + 1;
        next.seq += whats.len() as u64;
        self.0.snapshot.store(Arc::new(next));
        for (seq, what) in (first..).zip(whats) {
            let line = json!({"seq": seq, "kind": what.kind()}).to_string();
            self.0.events.lock().expect("events").push((seq, line.into()));
            let _ = self.0.changes.send(Arc::new(Change { seq, at: SystemTime::now(), what }));
        }
    }

    pub fn edit_server(&self, whats: Vec<What>, edit: impl FnOnce(&mut Server)) {
        self.publish(whats, |snapshot| {
            let mut server = (*snapshot.servers[&SS]).clone();
            edit(&mut server);
            Arc::make_mut(&mut snapshot.servers).insert(SS, Arc::new(server));
        });
    }

    pub fn edit_operation(&self, id: Uuid, edit: impl FnOnce(&mut Operation)) {
        self.publish(vec![What::OperationChanged(id)], |snapshot| {
            let mut operation = (*snapshot.operations[&id]).clone();
            edit(&mut operation);
            Arc::make_mut(&mut snapshot.operations).insert(id, Arc::new(operation));
        });
    }

    /// An operation as a submitted snapshot makes it.
    pub fn add_operation(&self) -> Uuid {
        let id = Uuid::now_v7();
        let operation = Operation {
            id,
            target: Target::Element(SS, element_id(0)),
            command: command(Object::Element, "snapshot").expect("a row"),
            args: json!({"name": "s1"}),
            caller: Caller { uid: 0, pid: None, door: "dbus" },
            plugin: Some(PLUGIN.into()),
            state: State::Running,
            progress: None,
            created: SystemTime::UNIX_EPOCH,
            ended: None,
            result: None,
            error: None,
        };
        self.publish(vec![What::OperationAdded(id)], |snapshot| {
            Arc::make_mut(&mut snapshot.operations).insert(id, Arc::new(operation));
        });
        id
    }

    pub fn finish(&self, id: Uuid, outcome: Result<Value>) {
        self.edit_operation(id, |operation| {
            operation.ended = Some(SystemTime::UNIX_EPOCH);
            match outcome {
                Ok(value) => (operation.state, operation.result) = (State::Succeeded, Some(value)),
                Err(error) => (operation.state, operation.error) = (State::Failed, Some(error)),
            }
        });
    }

    pub fn last_request(&self) -> Request {
        self.0.requests.lock().expect("requests").last().cloned().expect("a request")
    }

    pub fn words(&self) -> Vec<Vec<String>> {
        self.0.words.lock().expect("words").clone()
    }

    /// How many waits are under way.
    pub fn waits(&self) -> usize {
        self.0.changes.receiver_count()
    }
}

impl Source for Fake {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.0.snapshot.load_full()
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<Change>> {
        self.0.changes.subscribe()
    }

    fn events_since(&self, seq: u64) -> Vec<(u64, Arc<str>)> {
        self.0.events.lock().expect("events").iter().filter(|row| row.0 > seq).cloned().collect()
    }

    fn submit(&self, request: Request) -> BoxFuture<'_, Result<Uuid>> {
        self.0.requests.lock().expect("requests").push(request);
        Box::pin(async { Ok(self.add_operation()) })
    }

    fn wait(&self, id: Uuid, timeout: Duration) -> BoxFuture<'_, Result<Value>> {
        let mut changes = self.subscribe();
        let ended = async move {
            loop {
                let snapshot = self.snapshot();
                let operation = snapshot.operations.get(&id);
                let operation = operation.ok_or_else(|| Error::not_found(format!("no operation {id}")))?;
                if operation.state.ended() {
                    let result = operation.result.clone().unwrap_or(Value::Null);
                    return operation.error.clone().map_or(Ok(result), |error| Err(error.of_operation(id)));
                }
                let _ = changes.recv().await;
            }
        };
        Box::pin(async move {
            let late = |_| Error::new(Kind::InProgress, "the operation goes on").of_operation(id);
            tokio::time::timeout(timeout, ended).await.map_err(late)?
        })
    }

    fn reload_plugins(&self, module: String) -> BoxFuture<'_, Result<()>> {
        self.announce(vec!["reload".into(), module])
    }

    fn announce(&self, words: Vec<String>) -> BoxFuture<'_, Result<()>> {
        self.0.words.lock().expect("words").push(words);
        Box::pin(async { Ok(()) })
    }
}
