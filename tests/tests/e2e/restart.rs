//! What survives the agent's end, and what an operation's end is then called.

use std::process::Command;

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use serde_json::Value;
use tests::array::{Array, NEEDS, PLUGIN};
use tests::daemon::Agent;
use tests::eventually;
use tests::need::{Need, Python, test};
use tests::shell::{run, sh};

pub fn tests() -> Vec<Trial> {
    let needs = [&[Need::Fuse, Need::Dbus, Need::Python(Python::Three)][..], &NEEDS].concat();
    let mut all = Vec::new();
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let name = format!("every_server_and_element_is_back_after_{}", signal.as_str().to_lowercase());
        all.push(test(name, &needs, move || back_after(signal)));
    }
    all.push(test("an_operation_that_was_cut_off_is_interrupted", &needs, interrupted));
    all.push(test("a_secret_is_in_no_file_log_or_process_listing", &needs, secrets));
    all.push(test("a_stop_leaves_no_mount_and_no_process", &needs, clean_stop));
    all
}

fn back_after(signal: Signal) {
    let mut agent = Agent::start();
    let array = Array::create(&agent.home().join("array"), "1GiB");
    let server = agent.register(PLUGIN, &array.record("demo"));
    let lun = agent.create(&server, "data", 1 << 20);
    agent.write(&lun.join("snapshot"), "s1");
    let records = |agent: &Agent| sh(&format!("cat {}/ss/*/se/*/record", agent.root().display())).ok();
    let before = records(&agent);
    // The array cannot be asked: what comes back is what the agent kept.
    array.unplug(true);
    agent.end(signal);
    agent.launch();
    assert_eq!(records(&agent), before);
    let state = || -> Value {
        serde_json::from_str(&std::fs::read_to_string(server.join("state")).unwrap()).unwrap()
    };
    eventually("a refresh that fails", || (!state()["error"].is_null()).then_some(()));
    assert_eq!(state()["stale"], true);
    array.unplug(false);
    agent.write(&server.join("refresh"), "now");
    assert_eq!(state()["stale"], false);
    assert_eq!(records(&agent), before);
    agent.end(Signal::SIGTERM);
}

fn interrupted() {
    let mut agent = Agent::prepare();
    tests::install(&agent, "bench/many");
    agent.launch();
    let record = serde_json::json!({
        "name": "slow", "storage_type": "SAN", "admin_host": "", "admin_user": "", "admin_passwd": "",
        "extra_info": "count=3,snap_seconds=600", "refresh_interval": 0,
    });
    let server = agent.register("bench.many.Many.Many", &record);
    let control = agent.element(&server, "element-00001").join("snapshot");
    let child = Command::new("sh").arg("-c").arg(format!("echo s1 > {}", control.display())).spawn();
    let operation = || {
        let listed = std::fs::read_dir(agent.root().join("op")).unwrap();
        let mut records = listed.map(|entry| agent.record(&entry.unwrap().path()));
        records.find(|record| record["command"] == "snapshot" && record["state"] == "running")
    };
    let id = eventually("a running snapshot", operation)["id"].as_str().unwrap().to_owned();
    agent.end(Signal::SIGKILL);
    let _ = child.map(|mut child| child.wait());
    agent.launch();
    let record = agent.record(&agent.root().join("op").join(id));
    assert_eq!(record["state"], "interrupted", "{record}");
    assert!(!record["ended"].is_null());
}

fn secrets() {
    let mut agent = Agent::start();
    let array = Array::create(&agent.home().join("array"), "1GiB");
    let mut record = array.record("demo");
    let secret = "Xq7-hunter2-Zw9";
    record["admin_passwd"] = secret.into();
    record["passwd"] = secret.into();
    let server = agent.register(PLUGIN, &record);
    agent.write(&server.join("refresh"), "now");
    let tree = sh(&format!(
        "cat {}/README; find {0} -type f -exec cat {{}} +; cat {0}/register",
        agent.root().display()
    ));
    assert!(!tree.stdout.contains(secret), "the tree shows it");
    let processes =
        sh("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -v grep");
    assert!(!processes.stdout.contains(secret), "a process shows it");
    agent.end(Signal::SIGKILL);
    assert!(!agent.log().contains(secret), "the log shows it");
    let found = sh(&format!("grep -rl -- {secret} {}", agent.state().display()));
    assert_eq!(found.stdout, "", "a file holds it");
    agent.launch();
    agent.write(&server.join("refresh"), "now");
}

fn clean_stop() {
    let mut agent = Agent::start();
    let array = Array::create(&agent.home().join("array"), "1GiB");
    agent.register(PLUGIN, &array.record("demo"));
    agent.end(Signal::SIGTERM);
    let state = agent.state().display().to_string();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&agent.root().display().to_string()), "{mounts}");
    eventually("no worker", || {
        run(Command::new("pgrep").args(["-f", &state])).stdout.is_empty().then_some(())
    });
}
