//! A tree whose serving process dies, at any moment, and is succeeded: nobody in the tree may notice more than a pause.

#[path = "../common/mod.rs"]
mod common;

mod campaign;
mod child;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use campaign::{Campaign, random};
use child::{STEADY, Served, is_whole, read};
use common::have_fuse;

#[global_allocator]
static ALLOCATOR: fsview::ReadyBuffers<std::alloc::System> = fsview::ReadyBuffers(std::alloc::System);

#[test]
#[ignore = "not a test: what the others start"]
fn child_process() {
    child::live();
}

#[test]
#[ignore = "not a test: what the child starts"]
fn messenger_process() {
    fsview::carry_messages();
}

/// Both ways of getting back what a dead process had read.
fn both(test: &str, check: impl Fn(Served)) {
    if have_fuse(test) {
        [false, true].into_iter().for_each(|copies| check(Served::start(copies)));
    }
}

/// Does something on a thread that may hang, and waits for it.
fn eventually<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = mpsc::channel();
    thread::spawn(move || done.send(act()));
    wait.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("{what} hangs"))
}

#[test]
fn cached_records_are_read_while_nobody_serves() {
    both("cached_records_are_read_while_nobody_serves", |mut served| {
        let before: Vec<_> = (0..STEADY).map(|n| read(&served.se(n).join("record"))).collect();
        served.kill();
        let files: Vec<_> = (0..STEADY).map(|n| served.se(n).join("record")).collect();
        let during =
            eventually("a cached read", move || files.iter().map(|file| read(file)).collect::<Vec<_>>());
        assert_eq!(during, before);
        served.spawn(None);
        let inode = fs::metadata(served.se(0).join("record")).unwrap().ino();
        served.kill();
        served.spawn(None);
        assert_eq!(fs::metadata(served.se(0).join("record")).unwrap().ino(), inode);
        assert_eq!(read(&served.se(0).join("record")), before[0]);
    });
}

#[test]
fn who_asks_while_nobody_serves_waits_for_the_successor() {
    both("who_asks_while_nobody_serves_waits_for_the_successor", |mut served| {
        served.kill();
        let file = served.se(7).join("record");
        let reader = thread::spawn(move || read(&file));
        let names = served.root().join("ss");
        let lister = thread::spawn(move || fs::read_dir(names).unwrap().count());
        thread::sleep(Duration::from_millis(100));
        served.spawn(None);
        assert!(is_whole(&eventually("a reader", || reader.join().unwrap())));
        assert_eq!(eventually("a lister", || lister.join().unwrap()), 1);
    });
}

#[test]
fn open_files_and_working_directories_live_on() {
    both("open_files_and_working_directories_live_on", |mut served| {
        // Opened, and nothing of it read: the content has to come from the successor.
        let mut cold = File::open(served.se(3).join("record")).unwrap();
        let mut shell = Command::new("bash")
            .args([
                "-c",
                "read; cat record; cat ../se-00009/record; echo x > snapshot; echo $?; ls ../.. | wc -l",
            ])
            .current_dir(served.se(4))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        served.kill();
        served.spawn(None);
        let mut text = String::new();
        cold.read_to_string(&mut text).unwrap();
        assert!(is_whole(&text), "{text}");
        shell.stdin.take().unwrap().write_all(b"\n").unwrap();
        let told = eventually("the shell", move || shell.wait_with_output().unwrap());
        let told = String::from_utf8(told.stdout).unwrap();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(lines.len(), 4, "{told}");
        assert!(lines[0].contains("se-00004") && lines[1].contains("se-00009"));
        assert_eq!(&lines[2..], ["0", "15"]);
    });
}

#[test]
fn what_changes_while_nobody_serves_and_after_that_is_seen() {
    both("what_changes_while_nobody_serves_and_after_that_is_seen", |mut served| {
        let file = served.se(STEADY).join("record");
        for _ in 0..3 {
            let before = read(&file);
            served.kill();
            assert_eq!(read(&file), before);
            served.spawn(None);
            // What changed while nobody served, and what the successor changes again and again after that.
            let mut last = before;
            for _ in 0..4 {
                let file = file.clone();
                let next = eventually("the next version", move || {
                    loop {
                        let now = read(&file);
                        if now != last {
                            return now;
                        }
                        thread::sleep(Duration::from_millis(1));
                    }
                });
                assert!(is_whole(&next));
                last = next;
            }
        }
    });
}

#[test]
fn a_write_that_became_an_operation_is_answered_in_progress_and_begun_once() {
    both("a_write_that_became_an_operation_is_answered_in_progress_and_begun_once", |mut served| {
        let control = served.se(0).join("snapshot");
        let writers: Vec<_> = (0..20)
            .map(|n| {
                let control = control.clone();
                thread::spawn(move || fs::write(control, format!("never {n}")))
            })
            .collect();
        let journal = || served.journal().lines().count();
        while journal() < 20 {
            thread::sleep(Duration::from_millis(1));
        }
        served.kill();
        served.spawn(None);
        for writer in writers {
            let told = eventually("a writer", || writer.join().unwrap());
            assert_eq!(told.unwrap_err().raw_os_error(), Some(libc::EINPROGRESS));
        }
        assert_eq!(served.journal().lines().count(), 20);
        fs::write(&control, "after").unwrap();
    });
}

#[test]
fn a_write_that_nobody_read_is_carried_out_by_the_successor() {
    both("a_write_that_nobody_read_is_carried_out_by_the_successor", |mut served| {
        let mut file = File::options().write(true).open(served.se(0).join("snapshot")).unwrap();
        served.kill();
        let writer = thread::spawn(move || file.write(b"patience"));
        thread::sleep(Duration::from_millis(100));
        served.spawn(None);
        assert_eq!(eventually("the writer", || writer.join().unwrap()).unwrap(), 8);
        assert_eq!(served.journal(), "patience\n");
    });
}

#[test]
fn who_polls_is_woken_by_the_successor() {
    both("who_polls_is_woken_by_the_successor", |mut served| {
        let mut events = File::open(served.root().join("events")).unwrap();
        let mut all = String::new();
        events.read_to_string(&mut all).unwrap();
        let mut poller = Command::new("python3")
            .args(["-c", "import select,sys; p=select.poll(); p.register(open(sys.argv[1]),select.POLLIN); sys.exit(not p.poll(25000))"])
            .arg(served.root().join("events"))
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(200));
        served.kill();
        served.spawn(None);
        assert!(eventually("the poller", move || poller.wait().unwrap()).success());
    });
}

fn account(served: &Served, campaign: &Campaign, what: &str) {
    campaign.settle(&served.journal());
    let seen = &campaign.seen;
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    println!(
        "{what}: {} reads, {} listings, {} writes done, {} in progress ({} of them not journaled), {} versions gone; wrong: {:?}",
        count(&seen.reads),
        count(&seen.lists),
        count(&seen.writes),
        count(&seen.in_progress),
        count(&seen.lost),
        count(&seen.stale),
        seen.wrong.lock().unwrap()
    );
    assert!(seen.wrong.lock().unwrap().is_empty(), "{what}");
    for counter in [&seen.reads, &seen.lists, &seen.writes] {
        assert_ne!(count(counter), 0, "{what}: idle workers prove nothing");
    }
}

/// How often the campaigns kill: `OSC_KILLS`, or 100 for each way.
fn kills() -> usize {
    std::env::var("OSC_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(100)
}

#[test]
fn nobody_notices_two_hundred_deaths_at_random_moments() {
    both("nobody_notices_two_hundred_deaths_at_random_moments", |mut served| {
        let mut campaign = Campaign::start(&served);
        for kill in 0..kills() {
            thread::sleep(Duration::from_micros(random() as u64 % 60_000));
            served.kill();
            served.spawn(None);
            assert_eq!(campaign.hung(), 0, "after kill {kill}");
        }
        assert_eq!(campaign.stop(), 0, "hung");
        account(&served, &campaign, "random moments");
    });
}

#[test]
fn nobody_notices_a_death_at_any_point_between_reading_a_request_and_answering_it() {
    both("nobody_notices_a_death_at_any_point_between_reading_a_request_and_answering_it", |mut served| {
        let mut campaign = Campaign::start(&served);
        for point in fsview::fault::POINTS {
            let mut passed = 0;
            for nth in [1, 2, 5] {
                served.kill();
                served.try_spawn(Some(&format!("{point}:{nth}")));
                let died = served.died();
                passed += usize::from(died);
                served.spawn(None);
                assert_eq!(campaign.hung(), 0, "after {point}:{nth}");
            }
            assert_ne!(passed, 0, "{point} was never passed");
        }
        assert_eq!(campaign.stop(), 0, "hung");
        account(&served, &campaign, "fault points");
    });
}
