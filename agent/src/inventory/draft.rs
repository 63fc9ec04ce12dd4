//! The next snapshot while it is written: every edit notes what changed and what the store must
//! know of it, and an edit that changes nothing notes nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::model::{Element, Elements, FileSystem, Server, ServerState, Snapshot, What};
use super::operation::Operation;
use crate::error::Error;
use crate::plugin::Plugin;
use crate::record::Dict as _;
use crate::store::{Row, RowChange, ServerRow};

/// What happened, with the record that shows it.
pub(super) struct Noted {
    pub what: What,
    pub record: Option<Arc<str>>,
}

/// An edit of the inventory.
pub struct Draft {
    pub(super) snapshot: Snapshot,
    pub(super) noted: Vec<Noted>,
    pub(super) rows: Vec<RowChange>,
}

impl Draft {
    pub(super) fn new(snapshot: Snapshot) -> Draft {
        Draft { snapshot, noted: Vec::new(), rows: Vec::new() }
    }

    /// Everything there is, with the edits so far.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    fn note(&mut self, what: What, record: Option<Arc<str>>) {
        self.noted.push(Noted { what, record });
    }

    /// Puts a plug-in in.
    pub fn put_plugin(&mut self, plugin: Arc<Plugin>) {
        let name = plugin.impl_name.clone();
        let what = match self.snapshot.plugins.get(&name) {
            None => What::PluginAdded(name.clone()),
            Some(old) if *old == plugin => return,
            Some(_) => What::PluginChanged(name.clone()),
        };
        let line = plugin.status_line().into();
        Arc::make_mut(&mut self.snapshot.plugins).insert(name, plugin);
        self.note(what, Some(line));
    }

    /// Takes a plug-in out.
    pub fn remove_plugin(&mut self, name: &str) {
        if self.snapshot.plugins.contains_key(name) {
            Arc::make_mut(&mut self.snapshot.plugins).remove(name);
            self.note(What::PluginRemoved(name.to_owned()), None);
        }
    }

    /// Puts a storage server in that was not there, with everything it has.
    pub fn add_server(&mut self, server: Server) {
        let uuid = server.uuid;
        let (elements, file_systems) = (server.elements.clone(), server.file_systems.clone());
        let line = server.record.to_line().into();
        let bare = Server { elements: Arc::default(), file_systems: Arc::default(), ..server };
        Arc::make_mut(&mut self.snapshot.servers).insert(uuid, Arc::new(bare));
        self.note(What::ServerAdded(uuid), Some(line));
        self.replace_elements(uuid, elements);
        for file_system in file_systems.values() {
            self.put_file_system(uuid, file_system.clone());
        }
    }

    /// Takes a storage server out, with everything it has.
    pub fn remove_server(&mut self, uuid: Uuid) -> bool {
        let there = self.snapshot.servers.contains_key(&uuid);
        if there {
            Arc::make_mut(&mut self.snapshot.servers).remove(&uuid);
            self.note(What::ServerRemoved(uuid), None);
        }
        there
    }

    /// Edits a storage server's record, abilities, state or quality-of-service values; its elements
    /// and file systems have edits of their own.
    ///
    /// That a refresh worked once more (`ServerState::refreshed`) is not a change: the snapshot
    /// has the new moment, and nobody is told.
    pub fn edit_server(&mut self, uuid: Uuid, edit: impl FnOnce(&mut Server)) {
        let Some(entry) = Arc::make_mut(&mut self.snapshot.servers).get_mut(&uuid) else { return };
        let old = entry.clone();
        let server = Arc::make_mut(entry);
        edit(server);
        let known =
            *old.record != *server.record || old.abilities != server.abilities || old.qos != server.qos;
        let told = known || tells(&old.state) != tells(&server.state);
        let (new, line) = (server.clone(), told.then(|| server.record.to_line().into()));
        if known {
            self.rows.push(RowChange::Server(Box::new(row(&new))));
        }
        if told {
            self.note(What::ServerChanged(uuid), line);
        }
    }

    fn server_mut(&mut self, uuid: Uuid) -> Option<&mut Server> {
        Arc::make_mut(&mut self.snapshot.servers).get_mut(&uuid).map(Arc::make_mut)
    }

    /// Puts an element in, or in the place of the one with its id.
    pub fn put_element(&mut self, ss: Uuid, element: Arc<Element>) {
        let Some(server) = self.server_mut(ss) else { return };
        let old = server.elements.by_id.get(&element.id).cloned();
        if old.as_ref().is_some_and(|old| old.line == element.line) {
            return;
        }
        Arc::make_mut(&mut server.elements).insert(element.clone());
        self.note_element(ss, old.as_deref(), &element);
    }

    fn note_element(&mut self, ss: Uuid, old: Option<&Element>, new: &Element) {
        let what = match old {
            None => What::ElementAdded(ss, new.id.clone()),
            Some(old) => What::ElementChanged(ss, new.id.clone(), changed_fields(&old.line, &new.line)),
        };
        self.rows.push(RowChange::Line(Row::Element(ss, new.id.clone()), new.line.clone()));
        self.note(what, Some(new.line.clone()));
    }

    /// Takes an element out.
    pub fn remove_element(&mut self, ss: Uuid, id: &Arc<str>) {
        let Some(server) = self.server_mut(ss) else { return };
        if server.elements.by_id.contains_key(id) {
            Arc::make_mut(&mut server.elements).remove(id);
            self.rows.push(RowChange::Gone(Row::Element(ss, id.clone())));
            self.note(What::ElementRemoved(ss, id.clone()), None);
        }
    }

    /// Puts `elements` in the place of all there were; tells of each that is new, gone or different.
    pub fn replace_elements(&mut self, ss: Uuid, elements: Arc<Elements>) {
        let Some(server) = self.server_mut(ss) else { return };
        let old = std::mem::replace(&mut server.elements, elements.clone());
        if Arc::ptr_eq(&old, &elements) {
            return;
        }
        for id in old.by_id.keys().filter(|id| !elements.by_id.contains_key(*id)) {
            self.rows.push(RowChange::Gone(Row::Element(ss, id.clone())));
            self.note(What::ElementRemoved(ss, id.clone()), None);
        }
        for (id, element) in &elements.by_id {
            let before = old.by_id.get(id);
            let same = before.is_some_and(|old| Arc::ptr_eq(old, element) || old.line == element.line);
            if !same {
                self.note_element(ss, before.map(|element| &**element), element);
            }
        }
    }

    /// Puts a file system in with its mounts, or in the place of the one with its id.
    pub fn put_file_system(&mut self, ss: Uuid, file_system: Arc<FileSystem>) {
        let Some(server) = self.server_mut(ss) else { return };
        let id = file_system.id.clone();
        let old = match Arc::make_mut(&mut server.file_systems).entry(id.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(file_system.clone());
                None
            }
            Entry::Occupied(mut old) if *old.get() != file_system => Some(old.insert(file_system.clone())),
            Entry::Occupied(_) => return,
        };
        let line = || Some(file_system.line.clone());
        match &old {
            None => self.note(What::FileSystemAdded(ss, id.clone()), line()),
            Some(old) if old.line != file_system.line => {
                let fields = changed_fields(&old.line, &file_system.line);
                self.note(What::FileSystemChanged(ss, id.clone(), fields), line());
            }
            Some(_) => {}
        }
        if old.as_ref().is_none_or(|old| old.line != file_system.line) {
            self.rows.push(RowChange::Line(Row::FileSystem(ss, id.clone()), file_system.line.clone()));
        }
        let none = BTreeMap::new();
        self.note_mounts(ss, &id, old.as_ref().map_or(&none, |old| &old.mounts), &file_system.mounts);
    }

    fn note_mounts(
        &mut self,
        ss: Uuid,
        fs: &Arc<str>,
        old: &BTreeMap<Uuid, Arc<str>>,
        new: &BTreeMap<Uuid, Arc<str>>,
    ) {
        for uuid in old.keys().filter(|uuid| !new.contains_key(*uuid)) {
            self.rows.push(RowChange::Gone(Row::Mount(ss, fs.clone(), *uuid)));
            self.note(What::MountRemoved(ss, fs.clone(), *uuid), None);
        }
        for (uuid, line) in new {
            let what = match old.get(uuid) {
                Some(old) if old == line => continue,
                Some(_) => What::MountChanged(ss, fs.clone(), *uuid),
                None => What::MountAdded(ss, fs.clone(), *uuid),
            };
            self.rows.push(RowChange::Line(Row::Mount(ss, fs.clone(), *uuid), line.clone()));
            self.note(what, Some(line.clone()));
        }
    }

    /// Takes a file system out, with its mounts.
    pub fn remove_file_system(&mut self, ss: Uuid, id: &Arc<str>) {
        let Some(server) = self.server_mut(ss) else { return };
        if server.file_systems.contains_key(id) {
            Arc::make_mut(&mut server.file_systems).remove(id);
            self.rows.push(RowChange::Gone(Row::FileSystem(ss, id.clone())));
            self.note(What::FileSystemRemoved(ss, id.clone()), None);
        }
    }

    /// Puts an operation in, or in the place of what it was.
    pub fn put_operation(&mut self, operation: Arc<Operation>) {
        let id = operation.id;
        let line = event_line(&operation);
        let old = Arc::make_mut(&mut self.snapshot.operations).insert(id, operation);
        let what = if old.is_some() { What::OperationChanged(id) } else { What::OperationAdded(id) };
        self.note(what, Some(line));
    }

    /// Takes an ended operation out.
    pub fn remove_operation(&mut self, id: Uuid) {
        if self.snapshot.operations.contains_key(&id) {
            Arc::make_mut(&mut self.snapshot.operations).remove(&id);
            self.note(What::OperationRemoved(id), None);
        }
    }
}

/// The most that an event shows of an operation's result, in bytes; the operation has all of it.
const RESULT_MAX: usize = 64 * 1024;

fn event_line(operation: &Operation) -> Arc<str> {
    let mut record = operation.to_json();
    let line = record.to_string();
    if line.len() <= RESULT_MAX {
        return line.into();
    }
    record["result"] = Value::Null;
    record.to_string().into()
}

/// What the store keeps of a storage server.
pub fn row(server: &Server) -> ServerRow {
    ServerRow {
        uuid: server.uuid,
        plugin: server.plugin.clone(),
        plugin_type: server.plugin_type,
        record: server.record.clone(),
        refresh_interval: server.refresh_interval,
        abilities: server.abilities.clone(),
        qos: server.qos.clone(),
    }
}

/// What a change of a server's state is measured by.
fn tells(state: &ServerState) -> impl PartialEq + use<> {
    let ServerState { stale, plugin_available, refreshed: _, error, failures, refresh_interval } = state;
    let error = error.as_ref().map(Error::to_json);
    (*stale, *plugin_available, error, *failures, *refresh_interval)
}

/// The names of the fields in which two lines differ, those that only one has included.
fn changed_fields(old: &str, new: &str) -> Vec<String> {
    // Lines are JSON that the agent printed.
    let read = |line: &str| serde_json::from_str::<Map<String, Value>>(line).unwrap_or_default();
    let (old, new) = (read(old), read(new));
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    let different = new.iter().filter(|(name, value)| old.get(*name) != Some(*value)).map(|(name, _)| name);
    different.chain(gone).cloned().collect()
}
