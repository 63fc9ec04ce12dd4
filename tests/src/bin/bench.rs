//! Measures what `docs/PERFORMANCE.md` tells: every figure as a ratio of two things done in this run.
//!
//! Run by `scripts/bench`, which builds what is compared with. Prints Markdown.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tests::daemon::Agent;
use tests::eventually;

const ROUNDS: usize = 5;

fn main() {
    let passthrough = std::env::args().nth(1).map(PathBuf::from);
    println!("| what | measured | against | ratio | wanted |");
    println!("| --- | --- | --- | --- | --- |");
    for count in [1_000, 10_000] {
        tree(count, passthrough.as_deref());
    }
    busy();
    refresh_and_memory();
}

/// One line of the table.
fn row(what: &str, measured: &str, against: &str, ratio: &str, wanted: &str) {
    println!("| {what} | {measured} | {against} | {ratio} | {wanted} |");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Microseconds a file for open, read, read, close of every file.
fn pass(files: &[CString]) -> f64 {
    let mut buffer = [0_u8; 8192];
    let start = Instant::now();
    for file in files {
        // SAFETY: `file` is NUL-terminated and `buffer` is as long as it is said to be.
        unsafe {
            let fd = libc::open(file.as_ptr(), libc::O_RDONLY);
            assert!(fd >= 0, "{file:?}: {}", std::io::Error::last_os_error());
            let length = libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len());
            assert!(length > 100, "{file:?} holds {length} bytes");
            assert_eq!(libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()), 0);
            libc::close(fd);
        }
    }
    start.elapsed().as_secs_f64() * 1e6 / files.len() as f64
}

fn paths(folder: &Path, names: &[String]) -> Vec<CString> {
    let path = |name: &String| folder.join(name).join("record").display().to_string();
    names.iter().map(|name| CString::new(path(name)).expect("no path holds a NUL")).collect()
}

/// An agent with `count` made-up elements, and its server's directory.
fn with_elements(count: usize, more: &str) -> (Agent, PathBuf) {
    let mut agent = Agent::prepare();
    tests::install(&agent, "bench/many");
    agent.launch();
    let record = json!({
        "name": "many", "storage_type": "SAN", "admin_host": "", "admin_user": "", "admin_passwd": "",
        "extra_info": format!("count={count}{more}"), "refresh_interval": 0,
    });
    let server = agent.register("bench.many.Many.Many", &record);
    (agent, server)
}

fn restart(agent: &mut Agent, server: &Path) -> Duration {
    agent.end(nix::sys::signal::Signal::SIGTERM);
    let start = Instant::now();
    agent.launch();
    let ready = start.elapsed();
    eventually("a refresh after the start", || {
        std::fs::read_to_string(server.join("state"))
            .is_ok_and(|s| s.contains("\"stale\":false"))
            .then_some(())
    });
    ready
}

/// How often the threads that answer the kernel were woken: none is no request.
fn wakeups(pid: u32) -> u64 {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).expect("the agent runs").flatten() {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|l| l.strip_prefix(name)).map(str::trim);
        if field("Name:").is_some_and(|name| name.starts_with("fuser")) {
            let switches = field("voluntary_ctxt_switches:").and_then(|n| n.parse::<u64>().ok());
            sum += switches.unwrap_or(0);
        }
    }
    sum
}

fn tree(count: usize, passthrough: Option<&Path>) {
    let (mut agent, server) = with_elements(count, "");
    let mut names: Vec<String> = std::fs::read_dir(server.join("se"))
        .expect("the elements can be listed")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    assert_eq!(names.len(), count);
    let shm = tempfile::Builder::new().prefix("osc-bench.").tempdir_in("/dev/shm").expect("a tmpfs");
    for name in &names {
        let folder = shm.path().join(name);
        std::fs::create_dir(&folder).expect("the tmpfs can be written");
        let record = std::fs::read(server.join("se").join(name).join("record")).expect("a record");
        std::fs::write(folder.join("record"), record).expect("the tmpfs can be written");
    }
    let tmpfs = paths(shm.path(), &names);
    let ours = paths(&server.join("se"), &names);
    let (mut cold, mut warm, mut asked) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        restart(&mut agent, &server);
        let first = pass(&ours);
        let other = passthrough.map(|program| {
            let mount = Passthrough::mount(program, shm.path(), agent.home());
            let files = paths(&mount.at, &names);
            (pass(&files), pass(&files))
        });
        cold.push((first, other.map(|pair| pair.0)));
        let before = wakeups(agent.pid());
        let again = pass(&ours);
        asked += wakeups(agent.pid()) - before;
        warm.push((again, pass(&tmpfs), other.map(|pair| pair.1)));
    }
    let us = |value: f64| format!("{value:.1} µs");
    let own = |pairs: &[(f64, f64, Option<f64>)]| median(pairs.iter().map(|p| p.0).collect());
    row(
        &format!("warm open/read/close of each of {count} records"),
        &us(own(&warm)),
        &format!("tmpfs {}", us(median(warm.iter().map(|p| p.1).collect()))),
        &format!("{:.2}", median(warm.iter().map(|p| p.0 / p.1).collect())),
        "≤ 1.5",
    );
    row(
        &format!("wake-ups of the agent in {ROUNDS} such passes"),
        &asked.to_string(),
        &format!("{} records", ROUNDS * count),
        &format!("{:.4}", asked as f64 / (ROUNDS * count) as f64),
        "0",
    );
    if passthrough.is_some() {
        let ratios = cold.iter().filter_map(|(a, b)| Some(a / (*b)?)).collect();
        let theirs = median(cold.iter().filter_map(|p| p.1).collect());
        row(
            &format!("cold, {count} records"),
            &us(median(cold.iter().map(|p| p.0).collect())),
            &format!("passthrough_ll {}", us(theirs)),
            &format!("{:.2}", median(ratios)),
            "≤ 0.6",
        );
        let theirs = median(warm.iter().filter_map(|p| p.2).collect());
        let ratios = warm.iter().filter_map(|(a, _, b)| Some(a / (*b)?)).collect();
        row(
            &format!("warm, {count} records"),
            &us(own(&warm)),
            &format!("passthrough_ll {}", us(theirs)),
            &format!("{:.2}", median(ratios)),
            "",
        );
    }
}

/// libfuse's example over a folder.
struct Passthrough {
    daemon: Child,
    at: PathBuf,
}

impl Passthrough {
    fn mount(program: &Path, source: &Path, home: &Path) -> Passthrough {
        let at = home.join("passthrough");
        std::fs::create_dir_all(&at).expect("the test's directory can be written");
        let option = format!("source={},cache=always", source.display());
        let mut command = Command::new(program);
        command.args(["-f", "-o", &option]).arg(&at).stdin(Stdio::null());
        let daemon = command.spawn().expect("passthrough_ll starts");
        eventually("passthrough_ll", || at.read_dir().ok()?.next().map(drop));
        Passthrough { daemon, at }
    }
}

impl Drop for Passthrough {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.at, nix::mount::MntFlags::MNT_DETACH);
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Reading while 64 snapshots wait and a plug-in hangs, against reading alone.
fn busy() {
    let hang = std::env::temp_dir().join(format!("osc-bench-hang.{}", std::process::id()));
    let (agent, server) = with_elements(1_000, &format!(",snap_seconds=3,hang={}", hang.display()));
    let mut names: Vec<String> = std::fs::read_dir(server.join("se"))
        .expect("the elements can be listed")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    let files = paths(&server.join("se"), &names);
    pass(&files);
    let alone = median((0..ROUNDS).map(|_| pass(&files)).collect());
    std::fs::write(&hang, "").expect("the temporary directory can be written");
    let refresh = server.join("refresh");
    let refresher = std::thread::spawn(move || std::fs::write(refresh, "now"));
    let writers: Vec<_> = names[..64]
        .iter()
        .map(|name| {
            let control = server.join("se").join(name).join("snapshot");
            std::thread::spawn(move || std::fs::write(control, "s1"))
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let beside = median((0..ROUNDS).map(|_| pass(&files)).collect());
    let waiting = writers.iter().filter(|writer| !writer.is_finished()).count();
    for writer in writers {
        let _ = writer.join();
    }
    let _ = std::fs::remove_file(&hang);
    let _ = refresher.join();
    row(
        &format!("reading records beside {waiting} waiting snapshots and a plug-in that hangs"),
        &format!("{beside:.1} µs"),
        &format!("alone {alone:.1} µs"),
        &format!("{:.2}", beside / alone),
        "1",
    );
    drop(agent);
}

fn refresh_and_memory() {
    let changes = std::env::temp_dir().join(format!("osc-bench-changes.{}", std::process::id()));
    let (mut agent, server) = with_elements(10_000, &format!(",changes={}", changes.display()));
    let refresh = |version: usize| {
        std::fs::write(&changes, version.to_string()).expect("the temporary directory can be written");
        let start = Instant::now();
        std::fs::write(server.join("refresh"), "now").expect("a refresh works");
        start.elapsed().as_secs_f64() * 1e3
    };
    refresh(0);
    let same = median((0..ROUNDS).map(|_| refresh(0)).collect());
    let changed = median((1..=ROUNDS).map(refresh).collect());
    row(
        "refresh of 10,000 elements, one changed",
        &format!("{changed:.0} ms"),
        &format!("none changed {same:.0} ms"),
        &format!("{:.2}", changed / same),
        "",
    );
    let read = |agent: &Agent| {
        for entry in std::fs::read_dir(server.join("se")).expect("the elements can be listed").flatten() {
            std::fs::read(entry.path().join("record")).expect("a record");
        }
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap_or_default();
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        rss.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0
    };
    let mb = read(&agent);
    row(
        "resident memory, 10,000 elements of 1 KiB, refreshed and read",
        &format!("{mb:.1} MiB"),
        "60 MB",
        &format!("{:.2}", mb * 1.048576 / 60.0),
        "≤ 1",
    );
    let ready = median((0..ROUNDS).map(|_| restart(&mut agent, &server).as_secs_f64() * 1e3).collect());
    row(
        "start to READY, 10,000 elements in the store",
        &format!("{ready:.0} ms"),
        "500 ms",
        &format!("{:.2}", ready / 500.0),
        "≤ 1",
    );
    let mb = read(&agent);
    row(
        "resident memory after that start",
        &format!("{mb:.1} MiB"),
        "60 MB",
        &format!("{:.2}", mb * 1.048576 / 60.0),
        "≤ 1",
    );
    let _ = std::fs::remove_file(&changes);
}
