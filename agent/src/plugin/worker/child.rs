//! The process of one call: however the call ends, the process ends with it, and so does its
//! directory for temporary files.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;
use tokio::sync::OwnedSemaphorePermit;

use super::{Worker, spawn};
use crate::plugin::assets;

/// How long a process that has answered may take to end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How long its orphans may go on writing into the temporary directory until they are found.
const TIDY_ATTEMPTS: u32 = 50;

/// A call's process. Dropping it kills the process, unless it has answered, and then tidies up.
pub struct Child {
    exit: Option<AsyncFd<Arc<OwnedFd>>>,
    tmpdir: PathBuf,
    answered: bool,
    /// The call's place among those that run at the same time, until its process has ended.
    permit: Option<OwnedSemaphorePermit>,
    /// Keeps the warm process, which has to collect this one.
    worker: Arc<Worker>,
}

impl Child {
    /// Takes hold of process `pid` and makes its directory.
    ///
    /// # Errors
    /// When the process is gone already, or is none of the worker's; or the directory cannot be
    /// made.
    pub fn adopt(
        worker: &Arc<Worker>,
        pid: i32,
        tmpdir: PathBuf,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<Child> {
        let pidfd = spawn::pidfd_open(pid)?;
        if !worker.is_parent_of(pid) {
            return Err(io::Error::other(format!("process {pid} is not one of the worker's")));
        }
        let mut child = Child {
            exit: Some(spawn::watch_exit(Arc::new(pidfd))?),
            tmpdir,
            answered: false,
            permit: Some(permit),
            worker: worker.clone(),
        };
        let made = assets::make(&child.tmpdir);
        if let Err(error) = made {
            child.tmpdir = PathBuf::new();
            return Err(error);
        }
        Ok(child)
    }

    /// Waits until the process has ended.
    pub async fn exited(&self) {
        if let Some(exit) = &self.exit {
            // An error is the runtime's end, and everybody else's.
            let _ = exit.readable().await;
        }
    }

    /// How it ended, in words, where the kernel tells.
    pub async fn end(&self) -> String {
        let Some(exit) = &self.exit else { return "ended".into() };
        let _ = tokio::time::timeout(LAST_WORDS, self.exited()).await;
        for _ in 0..20 {
            // Known once the warm process has collected it.
            if let Some(status) = spawn::exit_status_of(exit.get_ref().as_fd()) {
                return spawn::in_words(status);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        "ended".into()
    }

    /// It has answered, and may end by itself.
    pub fn has_answered(&mut self) {
        self.answered = true;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let Some(exit) = self.exit.take() else { return };
        if !self.answered {
            spawn::pidfd_signal(exit.get_ref().as_fd(), Signal::SIGKILL);
        }
        let (tmpdir, permit, worker) =
            (std::mem::take(&mut self.tmpdir), self.permit.take(), self.worker.clone());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if tokio::time::timeout(LAST_WORDS, exit.readable()).await.is_err() {
                spawn::pidfd_signal(exit.get_ref().as_fd(), Signal::SIGKILL);
                let _ = exit.readable().await;
            }
            drop((permit, worker));
            // Nearly always empty.
            if !tmpdir.as_os_str().is_empty() && std::fs::remove_dir(&tmpdir).is_err() {
                tidy(tmpdir).await;
            }
        });
    }
}

async fn tidy(tmpdir: PathBuf) {
    for _ in 0..TIDY_ATTEMPTS {
        let path = tmpdir.clone();
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(path)).await;
        match removed {
            Ok(Err(error)) if error.kind() != io::ErrorKind::NotFound => {}
            _ => return,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tracing::warn!(path = %tmpdir.display(), "temporary files of a call cannot be removed");
}
