//! A command of the system in a process of its own, under a deadline: whatever it waits for, nobody
//! here waits longer.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::plugin::interpreter::SAFE_PATH;

/// What is read of what a command says.
const SAID_BYTES: u64 = 16 << 10;
/// How long one that was killed is waited for.
const PARTING: Duration = Duration::from_secs(1);

/// A command that was started. Dropping it kills it with everything that it started.
pub struct Running {
    child: Child,
    /// Its process group, until it has been waited for: then the number may be somebody else's.
    group: Option<Pid>,
    said: File,
    name: String,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; `None` where it was killed.
    pub status: Option<i32>,
    /// What it printed, on either of its outputs.
    pub said: String,
}

impl Ended {
    /// Whether it did what it was to do.
    pub fn worked(&self) -> bool {
        self.status == Some(0)
    }
}

impl Running {
    /// Starts a command with nothing of the agent's environment.
    ///
    /// # Errors
    /// It cannot be started; which one is said.
    pub fn start<S: AsRef<OsStr>>(
        program: &str,
        arguments: impl IntoIterator<Item = S>,
    ) -> io::Result<Running> {
        // Not a pipe, which a daemon that the command leaves behind would keep open.
        let said = File::from(memfd_create(c"said", MFdFlags::MFD_CLOEXEC)?);
        let mut command = Command::new(program);
        command.args(arguments);
        command.env_clear().env("PATH", SAFE_PATH).env("LANG", "C.UTF-8").current_dir("/");
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said.try_clone()?);
        command.process_group(0);
        let child =
            command.spawn().map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Running { child, group, said, name: program.to_owned() })
    }

    /// Waits for its end; `None` where `patience` passes first: it goes on then.
    ///
    /// # Errors
    /// The system does not tell.
    pub async fn within(&mut self, patience: Duration) -> io::Result<Option<Ended>> {
        let Ok(status) = tokio::time::timeout(patience, self.child.wait()).await else { return Ok(None) };
        self.group = None;
        let mut said = Vec::new();
        self.said.rewind()?;
        (&self.said).take(SAID_BYTES).read_to_end(&mut said)?;
        let said = String::from_utf8_lossy(&said).trim_end().to_owned();
        Ok(Some(Ended { status: status?.code(), said }))
    }

    /// Kills it; whether it is gone then. One that waits for a device or a server uninterruptibly is not.
    pub async fn kill(&mut self) -> bool {
        self.signal();
        matches!(self.within(PARTING).await, Ok(Some(_)))
    }

    fn signal(&self) {
        if let Some(group) = self.group {
            // It may have ended this moment.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.group.is_some() {
            tracing::debug!(command = self.name, "ended before it was done");
        }
        self.signal();
    }
}

/// Runs a command to its end; `None` where the deadline passed and it was killed.
///
/// # Errors
/// It cannot be started.
pub async fn run<S: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = S>,
    deadline: Duration,
) -> io::Result<Option<Ended>> {
    let mut running = Running::start(program, arguments)?;
    let ended = running.within(deadline).await?;
    if ended.is_none() {
        running.kill().await;
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_a_command_says_and_how_it_ends_is_told() {
        let ended = run("sh", ["-c", "echo out; echo err >&2; env; exit 3"], LONG).await.unwrap().unwrap();
        assert_eq!(ended.status, Some(3));
        assert!(ended.said.starts_with("out\nerr\n"), "{}", ended.said);
        assert!(!ended.said.contains("CARGO"), "the agent's environment: {}", ended.said);
        assert!(run("no-such-command", ["x"], LONG).await.is_err());
    }

    #[tokio::test]
    async fn one_that_leaves_a_daemon_behind_has_ended() {
        let ended = run("sh", ["-c", "setsid sleep 600 & echo $!"], LONG).await.unwrap().unwrap();
        let daemon: i32 = ended.said.parse().unwrap();
        nix::sys::signal::kill(Pid::from_raw(daemon), Signal::SIGKILL).unwrap();
    }

    #[tokio::test]
    async fn at_the_deadline_it_is_killed_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let script = "sleep 600 & echo $! >\"$1\"; echo $$ >>\"$1\"; wait";
        let mut running = Running::start("sh", ["-c", script, "sh", pids.to_str().unwrap()]).unwrap();
        while !std::fs::read_to_string(&pids).is_ok_and(|text| text.lines().count() == 2) {
            assert!(running.within(Duration::from_millis(10)).await.unwrap().is_none());
        }
        assert!(running.kill().await);
        for pid in std::fs::read_to_string(&pids).unwrap().lines() {
            let gone = || match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
                Ok(stat) => stat.contains(") Z "),
                Err(_) => true,
            };
            while !gone() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
