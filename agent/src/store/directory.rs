//! The state directory: private, and one agent's at a time.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::error::{Error, Kind, Result};

/// How long an agent that is ending may take to let go of its state directory.
const PATIENCE: Duration = Duration::from_secs(2);

/// Held for as long as the state directory is this agent's.
pub type Lock = Flock<File>;

/// Makes the directory if there is none, and takes it.
pub fn take(dir: &Path) -> Result<Lock> {
    let wrong = |doing: &str, source: &dyn std::fmt::Display| {
        Error::internal(format!("the state directory {}: {doing}", dir.display()), source)
    };
    if !dir.is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| from_io(&source, wrong("cannot be made", &source)))?;
    }
    std::fs::set_permissions(dir, Permissions::from_mode(0o700))
        .map_err(|source| wrong("cannot be made private", &source))?;
    let path = dir.join("lock");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|source| from_io(&source, wrong("cannot open its lock", &source)))?;
    let mut lock = lock_patiently(file).map_err(|(mut file, errno)| {
        if errno != Errno::EWOULDBLOCK {
            return wrong("cannot lock it", &errno);
        }
        let mut pid = String::new();
        // The number only makes the message better.
        let _ = file.read_to_string(&mut pid);
        let holder = match pid.trim() {
            "" => "another agent".to_owned(),
            pid => format!("another agent (process {pid})"),
        };
        let dir = dir.display();
        let advice = "stop that one first, or give this one another --state-dir";
        Error::new(Kind::Internal, format!("the state directory {dir} is in use by {holder}: {advice}"))
    })?;
    let pid = format!("{}\n", std::process::id());
    // On a full disk the number is missing from another agent's message, and nothing else.
    let _ = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(pid.as_bytes()));
    Ok(lock)
}

/// Takes the lock; one that an agent still holds which has just been killed is waited for.
fn lock_patiently(mut file: File) -> std::result::Result<Lock, (File, Errno)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Err((again, Errno::EWOULDBLOCK)) if Instant::now() < deadline => file = again,
            ended => return ended,
        }
        std::thread::sleep(PATIENCE / 50);
    }
}

/// `error`, as a [`Kind::NoSpace`] where that is what happened.
pub fn from_io(source: &std::io::Error, error: Error) -> Error {
    match source.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => Error::new(Kind::NoSpace, error.message()),
        _ => error,
    }
}
