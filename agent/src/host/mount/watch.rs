//! Knowing at once that something was mounted, unmounted or remounted, by whomever: the kernel tells
//! whoever polls mountinfo (proc_pid_mountinfo(5)).

use std::fs::File;
use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits for changes of the mount table.
pub struct Watch(AsyncFd<File>);

impl Watch {
    /// Tells of changes from now on. To be called inside the runtime.
    ///
    /// # Errors
    /// /proc is not there, or no descriptor is left.
    pub fn start() -> io::Result<Watch> {
        let file = File::open("/proc/self/mountinfo")?;
        // Always readable; a change is what is urgent.
        // SAFETY: the file is moved in, keeps its descriptor, and is exchanged by nobody.
        Ok(Watch(unsafe { AsyncFd::register_with_interest(file, Interest::PRIORITY) }?))
    }

    /// Waits until something has changed since the last time.
    ///
    /// # Errors
    /// The runtime ends.
    pub async fn changed(&self) -> io::Result<()> {
        self.0.ready(Interest::PRIORITY).await?.clear_ready();
        Ok(())
    }
}
