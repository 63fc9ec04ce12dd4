//! Starts that must be refused in words, or must cope.

use libtest_mimic::Trial;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use tests::array::{Array, NEEDS, PLUGIN};
use tests::daemon::Agent;
use tests::need::{Need, Python, test};
use tests::shell::{run, sh};

pub fn tests() -> Vec<Trial> {
    let needs = [&[Need::Fuse, Need::Dbus, Need::Python(Python::Three)][..], &NEEDS].concat();
    vec![
        test("a_second_agent_on_one_state_directory_is_refused", &needs, second_agent),
        test("a_mount_point_that_is_not_empty_is_refused", &needs, not_empty),
        test("a_missing_mount_point_is_made_or_refused_by_name", &needs, missing),
        test("a_dead_mount_is_replaced", &needs, dead_mount),
        test("a_bus_that_is_not_there_is_refused_by_name", &needs, no_bus),
        test("without_its_interpreter_a_plug_in_says_why_not_and_the_others_serve", &needs, no_python),
        test("a_full_disk_refuses_changes_and_loses_nothing", &needs, full_disk),
        test("an_unknown_key_in_the_configuration_is_refused_with_its_line", &needs, unknown_key),
    ]
}

#[track_caller]
fn refuses(agent: &Agent, change: impl FnOnce(&mut std::process::Command), words: &[&str]) {
    let mut command = agent.command();
    change(&mut command);
    let mut limited = std::process::Command::new("timeout");
    limited.args(["-k", "5", "30"]).arg(command.get_program()).args(command.get_args());
    let ran = run(&mut limited);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is missing:\n{}", ran.stderr);
    }
    assert!(
        !std::fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .contains(&format!("{} ", agent.root().display()))
    );
}

fn second_agent() {
    let agent = Agent::start();
    let mut other = agent.command();
    other.arg("--mountpoint").arg(agent.home().join("elsewhere"));
    let arguments: Vec<_> = other.get_args().map(std::ffi::OsStr::to_owned).collect();
    // Given once each: the first mount point is the running agent's.
    let at = arguments.iter().position(|argument| argument == "--mountpoint").unwrap();
    let mut command = std::process::Command::new(other.get_program());
    command.args(&arguments[..at]).args(&arguments[at + 2..]);
    let ran = run(&mut command);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains(&agent.state().display().to_string()), "{}", ran.stderr);
    assert!(ran.stderr.contains(&agent.pid().to_string()), "{}", ran.stderr);
    assert!(agent.root().join("version").exists(), "the first agent goes on");
}

fn not_empty() {
    let agent = Agent::prepare();
    std::fs::create_dir(agent.root()).unwrap();
    std::fs::write(agent.root().join("precious"), "data").unwrap();
    let root = agent.root().display().to_string();
    let mut command = agent.command();
    let ran = run(&mut command);
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains(&root) && ran.stderr.contains("not empty"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(agent.root().join("precious")).unwrap(), "data");
}

fn missing() {
    let mut agent = Agent::prepare();
    assert!(!agent.root().exists());
    agent.launch();
    assert!(agent.root().join("version").exists());
    let other = Agent::prepare();
    let mut command = other.command();
    let arguments: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
    let at = arguments.iter().position(|argument| argument == "--mountpoint").unwrap();
    command = std::process::Command::new(other.command().get_program());
    command
        .args(&arguments[..at])
        .arg("--mountpoint")
        .arg(other.home().join("no/such/dir"))
        .args(&arguments[at + 2..]);
    let ran = run(&mut command);
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("no/such"), "{}", ran.stderr);
}

fn dead_mount() {
    let mut agent = Agent::start();
    agent.end(Signal::SIGKILL);
    let dead = std::fs::metadata(agent.root().join("version")).unwrap_err();
    assert_eq!(dead.raw_os_error(), Some(libc::ENOTCONN));
    agent.launch();
    assert!(agent.root().join("version").exists());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = mounts.lines().filter(|line| line.contains(&format!("{} ", agent.root().display()))).count();
    assert_eq!(own, 1, "{mounts}");
}

fn no_bus() {
    let mut agent = Agent::prepare();
    let mut bus = agent.bus.take().unwrap();
    bus.kill();
    let address = format!("unix:path={}/nobody", agent.home().display());
    bus.address = address.clone();
    agent.bus = Some(bus);
    refuses(&agent, |_| {}, &[&address]);
}

fn no_python() {
    let mut agent = Agent::prepare();
    agent.configure("[interpreters]\n\"osc.filearray\" = \"/nowhere/python3\"\n");
    agent.launch();
    let told = tests::eventually("a status that says why", || {
        let mut plugins = agent.root().join("plugins").read_dir().ok()?.flatten();
        let plugin =
            plugins.find(|entry| entry.file_name().to_string_lossy().starts_with("osc.filearray"))?;
        let told = std::fs::read_to_string(plugin.path().join("status")).ok()?;
        told.contains("/nowhere/python3").then_some(told)
    });
    assert!(told.contains("\"usable\":false"), "{told}");
    let other = agent.root().join("plugins/osc.localfs.LocalFS.LocalFS/status");
    tests::eventually("the other plug-in", || {
        std::fs::read_to_string(&other).ok()?.contains("\"usable\":true").then_some(())
    });
}

fn full_disk() {
    let mut agent = Agent::prepare();
    std::fs::create_dir(agent.state()).unwrap();
    mount(Some("none"), &agent.state(), Some("tmpfs"), MsFlags::empty(), Some("size=8m")).unwrap();
    agent.launch();
    let array = Array::create(&agent.home().join("array"), "1GiB");
    let server = agent.register(PLUGIN, &array.record("demo"));
    let lun = agent.create(&server, "data", 1 << 20);
    let filler = agent.state().join("filler");
    let filled = sh(&format!("cat /dev/zero > {}", filler.display()));
    assert_ne!(filled.status, 0);
    // Whether one more page of the journal still fits is the disk's affair; in the end it does not.
    let refused = (0..200).find_map(|n| std::fs::write(lun.join("snapshot"), format!("full{n}")).err());
    let refused = refused.expect("a full disk takes no journal entry");
    assert_eq!(refused.raw_os_error(), Some(libc::ENOSPC), "{refused}\n{}", agent.log());
    let told = std::fs::read_to_string(lun.join("snapshot")).unwrap();
    assert!(told.contains(&agent.state().display().to_string()), "{told}");
    assert_eq!(agent.record(&lun)["name"], "data");
    std::fs::remove_file(&filler).unwrap();
    agent.write(&lun.join("snapshot"), "room-again");
    agent.end(Signal::SIGKILL);
    agent.launch();
    agent.element(&server, "room-again");
    agent.end(Signal::SIGTERM);
}

fn unknown_key() {
    let mut agent = Agent::prepare();
    agent.configure("refresh_interval = 30\nrefresh_intervall = 30\n");
    refuses(&agent, |_| {}, &["refresh_intervall", "agent.toml:2"]);
}
