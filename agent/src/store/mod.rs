//! What must survive: registrations, the operation journal, and the last known lines of everything.
//!
//! One SQLite database in the state directory, owned by one thread. Registrations and the journal
//! are on disk before anybody is answered; lines follow in the background, since a refresh can
//! always tell them again.

mod directory;
mod rows;
mod schema;
mod seal;
mod writer;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::inventory::Operation;
use crate::pulse::Pulse;

pub use rows::{Loaded, LoadedServer, Row, RowChange, ServerRow};
pub use seal::credentials_directory;
use writer::{Durable, Job};

/// The name of the database in the state directory.
pub const DATABASE: &str = "state.db";

/// How many event numbers are reserved at a time, so that no restart uses one again.
pub const RESERVE: u64 = 1 << 20;

/// The store. A handle: clones are the same store.
#[derive(Clone)]
pub struct Store {
    jobs: std::sync::mpsc::Sender<Job>,
    pulse: Arc<Pulse>,
}

impl Store {
    /// Takes the state directory, brings its database up to date, and reads what it holds. Blocks.
    ///
    /// # Errors
    /// When the directory cannot be used or another agent has it, and when the database is damaged
    /// or newer than this agent: the message says what to do.
    pub fn open(state_dir: &Path) -> Result<(Store, Loaded)> {
        let lock = directory::take(state_dir)?;
        let key = seal::Key::open(state_dir)?;
        let mut database = schema::open(&state_dir.join(DATABASE))?;
        let loaded = rows::load(&mut database, &key)?;
        rows::reserve_events(&database, loaded.events + RESERVE);
        let (jobs, inbox) = std::sync::mpsc::channel();
        let pulse = Arc::new(Pulse::default());
        let writer = writer::Writer::new(database, key, lock, pulse.clone());
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run(&inbox))
            .map_err(|source| Error::internal("cannot start the store's thread", source))?;
        Ok((Store { jobs, pulse }, loaded))
    }

    /// Beaten by the thread that writes.
    pub fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }

    /// Journals an operation: on disk when this returns.
    ///
    /// # Errors
    /// [`Kind::NoSpace`](crate::Kind::NoSpace) on a full disk; nothing was written then.
    pub async fn journal(&self, operation: Arc<Operation>) -> Result<()> {
        self.durable(|reply| Durable::Operation(operation, reply)).await
    }

    /// Writes a registration: on disk when this returns.
    ///
    /// # Errors
    /// [`Kind::NoSpace`](crate::Kind::NoSpace) on a full disk; nothing was written then.
    pub async fn register(&self, server: ServerRow) -> Result<()> {
        self.durable(|reply| Durable::Register(Box::new(server), reply)).await
    }

    /// Forgets a storage server and all of its lines: on disk when this returns.
    ///
    /// # Errors
    /// When the database cannot be written; nothing was forgotten then.
    pub async fn unregister(&self, server: Uuid) -> Result<()> {
        self.durable(|reply| Durable::Unregister(server, reply)).await
    }

    /// Lets ended operations go.
    pub fn forget_operations(&self, operations: Vec<Uuid>) {
        self.send(Job::ForgetOperations(operations));
    }

    /// Writes an operation's end once more in the background, where the first attempt failed.
    pub fn journal_later(&self, operation: Arc<Operation>) {
        self.send(Job::JournalLater(operation));
    }

    /// Writes lines in the background; what cannot be written now is tried again.
    pub fn lines(&self, changes: Vec<RowChange>) {
        if !changes.is_empty() {
            self.send(Job::Lines(changes));
        }
    }

    /// Reserves event numbers up to `high`, in the background.
    pub fn reserve_events(&self, high: u64) {
        self.send(Job::Reserve(high));
    }

    /// Waits until everything given so far is on disk, or cannot be written.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.send(Job::Flush(done));
        // A thread that is gone has written what it could.
        let _ = flushed.await;
    }

    /// Writes what is left, closes the database and gives the state directory free.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.send(Job::Close(done));
        let _ = closed.await;
    }

    async fn durable(&self, job: impl FnOnce(oneshot::Sender<Result<()>>) -> Durable) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Durable(job(reply)));
        answer.await.unwrap_or_else(|_| Err(Error::internal("writing the state", "the store is closed")))
    }

    fn send(&self, job: Job) {
        // After `close` there is nobody to write; the answer of a durable job says so.
        let _ = self.jobs.send(job);
    }
}

/// Lines by id, as they were read back.
pub type Lines = BTreeMap<Arc<str>, Arc<str>>;
