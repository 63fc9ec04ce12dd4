//! Control files on a real mount: what the shell, signals and impatient readers make of them.

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use common::{Mount, done, fake, out, sh};
use fsview::{Change, Outcome, Target, Verb};

fn shell(script: &str, mount: &Mount, n: usize) -> Child {
    let mut command = Command::new("bash");
    command.arg("-c").arg(script).current_dir(mount.se(n)).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Answers the oldest waiting request.
fn answer(mount: &Mount, outcome: Outcome) {
    let (_, done) = mount.fake.state().waiting.remove(0);
    done(outcome);
}

#[test]
fn a_write_is_one_request_and_its_exit_status_is_the_answer() {
    let name = "a_write_is_one_request_and_its_exit_status_is_the_answer";
    let Some(mount) = Mount::new(name, fake(2, 100)) else {
        return;
    };
    mount.fake.state().answer = Some(done("op-1"));
    for script in [
        "echo nightly > snapshot",
        "echo nightly >> snapshot",
        "echo nightly >> snapshot",
        "cat > snapshot <<< nightly",
    ] {
        out(script, &mount.se(1));
    }
    {
        let state = mount.fake.state();
        assert_eq!(state.requests.len(), 4);
        for request in &state.requests {
            assert_eq!(request.payload, b"nightly\n");
            assert_eq!(request.target, Target::Element { ss: common::SS.into(), se: "se-00001".into() });
            assert_eq!((request.verb, request.nonblock, request.caller.uid), (Verb::Snapshot, false, 0));
            assert!(request.caller.pid > 0);
        }
    }
    for (outcome, said) in [
        (
            Outcome::Failed { errno: libc::EBUSY, message: "in use".into(), op: None },
            "Device or resource busy",
        ),
        (Outcome::InProgress { op: "op-2".into() }, "Operation now in progress"),
    ] {
        mount.fake.state().answer = Some(outcome);
        let output = sh("echo x > snapshot", &mount.se(1));
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{output:?}");
    }
    assert_eq!(
        out("cat snapshot", &mount.se(1)),
        "snapshot: write a name\nlast request: in progress (op/op-2)\n"
    );
    assert_eq!(out("cat clone", &mount.se(1)), "clone: write a name\n");
    mount.fake.state().answer = Some(done("op-3"));
    out("echo '{}' > register; echo x > ss/*/refresh", &mount.root());
    assert_eq!(mount.fake.state().requests.last().unwrap().target, Target::Server(common::SS.into()));
}

#[test]
fn a_payload_is_taken_whole_up_to_its_limit_and_refused_above() {
    let name = "a_payload_is_taken_whole_up_to_its_limit_and_refused_above";
    let Some(mount) = Mount::new(name, fake(1, 100)) else {
        return;
    };
    mount.fake.state().answer = Some(done("op"));
    let write = |size: usize| {
        let mut file = OpenOptions::new().write(true).open(mount.se(0).join("snapshot")).unwrap();
        file.write(&vec![b'x'; size])
    };
    assert_eq!(write(fsview::PAYLOAD_MAX).unwrap(), fsview::PAYLOAD_MAX);
    for size in [fsview::PAYLOAD_MAX + 1, 200_000, 300_000, 5_000_000] {
        assert_eq!(write(size).unwrap_err().raw_os_error(), Some(libc::EMSGSIZE), "{size}");
    }
    assert_eq!(mount.fake.state().requests.len(), 1);
    let told = "last request: failed: EMSGSIZE: a request is at most 65536 bytes long\n";
    assert_eq!(out("tail -n 1 snapshot", &mount.se(0)), told);
    // What the C library buffers comes in one piece up to 8 KiB, what cat copies up to the limit.
    fs::write(mount.dir.path().join("long"), vec![b'x'; 60_000]).unwrap();
    out("x=$(printf '%08000d' 1); echo $x > snapshot; cat ../../../../../long > snapshot", &mount.se(0));
    let sizes: Vec<usize> = mount.fake.state().requests.iter().map(|request| request.payload.len()).collect();
    assert_eq!(sizes, [65536, 8001, 60000]);
}

#[test]
fn a_request_that_was_not_waited_for_is_told_of_as_it_is_by_now() {
    let name = "a_request_that_was_not_waited_for_is_told_of_as_it_is_by_now";
    let Some(mount) = Mount::new(name, fake(1, 100)) else {
        return;
    };
    mount.fake.state().answer = Some(Outcome::InProgress { op: "op-2".into() });
    assert!(!sh("echo x > snapshot", &mount.se(0)).status.success());
    assert_eq!(out("tail -n 1 snapshot", &mount.se(0)), "last request: in progress (op/op-2)\n");
    let failed = Outcome::Failed { errno: libc::ENOSPC, message: "full".into(), op: Some("op-2".into()) };
    mount.fake.state().outcomes.insert("op-2".into(), failed);
    let told = "last request: failed: ENOSPC: full (op/op-2)\n";
    assert_eq!(out("tail -n 1 snapshot", &mount.se(0)), told);
}

#[test]
fn head_and_tail_and_their_like_read_a_control_file_whole() {
    let Some(mount) = Mount::new("head_and_tail_and_their_like_read_a_control_file_whole", fake(1, 100))
    else {
        return;
    };
    mount.fake.state().answer = Some(done("op"));
    out("echo x > snapshot", &mount.se(0));
    let (usage, last) = ("snapshot: write a name\n", "last request: done (op/op)\n");
    let whole = format!("{usage}{last}");
    let readers = [
        ("cat", &*whole),
        ("tail", &whole),
        ("tail -n 1", last),
        ("tail -c 4", "op)\n"),
        ("head -n 1", usage),
    ];
    for (reader, expected) in readers.into_iter().chain([("sed -n 2p", last), ("grep last", last)]) {
        assert_eq!(out(&format!("{reader} snapshot"), &mount.se(0)), expected, "{reader}");
    }
}

#[test]
fn a_descriptor_reads_what_its_own_request_came_to() {
    let Some(mount) = Mount::new("a_descriptor_reads_what_its_own_request_came_to", fake(1, 100)) else {
        return;
    };
    mount.fake.state().answer = Some(Outcome::Done { op: Some("op-9".into()), message: "made s1".into() });
    assert_eq!(out("exec 3<>snapshot; echo x >&3; cat <&3", &mount.se(0)), "op-9\ndone: made s1\n");
    assert_eq!(
        out("exec 3<>snapshot; cat <&3; echo x >&3; cat <&3", &mount.se(0)).lines().last(),
        Some("done: made s1")
    );
    mount.fake.state().answer =
        Some(Outcome::Failed { errno: libc::ENOSPC, message: "full".into(), op: None });
    let failed = sh("exec 3<>snapshot; echo x >&3; cat <&3", &mount.se(0));
    assert_eq!(String::from_utf8_lossy(&failed.stdout), "-\nfailed: ENOSPC: full\n");
    mount.fake.state().answer = Some(Outcome::Started { op: "op-10".into() });
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(mount.se(0).join("snapshot"))
        .unwrap();
    file.write_all(b"x").unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "op-10\nstarted\n");
    assert!(mount.fake.state().requests.last().unwrap().nonblock);
}

#[test]
fn a_waiting_writer_can_be_interrupted_and_killed_and_its_operation_goes_on() {
    let name = "a_waiting_writer_can_be_interrupted_and_killed_and_its_operation_goes_on";
    let Some(mount) = Mount::new(name, fake(1, 100)) else {
        return;
    };
    for (count, signal) in [(1, "INT"), (2, "TERM"), (3, "KILL")] {
        let begun = std::time::Instant::now();
        let output = sh(&format!("timeout -s {signal} 1 sh -c 'echo x > snapshot'"), &mount.se(0));
        // Nobody answers: without interruption this would never end.
        assert!(!output.status.success(), "{output:?}");
        assert!(begun.elapsed().as_secs() < 30);
        assert_eq!(mount.fake.state().requests.len(), count);
    }
    // A late answer is remembered, and harms nobody.
    for _ in 0..3 {
        answer(&mount, done("op-late"));
    }
    assert_eq!(out("cat snapshot | tail -1", &mount.se(0)), "last request: done (op/op-late)\n");
    mount.fake.state().answer = Some(done("op-next"));
    out("echo x > snapshot", &mount.se(0));
}

#[test]
fn a_repeated_write_after_a_signal_waits_for_the_running_request() {
    let name = "a_repeated_write_after_a_signal_waits_for_the_running_request";
    let Some(mount) = Mount::new(name, fake(1, 100)) else {
        return;
    };
    // Python repeats an interrupted write by itself (PEP 475).
    let script = "python3 -c '
import os, signal
signal.signal(signal.SIGALRM, lambda *a: None)
signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
fd = os.open(\"snapshot\", os.O_RDWR)
print(os.write(fd, b\"once\"), os.pread(fd, 100, 0).decode())'";
    let writer = shell(script, &mount, 0);
    mount.fake.await_requests(1);
    std::thread::sleep(std::time::Duration::from_secs(1));
    answer(&mount, done("op-1"));
    let output = writer.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "4 op-1\ndone\n\n", "{output:?}");
    assert_eq!(mount.fake.state().requests.len(), 1);
}

#[test]
fn two_writers_of_one_file_wait_side_by_side() {
    let Some(mount) = Mount::new("two_writers_of_one_file_wait_side_by_side", fake(1, 100)) else {
        return;
    };
    let writers = [shell("echo one > snapshot", &mount, 0), shell("echo two >> snapshot", &mount, 0)];
    // Both are there before either is answered.
    mount.fake.await_requests(2);
    let reading = out("cat snapshot", &mount.se(0));
    assert_eq!(reading, "snapshot: write a name\n");
    answer(&mount, done("a"));
    answer(&mount, done("b"));
    for writer in writers {
        assert!(writer.wait_with_output().unwrap().status.success());
    }
}

#[test]
fn sixty_four_waiting_writers_hold_up_no_reader() {
    let Some(mount) = Mount::new("sixty_four_waiting_writers_hold_up_no_reader", fake(64, 1024)) else {
        return;
    };
    let writers: Vec<Child> = (0..64).map(|n| shell("echo x > snapshot", &mount, n)).collect();
    mount.fake.await_requests(64);
    for n in 0..64 {
        assert_eq!(fs::read(mount.se(n).join("record")).unwrap().len(), 1025);
        assert!(fs::read(mount.se(n).join("clone")).is_ok());
    }
    mount.update("se-00000", Some(common::element("se-00000", 1, 50)));
    assert_eq!(fs::read(mount.se(0).join("record")).unwrap().len(), 51);
    for _ in 0..64 {
        answer(&mount, done("op"));
    }
    for writer in writers {
        assert!(writer.wait_with_output().unwrap().status.success());
    }
}

#[test]
fn whoever_comes_back_from_a_write_sees_what_it_did() {
    let Some(mount) = Mount::new("whoever_comes_back_from_a_write_sees_what_it_did", fake(1, 100)) else {
        return;
    };
    out("ls se; ls se-by-name", &mount.ss());
    let tree = mount.tree();
    for n in 0..50 {
        let se = format!("s{n}");
        let writer = shell(&format!("echo {se} > snapshot && ls .. && cat ../{se}/record"), &mount, 0);
        mount.fake.await_requests(n + 1);
        mount.fake.put_element(common::SS, &se, common::element(&se, 0, 60));
        tree.changed(Change::Element { ss: common::SS.into(), se: se.as_str().into() });
        answer(&mount, done("op"));
        let output = writer.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).lines().any(|line| line == se), "{output:?}");
    }
}

#[test]
fn a_request_that_the_model_drops_fails_with_eio() {
    let Some(mount) = Mount::new("a_request_that_the_model_drops_fails_with_eio", fake(1, 100)) else {
        return;
    };
    let writer = shell("echo x > snapshot", &mount, 0);
    mount.fake.await_requests(1);
    mount.fake.state().waiting.clear();
    let output = writer.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("Input/output error"), "{output:?}");
}

#[test]
fn events_are_a_log_that_ends_and_grows() {
    let Some(mount) = Mount::new("events_are_a_log_that_ends_and_grows", fake(1, 100)) else {
        return;
    };
    let say = |seq: u64| {
        mount.fake.state().events.push((seq, format!("{{\"seq\":{seq}}}").into()));
        mount.tree().changed(Change::Events);
    };
    (1..=3).for_each(say);
    assert_eq!(out("cat events", &mount.root()), "{\"seq\":1}\n{\"seq\":2}\n{\"seq\":3}\n");
    assert_eq!(out("tail -n 1 events", &mount.root()), "{\"seq\":3}\n");
    let mut open = File::open(mount.root().join("events")).unwrap();
    let mut text = String::new();
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 3);
    // poll waits for more, and wakes.
    let poll = |timeout: u16| {
        let mut fds = [nix::poll::PollFd::new(open.as_fd(), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut fds, timeout).unwrap()
    };
    assert_eq!(poll(10), 0);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| poll(20_000));
        std::thread::sleep(std::time::Duration::from_millis(200));
        say(4);
        assert_eq!(waiter.join().unwrap(), 1);
    });
    open.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().last(), Some("{\"seq\":4}"));
    let follower = Command::new("timeout")
        .args(["5", "sh", "-c", "tail -n 1 -f events | head -n 2"])
        .current_dir(mount.root())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    say(5);
    say(6);
    let output = follower.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"seq\":4}\n{\"seq\":5}\n");
}

#[test]
fn a_reader_far_behind_goes_on_with_the_oldest_line_there_is() {
    let name = "a_reader_far_behind_goes_on_with_the_oldest_line_there_is";
    let Some(mount) = Mount::new(name, fake(1, 100)) else {
        return;
    };
    mount.fake.state().events = (1..=10_000).map(|seq| (seq, seq.to_string().into())).collect();
    let text = out("cat events", &mount.root());
    assert!(text.lines().count() > 1000 && text.lines().last() == Some("10000"));
    let numbers: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
    assert_eq!(out("tail -n 3 events", &mount.root()), "9998\n9999\n10000\n");
}

#[test]
fn unmounting_lets_waiting_writers_go_and_leaves_nothing() {
    let name = "unmounting_lets_waiting_writers_go_and_leaves_nothing";
    let Some(mount) = Mount::new(name, fake(1, 100)) else {
        return;
    };
    let writer = shell("echo x > snapshot", &mount, 0);
    mount.fake.await_requests(1);
    let Mount { mounted, fake, dir } = mount;
    mounted.unmount().unwrap();
    let output = writer.wait_with_output().unwrap();
    assert!(output.status.signal().is_none());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Operation now in progress"), "{output:?}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(dir.path().to_str().unwrap()), "{mounts}");
    assert_eq!(fs::read_dir(dir.path().join("osc")).unwrap().count(), 0);
    drop(fake);
}
