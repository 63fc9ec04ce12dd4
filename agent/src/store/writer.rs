//! The thread that writes: what somebody waits for first and together, lines when it is quiet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, params};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::directory::Lock;
use super::rows::{self, Row, RowChange, ServerRow, WriteError};
use super::{schema, seal::Key};
use crate::error::{Error, Result};
use crate::inventory::Operation;
use crate::pulse::{PERIOD, Pulse};

/// How long lines gather before they are written.
const GATHER: Duration = Duration::from_millis(200);
/// How long to wait after a failed write of lines.
const RETRY: Duration = Duration::from_secs(5);
/// The most that one transaction answers together.
const TOGETHER: usize = 256;

/// What is on disk before it is answered.
pub enum Durable {
    Operation(Arc<Operation>, oneshot::Sender<Result<()>>),
    Register(Box<ServerRow>, oneshot::Sender<Result<()>>),
    Unregister(Uuid, oneshot::Sender<Result<()>>),
}

/// One request to the thread.
pub enum Job {
    Durable(Durable),
    JournalLater(Arc<Operation>),
    ForgetOperations(Vec<Uuid>),
    Lines(Vec<RowChange>),
    Reserve(u64),
    Flush(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// What waits to be written in the background: the last word on each row.
#[derive(Default)]
struct Pending {
    rows: BTreeMap<Row, RowChange>,
    operations: BTreeMap<Uuid, Option<Arc<Operation>>>,
    events: Option<u64>,
    /// When to write.
    due: Option<Instant>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.operations.is_empty() && self.events.is_none()
    }

    fn soon(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + GATHER);
    }
}

pub struct Writer {
    database: Connection,
    key: Key,
    pending: Pending,
    /// Whether the last attempt failed, so that it is told once.
    failing: bool,
    pulse: Arc<Pulse>,
    _lock: Lock,
}

impl Writer {
    pub fn new(database: Connection, key: Key, lock: Lock, pulse: Arc<Pulse>) -> Writer {
        Writer { database, key, pending: Pending::default(), failing: false, pulse, _lock: lock }
    }

    /// Works until the store is closed, or every handle of it is gone.
    pub fn run(mut self, inbox: &Receiver<Job>) {
        let mut closing = None;
        while closing.is_none() {
            self.pulse.beat();
            fsview::fault::hang("store");
            let due = self.pending.due.map(|due| due.saturating_duration_since(Instant::now()));
            let wait = due.unwrap_or(PERIOD).min(PERIOD);
            let first = match inbox.recv_timeout(wait) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    if self.pending.due.is_some_and(|due| due <= Instant::now()) {
                        self.write_pending();
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let (mut durable, mut flushed) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            while let Some(job) = next {
                match job {
                    Job::Durable(job) => durable.push(job),
                    Job::JournalLater(operation) => {
                        self.pending.operations.insert(operation.id, Some(operation));
                        self.pending.soon();
                    }
                    Job::ForgetOperations(ids) => {
                        self.pending.operations.extend(ids.into_iter().map(|id| (id, None)));
                        self.pending.soon();
                    }
                    Job::Lines(changes) => {
                        for change in changes {
                            self.pending.rows.insert(row_of(&change), change);
                        }
                        self.pending.soon();
                    }
                    Job::Reserve(high) => {
                        self.pending.events = Some(high);
                        self.pending.soon();
                    }
                    Job::Flush(done) => flushed.push(done),
                    Job::Close(done) => closing = Some(done),
                }
                let more = durable.len() < TOGETHER && flushed.is_empty() && closing.is_none();
                next = if more { inbox.try_recv().ok() } else { None };
            }
            self.write_durable(durable);
            if !flushed.is_empty() {
                self.write_pending();
                for done in flushed {
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
            }
        }
        self.write_pending();
        let Writer { database, _lock: lock, .. } = self;
        drop(database);
        drop(lock);
        if let Some(done) = closing {
            let _ = done.send(());
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.database.path().unwrap_or_default().into()
    }

    fn explain(&self, source: WriteError, doing: &str) -> Error {
        match source {
            WriteError::Database(source) => schema::explain(&source, doing, &self.path()),
            WriteError::Agent(error) => error,
        }
    }

    /// One transaction, one wait for the disk, however many wait for it.
    fn write_durable(&mut self, jobs: Vec<Durable>) {
        if jobs.is_empty() {
            return;
        }
        // What an unregistered server still had to write must not come after it.
        for job in &jobs {
            match job {
                Durable::Unregister(ss, _) => self.pending.rows.retain(|row, _| row.server() != *ss),
                Durable::Operation(operation, _) => drop(self.pending.operations.remove(&operation.id)),
                Durable::Register(row, _) => self.pending.rows.retain(|known, _| known.server() != row.uuid),
            }
        }
        // Whoever is told that an operation has ended may rely on what came of it: its rows go first.
        let ends = |job: &Durable| matches!(job, Durable::Operation(ended, _) if ended.state.ended());
        let rows =
            if jobs.iter().any(ends) { std::mem::take(&mut self.pending.rows) } else { BTreeMap::new() };
        let mut result = self.in_transaction("FULL", |change, key| {
            rows.values().try_for_each(|row| write_row(change, key, row))?;
            write_jobs(change, key, &jobs)
        });
        if result.is_err() && !rows.is_empty() {
            // The rows can wait for room on the disk; the end of an operation needs little of it.
            result = self.in_transaction("FULL", |change, key| write_jobs(change, key, &jobs));
            self.pending.rows = rows;
            self.pending.soon();
        }
        let result = result.map_err(|source| self.explain(source, "writing what must not be lost"));
        for job in jobs {
            let (Durable::Operation(_, reply) | Durable::Register(_, reply) | Durable::Unregister(_, reply)) =
                job;
            // Whoever asked may have gone; it is written all the same.
            let _ = reply.send(result.clone());
        }
    }

    fn write_pending(&mut self) {
        self.pending.due = None;
        if self.pending.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        let result = self.in_transaction("NORMAL", |change, key| {
            for row in pending.rows.values() {
                write_row(change, key, row)?;
            }
            for (id, operation) in &pending.operations {
                match operation {
                    Some(operation) => rows::write_operation(change, operation)?,
                    None => drop(change.execute("DELETE FROM operations WHERE id = ?", params![id])?),
                }
            }
            if let Some(high) = pending.events {
                let high = i64::try_from(high).unwrap_or(i64::MAX);
                change.execute("INSERT OR REPLACE INTO meta VALUES ('events', ?)", params![high])?;
            }
            Ok(())
        });
        match result {
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!(database = %self.path().display(), "the state can be written again");
            }
            Ok(()) => {}
            Err(source) => {
                let error = self.explain(source, "writing what is known of storage servers");
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the state cannot be written; it is kept in memory and tried again");
                }
                self.pending = pending;
                self.pending.due = Some(Instant::now() + RETRY);
            }
        }
    }

    fn in_transaction(
        &mut self,
        synchronous: &str,
        write: impl FnOnce(&Transaction<'_>, &Key) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        self.database.pragma_update(None, "synchronous", synchronous)?;
        let change = self.database.transaction()?;
        write(&change, &self.key)?;
        change.commit()?;
        Ok(())
    }
}

fn write_jobs(change: &Transaction<'_>, key: &Key, jobs: &[Durable]) -> Result<(), WriteError> {
    for job in jobs {
        match job {
            Durable::Operation(operation, _) => rows::write_operation(change, operation)?,
            Durable::Register(row, _) => {
                // Rows that came after the last unregistration are nobody's.
                forget_server(change, row.uuid)?;
                rows::write_server(change, key, row)?;
            }
            Durable::Unregister(ss, _) => forget_server(change, *ss)?,
        }
    }
    Ok(())
}

fn row_of(change: &RowChange) -> Row {
    match change {
        RowChange::Line(row, _) | RowChange::Gone(row) => row.clone(),
        RowChange::Server(server) => Row::Server(server.uuid),
    }
}

fn write_row(change: &Transaction<'_>, key: &Key, row: &RowChange) -> Result<(), WriteError> {
    let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| -> rusqlite::Result<()> {
        change.prepare_cached(sql)?.execute(params).map(drop)
    };
    match row {
        RowChange::Server(server) => {
            // Only what is registered: an unregistration may have come first.
            let known: bool = change
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM servers WHERE uuid = ?)")?
                .query_row(params![server.uuid], |row| row.get(0))?;
            if known {
                rows::write_server(change, key, server)?;
            }
        }
        RowChange::Line(Row::Element(ss, id), line) => {
            run("INSERT OR REPLACE INTO elements VALUES (?, ?, ?)", &[ss, id, line])?;
        }
        RowChange::Line(Row::FileSystem(ss, id), line) => {
            run("INSERT OR REPLACE INTO file_systems VALUES (?, ?, ?)", &[ss, id, line])?;
        }
        RowChange::Line(Row::Mount(ss, fs, uuid), line) => {
            run("INSERT OR REPLACE INTO mounts VALUES (?, ?, ?, ?)", &[ss, fs, uuid, line])?;
        }
        RowChange::Gone(Row::Element(ss, id)) => {
            run("DELETE FROM elements WHERE ss = ? AND id = ?", &[ss, id])?
        }
        RowChange::Gone(Row::FileSystem(ss, id)) => {
            run("DELETE FROM file_systems WHERE ss = ? AND id = ?", &[ss, id])?;
            run("DELETE FROM mounts WHERE ss = ? AND fs = ?", &[ss, id])?;
        }
        RowChange::Gone(Row::Mount(ss, fs, uuid)) => {
            run("DELETE FROM mounts WHERE ss = ? AND fs = ? AND uuid = ?", &[ss, fs, uuid])?;
        }
        // A registration has a line of its own, and goes with all of its rows.
        RowChange::Line(Row::Server(_), _) | RowChange::Gone(Row::Server(_)) => {}
    }
    Ok(())
}

fn forget_server(change: &Transaction<'_>, ss: Uuid) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM servers WHERE uuid = ?",
        "DELETE FROM elements WHERE ss = ?",
        "DELETE FROM file_systems WHERE ss = ?",
        "DELETE FROM mounts WHERE ss = ?",
    ] {
        change.execute(sql, params![ss])?;
    }
    Ok(())
}
