//! The mount point: found, judged and made without touching the file system that it may be on.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::table::Table;
use super::{child, missing};
use crate::error::{Error, Kind, Result};

/// Directories of the system that nothing of ours may cover.
const NOT_ON: &[&str] = &[
    "/", "/bin", "/boot", "/etc", "/home", "/lib", "/lib64", "/opt", "/root", "/run", "/sbin", "/tmp",
    "/usr", "/var",
];
/// The same with everything below them.
const NOT_BELOW: &[&str] = &["/proc", "/sys", "/dev"];

/// The path without links: the one that the mount table shows.
///
/// # Errors
/// [`Kind::InvalidValue`] for what is no path; [`Kind::Timeout`] where it leads to a server that is gone.
pub async fn resolve(text: &str, table: &Table, left: Duration) -> Result<PathBuf> {
    let path = Path::new(text);
    let plain = path.is_absolute()
        && !text.chars().any(char::is_control)
        && !path.components().any(|part| part == std::path::Component::ParentDir);
    if !plain {
        return Err(Error::invalid(format!(
            "the mount point has to be an absolute path without '..', not {text:?}"
        )));
    }
    // Looking at what is mounted there could wait for its server.
    let path: PathBuf = path.components().collect();
    if table.has(&path) {
        return Ok(path);
    }
    let words = ["--canonicalize-missing", "--zero", "--"].map(OsStr::new);
    let words = words.into_iter().chain([path.as_os_str()]);
    match child::run("realpath", words, left).await.map_err(|error| missing("realpath", &error))? {
        Some(ended) if ended.worked() => {
            Ok(OsStr::from_bytes(ended.said.trim_end_matches('\0').as_bytes()).into())
        }
        Some(ended) => Err(Error::invalid(format!("{text} cannot be resolved: {}", ended.said))),
        None => Err(no_answer(&path)),
    }
}

/// Whether something may be mounted there.
///
/// # Errors
/// [`Kind::InvalidValue`].
pub fn check(at: &Path, table: &Table) -> Result<()> {
    let ours = table.0.iter().filter(|mount| mount.kind == "fuse.oscd").map(|mount| mount.at.as_path());
    let mut below = NOT_BELOW.iter().map(Path::new).chain(ours);
    if NOT_ON.iter().any(|place| at == Path::new(place)) || below.any(|place| at.starts_with(place)) {
        let text = format!("nothing can be mounted on {}: it is the system's", at.display());
        return Err(Error::invalid(text));
    }
    Ok(())
}

/// Makes the mount point; whether it was missing.
///
/// # Errors
/// [`Kind::InvalidValue`] where it is something else than a directory, or cannot be made.
pub async fn make(at: &Path, left: Duration) -> Result<bool> {
    let script = r#"if [ -d "$1" ]; then echo there; else mkdir -p -m 0755 -- "$1" && echo made; fi"#;
    let words = ["-c", script, "sh"].map(OsStr::new).into_iter().chain([at.as_os_str()]);
    match child::run("sh", words, left).await.map_err(|error| missing("sh", &error))? {
        Some(ended) if ended.worked() => Ok(ended.said == "made"),
        Some(ended) => {
            Err(Error::invalid(format!("nothing can be mounted on {}: {}", at.display(), ended.said)))
        }
        None => Err(no_answer(at)),
    }
}

fn no_answer(at: &Path) -> Error {
    let text = format!("{} does not answer: is it on a server that is gone?", at.display());
    Error::new(Kind::Timeout, text)
}
