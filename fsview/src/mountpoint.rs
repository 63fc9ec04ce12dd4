//! The mount point: what stands in the way of mounting there, and clearing away what a dead agent left.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use crate::storage::PID_FILE;

/// How long a mount may take to answer before its daemon counts as stuck.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why the tree could not be mounted or unmounted: names the mount point and says what to do next.
#[derive(Debug)]
pub struct MountError {
    message: String,
    source: Option<io::Error>,
}

impl MountError {
    pub(crate) fn new(message: String) -> Self {
        Self { message, source: None }
    }
    pub(crate) fn io(message: String, source: io::Error) -> Self {
        Self { message, source: Some(source) }
    }
}

impl std::fmt::Display for MountError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for MountError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// Makes `wanted` ready to be mounted on, and returns its canonical path.
///
/// # Errors
/// See [`MountError`].
pub fn prepare(wanted: &Path) -> Result<PathBuf, MountError> {
    let at = canonical(wanted)?;
    clear_dead_mounts(&at)?;
    match fs::symlink_metadata(&at) {
        Ok(meta) if !meta.is_dir() => {
            return Err(MountError::new(format!(
                "mount point {} is not a directory; name a directory with --mountpoint",
                at.display()
            )));
        }
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            fs::DirBuilder::new().mode(0o755).create(&at).map_err(|e| {
                MountError::io(format!("mount point {} is missing and cannot be created", at.display()), e)
            })?;
            tracing::info!(mountpoint = %at.display(), "created the mount point");
        }
        Err(e) => {
            return Err(MountError::io(format!("mount point {} cannot be looked at", at.display()), e));
        }
    }
    let mut entries = fs::read_dir(&at)
        .map_err(|e| MountError::io(format!("mount point {} cannot be read", at.display()), e))?;
    if let Some(Ok(entry)) = entries.next() {
        return Err(MountError::new(format!(
            "mount point {} is not empty (it holds {:?}, which the mount would hide); empty it or name another directory",
            at.display(),
            entry.file_name()
        )));
    }
    Ok(at)
}

/// The path without links, of which only the last component may be missing.
///
/// # Errors
/// See [`MountError`].
pub fn canonical(wanted: &Path) -> Result<PathBuf, MountError> {
    let wanted = std::path::absolute(wanted)
        .map_err(|e| MountError::io(format!("mount point {} cannot be resolved", wanted.display()), e))?;
    // Not the whole path: looking at a dead mount itself is an error.
    let (Some(parent), Some(name)) = (wanted.parent(), wanted.file_name()) else {
        return Err(MountError::new(
            "the root directory cannot be a mount point; name another directory".into(),
        ));
    };
    let parent = parent.canonicalize().map_err(|e| {
        MountError::io(
            format!("mount point {}: its parent {} cannot be entered", wanted.display(), parent.display()),
            e,
        )
    })?;
    let at = parent.join(name);
    // What is mounted there may not answer, and is no link.
    if mounts().is_ok_and(|mounts| mounts.iter().any(|mount| mount.at == at)) {
        return Ok(at);
    }
    match fs::read_link(&at) {
        Ok(_) => at
            .canonicalize()
            .map_err(|e| MountError::io(format!("mount point {} leads nowhere", at.display()), e)),
        Err(_) => Ok(at),
    }
}

/// A line of /proc/self/mountinfo, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// Where it is mounted.
    pub at: PathBuf,
    /// File system type.
    pub fstype: String,
    /// Minor device number: the name of a FUSE connection in /sys/fs/fuse/connections.
    pub minor: u64,
}

/// All mounts of this mount namespace, in the order they were made. Asks the kernel only, never a file system.
///
/// # Errors
/// /proc is not there.
pub fn mounts() -> io::Result<Vec<MountInfo>> {
    Ok(parse_mountinfo(&fs::read("/proc/self/mountinfo")?))
}

fn parse_mountinfo(table: &[u8]) -> Vec<MountInfo> {
    let line = |line: &[u8]| {
        let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
        let mut fields = line.split(|byte| *byte == b' ');
        let minor = text(fields.nth(2)?).split_once(':')?.1.parse().ok()?;
        let at = unescaped(fields.nth(1)?).into();
        let fstype = text(fields.skip_while(|field| *field != b"-").nth(1)?);
        Some(MountInfo { at, fstype, minor })
    };
    table.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// A field of /proc/self/mountinfo as it was before the kernel wrote blanks, tabs, newlines, backslashes and `#` in it
/// as three octal digits (proc_pid_mountinfo(5)).
pub fn unescaped(field: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        let octal =
            tail.get(..3).filter(|_| byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &tail[3..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

/// Takes away mounts on `at` whose daemon is dead; refuses to mount over one that is alive.
fn clear_dead_mounts(at: &Path) -> Result<(), MountError> {
    let on_it = |at: &Path| -> Result<Option<MountInfo>, MountError> {
        let mounts = mounts().map_err(|e| MountError::io("/proc/self/mountinfo cannot be read".into(), e))?;
        Ok(mounts.into_iter().rev().find(|mount| mount.at == at))
    };
    while let Some(mount) = on_it(at)? {
        if !mount.fstype.starts_with("fuse") {
            return Err(MountError::new(format!(
                "mount point {} has a file system of type {} mounted on it; unmount it or name another directory",
                at.display(),
                mount.fstype
            )));
        }
        match probe(at) {
            Probe::Dead => {
                tracing::warn!(mountpoint = %at.display(), fstype = mount.fstype, "replacing the mount of a dead daemon");
                // Lazily: someone may still stand in it. What is mounted below goes with it.
                umount2(at, MntFlags::MNT_DETACH).map_err(|e| {
                    MountError::io(format!("the dead mount on {} cannot be detached", at.display()), e.into())
                })?;
            }
            Probe::Alive(Some(pid)) => {
                return Err(MountError::new(format!(
                    "mount point {} is already served by pid {pid}; stop that agent or name another directory",
                    at.display()
                )));
            }
            Probe::Alive(None) => {
                return Err(MountError::new(format!(
                    "mount point {} is already served by a live {} file system; unmount it or name another directory",
                    at.display(),
                    mount.fstype
                )));
            }
            Probe::Stuck => {
                return Err(MountError::new(format!(
                    "mount point {} is held by a {} daemon that does not answer; end it, or umount -l {}",
                    at.display(),
                    mount.fstype,
                    at.display()
                )));
            }
        }
    }
    Ok(())
}

enum Probe {
    Dead,
    Alive(Option<u32>),
    Stuck,
}

/// Asks the file system on `at` something that only its daemon can answer, on a thread that may be left behind.
fn probe(at: &Path) -> Probe {
    let (answer, wait) = mpsc::channel();
    let path = at.to_owned();
    let asking = thread::Builder::new().name("mount-probe".into()).spawn(move || {
        let alive = !matches!(
            nix::sys::statfs::statfs(&path),
            Err(Errno::ENOTCONN | Errno::ECONNABORTED | Errno::ENODEV)
        );
        let pid = fs::read_to_string(path.join(PID_FILE)).ok().and_then(|pid| pid.trim().parse().ok());
        let _ = answer.send(if alive { Probe::Alive(pid) } else { Probe::Dead });
    });
    match asking {
        Ok(_) => wait.recv_timeout(PATIENCE).unwrap_or(Probe::Stuck),
        Err(_) => Probe::Stuck,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read_with_its_escapes_and_optional_fields() {
        let text =
            b"36 35 0:45 / /mnt/with\\040blank rw,noatime shared:1 master:2 - fuse.oscd oscd rw,user_id=0\n\
                     37 36 8:1 /x / rw - ext4 /dev/sda1 rw\n\
                     38 36 0:46 / /mnt/\xff rw - tmpfs tmpfs rw\n";
        let odd = PathBuf::from(OsString::from_vec(b"/mnt/\xff".to_vec()));
        assert_eq!(
            parse_mountinfo(text),
            [
                MountInfo { at: "/mnt/with blank".into(), fstype: "fuse.oscd".into(), minor: 45 },
                MountInfo { at: "/".into(), fstype: "ext4".into(), minor: 1 },
                MountInfo { at: odd, fstype: "tmpfs".into(), minor: 46 },
            ]
        );
    }
}
