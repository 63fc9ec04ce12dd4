//! Another configuration while everything goes on.

use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use tests::daemon::Agent;
use tests::eventually;
use tests::need::{Need, test};

pub fn tests() -> Vec<Trial> {
    vec![
        test(
            "a_reload_changes_what_it_can_and_tells_the_service_manager",
            &[Need::Fuse, Need::Dbus],
            reloads,
        ),
        test("a_broken_configuration_changes_nothing_and_says_why", &[Need::Fuse, Need::Dbus], refuses),
        test("a_broken_configuration_is_no_start", &[Need::Fuse, Need::Dbus], no_start),
    ]
}

fn reload(agent: &Agent, config: &str) -> Vec<String> {
    std::fs::write(agent.config_file(), config).unwrap();
    let before = agent.told().len();
    agent.signal(Signal::SIGHUP);
    eventually("it says that it is ready again", || {
        let told = agent.told().split_off(before);
        told.iter().any(|message| message.contains("READY=1")).then_some(told)
    })
}

fn reloads() {
    let mut agent = Agent::prepare();
    agent.configure("write_wait = 50\n");
    agent.launch();
    let pid = agent.pid();
    let told =
        reload(&agent, "write_wait = 5\nplugin_dirs = [\"/elsewhere\"]\ninterpreter_path = [\"/python\"]\n");
    let reloading = told.iter().position(|message| message.contains("RELOADING=1")).expect("it says so");
    assert!(told[reloading].contains("MONOTONIC_USEC="), "{told:?}");
    assert!(!told[..reloading].iter().any(|message| message.contains("READY=1")), "{told:?}");
    agent.logged("the configuration was reloaded changed=\"write_wait\"");
    // The command line goes over the file, so its key did not change.
    let status = agent.oscctl(["status"]).ok();
    assert!(status.contains("interpreter_path changed, and wait for a restart"), "{status}");
    assert!(agent.pid() == pid && agent.root().join("version").exists());
}

fn refuses() {
    let mut agent = Agent::prepare();
    agent.configure("write_wait = 50\n");
    agent.launch();
    let told = reload(&agent, "\nwrite_wiat = 5\n");
    let place = format!("{}:2: unknown key \"write_wiat\"", agent.config_file().display());
    let ready = told.iter().find(|message| message.contains("READY=1")).unwrap();
    assert!(ready.contains("STATUS=") && ready.contains(&place), "{ready}");
    agent.logged(&place);
    let status = agent.oscctl(["status"]).ok();
    assert!(status.contains(&place), "{status}");
    let json: serde_json::Value = serde_json::from_str(&agent.oscctl(["-o", "json", "status"]).ok()).unwrap();
    assert!(json["config"]["error"].as_str().is_some_and(|text| text.contains(&place)), "{json}");

    let told = reload(&agent, "write_wait = 6\n");
    assert!(told.iter().all(|message| !message.contains("not reloaded")), "{told:?}");
    assert!(!agent.oscctl(["status"]).ok().contains("failed"));
}

fn no_start() {
    let mut agent = Agent::prepare();
    agent.configure("[limits]\nmemori = 1\n");
    let ran = agent.command().output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains(":2: unknown key \"memori\" in [limits]; there are memory"), "{said}");
    assert!(!agent.root().join("version").exists());
}
