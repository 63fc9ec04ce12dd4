//! Running this host's tools: never through a shell, in a clean environment, and gone when nobody
//! waits for them any more.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::error::{Error, Kind, Result};

/// What a tool said at most; more is cut.
const SAID: usize = 1 << 20;

/// How a tool ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; `None` where a signal ended it.
    pub status: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// The last line of its standard error, or of its output where that has none.
    pub complaint: String,
}

/// Runs a tool to its end. Arguments are visible to every user of the host: no secret is ever one.
///
/// Dropping the future kills it.
///
/// # Errors
/// [`Kind::OperationPreReqNotMet`] when it cannot be started.
pub async fn run<S: AsRef<OsStr>>(path: &Path, args: &[S]) -> Result<Ended> {
    let output = Command::new(path)
        .args(args)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| {
            let text = format!("{} cannot be run: {error}", path.display());
            Error::new(Kind::OperationPreReqNotMet, text)
        })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(SAID)]).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let last =
        |text: &str| text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned);
    let complaint = last(&stderr).or_else(|| last(&stdout)).unwrap_or_default();
    Ok(Ended { status: output.status.code(), stdout, complaint })
}
