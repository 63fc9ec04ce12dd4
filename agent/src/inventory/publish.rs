//! The inventory itself: the snapshot that readers share, and the one writer's way to replace it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use serde_json::{Value, json, value::RawValue};
use tokio::sync::broadcast;

use super::draft::Draft;
use super::model::{Change, Snapshot, What};
use super::operation::rfc3339;
use crate::store::{RESERVE, Store};

/// How many events are kept for those who ask late.
pub const RETAINED: usize = 8192;
/// How many changes a subscriber may be behind.
const BEHIND: usize = 16384;

/// The snapshot, the stream of changes, and the events kept of it.
pub struct Inventory {
    current: ArcSwap<Snapshot>,
    writer: Mutex<Writer>,
    changes: broadcast::Sender<Arc<Change>>,
    store: Store,
}

struct Writer {
    events: VecDeque<Event>,
    reserved: u64,
}

/// A change with the record that shows it; the line is printed when somebody asks.
#[derive(Clone)]
struct Event {
    change: Arc<Change>,
    record: Option<Arc<str>>,
}

impl Inventory {
    /// An inventory that begins with `first`, and whose events are numbered from `events` on.
    pub fn new(first: Snapshot, events: u64, store: Store) -> Inventory {
        // The store reserved these when it was opened.
        let reserved = events + RESERVE;
        Inventory {
            current: ArcSwap::from_pointee(Snapshot { seq: events, ..first }),
            writer: Mutex::new(Writer { events: VecDeque::new(), reserved }),
            changes: broadcast::channel(BEHIND).0,
            store,
        }
    }

    /// Everything there is right now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Every change from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Change>> {
        self.changes.subscribe()
    }

    /// Makes one edit: the new snapshot is visible before anybody is told, and everybody is told
    /// before this returns.
    pub fn publish<T>(&self, edit: impl FnOnce(&mut Draft) -> T) -> T {
        let mut writer = self.writer();
        let mut draft = Draft::new(Snapshot::clone(&self.current.load()));
        let answer = edit(&mut draft);
        let Draft { mut snapshot, noted, rows } = draft;
        let first = snapshot.seq + 1;
        snapshot.seq += noted.len() as u64;
        if snapshot.seq + RESERVE / 2 > writer.reserved {
            writer.reserved = snapshot.seq + RESERVE;
            self.store.reserve_events(writer.reserved);
        }
        let snapshot = Arc::new(snapshot);
        self.current.store(snapshot);
        self.store.lines(rows);
        let at = SystemTime::now();
        for (seq, noted) in (first..).zip(noted) {
            let change = Arc::new(Change { seq, at, what: noted.what });
            if writer.events.len() == RETAINED {
                writer.events.pop_front();
            }
            writer.events.push_back(Event { change: change.clone(), record: noted.record });
            // Without a subscriber there is nobody to tell.
            let _ = self.changes.send(change);
        }
        answer
    }

    /// The retained events with a number above `seq`, oldest first.
    pub fn events_since(&self, seq: u64) -> Vec<(u64, Arc<str>)> {
        let events: Vec<Event> = {
            let writer = self.writer();
            let first = writer.events.front().map_or(0, |event| event.change.seq);
            // The numbers in it are contiguous.
            let skip = usize::try_from((seq + 1).saturating_sub(first)).unwrap_or(usize::MAX);
            writer.events.iter().skip(skip).cloned().collect()
        };
        events.iter().map(|event| (event.change.seq, event.line())).collect()
    }

    /// The line of one event; without its record where it is not retained any more.
    pub fn event_line(&self, change: &Arc<Change>) -> Arc<str> {
        let retained = {
            let writer = self.writer();
            let first = writer.events.front().map_or(0, |event| event.change.seq);
            let index = change.seq.checked_sub(first).and_then(|index| usize::try_from(index).ok());
            index.and_then(|index| writer.events.get(index).cloned())
        };
        retained.unwrap_or_else(|| Event { change: change.clone(), record: None }).line()
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // What the lock guards is whole at every moment, also where an edit panicked.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Event {
    fn line(&self) -> Arc<str> {
        let what = &self.change.what;
        let mut line = json!({
            "seq": self.change.seq, "time": rfc3339(self.change.at), "kind": what.kind(), "path": what.path(),
        });
        if let What::ElementChanged(_, _, fields) | What::FileSystemChanged(_, _, fields) = what {
            line["fields"] = Value::from(fields.as_slice());
        }
        let text = line.to_string();
        match self.record.as_deref().map(serde_json::from_str::<&RawValue>) {
            // The object is not empty, and what goes in is JSON that the agent printed.
            Some(Ok(record)) => format!("{},\"record\":{}}}", &text[..text.len() - 1], record.get()).into(),
            _ => text.into(),
        }
    }
}

impl What {
    /// Where in the tree it happened: `/ss/<uuid>/se/<id>`.
    pub fn path(&self) -> String {
        match self {
            What::PluginAdded(name) | What::PluginChanged(name) | What::PluginRemoved(name) => {
                format!("/plugins/{name}")
            }
            What::ServerAdded(ss) | What::ServerChanged(ss) | What::ServerRemoved(ss) => format!("/ss/{ss}"),
            What::ElementAdded(ss, id) | What::ElementChanged(ss, id, _) | What::ElementRemoved(ss, id) => {
                format!("/ss/{ss}/se/{id}")
            }
            What::FileSystemAdded(ss, id)
            | What::FileSystemChanged(ss, id, _)
            | What::FileSystemRemoved(ss, id) => {
                format!("/ss/{ss}/fs/{id}")
            }
            What::MountAdded(ss, fs, id)
            | What::MountChanged(ss, fs, id)
            | What::MountRemoved(ss, fs, id) => {
                format!("/ss/{ss}/fs/{fs}/mounts/{id}")
            }
            What::OperationAdded(id) | What::OperationChanged(id) | What::OperationRemoved(id) => {
                format!("/op/{id}")
            }
        }
    }
}
