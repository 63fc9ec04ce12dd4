//! An ordered stop ends by itself, whatever plug-ins do.

use std::process::Command;

use libtest_mimic::Trial;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use tests::eventually;
use tests::need::{Need, Python, test};
use tests::shell::run;

use crate::puppet::{Puppet, prepare};

/// Never answers, ignores every signal that it can, and so does a child of its own in a session of its own.
const STUBBORN: &str = r#"
import os, signal, time
for number in range(1, 32):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, RuntimeError, ValueError):
        pass
open(os.path.join(home, method + ".hangs"), "w").close()
if os.fork() == 0:
    os.setsid()
while True:
    time.sleep(1)
"#;

pub fn tests() -> Vec<Trial> {
    let needs = [Need::Fuse, Need::Dbus, Need::Python(Python::Three)];
    vec![
        test("a_stop_ends_by_itself_while_plug_ins_hang_and_ignore_signals", &needs, stubborn),
        test("a_stop_ends_by_itself_while_a_plug_in_hangs_being_imported", &needs, importing),
    ]
}

fn stubborn() {
    let mut agent = prepare(Python::Three);
    agent.launch();
    let puppet = Puppet::register(&agent, "Array.Array", "stubborn");
    for method in ["createSnap", "list"] {
        puppet.script(method, STUBBORN);
    }
    let snapshot = agent.element(&puppet.server, "lun").join("snapshot");
    let refresh = puppet.server.join("refresh");
    let writers = [(snapshot, "createSnap"), (refresh, "list")].map(|(control, method)| {
        let writer = std::thread::spawn(move || std::fs::write(control, "word"));
        let hangs = puppet.strings_dir().join(format!("{method}.hangs"));
        eventually("a call that hangs", || hangs.exists().then_some(()));
        writer
    });
    // Who stands in the tree holds the mount, but nobody up.
    let stands = std::fs::File::open(agent.root()).unwrap();
    assert_eq!(agent.ends_by_itself(Signal::SIGTERM).code(), Some(0));
    drop(stands);
    for writer in writers {
        let told = writer.join().unwrap().unwrap_err();
        assert_eq!(told.raw_os_error(), Some(Errno::EINPROGRESS as i32), "{told}");
    }
    nothing_is_left(&agent);
}

fn importing() {
    let mut agent = prepare(Python::Three);
    let module = agent.plugins().join("puppet/stage/Array.py");
    let text = std::fs::read_to_string(&module).unwrap();
    let hangs = agent.home().join("hangs");
    let stubborn = STUBBORN.replace("os.path.join(home, method + \".hangs\")", &format!("{hangs:?}"));
    std::fs::write(&module, format!("{text}\n{stubborn}")).unwrap();
    agent.launch();
    eventually("an import that hangs", || hangs.exists().then_some(()));
    assert_eq!(agent.ends_by_itself(Signal::SIGTERM).code(), Some(0));
    nothing_is_left(&agent);
}

fn nothing_is_left(agent: &tests::daemon::Agent) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&agent.root().display().to_string()), "{mounts}");
    let state = agent.state().display().to_string();
    eventually("no process", || {
        run(Command::new("pgrep").args(["-f", &state])).stdout.is_empty().then_some(())
    });
}
