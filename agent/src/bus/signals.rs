//! Signals: what changed between what was told last and what is, and the stream of events.
//!
//! The difference of two snapshots is told, not the changes one by one: however many changes a
//! slow bus has missed, every object ends up told of as it is, once. Objects that did not change
//! are the same allocation in both snapshots, so that ten thousand of them are compared in no time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use tracing::warn;
use uuid::Uuid;
use zbus::Message;

use super::dispatch::Door;
use super::interface::Emits;
use super::object::{Object, contents};
use super::path::Path;
use super::source::Source;
use super::table::PREFIX;
use super::value::{Interfaces, Props, clean, object_path};
use crate::inventory::{Change, Server, Snapshot, What};

/// Changes that are told together at most.
const BATCH: usize = 1024;
/// Messages that are handed to the bus together at most.
const CHUNK: usize = 64;
/// How long a signal waits for the tree to show what it tells.
const TREE_DEADLINE: Duration = Duration::from_secs(2);

/// One object's difference.
#[derive(Debug)]
enum Delta {
    Added(Object),
    Removed(Object),
    Changed(Object, Props),
}

/// Follows the agent: what clients have been told, and what is new.
pub struct Follow {
    changes: Receiver<Arc<Change>>,
    snapshot: Arc<Snapshot>,
    /// The servers' properties. They are compared only when a change says so: their state holds
    /// the time of the last refresh, which alone is no news.
    servers: BTreeMap<Uuid, Props>,
    /// The last event's sequence number.
    seq: u64,
    /// The number of the last change that the tree shows, where there is a tree.
    shown: Option<watch::Receiver<u64>>,
}

impl Follow {
    /// Follows from now on: begun before a client can read anything, so that none misses a change.
    pub fn new(source: &dyn Source, shown: Option<watch::Receiver<u64>>) -> Follow {
        let changes = source.subscribe();
        let snapshot = source.snapshot();
        let servers = snapshot.servers.iter().map(|(ss, server)| (*ss, server_properties(server))).collect();
        Follow { changes, seq: snapshot.seq, snapshot, servers, shown }
    }

    /// Tells of changes until the agent or the connection ends; at first, after a lost connection,
    /// that clients must read again.
    ///
    /// # Errors
    /// When nothing can be sent any more.
    pub async fn run(mut self, door: &Door, resync: bool) -> zbus::Result<()> {
        if resync {
            send(door, vec![resync_event(self.seq)?]).await?;
        }
        while let Some((batch, missed)) = gather(&mut self.changes).await {
            if missed > 0 {
                warn!(missed, "the bus is slower than the changes; clients are told to read again");
            }
            self.tell(door, &batch, missed > 0).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, door: &Door, batch: &[Arc<Change>], missed: bool) -> zbus::Result<()> {
        let now = door.source.snapshot();
        self.wait_for_tree(now.seq).await;
        let named: BTreeSet<Uuid> = batch
            .iter()
            .filter_map(|change| match &change.what {
                What::ServerChanged(ss) => Some(*ss),
                _ => None,
            })
            .collect();
        let mut out = Vec::new();
        for delta in self.differences(&now, |ss| missed || named.contains(ss)) {
            out.extend(delta.signal()?);
            send_full(door, &mut out).await?;
        }
        self.snapshot = now;
        let lines: BTreeMap<u64, Arc<str>> = door.source.events_since(self.seq).into_iter().collect();
        for change in batch {
            // Told already, when following began.
            if change.seq <= self.seq {
                continue;
            }
            if change.seq > self.seq + 1 {
                out.push(resync_event(change.seq - 1)?);
            }
            self.seq = change.seq;
            out.push(event(change, lines.get(&change.seq))?);
            send_full(door, &mut out).await?;
        }
        send(door, out).await
    }

    /// Waits until the tree shows a change, but not for a tree that is stuck.
    async fn wait_for_tree(&mut self, seq: u64) {
        if let Some(shown) = &mut self.shown {
            let there = shown.wait_for(|last| *last >= seq);
            if tokio::time::timeout(TREE_DEADLINE, there).await.is_err() {
                warn!(seq, "the tree does not show a change; it is told on the bus all the same");
            }
        }
    }

    /// What is different now; `compare` says whose own properties are looked at among the servers.
    fn differences(&mut self, now: &Snapshot, compare: impl Fn(&Uuid) -> bool) -> Vec<Delta> {
        let before = self.snapshot.clone();
        let mut deltas = Vec::new();
        walk(&before.plugins, &now.plugins, |_, pair| {
            deltas.extend(simple(pair, |plugin| Object::Plugin(plugin.clone())));
        });
        walk(&before.servers, &now.servers, |ss, pair| match pair {
            (None, Some(server)) => {
                self.servers.insert(*ss, server_properties(server));
                deltas.push(Delta::Added(Object::Server(server.clone())));
                deltas.extend(contents(server).map(Delta::Added));
            }
            (Some(server), None) => {
                self.servers.remove(ss);
                deltas.push(Delta::Removed(Object::Server(server.clone())));
            }
            (Some(old), Some(new)) => inside(*ss, old, new, &mut deltas),
            (None, None) => {}
        });
        for (ss, server) in now.servers.iter().filter(|(ss, _)| compare(ss)) {
            let new = server_properties(server);
            if let Some(old) = self.servers.insert(*ss, new.clone())
                && old != new
            {
                deltas.push(Delta::Changed(Object::Server(server.clone()), old));
            }
        }
        walk(&before.operations, &now.operations, |_, pair| {
            deltas.extend(simple(pair, |operation| Object::Operation(operation.clone())));
        });
        deltas
    }
}

/// Waits for changes and takes what is there; with the number of those that were missed.
async fn gather(changes: &mut Receiver<Arc<Change>>) -> Option<(Vec<Arc<Change>>, u64)> {
    let (mut batch, mut missed) = (Vec::new(), 0);
    match changes.recv().await {
        Ok(change) => batch.push(change),
        Err(RecvError::Lagged(count)) => missed += count,
        Err(RecvError::Closed) => return None,
    }
    while batch.len() < BATCH {
        match changes.try_recv() {
            Ok(change) => batch.push(change),
            Err(TryRecvError::Lagged(count)) => missed += count,
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    Some((batch, missed))
}

async fn send(door: &Door, messages: Vec<Message>) -> zbus::Result<()> {
    door.connection.send_all(&messages).await
}

/// Hands over what has gathered, once that is a chunk.
async fn send_full(door: &Door, out: &mut Vec<Message>) -> zbus::Result<()> {
    match out.len() >= CHUNK {
        true => send(door, std::mem::take(out)).await,
        false => Ok(()),
    }
}

fn event(change: &Change, line: Option<&Arc<str>>) -> zbus::Result<Message> {
    let (seq, kind) = (change.seq, change.what.kind());
    let path = object_path(&Path::of_change(&change.what));
    let json = match line {
        Some(line) => clean(line.to_string()),
        None => json!({"seq": seq, "kind": kind}).to_string(),
    };
    Message::signal(Path::Root.to_string(), format!("{PREFIX}Manager"), "Event")
        .build(&(seq, kind, path, json))
}

fn resync_event(seq: u64) -> zbus::Result<Message> {
    let json = json!({"seq": seq, "kind": "resync"}).to_string();
    let body = (seq, "resync", object_path(&Path::Root), json);
    Message::signal(Path::Root.to_string(), format!("{PREFIX}Manager"), "Event").build(&body)
}

impl Delta {
    /// Its signal, if it has one.
    fn signal(&self) -> zbus::Result<Option<Message>> {
        let (Delta::Added(object) | Delta::Removed(object) | Delta::Changed(object, _)) = self;
        let (path, interface) = (object.path(), object.interface());
        let manager = path.manager().to_string();
        const MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
        match self {
            Delta::Added(object) => {
                let properties = object.properties(&[]);
                let body = (object_path(&path), Interfaces(&interface.name, &properties));
                Message::signal(manager, MANAGER, "InterfacesAdded").build(&body).map(Some)
            }
            Delta::Removed(_) => {
                let body = (object_path(&path), vec![interface.name.as_str()]);
                Message::signal(manager, MANAGER, "InterfacesRemoved").build(&body).map(Some)
            }
            Delta::Changed(object, before) => {
                let (mut changed, mut invalidated) = (Props::default(), Vec::new());
                let now = object.properties(&[]).0.into_iter();
                for ((row, old), new) in interface.properties.iter().zip(&before.0).zip(now) {
                    match row.emits {
                        _ if old.1 == new.1 => {}
                        Emits::Value => changed.0.push(new),
                        Emits::Invalidates => invalidated.push(new.0),
                        Emits::Const | Emits::Never => {}
                    }
                }
                if changed.0.is_empty() && invalidated.is_empty() {
                    return Ok(None);
                }
                Message::signal(path.to_string(), "org.freedesktop.DBus.Properties", "PropertiesChanged")
                    .build(&(interface.name.as_str(), changed, invalidated))
                    .map(Some)
            }
        }
    }
}

fn server_properties(server: &Arc<Server>) -> Props {
    Object::Server(server.clone()).properties(&[])
}

/// What is different inside a server that both snapshots have.
fn inside(ss: Uuid, old: &Server, new: &Server, deltas: &mut Vec<Delta>) {
    if !Arc::ptr_eq(&old.elements, &new.elements) {
        walk(&old.elements.by_id, &new.elements.by_id, |_, pair| {
            deltas.extend(simple(pair, |element| Object::Element(ss, element.clone())));
        });
    }
    if Arc::ptr_eq(&old.file_systems, &new.file_systems) {
        return;
    }
    walk(&old.file_systems, &new.file_systems, |_, pair| {
        deltas.extend(simple(pair, |fs| Object::FileSystem(ss, fs.clone())));
        let none = BTreeMap::new();
        let (old, new) = pair;
        let mounts = (old.map_or(&none, |fs| &fs.mounts), new.map_or(&none, |fs| &fs.mounts));
        let Some(fs) = old.or(new) else { return };
        walk(mounts.0, mounts.1, |id, pair| {
            deltas.extend(simple(pair, |line| Object::Mount(ss, fs.id.clone(), *id, line.clone())));
        });
    });
}

type Pair<'a, T> = (Option<&'a Arc<T>>, Option<&'a Arc<T>>);

/// The difference of something that stands for itself.
fn simple<T: ?Sized>(pair: Pair<'_, T>, object: impl Fn(&Arc<T>) -> Object) -> Option<Delta> {
    match pair {
        (None, Some(new)) => Some(Delta::Added(object(new))),
        (Some(old), None) => Some(Delta::Removed(object(old))),
        (Some(old), Some(new)) => Some(Delta::Changed(object(new), object(old).properties(&[]))),
        (None, None) => None,
    }
}

/// Visits every key under which the two maps do not hold the same allocation, in order.
fn walk<K: Ord, T: ?Sized>(
    old: &BTreeMap<K, Arc<T>>,
    new: &BTreeMap<K, Arc<T>>,
    mut visit: impl FnMut(&K, Pair<'_, T>),
) {
    let (mut olds, mut news) = (old.iter().peekable(), new.iter().peekable());
    loop {
        let key = match (olds.peek(), news.peek()) {
            (Some((old, _)), Some((new, _))) => (*old).min(*new),
            (Some((key, _)), None) | (None, Some((key, _))) => *key,
            (None, None) => return,
        };
        let pair = (
            olds.next_if(|(other, _)| *other == key).map(|(_, value)| value),
            news.next_if(|(other, _)| *other == key).map(|(_, value)| value),
        );
        if let (Some(old), Some(new)) = pair
            && Arc::ptr_eq(old, new)
        {
            continue;
        }
        visit(key, pair);
    }
}
