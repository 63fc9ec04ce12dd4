//! A model in memory, and a tree over it mounted in a temporary directory.
#![allow(dead_code)] // each test file uses some of it

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use fsview::{
    Change, ElementNames, Model, Mounted, Operation, Options, Outcome, Plugin, Request, Server, Target, Tree,
    Verb,
};

pub const SS: &str = "11111111-2222-3333-4444-555555555555";
pub type Done = Box<dyn FnOnce(Outcome) + Send>;

#[derive(Clone, Debug, Default)]
pub struct FakeElement {
    pub record: Arc<str>,
    pub names: ElementNames,
}

#[derive(Default)]
pub struct State {
    pub servers: BTreeMap<Arc<str>, Server>,
    pub elements: BTreeMap<(Arc<str>, Arc<str>), FakeElement>,
    pub operations: BTreeMap<Arc<str>, Operation>,
    pub outcomes: BTreeMap<String, Outcome>,
    pub file_systems: BTreeMap<(Arc<str>, Arc<str>), Arc<str>>,
    pub events: Vec<(u64, Arc<str>)>,
    pub requests: Vec<Request>,
    /// Requests that nobody answers yet.
    pub waiting: Vec<(Request, Done)>,
    /// Answers at once with this; otherwise requests wait.
    pub answer: Option<Outcome>,
}

#[derive(Default)]
pub struct Fake {
    state: Mutex<State>,
    arrived: Condvar,
}

impl Fake {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits until that many requests have come in all.
    pub fn await_requests(&self, count: usize) {
        drop(self.arrived.wait_while(self.state(), |state| state.requests.len() < count).unwrap());
    }

    pub fn put_element(&self, ss: &str, se: &str, element: FakeElement) {
        self.state().elements.insert((ss.into(), se.into()), element);
    }
}

pub fn server(name: &str) -> Server {
    Server {
        record: format!("{{\"name\":\"{name}\"}}").into(),
        abilities: "{\"snapshot\":\"ONLINE\"}".into(),
        state: "{\"fresh\":true}".into(),
        plugin: "osc.fake.Fake.Fake".into(),
        name: name.into(),
    }
}

pub fn element(se: &str, version: usize, size: usize) -> FakeElement {
    let mut record = format!("{{\"id\":\"{se}\",\"version\":{version},\"pad\":\"");
    record.extend(std::iter::repeat_n(
        char::from(b'a' + (version % 26) as u8),
        size.saturating_sub(record.len() + 2),
    ));
    record.push_str("\"}");
    let names = ElementNames {
        name: format!("vol-{se}").into(),
        page83: format!("36000{se}").into(),
        devices: vec![],
    };
    FakeElement { record: record.into(), names }
}

/// One server, one plug-in, `count` elements `se-00000` and so on with records of `size` bytes.
pub fn fake(count: usize, size: usize) -> Arc<Fake> {
    let fake = Fake::default();
    {
        let mut state = fake.state();
        state.servers.insert(SS.into(), server("array one"));
        for n in 0..count {
            let se = format!("se-{n:05}");
            state.elements.insert((SS.into(), se.as_str().into()), element(&se, 0, size));
        }
    }
    Arc::new(fake)
}

impl Model for Fake {
    fn readme(&self) -> Arc<str> {
        "How to use this tree.\n".into()
    }
    fn version(&self) -> Arc<str> {
        "0.1.0".into()
    }
    fn plugins(&self) -> Vec<Arc<str>> {
        vec!["osc.fake.Fake.Fake".into()]
    }
    fn plugin(&self, impl_name: &str) -> Option<Plugin> {
        (impl_name == "osc.fake.Fake.Fake").then(|| Plugin {
            info: "{}".into(),
            abilities: "{}".into(),
            status: "{\"loaded\":true}".into(),
        })
    }
    fn servers(&self) -> Vec<Arc<str>> {
        self.state().servers.keys().cloned().collect()
    }
    fn server(&self, ss: &str) -> Option<Server> {
        self.state().servers.get(ss).cloned()
    }
    fn vol_groups(&self, _: &str) -> Vec<(Arc<str>, Arc<str>)> {
        vec![("fast".into(), "{\"name\":\"fast\"}".into())]
    }
    fn access_groups(&self, _: &str) -> Vec<(Arc<str>, Arc<str>)> {
        vec![("a/b".into(), "{\"name\":\"a/b\"}".into())]
    }
    fn qos_values(&self, _: &str) -> Vec<(Arc<str>, Arc<str>)> {
        vec![]
    }
    fn elements(&self, ss: &str) -> Vec<Arc<str>> {
        self.state().elements.keys().filter(|(of, _)| &**of == ss).map(|(_, se)| se.clone()).collect()
    }
    fn element_record(&self, ss: &str, se: &str) -> Option<Arc<str>> {
        self.state().elements.get(&(ss.into(), se.into())).map(|element| element.record.clone())
    }
    fn element_names(&self, ss: &str, se: &str) -> Option<ElementNames> {
        self.state().elements.get(&(ss.into(), se.into())).map(|element| element.names.clone())
    }
    fn file_systems(&self, ss: &str) -> Vec<Arc<str>> {
        self.state().file_systems.keys().filter(|(of, _)| &**of == ss).map(|(_, fs)| fs.clone()).collect()
    }
    fn file_system_record(&self, ss: &str, fs: &str) -> Option<Arc<str>> {
        self.state().file_systems.get(&(ss.into(), fs.into())).cloned()
    }
    fn mounts(&self, _: &str, _: &str) -> Vec<(Arc<str>, Arc<str>)> {
        vec![("m1".into(), "{\"mount_point\":\"/mnt\"}".into())]
    }
    fn attrs(&self, target: &Target) -> Vec<(Arc<str>, Arc<str>)> {
        match target {
            Target::Element { ss, se } => self
                .element_record(ss, se)
                .map(|record| {
                    vec![("id".into(), se.clone()), ("length".into(), record.len().to_string().into())]
                })
                .unwrap_or_default(),
            _ => vec![],
        }
    }
    fn operations(&self) -> Vec<Arc<str>> {
        self.state().operations.keys().cloned().collect()
    }
    fn operation(&self, op: &str) -> Option<Operation> {
        self.state().operations.get(op).cloned()
    }
    fn outcome(&self, op: &str) -> Option<Outcome> {
        self.state().outcomes.get(op).cloned()
    }
    fn events(&self, after: u64) -> Vec<(u64, Arc<str>)> {
        self.state().events.iter().filter(|(seq, _)| *seq > after).cloned().collect()
    }
    fn usage(&self, _: &Target, verb: Verb) -> String {
        format!("{}: write a name\n", verb.as_str())
    }
    fn command(&self, request: Request, begun: Box<dyn FnOnce() + Send>, done: Done) {
        begun();
        let mut state = self.state();
        state.requests.push(request.clone());
        self.arrived.notify_all();
        match state.answer.clone() {
            Some(outcome) => {
                drop(state);
                done(outcome);
            }
            None => state.waiting.push((request, done)),
        }
    }
}

/// A mounted fake; the directory goes with it.
pub struct Mount {
    // Dropped in this order.
    pub mounted: Mounted,
    pub fake: Arc<Fake>,
    pub dir: tempfile::TempDir,
}

impl Mount {
    /// `None`, with the reason printed, only where this machine has no FUSE.
    pub fn new(test: &str, fake: Arc<Fake>) -> Option<Self> {
        if !have_fuse(test) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let mounted = fsview::mount(Options::new(dir.path().join("osc")), fake.clone()).unwrap();
        Some(Self { mounted, fake, dir })
    }
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("osc")
    }
    pub fn ss(&self) -> PathBuf {
        self.root().join("ss").join(SS)
    }
    pub fn se(&self, n: usize) -> PathBuf {
        self.ss().join("se").join(format!("se-{n:05}"))
    }
    pub fn tree(&self) -> Tree {
        self.mounted.tree()
    }
    /// Puts a new version of an element and waits until the kernel knows.
    pub fn update(&self, se: &str, element: Option<FakeElement>) {
        {
            let mut state = self.fake.state();
            let key = (SS.into(), se.into());
            match element {
                Some(element) => drop(state.elements.insert(key, element)),
                None => drop(state.elements.remove(&key)),
            }
        }
        self.tree().changed(Change::Element { ss: SS.into(), se: se.into() });
        self.tree().settle();
    }
}

pub fn have_fuse(test: &str) -> bool {
    let have = Path::new("/dev/fuse").exists();
    if !have {
        eprintln!("SKIP {test}: /dev/fuse is missing");
    }
    have
}

pub fn sh(script: &str, dir: &Path) -> Output {
    Command::new("bash").arg("-c").arg(script).current_dir(dir).output().unwrap()
}

/// What a script that must succeed printed.
pub fn out(script: &str, dir: &Path) -> String {
    let output = sh(script, dir);
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

pub fn done(op: &str) -> Outcome {
    Outcome::Done { op: Some(op.into()), message: String::new() }
}
