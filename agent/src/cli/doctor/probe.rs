//! Looking at this host, without ever hanging on it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Host;

/// How long anything asked may take.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there.
    Yes(String),
    /// It could not be looked at.
    Unknown(String),
    /// It is not there.
    No(String),
}

/// A file of whatever type.
pub fn file(path: &str) -> Found {
    match fs::symlink_metadata(path) {
        Ok(_) => Found::Yes("present".into()),
        Err(error) => Found::No(format!("{path}: {error}")),
    }
}

/// Where a program is, on the caller's path or where administrators' programs are.
fn locate(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from));
    let runs =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    dirs.map(|dir| dir.join(name)).find(runs)
}

/// A program on the path.
pub fn program(name: &str) -> Found {
    match locate(name) {
        Some(path) => Found::Yes(path.display().to_string()),
        None => Found::No("not found".into()),
    }
}

/// A Python interpreter that answers.
pub fn interpreter(name: &str) -> Found {
    let Some(path) = locate(name) else { return Found::No("not found".into()) };
    let mut command = Command::new(&path);
    command.args(["-E", "-s", "-c", "import sys; sys.stdout.write(sys.version.split()[0])"]);
    match output(command, DEADLINE) {
        Ok(version) => Found::Yes(format!("{version} ({})", path.display())),
        Err(why) => Found::No(format!("{} does not run: {why}", path.display())),
    }
}

/// Runs a program and returns what it prints; a child that does not end in time is left behind
/// killed, and never waited for: one that is stuck in the kernel would hold its waiter too.
fn output(mut command: Command, deadline: Duration) -> Result<String, String> {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = spawned.map_err(|error| error.to_string())?;
    let until = Instant::now() + deadline;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) => {
                let _ = child.kill();
                return Err(format!("no answer within {deadline:?}"));
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let mut text = String::new();
    // What is asked for is short: it fits in the pipe, so that the child could end before this.
    if let Some(out) = child.stdout.as_mut() {
        let _ = out.take(4096).read_to_string(&mut text);
    }
    match status.success() {
        true => Ok(text.trim().to_owned()),
        false => Err(status.to_string()),
    }
}

/// A file system or module that the kernel has, or could load.
pub fn kernel(name: &str) -> Found {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let release = read("/proc/sys/kernel/osrelease");
    let modules = format!("/lib/modules/{}", release.trim());
    kernel_in(
        name,
        &read("/proc/filesystems"),
        &read("/proc/modules"),
        Path::new("/sys/module").join(name).exists(),
        &(read(&format!("{modules}/modules.builtin")) + &read(&format!("{modules}/modules.dep"))),
    )
}

fn kernel_in(name: &str, filesystems: &str, modules: &str, sys: bool, installed: &str) -> Found {
    let filesystem = filesystems.lines().any(|line| line.split_whitespace().next_back() == Some(name));
    let loaded = sys || modules.lines().any(|line| line.split(' ').next() == Some(name));
    if filesystem || loaded {
        return Found::Yes("in the running kernel".into());
    }
    let ko = format!("/{name}.ko");
    let loadable = installed.lines().filter_map(|line| line.split(':').next()).any(|path| path.contains(&ko));
    match loadable {
        true => Found::Yes("loaded when needed".into()),
        false => Found::No("neither in the running kernel nor among its modules".into()),
    }
}

/// The bus's socket takes connections.
pub fn bus(host: &Host) -> Option<Found> {
    let address = match host.bus.as_str() {
        "system" => "unix:path=/run/dbus/system_bus_socket".to_owned(),
        "session" => match std::env::var("DBUS_SESSION_BUS_ADDRESS") {
            Ok(address) => address,
            Err(_) => return Some(Found::No("there is no session bus".into())),
        },
        address => address.to_owned(),
    };
    // Other sorts of address are tried by whoever connects.
    let (_, rest) = address.split_once("unix:path=")?;
    let path = rest.split([',', ';']).next().unwrap_or(rest);
    Some(match UnixStream::connect(path) {
        Ok(_) => Found::Yes(path.to_owned()),
        Err(error) => Found::No(format!("{path}: {error}")),
    })
}

/// The state directory: absent until the agent's first start, and private then.
pub fn state_dir(host: &Host) -> Option<Found> {
    let dir = host.state_dir.display();
    let meta = match fs::symlink_metadata(&host.state_dir) {
        Ok(meta) => meta,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Some(Found::Yes(format!("{dir} is made at the agent's first start")));
        }
        Err(error) => return Some(Found::Unknown(format!("{dir}: {error}"))),
    };
    let mode = meta.permissions().mode() & 0o7777;
    Some(match (meta.is_dir(), meta.uid(), mode & 0o077) {
        (false, _, _) => Found::No(format!("{dir} is not a directory")),
        (true, 0, 0) => Found::Yes(format!("{dir}, mode {mode:04o}")),
        (true, uid, _) => Found::No(format!("{dir} belongs to uid {uid} with mode {mode:04o}")),
    })
}

fn has_tree(host: &Host) -> bool {
    is_mounted(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default(), &host.mountpoint)
}

/// The tree is mounted.
pub fn mounted(host: &Host) -> Option<Found> {
    let point = host.mountpoint.display();
    Some(match has_tree(host) {
        true => Found::Yes(format!("mounted at {point}")),
        false => Found::No(format!("nothing is mounted at {point}")),
    })
}

/// The tree, where it is mounted, answers. Only a child process touches it.
pub fn answers(host: &Host) -> Option<Found> {
    if !has_tree(host) {
        return None;
    }
    let mut command = Command::new("stat");
    command.args(["-f", "-c", "%T", "--"]).arg(&host.mountpoint);
    Some(match output(command, DEADLINE) {
        Ok(_) => Found::Yes("statfs is answered".into()),
        Err(why) => Found::No(format!("{} does not answer: {why}", host.mountpoint.display())),
    })
}

fn is_mounted(mountinfo: &str, point: &Path) -> bool {
    // proc(5): the fifth field, with blanks and backslashes in octal.
    let escaped: String = point
        .to_string_lossy()
        .chars()
        .map(|c| {
            if matches!(c, ' ' | '\t' | '\n' | '\\') { format!("\\{:03o}", c as u32) } else { c.to_string() }
        })
        .collect();
    mountinfo.lines().any(|line| line.split(' ').nth(4) == Some(escaped.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_counts_only_once_it_has_answered() {
        let dir = tempfile::tempdir().expect("a directory");
        let refusing = dir.path().join("python9");
        fs::write(&refusing, "#!/bin/sh\nexit 127\n").expect("it is written");
        fs::set_permissions(&refusing, fs::Permissions::from_mode(0o755)).expect("it can be run");
        assert!(matches!(interpreter(refusing.to_str().expect("UTF-8")), Found::No(_)));
        assert!(matches!(interpreter("python3"), Found::Yes(version) if version.starts_with("3.")));
    }

    #[test]
    fn a_child_that_does_not_end_is_not_waited_for() {
        let mut command = Command::new("sleep");
        command.arg("60");
        assert!(output(command, Duration::from_millis(50)).expect_err("it sleeps").contains("no answer"));
    }

    #[test]
    fn a_kernel_feature_is_found_wherever_the_kernel_shows_it() {
        let none =
            kernel_in("nfs", "nodev\tsysfs\n\text4\n", "nfsd 1 0\n", false, "kernel/fs/nfsd/nfsd.ko.xz: \n");
        assert!(matches!(none, Found::No(_)));
        for (filesystems, modules, sys, installed) in [
            ("nodev\tnfs\n", "", false, ""),
            ("", "nfs 5 1 -\n", false, ""),
            ("", "", true, ""),
            ("", "", false, "kernel/fs/nfs/nfs.ko.xz: kernel/net/sunrpc.ko\n"),
            ("", "", false, "kernel/fs/nfs/nfs.ko\n"),
        ] {
            assert!(matches!(kernel_in("nfs", filesystems, modules, sys, installed), Found::Yes(_)));
        }
    }

    #[test]
    fn a_state_directory_is_private() {
        let dir = tempfile::tempdir().expect("a directory");
        let host =
            |path: &Path| Host { mountpoint: "/".into(), state_dir: path.into(), bus: "system".into() };
        let mode =
            |mode| fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).expect("it is set");
        mode(0o755);
        assert!(matches!(state_dir(&host(dir.path())), Some(Found::No(_))));
        assert!(matches!(state_dir(&host(Path::new("/nonexistent/x"))), Some(Found::Yes(_))));
        mode(0o700);
        let mine = fs::metadata(dir.path()).expect("it is there").uid() == 0;
        assert_eq!(matches!(state_dir(&host(dir.path())), Some(Found::Yes(_))), mine);
    }

    #[test]
    fn a_mount_is_told_from_a_directory() {
        let mountinfo = "22 1 0:20 / / rw - ext4 /dev/sda rw\n40 22 0:50 / /osc\\040two rw - fuse osc rw\n";
        assert!(is_mounted(mountinfo, Path::new("/osc two")));
        assert!(!is_mounted(mountinfo, Path::new("/osc")));
    }
}
