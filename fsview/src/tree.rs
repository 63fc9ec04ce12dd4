//! The handle that changes are told to, and the one thread that tells the kernel.
//!
//! A notification may wait for a request in flight, so that no thread that answers requests may send one. Replies to writers go through the
//! same queue: whoever comes back from a write finds everything told before its answer visible in the tree.

use std::sync::{Arc, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::engine::{Engine, Notice};
use crate::fault;
use crate::fuse::Pollers;
use crate::kernel::Kernel;
use crate::model::Change;
use crate::stats::{Count, Stats};
use crate::storage::Records;

enum Job {
    Change { change: Change, was_gone: bool },
    Reply(Box<dyn FnOnce() + Send>),
    Notices(Vec<Notice>),
    Tidy,
    Settle(mpsc::Sender<()>),
    End,
}

/// Tells the kernel of changes. Cheap to clone; never blocks.
#[derive(Clone)]
pub struct Tree {
    jobs: mpsc::Sender<Job>,
    records: Arc<Stats>,
    controls: Arc<Stats>,
    engine: Arc<Engine<Records>>,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tree").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl Tree {
    /// Something changed, and the model already shows it. Returns at once; a thread of the tree's own tells the kernel.
    ///
    /// Asks the model whether a storage server is there, so that it must not be called with a lock held that [`Model`](crate::Model)'s
    /// methods take.
    pub fn changed(&self, change: Change) {
        // Without a receiver the tree is unmounted, and there is nobody left to tell.
        let was_gone = self.engine.layout().is_gone(&change);
        let _ = self.jobs.send(Job::Change { change, was_gone });
    }

    /// Waits until all changes told so far have reached the kernel. Not to be called where a request to the tree is being answered.
    pub fn settle(&self) {
        let (done, wait) = mpsc::channel();
        if self.jobs.send(Job::Settle(done)).is_ok() {
            let _ = wait.recv();
        }
    }

    /// Waits for the same, but no longer than that.
    pub(crate) fn settle_within(&self, limit: Duration) {
        let (done, wait) = mpsc::channel();
        if self.jobs.send(Job::Settle(done)).is_ok() && wait.recv_timeout(limit).is_err() {
            tracing::warn!("the kernel takes long to be told of changes");
        }
    }

    /// Requests and notifications of the record connection.
    pub fn record_stats(&self) -> &Stats {
        &self.records
    }

    /// Requests of the control connection.
    pub fn control_stats(&self) -> &Stats {
        &self.controls
    }

    /// How many inodes of the record tree the kernel knows.
    pub fn inodes(&self) -> usize {
        self.engine.inodes()
    }

    pub(crate) fn post(&self, reply: Box<dyn FnOnce() + Send>) {
        if let Err(mpsc::SendError(Job::Reply(reply))) = self.jobs.send(Job::Reply(reply)) {
            reply();
        }
    }

    /// Has these told before anything else that is told from now on.
    pub(crate) fn tell(&self, notices: Vec<Notice>) {
        let _ = self.jobs.send(Job::Notices(notices));
    }

    /// Has the ledger written anew once everything is told.
    pub(crate) fn tidy(&self) {
        let _ = self.jobs.send(Job::Tidy);
    }

    pub(crate) fn end(&self) {
        let _ = self.jobs.send(Job::End);
    }
}

/// The thread's side.
pub struct Teller {
    jobs: mpsc::Receiver<Job>,
    stats: Arc<Stats>,
    engine: Arc<Engine<Records>>,
    pollers: Pollers,
    /// Set once the record connection is up; what changes before is not known to any kernel.
    kernel: Arc<OnceLock<Kernel>>,
}

/// A tree's handle and the other end of its queue.
pub fn pair(engine: Arc<Engine<Records>>, pollers: Pollers, kernel: Arc<OnceLock<Kernel>>) -> (Tree, Teller) {
    let (send, jobs) = mpsc::channel();
    let records = Arc::new(Stats::default());
    let tree = Tree {
        jobs: send,
        records: records.clone(),
        controls: Arc::new(Stats::default()),
        engine: engine.clone(),
    };
    (tree, Teller { jobs, stats: records, engine, pollers, kernel })
}

impl Tree {
    pub(crate) fn record_counter(&self) -> Arc<Stats> {
        self.records.clone()
    }
    pub(crate) fn control_counter(&self) -> Arc<Stats> {
        self.controls.clone()
    }
}

impl Teller {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread could be made.
    pub fn spawn(self) -> std::io::Result<thread::JoinHandle<()>> {
        thread::Builder::new().name("fsview-teller".into()).spawn(move || self.run())
    }

    fn run(self) {
        while let Ok(job) = self.jobs.recv() {
            match job {
                Job::Change { change: Change::Events, .. } => self.wake_pollers(),
                Job::Change { change, was_gone } => {
                    self.engine.apply(&change, was_gone).iter().for_each(|notice| self.tell(notice));
                }
                Job::Notices(notices) => notices.iter().for_each(|notice| self.tell(notice)),
                Job::Tidy => self.engine.tidy(),
                Job::Reply(reply) => reply(),
                Job::Settle(done) => drop(done.send(())),
                Job::End => break,
            }
        }
        // Writers that finish from now on are answered by whoever finished them.
        while let Ok(job) = self.jobs.try_recv() {
            if let Job::Reply(reply) = job {
                reply();
            }
        }
    }

    fn tell(&self, notice: &Notice) {
        fault::point("tell");
        let Some(kernel) = self.kernel.get() else {
            return;
        };
        let (what, told) = match notice {
            Notice::Entry { dir, name } => (Count::InvalEntry, kernel.inval_entry(*dir, name.as_bytes())),
            Notice::Listing { dir } => {
                // Dropping a listing does not wait for one that is being read, dropping a name does: with this name, which is in no
                // directory, what was listed from the old state is in the kernel's cache before it is dropped.
                let waited = kernel.inval_entry(*dir, b"%~");
                let waited =
                    waited.or_else(|e| if e.raw_os_error() == Some(libc::ENOENT) { Ok(()) } else { Err(e) });
                (Count::InvalInode, waited.and_then(|()| kernel.inval_inode(*dir)))
            }
        };
        self.stats.add(what);
        // What the kernel does not know it answers ENOENT; any other error is that of a connection that is going away.
        if let Err(error) = told
            && error.raw_os_error() != Some(libc::ENOENT)
        {
            tracing::debug!(?notice, %error, "the kernel did not take a notification");
        }
    }

    fn wake_pollers(&self) {
        let pollers = std::mem::take(&mut *self.pollers.lock().unwrap_or_else(PoisonError::into_inner));
        for poller in pollers {
            let _ = poller.notify();
        }
    }
}
