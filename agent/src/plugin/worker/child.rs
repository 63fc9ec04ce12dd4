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

/// A call's process, once it is there, and its directory. Dropping it kills the process, unless it
/// has answered, and then tidies up.
pub struct Child {
    pid: i32,
    exit: Option<AsyncFd<Arc<OwnedFd>>>,
    tmpdir: PathBuf,
    answered: bool,
    /// The call's place among those that run at the same time, until its process has ended.
    permit: Option<OwnedSemaphorePermit>,
    /// Keeps the warm process, which has to collect this one.
    worker: Arc<Worker>,
}

impl Child {
    /// Makes the directory for a process that is to come.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn expect(worker: &Arc<Worker>, tmpdir: PathBuf, permit: OwnedSemaphorePermit) -> io::Result<Child> {
        assets::make(&tmpdir)?;
        let (worker, permit) = (worker.clone(), Some(permit));
        Ok(Child { pid: 0, exit: None, tmpdir, answered: false, permit, worker })
    }

    /// Takes hold of the process. It may have answered and ended already: then there is nothing to hold.
    ///
    /// # Errors
    /// When no descriptor is left to watch it with; it is killed then.
    pub fn adopt(&mut self, pid: i32) -> io::Result<()> {
        self.pid = pid;
        let watched = spawn::pidfd_open(pid).and_then(|fd| spawn::watch_exit(Arc::new(fd)));
        match watched {
            Ok(exit) => self.exit = Some(exit),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => {
                if self.worker.is_parent_of(pid) {
                    // SAFETY: two numbers.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
                return Err(error);
            }
        }
        Ok(())
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
        let Some(exit) = self.exit.take() else {
            // It never came, or has gone; only in the second case can it have left something.
            let kept = std::fs::remove_dir(&self.tmpdir).is_err() && self.pid != 0;
            if let (true, Ok(runtime)) = (kept, tokio::runtime::Handle::try_current()) {
                runtime.spawn(tidy(std::mem::take(&mut self.tmpdir)));
            }
            return;
        };
        // Should the process have ended and its number be another's by the time it was adopted, then
        // that one is none of the worker's.
        if !self.answered && self.worker.is_parent_of(self.pid) {
            spawn::pidfd_signal(exit.get_ref().as_fd(), Signal::SIGKILL);
        }
        let pid = self.pid;
        let (tmpdir, permit, worker) =
            (std::mem::take(&mut self.tmpdir), self.permit.take(), self.worker.clone());
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if tokio::time::timeout(LAST_WORDS, exit.readable()).await.is_err() && worker.is_parent_of(pid) {
                spawn::pidfd_signal(exit.get_ref().as_fd(), Signal::SIGKILL);
                let _ = exit.readable().await;
            }
            drop((permit, worker));
            // Nearly always empty.
            if std::fs::remove_dir(&tmpdir).is_err() {
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
