//! Reading every record of a folder of them, as a script would, and an agent that has some.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;
use tests::daemon::Agent;
use tests::eventually;

/// Microseconds a file for open, read, read, close of every file.
pub fn pass(files: &[CString]) -> f64 {
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

/// The `record` files of the folders `names`.
pub fn records(folder: &Path, names: &[String]) -> Vec<CString> {
    let path = |name: &String| folder.join(name).join("record").display().to_string();
    names.iter().map(|name| CString::new(path(name)).expect("no path holds a NUL")).collect()
}

/// What a storage server's elements are called.
pub fn elements(server: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(server.join("se")).expect("the elements can be listed");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<String> =
        entries.map(|entry| name(entry).into_string().expect("ids are UTF-8")).collect();
    names.sort();
    names
}

/// An agent with `count` made-up elements, and its server's directory.
pub fn with_elements(count: usize, more: &str) -> (Agent, PathBuf) {
    with_elements_in(Agent::prepare(), count, more)
}

/// The same in an agent that has been prepared.
pub fn with_elements_in(mut agent: Agent, count: usize, more: &str) -> (Agent, PathBuf) {
    agent.log_as_in_service();
    tests::install(&agent, "bench/many");
    agent.launch();
    let record = json!({
        "name": "many", "storage_type": "SAN", "admin_host": "", "admin_user": "", "admin_passwd": "",
        "extra_info": format!("count={count}{more}"), "refresh_interval": 0,
    });
    let server = agent.register("bench.many.Many.Many", &record);
    (agent, server)
}

/// Stops the agent and starts it again; from its start to READY, and then waits until it has refreshed.
pub fn restart(agent: &mut Agent, server: &Path) -> Duration {
    agent.end(Signal::SIGTERM);
    let start = Instant::now();
    agent.launch();
    let ready = start.elapsed();
    eventually("a refresh after the start", || {
        let state = std::fs::read_to_string(server.join("state"));
        state.is_ok_and(|state| state.contains("\"stale\":false")).then_some(())
    });
    ready
}

/// How often the threads that answer the kernel were woken: none is no request.
pub fn wakeups(pid: u32) -> u64 {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).expect("the agent runs").flatten() {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if field("Name:").is_some_and(|name| name.starts_with("fuser")) {
            let switches = field("voluntary_ctxt_switches:").and_then(|n| n.parse::<u64>().ok());
            sum += switches.unwrap_or(0);
        }
    }
    sum
}

/// A process's resident memory in MB (10⁶ bytes), once it has settled.
pub fn resident(pid: u32) -> f64 {
    std::thread::sleep(Duration::from_millis(2500));
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    rss.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) * 1.024 / 1e3
}
