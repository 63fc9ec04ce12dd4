//! Clients that share no code with the agent's D-Bus library: libdbus, GDBus and sd-bus run one suite.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use tests::array::{Array, NEEDS};
use tests::daemon::Agent;
use tests::need::{Need, Python, SYSTEM_PYTHON, test};
use tests::project;
use tests::shell::run;

/// Each library, and what reaches it from Python.
const CLIENTS: [(&str, &[Need]); 3] = [
    ("libdbus", &[Need::Module("dbus"), Need::Module("gi.repository.GLib")]),
    ("gdbus", &[Need::Module("gi.repository.Gio")]),
    ("sdbus", &[Need::Module("json"), Need::Tool("busctl")]),
];

pub fn tests() -> Vec<Trial> {
    let base = [&[Need::Fuse, Need::Dbus][..], &NEEDS].concat();
    let mut all: Vec<Trial> = CLIENTS
        .iter()
        .map(|(kind, own)| {
            let needs = [&base[..], own].concat();
            test(format!("any_client_can_use_the_bus_{kind}"), &needs, || suite(kind))
        })
        .collect();
    let needs = [Need::Fuse, Need::Dbus, Need::Python(Python::Three), Need::Module("gi.repository.Gio")];
    all.push(test("the_example_vm_agent_knows_what_the_agent_knows_whatever_happens", &needs, vm_agent));
    all
}

fn suite(kind: &str) {
    let agent = Agent::start();
    let array = Array::create(&agent.home().join("array"), "1GiB");
    let mut record = array.record("suite");
    record["admin_passwd"] = "hunter2".into();
    let address = &agent.bus.as_ref().expect("it has a bus").address;
    let script = project().join("tests/clients/suite.py");
    let ran =
        run(Command::new(SYSTEM_PYTHON).arg("-B").arg(script).args([kind, address]).arg(record.to_string()));
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(!agent.log().contains("hunter2"), "a secret is in the log");
}

/// The example VM agent, under trial.
struct OnTrial(Child);

impl OnTrial {
    fn start(agent: &Agent) -> OnTrial {
        let script = project().join("tests/clients/vm_agent_trial.py");
        let mut command = Command::new(SYSTEM_PYTHON);
        command.arg("-B").arg(script).arg(&agent.bus.as_ref().expect("it has a bus").address);
        OnTrial(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts"))
    }

    /// Its answer to a step.
    fn step(&mut self, step: &str) -> String {
        writeln!(self.0.stdin.as_mut().expect("it is piped"), "{step}").expect("it reads");
        let mut answer = String::new();
        // It answers a step with one line and nothing else, so that nothing is lost with the buffer.
        BufReader::new(self.0.stdout.as_mut().expect("it is piped")).read_line(&mut answer).expect("text");
        answer.trim().to_owned()
    }
}

impl Drop for OnTrial {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn vm_agent() {
    let mut agent = Agent::prepare();
    tests::install(&agent, "bench/many");
    agent.launch();
    let changes = agent.home().join("changes");
    let record = serde_json::json!({
        "name": "many", "storage_type": "SAN", "admin_host": "", "admin_user": "", "admin_passwd": "",
        "extra_info": format!("count=300,changes={}", changes.display()), "refresh_interval": 0,
    });
    let mut example = OnTrial::start(&agent);
    assert!(example.step("same").starts_with("1 "), "it has asked once");
    let server = agent.register("bench.many.Many.Many", &record);
    std::fs::write(&changes, "1 40\n").expect("the test's directory can be written");
    agent.write(&server.join("refresh"), "now");
    let known = example.step("same");
    assert!(known.starts_with("1 "), "signals alone told it of 300 elements and of 40 changes: {known}");
    agent.end(Signal::SIGKILL);
    let kept: usize = example.step("gone").parse().expect("a count");
    assert!(kept > 300, "what was known stays known: {kept}");
    agent.launch();
    assert!(example.step("same").starts_with("2 "), "a new agent is asked once more");
    agent.write(&server.join("unregister"), "now");
    assert!(example.step("same").starts_with("2 "), "an unregistered server goes by signals");
    agent.end(Signal::SIGTERM);
    example.step("gone");
    assert_eq!(example.step("gap"), "1 1 2 3 3", "a gap and a resync make it ask again, and nothing else");
}
