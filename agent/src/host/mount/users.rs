//! Who keeps a mount from being unmounted. Only names and numbers are compared: looking at a file on
//! a server that is gone would not come back.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::exported;
use super::table::{Mounted, Table};

/// How long looking may take: /proc itself can wait for a process that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// What holds a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// A process that has a file open there, stands there, or runs from there.
    Process {
        /// Its process id.
        pid: i32,
        /// Its command, as `comm` names it.
        command: String,
    },
    /// Something is mounted below.
    Mount(String),
    /// A loop device whose file is there.
    Loop(String),
    /// The kernel swaps to a file there.
    Swap(String),
    /// A directory there that this host exports.
    Export(String),
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            User::Process { pid, command } => write!(f, "process {pid} ({command})"),
            User::Mount(at) => write!(f, "the mount on {at}"),
            User::Loop(device) => write!(f, "loop device {device}"),
            User::Swap(file) => write!(f, "swap on {file}"),
            User::Export(path) => write!(f, "this host's NFS server, which exports {path}"),
        }
    }
}

impl User {
    /// Whether it is a process that waits uninterruptibly, as for a server that is gone.
    pub fn waits(&self) -> bool {
        let User::Process { pid, .. } = self else { return false };
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, in brackets, may hold anything; the state follows it.
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('D'))
    }
}

/// Who uses the mount; those found before [`PATIENCE`] ran out.
pub async fn of(mount: &Mounted, table: &Table) -> Vec<User> {
    let mut users: Vec<User> =
        table.below(mount).map(|below| User::Mount(below.at.display().to_string())).collect();
    let (tell, told) = mpsc::channel();
    let mount = mount.clone();
    // A thread that may be left behind, and none of the runtime's, whose end it would hold up.
    let looking = thread::Builder::new().name("mount-users".into()).spawn(move || look(&mount, &tell));
    if looking.is_ok() {
        let collect = move || {
            let end = std::time::Instant::now() + PATIENCE;
            let left = || end.saturating_duration_since(std::time::Instant::now());
            std::iter::from_fn(|| told.recv_timeout(left()).ok()).collect::<Vec<User>>()
        };
        users.extend(tokio::task::spawn_blocking(collect).await.unwrap_or_default());
    }
    users
}

fn look(mount: &Mounted, tell: &mpsc::Sender<User>) {
    let here = |path: &Path| path.starts_with(&mount.at);
    let said = |path: String| fs::read(path).map(|text| text.trim_ascii_end().to_owned()).unwrap_or_default();
    for device in names("/sys/block").filter(|name| name.as_bytes().starts_with(b"loop")) {
        let device = device.to_string_lossy();
        let file = said(format!("/sys/block/{device}/loop/backing_file"));
        if !file.is_empty() && here(Path::new(std::ffi::OsStr::from_bytes(&file))) {
            let _ = tell.send(User::Loop(format!("/dev/{device}")));
        }
    }
    for line in fs::read_to_string("/proc/swaps").unwrap_or_default().lines().skip(1) {
        if let Some(file) = line.split_whitespace().next().filter(|file| here(Path::new(file))) {
            let _ = tell.send(User::Swap(file.to_owned()));
        }
    }
    for path in exported::remembered(&mount.at).exports {
        let _ = tell.send(User::Export(path.display().to_string()));
    }
    let pids = names("/proc").filter_map(|name| name.to_str()?.parse::<i32>().ok());
    for pid in pids {
        if holds(pid, mount) {
            let command = String::from_utf8_lossy(&said(format!("/proc/{pid}/comm"))).into_owned();
            // Nobody waits any more: then nobody needs it.
            if tell.send(User::Process { pid, command }).is_err() {
                return;
            }
        }
    }
}

fn holds(pid: i32, mount: &Mounted) -> bool {
    let linked = |word: &str| {
        fs::read_link(format!("/proc/{pid}/{word}")).is_ok_and(|path| path.starts_with(&mount.at))
    };
    let id = format!("mnt_id:\t{}", mount.id);
    let opened = || {
        names(&format!("/proc/{pid}/fdinfo")).any(|fd| {
            let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", fd.to_string_lossy()));
            info.is_ok_and(|info| info.lines().any(|line| line == id))
        })
    };
    linked("cwd") || linked("root") || linked("exe") || opened()
}

fn names(folder: &str) -> impl Iterator<Item = OsString> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name())
}
