//! What a call of a plug-in costs: a method that does nothing, called through the runtime (a
//! process forked for each call), against a fresh interpreter for each call, in one run.
//!
//!     cargo run --release -p agent --example bench_call [-- CALLS [PYTHON]…]
//!
//! Prints rows of a Markdown table for each interpreter. As the method itself takes next to nothing,
//! what is measured is what a call takes over what its method does.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use agent::config::Config;
use agent::plugin::api::{PluginType, method};
use agent::plugin::{Call, Runtime};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Between the end of a call and the next. Without any, the process for the next is not at hand yet.
const PAUSES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(5)];

const IMPL: &str = "bench.noop.Noop.Noop";

const PLUGIN: &str = r#"
import os, pickle, re, socket, subprocess, tempfile
from OSCPlugin import IStorageArrayPlugin

class Noop(IStorageArrayPlugin):
    plugin_name = plugin_desc = "noop"
    vendor_name = "bench"
    plugin_version = "1.0"
    plugin_type = "isa"
    required_api_vers = ["1", "2", "7"]
    storage_types = ["SAN"]
    abilities = {}

    @staticmethod
    def validate(ss_record):
        return ss_record

    @staticmethod
    def getInfo(ss_record, se_record=None):
        return ss_record

    @staticmethod
    def list(ss_record):
        return []
"#;

/// What a framework without warm processes would run for each call.
const FRESH: &str = "
import json, sys
sys.path[:0] = sys.argv[1:3]
from noop.Noop import Noop
sys.stdout.write(json.dumps(Noop.validate(json.loads(sys.stdin.read()))))
";

fn main() {
    let mut words = std::env::args().skip(1);
    let calls = words.next().map_or(1000, |word| word.parse().expect("CALLS is a number"));
    let mut pythons: Vec<PathBuf> = words.map(PathBuf::from).collect();
    if pythons.is_empty() {
        pythons = ["python3", "python2.7"].iter().filter_map(|name| real(name)).collect();
    }
    // As the daemon has it.
    let runtime = tokio::runtime::Runtime::new().expect("a tokio runtime");
    println!(
        "| a call of a method that does nothing | measured, p50 (p99) | against, p50 (p99) | ratio | wanted |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for python in pythons {
        // A task of the runtime, as the daemon's calls are.
        let measuring = runtime.spawn(async move { measure(&python, calls).await });
        runtime.block_on(measuring).expect("measuring does not panic");
    }
}

/// The executable behind a name on PATH, if it runs.
fn real(name: &str) -> Option<PathBuf> {
    let output = Command::new(name).args(["-c", "import sys; print(sys.executable)"]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| path.trim().into())
}

async fn measure(python: &Path, calls: usize) {
    let home = std::env::temp_dir().join(format!("bench-call-{}", std::process::id()));
    let module = home.join("plugins/bench/noop");
    std::fs::create_dir_all(&module).expect("a directory for the plug-in");
    std::fs::write(module.join("__init__.py"), format!("osc_isa_plugins = ['{IMPL}']\n")).expect("a file");
    std::fs::write(module.join("Noop.py"), PLUGIN).expect("a file");
    let config = Config {
        state_dir: home.join("state"),
        plugin_dirs: vec![home.join("plugins")],
        interpreters: [("bench.noop".into(), python.into())].into(),
        ..Config::default()
    };
    let (sender, _events) = mpsc::unbounded_channel();
    let runtime = Runtime::start(&config, sender).await.expect("the runtime starts");
    let ss_record = json!({
        "uuid": Uuid::now_v7().to_string(), "name": "array", "vendor": "bench", "passwd": "secret",
        "access_host": "array.example", "storage_id": ["a", "b"], "extra_info": "k=v",
    });
    let mut fresh = Vec::new();
    let mut forked = PAUSES.map(|_| Vec::new());
    // The first ones find nothing warm.
    for number in 0..calls + 20 {
        for (pause, times) in PAUSES.into_iter().zip(&mut forked) {
            // Twice, so that the one measured follows one of its own kind.
            for warm in [true, false] {
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                let begun = Instant::now();
                call(&runtime, &ss_record).await;
                if !warm && number >= 20 {
                    times.push(begun.elapsed());
                }
            }
        }
        // It takes that much longer.
        if number % 10 == 0 {
            let begun = Instant::now();
            start_and_call(python, &home.join("plugins/bench"), &ss_record);
            fresh.push(begun.elapsed());
        }
    }
    let plugins = runtime.plugins();
    let interpreter = plugins
        .iter()
        .find(|plugin| plugin.impl_name == IMPL)
        .and_then(|plugin| plugin.status.interpreter.clone());
    runtime.shutdown().await;
    std::fs::remove_dir_all(&home).expect("the directory goes");
    // Its version; the path is this machine's own.
    let own = interpreter.as_deref().and_then(|text| text.split(" (").next()).unwrap_or("an interpreter");
    let [fresh_50, fresh_99] = [50, 99].map(|percent| percentile(&mut fresh, percent));
    for (pause, mut times) in PAUSES.into_iter().zip(forked) {
        let [p50, p99] = [50, 99].map(|percent| percentile(&mut times, percent));
        let apart =
            if pause.is_zero() { "back to back".into() } else { format!("{} ms apart", pause.as_millis()) };
        println!(
            "| {own}, {apart} | {p50:.2} ms ({p99:.1}) \
             | a fresh interpreter for each {fresh_50:.1} ms ({fresh_99:.1}) | {:.3} | ≤ 2 ms |",
            p50 / fresh_50
        );
    }
}

async fn call(runtime: &Runtime, ss_record: &Value) {
    let call = Call {
        id: Uuid::now_v7(),
        method: method(PluginType::StorageArray, "validate").expect("a method of the table"),
        args: vec![("ss_record", ss_record.clone())],
        deadline: Duration::from_secs(30),
        cancel: CancellationToken::new(),
    };
    let answer = runtime.call(IMPL, call, &mut |_| {}).await.expect("the call succeeds");
    assert_eq!(answer["name"], "array");
}

fn start_and_call(python: &Path, vendor: &Path, ss_record: &Value) {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let mut child = Command::new(python)
        .args(["-E", "-s", "-B", "-c", FRESH])
        .args([&sdk, vendor])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the interpreter starts");
    let stdin = child.stdin.take().expect("it has been asked for");
    serde_json::to_writer(stdin, ss_record).expect("the record is written");
    let output = child.wait_with_output().expect("it ends");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("it answers");
    assert_eq!(answer["name"], "array");
}

/// In milliseconds.
fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    times.sort();
    let index = (times.len() * percent / 100).min(times.len() - 1);
    times[index].as_secs_f64() * 1e3
}
