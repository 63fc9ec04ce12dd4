//! `oscctl` end to end: the program itself, a real bus, and an agent that is only its interface.

mod fake;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use fake::{Answer, Bus, FAILED, FILER, NAS, RUNNING, SNAP, VOL0};

#[test]
fn without_an_agent_the_exit_status_is_3_and_the_error_says_how_to_start_it() {
    let bus = Bus::empty();
    for line in [&["status"][..], &["server", "list"], &["element", "snapshot", "filer/vol0"], &["events"]] {
        let answer = bus.oscctl(line);
        assert_eq!(answer.status(), 3, "{line:?}");
        assert!(
            answer.err().contains(&bus.address) && answer.err().contains("oscd --bus"),
            "{}",
            answer.err()
        );
        assert_eq!(answer.out(), "");
    }
    let answer = bus.oscctl(&["-o", "json", "status"]);
    let error: Value = serde_json::from_str(&answer.err()).expect("an error is JSON too");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("not running")), "{error}");
}

#[test]
fn without_a_bus_the_exit_status_is_3_and_the_error_names_it() {
    let output = Command::new(env!("CARGO_BIN_EXE_oscctl"))
        .args(["--bus", "unix:path=/nonexistent/bus", "server", "list"])
        .output()
        .map(Answer::from)
        .expect("oscctl runs");
    assert_eq!(output.status(), 3);
    assert!(output.err().contains("/nonexistent/bus"), "{}", output.err());
}

#[test]
fn lists_are_tables_for_people_and_records_for_scripts() {
    let bus = Bus::with_agent();
    let table = bus.oscctl(&["server", "list"]).out();
    let right = format!(
        "NAME   PLUGIN                             TYPE     SIZE       FREE  STATE  UUID\n\
         filer  osc.filearray.FileArray.FileArray  SAN   1.0 TiB  512.0 GiB  ok     {FILER}\n\
         nas    osc.filearray.FileArray.FileArray  SAN   1.0 TiB  512.0 GiB  ok     {NAS}\n"
    );
    assert_eq!(table, right);
    let elements = bus.oscctl(&["element", "list"]).out();
    let right = format!(
        "NAME     TYPE      SIZE  STATE   PARENT  SERVER  ID\n\
         nightly  Snap  10.0 GiB  ONLINE  vol0    filer   {SNAP}\n\
         vol0     LUN   10.0 GiB  ONLINE  -       filer   {VOL0}\n"
    );
    assert_eq!(elements, right);
    let records = bus.oscctl(&["-o", "json", "element", "list", "filer"]).json();
    assert_eq!(records[1]["uuid"], VOL0);
    assert_eq!(bus.oscctl(&["element", "list", "nas"]).out(), "");
    let fs = bus.oscctl(&["fs", "list"]).out();
    assert!(fs.contains("nfs:/home") && fs.contains("/mnt/home"), "{fs}");
    let plugins = bus.oscctl(&["plugin", "list"]).out();
    assert!(plugins.contains("unusable") && plugins.contains("SyntaxError"), "{plugins}");
    let ops = bus.oscctl(&["op", "list"]).out();
    assert!(ops.contains("running 40%") && ops.contains("2.5 s") && ops.contains("filer/se/"), "{ops}");
    assert_eq!(
        bus.oscctl(&["op", "list", "--running", "-o", "json"]).json().as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn one_object_is_shown_by_any_of_its_names() {
    let bus = Bus::with_agent();
    let undashed = FILER.replace('-', "").to_uppercase();
    for word in ["filer", FILER, &undashed] {
        let server = bus.oscctl(&["-o", "json", "server", "show", word]).json();
        assert_eq!((&server["uuid"], &server["state"]["stale"]), (&json!(FILER), &json!(false)));
        assert_eq!(server["abilities"], json!({"clone": "ONLINE"}));
    }
    for words in [&["filer/vol0"][..], &["filer", "vol0"], &["filer", "1111"], &["filer/11111111-0000"]] {
        let line = [&["-o", "json", "element", "show"], words].concat();
        assert_eq!(bus.oscctl(&line).json()["name"], "vol0", "{words:?}");
    }
    let fs = bus.oscctl(&["-o", "json", "fs", "show", "nas/nfs:/home"]).json();
    assert_eq!(fs["mounts"][0]["mount_point"], "/mnt/home");
    let shown = bus.oscctl(&["element", "show", "filer/vol0"]).out();
    assert!(shown.contains("10.0 GiB (10737418240 bytes)"), "{shown}");
}

#[test]
fn an_unknown_or_ambiguous_name_is_bad_usage() {
    let bus = Bus::with_agent();
    let answer = bus.oscctl(&["server", "show", "0195aaaa"]);
    assert_eq!(answer.status(), 2);
    assert!([FILER, NAS, "filer", "nas"].iter().all(|name| answer.err().contains(name)), "{}", answer.err());
    for line in
        [&["server", "show", "tape"][..], &["element", "online", "filer/vol9"], &["op", "show", "ffff"]]
    {
        assert_eq!(bus.oscctl(line).status(), 2, "{line:?}");
    }
    assert!(bus.asked("Online").is_empty());
}

#[test]
fn an_action_prints_its_result() {
    let bus = Bus::with_agent();
    let answer = bus.oscctl(&["element", "snapshot", "filer/vol0", "nightly"]);
    assert_eq!(answer.status(), 0, "{}", answer.err());
    assert!(answer.out().contains("nightly") && answer.out().contains(SNAP), "{}", answer.out());
    let asked = bus.asked("Snapshot");
    assert!(asked[0].0.ends_with(&VOL0.replace('-', "_")) && asked[0].1.contains("nightly"), "{asked:?}");
    let record = bus.oscctl(&["-o", "json", "element", "snapshot", "filer", "vol0"]).json();
    assert_eq!(record["uuid"], SNAP);
}

#[test]
fn an_operation_that_fails_is_status_1_with_the_agents_words() {
    let bus = Bus::with_agent();
    let answer = bus.oscctl(&["element", "clone", "filer/vol0"]);
    assert_eq!((answer.status(), answer.out().as_str()), (1, ""));
    let right = "oscctl: the pool is full (osc.filearray.FileArray.FileArray, clone)\n";
    assert_eq!(answer.err(), right);
    let answer = bus.oscctl(&["-o", "json", "element", "clone", "filer/vol0"]);
    let error: Value = serde_json::from_str(&answer.err()).expect("JSON");
    assert_eq!((&error["error"], &error["errno"]), (&json!("CloneFailed"), &json!("EREMOTEIO")));
    assert_eq!(bus.oscctl(&["element", "split", "filer/vol0"]).status(), 1);
}

#[test]
fn a_request_the_agent_does_not_understand_is_bad_usage() {
    let bus = Bus::with_agent();
    assert_eq!(bus.oscctl(&["element", "offline", "filer/vol0"]).status(), 2);
    for line in [
        &["element", "resize", "filer/vol0", "huge"][..],
        &["element", "resize", "filer/vol0"],
        &["element", "restore", "filer/vol0", "no-such-snapshot"],
        &["element", "online", "filer/vol0", "extra"],
    ] {
        assert_eq!(bus.oscctl(line).status(), 2, "{line:?}");
    }
    assert!(bus.asked("Resize").is_empty() && bus.asked("Restore").is_empty());
}

#[test]
fn an_operation_that_outlasts_the_timeout_is_status_4_and_can_be_followed() {
    let bus = Bus::with_agent();
    let answer = bus.oscctl(&["element", "resize", "filer/vol0", "20GiB", "--timeout", "1"]);
    assert_eq!(answer.status(), 4);
    assert!(answer.err().contains("oscctl op wait"), "{}", answer.err());
    assert!(bus.asked("Resize")[0].1.contains(&(20_u64 << 30).to_string()), "{:?}", bus.asked("Resize"));
    assert_eq!(bus.oscctl(&["op", "wait", "0195bbbb", "--timeout", "0"]).status(), 4);
    assert_eq!(bus.oscctl(&["op", "wait", FAILED]).status(), 1);
    let answer = bus.oscctl(&["element", "resize", "filer/vol0", "20GiB", "--no-wait"]);
    assert_eq!((answer.status(), answer.out().as_str()), (0, "Resize\n"));
}

#[test]
fn an_interrupted_wait_leaves_the_operation_running() {
    let bus = Bus::with_agent();
    let child = bus.command(&["op", "wait", RUNNING]).spawn().expect("oscctl runs");
    while bus.asked("Wait").is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).expect("it runs");
    let answer = Answer::from(child.wait_with_output().expect("it ends"));
    assert_eq!(answer.status(), 4);
    assert!(answer.err().contains(&format!("oscctl op wait {RUNNING}")), "{}", answer.err());
    assert!(bus.asked("Cancel").is_empty());
    assert_eq!(bus.oscctl(&["op", "cancel", RUNNING]).status(), 0);
    assert_eq!(bus.asked("Cancel").len(), 1);
}

#[test]
fn a_password_travels_in_the_record_only() {
    let bus = Bus::with_agent();
    let refused = bus.oscctl(&["server", "add", "FileArray", "new", "admin_passwd=hunter2"]);
    assert_eq!(refused.status(), 2);
    assert!(
        !refused.err().contains("hunter2") && refused.err().contains("--admin-password-file"),
        "{}",
        refused.err()
    );
    assert!(bus.asked("Register").is_empty());
    let words = ["server", "add", "FileArray", "new", "admin_host=h", "--admin-password-file", "-"];
    let mut child = bus.command(&words).stdin(Stdio::piped()).spawn().expect("oscctl runs");
    child.stdin.take().expect("a pipe").write_all(b"hunter2\n").expect("it reads");
    let answer = Answer::from(child.wait_with_output().expect("it ends"));
    assert_eq!(answer.status(), 0, "{}", answer.err());
    assert!(!answer.out().contains("hunter2") && !answer.err().contains("hunter2"));
    let asked = &bus.asked("Register")[0].1;
    assert!(asked.contains("osc.filearray.FileArray.FileArray") && asked.contains("hunter2"), "{asked}");
    let ask = bus.oscctl(&["server", "add", "FileArray", "--ask-password"]);
    assert_eq!(ask.status(), 2, "there is no terminal to ask on");
}

/// Runs `oscctl` on a terminal, types `answer` when `prompt` appears, and returns the exit status
/// and everything that the terminal showed.
///
/// The shell tells the exit status on the terminal too: what script(1) itself answers with depends on its timing.
fn at_a_terminal(bus: &Bus, words: &str, prompt: &str, answer: &[u8]) -> (i32, String) {
    let line = format!(
        "trap : INT; {} --bus {} {words}; echo \"ended with $?.\"",
        env!("CARGO_BIN_EXE_oscctl"),
        bus.address
    );
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = script.spawn().expect("script(1) is installed");
    let mut out = child.stdout.take().expect("a pipe");
    let mut input = child.stdin.take().expect("a pipe");
    let (mut shown, mut typed) = (Vec::new(), false);
    let mut buffer = [0; 256];
    while let Ok(count @ 1..) = out.read(&mut buffer) {
        shown.extend_from_slice(&buffer[..count]);
        if !typed && String::from_utf8_lossy(&shown).contains(prompt) {
            input.write_all(answer).expect("it is typed");
            typed = true;
        }
    }
    child.wait().expect("script ends");
    let shown = String::from_utf8_lossy(&shown).into_owned();
    let status = shown.rsplit_once("ended with ").and_then(|(_, rest)| rest.split_once('.'));
    let status = status.and_then(|(status, _)| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no exit status in: {shown}")), shown)
}

#[test]
fn a_password_is_asked_for_without_echo() {
    let bus = Bus::with_agent();
    let add = "server add FileArray new admin_user=joe --ask-password";
    let (status, shown) = at_a_terminal(&bus, add, "Password of joe: ", b"hunter2\n");
    assert!(status == 0 && !shown.contains("hunter2"), "{shown}");
    assert!(bus.asked("Register")[0].1.contains("hunter2"));
    let (status, shown) = at_a_terminal(&bus, add, "Password of joe: ", b"hun\x03");
    assert!(status == 2 && shown.contains("nothing was done"), "{shown}");
    assert_eq!(bus.asked("Register").len(), 1);
}

#[test]
fn at_a_terminal_what_cannot_be_undone_is_asked_first() {
    let bus = Bus::with_agent();
    for (line, method) in [
        ("element remove filer/vol0", "Remove"),
        ("server remove filer", "Unregister"),
        ("fs destroy nas/nfs:/home", "Destroy"),
    ] {
        let (status, shown) = at_a_terminal(&bus, line, "[y/N] ", b"\n");
        assert!(status == 2 && shown.contains("nothing was done"), "{shown}");
        assert!(bus.asked(method).is_empty());
        let (status, shown) = at_a_terminal(&bus, line, "[y/N] ", b"y\n");
        assert!(status == 0 && bus.asked(method).len() == 1, "{shown}");
        let (status, shown) = at_a_terminal(&bus, &format!("{line} --yes"), "[y/N] ", b"");
        assert!(status == 0 && !shown.contains("[y/N]"), "{shown}");
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(bus.oscctl(&words).status(), 0, "a script is not asked");
        assert_eq!(bus.asked(method).len(), 3);
    }
}

#[test]
fn a_terminal_shows_how_far_an_operation_is() {
    let bus = Bus::with_agent();
    let (status, shown) = at_a_terminal(&bus, "op wait 0195bbbb", "40%", b"\x03");
    assert!(status == 4 && shown.contains("oscctl op wait"), "{shown}");
    let piped = bus.oscctl(&["op", "wait", "0195bbbb", "--timeout", "1"]);
    assert_eq!(piped.err().lines().count(), 2, "{}", piped.err());
}

#[test]
fn every_command_can_be_called() {
    let bus = Bus::with_agent();
    assert_eq!(bus.oscctl(&["call", "filer/vol0", "snap-limits"]).out(), "max:      5\ncurrent:  1\n");
    assert_eq!(bus.oscctl(&["call", "filer/vol0", "is-snapable"]).out(), "yes\n");
    let answer = bus.oscctl(&["call", "filer", "multi-snapshot", "elements=vol0,nightly", "names=a,b"]);
    assert_eq!(answer.status(), 0, "{}", answer.err());
    let asked = bus.asked("MultiSnapshot")[0].1.clone();
    assert!(asked.contains(VOL0) && asked.contains(SNAP), "{asked}");
    let list = bus.oscctl(&["call", "nas/nfs:/home"]).out();
    assert!(list.contains("file-list [PATH] [PATTERN]") && !list.contains("snapshot [NAME]  "), "{list}");
    assert_eq!(bus.oscctl(&["call", "filer/vol0", "frobnicate"]).status(), 2);
    assert_eq!(bus.oscctl(&["call", "filer", "rename-access-group", "a"]).status(), 2);
}

#[test]
fn an_announcement_never_fails() {
    let words = ["announce", "install", "osc-x", "1.0-1", "/opt/x", "v", "m"];
    let with = Bus::with_agent();
    assert_eq!(with.oscctl(&words).status(), 0);
    assert!(with.asked("Announce")[0].1.contains("osc-x"), "{:?}", with.asked("Announce"));
    let without = Bus::empty();
    for words in [&words[..], &["announce"], &["announce", "--odd"]] {
        let answer = without.oscctl(words);
        assert_eq!(answer.status(), 0, "{words:?}");
        assert_eq!(answer.err().lines().count(), 1, "{}", answer.err());
    }
}

#[test]
fn an_announcement_to_a_bus_that_hangs_gives_up() {
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("bus");
    // It takes connections, and never says a word.
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("it is bound");
    let answer = Command::new(env!("CARGO_BIN_EXE_oscctl"))
        .args([
            "--bus",
            &format!("unix:path={}", socket.display()),
            "announce",
            "erase",
            "n",
            "1-1",
            "/d",
            "v",
            "m",
        ])
        .output()
        .map(Answer::from)
        .expect("oscctl ends");
    assert_eq!(answer.status(), 0);
    assert!(answer.err().contains("in time"), "{}", answer.err());
}

#[test]
fn events_are_one_line_each_and_can_be_followed() {
    let bus = Bus::with_agent();
    let lines = bus.oscctl(&["-o", "json", "events", "--since", "5"]).out();
    let seqs: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("NDJSON")["seq"].clone())
        .collect();
    assert_eq!(seqs, [6, 7]);
    let mut child = bus.command(&["-o", "json", "events", "--follow"]).spawn().expect("oscctl runs");
    while !bus.calls.lock().expect("nobody panicked").iter().any(|call| call.1 == "Get") {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    bus.emit(8);
    bus.emit(8);
    bus.emit(9);
    let mut reader = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for seq in [8, 9] {
        let line = reader.next().expect("a line").expect("text");
        assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON")["seq"], seq);
    }
    drop(bus);
    assert_eq!(child.wait().expect("it ends").code(), Some(3));
}

#[test]
fn status_and_plugin_check_tell_what_is_wrong() {
    let bus = Bus::with_agent();
    let status = bus.oscctl(&["status"]).out();
    assert!(status.contains("1 of 2 usable") && status.contains("filer"), "{status}");
    assert_eq!(bus.oscctl(&["-o", "json", "status"]).json()["plugins"]["usable"], 1);
    assert_eq!(bus.oscctl(&["plugin", "check", "FileArray"]).status(), 0);
    let broken = bus.oscctl(&["plugin", "check", "osc.broken"]);
    assert_eq!(broken.status(), 1);
    assert!(broken.out().contains("SyntaxError"), "{}", broken.out());
    assert_eq!(bus.oscctl(&["plugin", "reload"]).status(), 0);
}

#[test]
fn the_doctor_works_without_an_agent_and_names_what_is_missing() {
    let bus = Bus::empty();
    let state = tempfile::tempdir().expect("a directory");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(state.path(), open).expect("it is set");
    let dir = state.path().to_str().expect("UTF-8");
    let answer = bus.oscctl(&["-o", "json", "doctor", "--state-dir", dir, "--mountpoint", "/nonexistent"]);
    assert_eq!(answer.status(), 1, "{}", answer.err());
    let findings: Value = serde_json::from_str(&answer.out()).expect("JSON");
    let find = |name: &str| {
        let all = findings.as_array().expect("a list");
        all.iter().find(|finding| finding["check"] == name).unwrap_or_else(|| panic!("no {name}")).clone()
    };
    assert_eq!(find("state directory")["verdict"], "missing");
    assert_eq!(find("agent")["verdict"], "warning");
    assert_eq!(find("D-Bus")["verdict"], "ok");
    assert!(find("iscsiadm")["remedy"].as_str().is_some_and(|text| text.contains("open-iscsi")));
    let table = bus.oscctl(&["doctor"]).out();
    assert!(
        table.lines().all(|line| ["ok", "warning", "missing"].iter().any(|word| line.starts_with(word))),
        "{table}"
    );
}

#[test]
fn completions_need_no_agent() {
    let answer = Command::new(env!("CARGO_BIN_EXE_oscctl")).args(["completions", "bash"]).output();
    let answer = answer.map(Answer::from).expect("oscctl runs");
    assert!(answer.status() == 0 && answer.out().contains("oscctl"));
}
