//! What was acknowledged is there after a crash, at whatever step of writing it the agent dies.
//!
//! strace(1) kills the agent as it enters the n-th write or sync of the thread that writes the state, for every n that the
//! work takes. Losing power in the middle of them is for the virtual machine.

use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tests::daemon::Agent;
use tests::need::{Need, Python, test};

/// The system calls that change the state on the disk, and how far apart the deaths are.
const STEPS: [(&str, usize); 2] = [("fsync", 1), ("pwrite64", 9)];

pub fn tests() -> Vec<Trial> {
    let needs = [Need::Fuse, Need::Dbus, Need::Python(Python::Three), Need::Tracing];
    STEPS
        .into_iter()
        .map(|(call, apart)| {
            let name = format!("what_was_acknowledged_survives_a_death_in_any_{call}");
            test(name, &needs, move || every_step(call, apart))
        })
        .collect()
}

/// Has the agent die at every step, until it lives to the end of the work.
fn every_step(call: &str, apart: usize) {
    for at in (1..).step_by(apart) {
        let died = one_step(call, at);
        println!("{call} {at}: {}", if died { "died" } else { "lived" });
        if !died {
            assert!(at > 5 * apart, "the work takes more steps than {at}");
            return;
        }
    }
}

/// What the agent has acknowledged.
#[derive(Debug, Default)]
struct Acknowledged {
    first: bool,
    snapshot: bool,
    second: bool,
    first_going: bool,
    first_gone: bool,
}

/// Whether it died.
fn one_step(call: &str, at: usize) -> bool {
    let mut agent = Agent::prepare();
    tests::install(&agent, "bench/many");
    let inject = format!("inject={call}:signal=KILL:when={at}");
    let trace = format!("trace={call}");
    let command = agent.command_by(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject]);
    let mut acknowledged = Acknowledged::default();
    let died = !agent.try_launch(command) || work(&agent, &mut acknowledged).is_err();
    if !died {
        kill_traced(agent.pid());
    }
    agent.end(Signal::SIGKILL);
    agent.launch();
    check(&agent, &acknowledged, &format!("{call} {at}: {acknowledged:?}"));
    died
}

fn work(agent: &Agent, done: &mut Acknowledged) -> std::io::Result<()> {
    let root = agent.root();
    let register = |name: &str| {
        let record = json!({
            "name": name, "storage_type": "SAN", "admin_host": "", "admin_user": "", "admin_passwd": "",
            "extra_info": "count=3", "refresh_interval": 0,
        });
        let request = json!({"plugin": "bench.many.Many.Many", "record": record});
        std::fs::write(root.join("register"), request.to_string())
    };
    register("first")?;
    done.first = true;
    std::fs::write(root.join("by-name/first/se-by-name/element-00001/snapshot"), "s1")?;
    done.snapshot = true;
    register("second")?;
    done.second = true;
    done.first_going = true;
    std::fs::write(root.join("by-name/first/unregister"), "now")?;
    done.first_gone = true;
    Ok(())
}

fn check(agent: &Agent, done: &Acknowledged, what: &str) {
    let there = |name: &str| agent.root().join("by-name").join(name).exists();
    assert!(!done.first || done.first_going || there("first"), "{what}: the first is lost");
    assert!(!done.first_gone || !there("first"), "{what}: the first is back");
    assert!(!done.second || there("second"), "{what}: the second is lost");
    let listed = std::fs::read_dir(agent.root().join("op")).expect("the journal is listed");
    let operations: Vec<Value> = listed.map(|entry| agent.record(&entry.expect("an entry").path())).collect();
    for operation in &operations {
        let state = operation["state"].as_str().unwrap_or_default();
        // A refresh that the agent does by itself when it starts may be under way.
        let own = operation["command"] == "refresh";
        assert!(own || !["queued", "running"].contains(&state), "{what}: {operation} has no end");
    }
    let succeeded = |command: &str| {
        let all = operations.iter().filter(|it| it["command"] == command && it["state"] == "succeeded");
        all.count()
    };
    assert!(succeeded("register") >= usize::from(done.first) + usize::from(done.second), "{what}");
    assert!(succeeded("snapshot") >= usize::from(done.snapshot), "{what}: {operations:#?}");
    assert!(succeeded("unregister") >= usize::from(done.first_gone), "{what}: {operations:#?}");
    for name in ["first", "second"] {
        if there(name) {
            // Whole: it can be used, which takes its sealed record too.
            agent.write(&agent.root().join("by-name").join(name).join("refresh"), "now");
        }
    }
}

/// Ends what strace runs; strace ends with it.
fn kill_traced(strace: u32) {
    let children =
        std::fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).unwrap_or_default();
    for pid in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}
