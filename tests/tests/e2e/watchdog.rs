//! A loop that is stuck is found out and named, and the service manager is no longer told that all is well.

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use tests::daemon::Agent;
use tests::eventually;
use tests::need::{Need, Python, test};

/// What can be stuck, and a request that gets it to where it is.
type Provoke = fn(&Agent);

const LOOPS: &[(&str, Provoke)] = &[
    ("records", |agent| in_the_background(agent.root().join("nothing-of-that-name"))),
    ("controls", |agent| in_the_background(agent.root().join("register"))),
    ("changes", |agent| drop(agent.oscctl(["server", "refresh", "--no-wait", "local"]))),
    ("bus", |_| {}),
    ("store", |_| {}),
    ("operations", |_| {}),
];

pub fn tests() -> Vec<Trial> {
    vec![test(
        "any_loop_that_is_stuck_ends_the_signs_of_life_and_is_named",
        &[Need::Fuse, Need::Dbus, Need::Python(Python::Three)],
        stuck,
    )]
}

/// Whoever asks waits with it.
fn in_the_background(path: std::path::PathBuf) {
    std::thread::spawn(move || drop(std::fs::read(path)));
}

fn stuck() {
    let mut agent = Agent::prepare();
    let hang = agent.home().join("hang");
    std::fs::create_dir(&hang).unwrap();
    agent.env("OSC_HANG", hang.to_str().unwrap());
    agent.env("WATCHDOG_USEC", "1000000");
    agent.launch();
    agent.register(
        "osc.localfs.LocalFS.LocalFS",
        &serde_json::json!({"name": "local", "storage_type": "FileSys"}),
    );
    let alive = || agent.told().iter().filter(|message| message.contains("WATCHDOG=1")).count();
    eventually("it is alive", || (alive() > 2).then_some(()));
    for (name, provoke) in LOOPS {
        std::fs::write(hang.join(name), "").unwrap();
        provoke(&agent);
        agent.logged(&format!("the loop \"{name}\" has stood still"));
        // A thread that is stuck may have kept others of its kind from their work.
        let named = |message: &String| message.contains("STATUS=Stuck: ") && message.contains(name);
        eventually("the status line names it", || agent.told().iter().any(named).then_some(()));
        let before = alive();
        std::fs::remove_file(hang.join(name)).unwrap();
        agent.logged(&format!("the loop \"{name}\" goes round again"));
        eventually("it is alive again", || (alive() > before).then_some(()));
    }
    agent.end(Signal::SIGTERM);
}
