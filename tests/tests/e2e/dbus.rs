//! The same agent as a client on the bus sees it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use libtest_mimic::Trial;
use tests::array::{Array, NEEDS, PLUGIN};
use tests::daemon::Agent;
use tests::need::{Need, Python, test};
use tests::shell::run;

pub fn tests() -> Vec<Trial> {
    let needs = [
        &[Need::Fuse, Need::Dbus, Need::Tool("gdbus"), Need::Tool("busctl"), Need::Python(Python::Three)][..],
        &NEEDS,
    ]
    .concat();
    vec![
        test("one_changed_element_is_one_signal_and_no_change_is_none", &needs, signals),
        test("every_object_of_the_tree_is_on_the_bus", &needs, objects),
        test("oscctl_does_the_main_job_with_the_promised_exit_statuses", &needs, oscctl),
    ]
}

/// A process that ends with the test, also one that fails.
struct Ending(std::process::Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lines of `gdbus monitor`.
fn monitor(agent: &Agent) -> (Ending, mpsc::Receiver<String>) {
    let address = &agent.bus.as_ref().unwrap().address;
    let mut child = Command::new("gdbus")
        .args(["monitor", "--address", address, "--dest", "org.storageconnect.Agent1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    // It says so when it listens.
    lines.recv_timeout(Duration::from_secs(20)).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    (Ending(child), lines)
}

fn drained(lines: &mpsc::Receiver<String>) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(line) = lines.recv_timeout(Duration::from_secs(1)) {
        all.push(line);
    }
    all
}

fn signals() {
    let mut agent = Agent::prepare();
    tests::install(&agent, "bench/many");
    agent.launch();
    let changes = agent.home().join("changes");
    let record = serde_json::json!({
        "name": "many", "storage_type": "SAN", "admin_host": "", "admin_user": "", "admin_passwd": "",
        "extra_info": format!("count=100,changes={}", changes.display()), "refresh_interval": 0,
    });
    let server = agent.register("bench.many.Many.Many", &record);
    let (_monitor, lines) = monitor(&agent);
    drained(&lines);
    agent.write(&server.join("refresh"), "now");
    let about_elements =
        |lines: &[String]| lines.iter().filter(|l| l.contains("/se/")).cloned().collect::<Vec<_>>();
    let told = about_elements(&drained(&lines));
    assert_eq!(told, Vec::<String>::new(), "a refresh that changes nothing tells nobody");
    // Version 1 for the first one.
    std::fs::write(&changes, "1 1\n").unwrap();
    agent.write(&server.join("refresh"), "now");
    let told = about_elements(&drained(&lines));
    let changed: Vec<_> = told.iter().filter(|line| line.contains("PropertiesChanged")).collect();
    assert_eq!(changed.len(), 1, "{told:#?}");
    let events: Vec<_> = told.iter().filter(|line| line.contains("Manager.Event")).collect();
    assert_eq!(events.len(), 1, "{told:#?}");
}

fn objects() {
    let agent = Agent::start();
    let array = Array::create(&agent.home().join("array"), "1GiB");
    let server = agent.register(PLUGIN, &array.record("demo"));
    let lun = agent.create(&server, "data", 1 << 20);
    let bus = format!("--address={}", agent.bus.as_ref().unwrap().address);
    let name = "org.storageconnect.Agent1";
    let tree = run(Command::new("busctl").args([&bus, "tree", "--list", name])).ok();
    let escape = |path: &std::path::Path| path.file_name().unwrap().to_str().unwrap().replace('-', "_");
    let object = format!("/org/storageconnect/Agent1/server/{}/se/{}", escape(&server), escape(&lun));
    assert!(tree.lines().any(|line| line == object), "{object}\n{tree}");
    let size = run(Command::new("busctl").args([
        &bus,
        "get-property",
        name,
        &object,
        "org.storageconnect.Agent1.StorageElement",
        "Size",
    ]));
    assert_eq!(size.ok(), format!("x {}", 1 << 20));
    let shown = run(Command::new("busctl").args([&bus, "introspect", name, &object])).ok();
    for word in ["Snapshot", "Page83Id", "PropertiesChanged"] {
        assert!(shown.contains(word), "{word}\n{shown}");
    }
}

fn oscctl() {
    let agent = Agent::start();
    let array = Array::create(&agent.home().join("array"), "1GiB");
    let info = format!("extra_info=path={}", array.dir.display());
    agent.oscctl(["server", "add", PLUGIN, "demo", "storage_type=SAN", &info]).ok();
    agent.oscctl(["element", "create", "demo", "data", "--size", "64MiB", "vol_group_name=vg0"]).ok();
    agent.oscctl(["element", "snapshot", "demo", "data", "s1"]).ok();
    let again = agent.oscctl(["element", "snapshot", "demo", "data", "s1"]);
    assert_eq!(again.status, 1, "{again:?}");
    let listed = agent.oscctl(["element", "list", "demo"]).ok();
    assert!(listed.contains("64.0 MiB") && listed.contains("s1"), "{listed}");
    let json = agent.oscctl(["-o", "json", "element", "list", "demo"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.as_array().map(Vec::len), Some(2), "{json}");
    assert_eq!(agent.oscctl(["element", "show", "demo", "nothing"]).status, 2);
    assert_eq!(agent.oscctl(["element", "paint"]).status, 2);
    let away =
        run(Command::new(tests::program("oscctl")).args(["--bus", "unix:path=/nonexistent/bus", "status"]));
    assert_eq!(away.status, 3, "{away:?}");
}
