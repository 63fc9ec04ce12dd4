//! The runtime with real interpreters, real workers and plug-ins that do what they should not.

mod calls;
mod endings;
mod hosting;
mod installing;
mod loading;
mod versions;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::api::{PluginType, method};
use super::{Call, Event, Plugin, Runtime};
use crate::config::Config;
use crate::error::Result;

/// A test that takes this long has failed; none waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

const MODULE: &str = "acme.rig";
const IMPL: &str = "acme.rig.Rig.Rig";

const INIT: &str = "osc_isa_plugins = ['acme.rig.Rig.Rig']\n";

/// A class that does what the storage server record's `do` names: a function of its own module.
const RIG: &str = r#"
import os, signal, subprocess, sys, time
from OSCPlugin import *

class Rig(IStorageArrayPlugin):
    plugin_name = "rig"
    plugin_desc = "does what a test asks for"
    vendor_name = "acme"
    plugin_version = "1.0"
    plugin_type = "isa"
    required_api_vers = ["1", "2", "7"]
    storage_types = ["SAN"]
    abilities = {}

    @staticmethod
    def validate(ss_record):
        return act(ss_record)

    @staticmethod
    def getInfo(ss_record, se_record=None):
        return act(ss_record)

    @staticmethod
    def list(ss_record):
        return act(ss_record)

    @staticmethod
    def getStorageNames(ss_record):
        return act(ss_record)

def act(ss_record):
    return globals()[ss_record["do"]](ss_record)

"#;

/// The interpreters that tests run under: Python 3, and 2.7 where this host has it.
fn pythons() -> &'static [PathBuf] {
    static FOUND: LazyLock<Vec<PathBuf>> = LazyLock::new(|| {
        // A version manager's shim on PATH may refuse to run; the real ones lie in its own folder.
        let managed = std::process::Command::new("pyenv").arg("root").output();
        let root = managed.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
        let versions = std::fs::read_dir(Path::new(root.trim()).join("versions"));
        let versions = versions.into_iter().flatten().flatten();
        let two = versions.map(|entry| entry.path().join("bin/python2.7")).find(|path| path.is_file());
        let runs = |path: &Path| {
            let question = "import sys; print(sys.executable)";
            let output = std::process::Command::new(path).args(["-c", question]).output().ok()?;
            let path = String::from_utf8(output.stdout).ok()?;
            output.status.success().then(|| PathBuf::from(path.trim()))
        };
        let three = runs(Path::new("python3")).expect("these tests need a python3");
        let two = runs(Path::new("python2.7")).or(two);
        if two.is_none() {
            eprintln!("skipped: everything under Python 2.7, which this host has not got");
        }
        [three].into_iter().chain(two).collect()
    });
    &FOUND
}

fn has_python2() -> bool {
    pythons().len() > 1
}

/// A runtime over plug-in directories of its own.
struct Rig {
    config: Config,
    dir: PathBuf,
    runtime: Runtime,
    events: mpsc::UnboundedReceiver<Event>,
    /// Removed when the test is over.
    _home: TempDir,
}

/// What a rig starts with.
struct Setup {
    config: Config,
    dir: PathBuf,
    home: TempDir,
}

impl Setup {
    fn new() -> Setup {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("plugins");
        let folders = pythons().iter().filter_map(|python| python.parent().map(Into::into));
        let config = Config {
            state_dir: home.path().join("state"),
            plugin_dirs: vec![dir.clone()],
            import_deadline: Duration::from_secs(30),
            interpreter_path: folders.collect(),
            ..Config::default()
        };
        Setup { config, dir, home }
    }

    /// With the rig's class, and these functions for it.
    fn with(functions: &str) -> Setup {
        let setup = Setup::new();
        write(&setup.dir, "acme/rig/__init__.py", INIT);
        write(&setup.dir, "acme/rig/Rig.py", &format!("{RIG}{functions}"));
        setup
    }

    fn under(mut self, python: &Path) -> Setup {
        self.config.interpreters.insert(MODULE.into(), python.into());
        self
    }

    async fn start(self) -> Rig {
        let (sender, events) = mpsc::unbounded_channel();
        let runtime = Runtime::start(&self.config, sender).await.unwrap();
        Rig { config: self.config, dir: self.dir, runtime, events, _home: self.home }
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn call_of(method_name: &str, ss_record: Value) -> Call {
    let method = method(PluginType::StorageArray, method_name).unwrap();
    let mut args = vec![("ss_record", ss_record)];
    args.extend(method.args[1..].iter().map(|arg| (arg.name, Value::Null)));
    Call { id: Uuid::now_v7(), method, args, deadline: PATIENCE, cancel: CancellationToken::new() }
}

impl Rig {
    async fn make(&self, call: Call) -> Result<Value> {
        self.runtime.call(IMPL, call, &mut |_| {}).await
    }

    /// What the function that `what` names returns through `getStorageNames`, which may return
    /// anything.
    async fn act(&self, what: &str) -> Result<Value> {
        self.make(call_of("getStorageNames", json!({"do": what}))).await
    }

    async fn act_with(&self, what: &str, key: &str, value: impl Into<Value>) -> Result<Value> {
        let mut ss_record = json!({"do": what});
        ss_record[key] = value.into();
        self.make(call_of("getStorageNames", ss_record)).await
    }

    async fn list(&self, what: &str) -> (Result<Value>, Vec<Value>) {
        let mut items = Vec::new();
        let mut take = |item: &RawValue| items.push(serde_json::from_str(item.get()).unwrap());
        let call = call_of("list", json!({"do": what}));
        let result = self.runtime.call(IMPL, call, &mut take).await;
        (result, items)
    }

    fn plugin(&self, impl_name: &str) -> Option<Arc<Plugin>> {
        self.runtime.plugins().into_iter().find(|plugin| plugin.impl_name == impl_name)
    }

    /// Waits until the plug-in is as wanted, and says what it is then.
    async fn until(&mut self, impl_name: &str, is: impl Fn(Option<&Plugin>) -> bool) -> Option<Arc<Plugin>> {
        let waiting = async {
            loop {
                let plugin = self.plugin(impl_name);
                if is(plugin.as_deref()) {
                    return plugin;
                }
                self.events.recv().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| panic!("{impl_name} stayed {:?}", self.plugin(impl_name)))
    }

    async fn until_usable(&mut self) -> Arc<Plugin> {
        self.until(IMPL, |plugin| plugin.is_some_and(|plugin| plugin.status.usable)).await.unwrap()
    }

    async fn until_error(&mut self, impl_name: &str) -> String {
        let broken = |plugin: Option<&Plugin>| plugin.is_some_and(|plugin| plugin.status.error.is_some());
        self.until(impl_name, broken).await.unwrap().status.error.clone().unwrap()
    }

    fn problems(&mut self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            if let Event::Problem(name, text) = event {
                problems.push((name, text));
            }
        }
        problems
    }
}

/// Waits until something is so that nothing tells of.
async fn eventually(what: &str, is: impl Fn() -> bool) {
    let waiting = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "never came true: {what}");
}

fn is_alive(pid: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
