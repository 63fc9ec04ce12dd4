//! Taking in what a method answered: merged into the inventory in one edit, and turned into the
//! operation's result.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::core::Core;
use super::desk::Desk;
use super::refresh;
use crate::error::{Kind, Result};
use crate::inventory::{Draft, Server, Target};
use crate::operation::merge::{self, Problems};
use crate::operation::{call, context};
use crate::plugin::api::{Answer, Method};
use crate::record::{
    self, AccessGroup, BackingDevice, Dict as _, File, QosValue, StorageElement, StorageServer,
};

/// What a call was about.
#[derive(Clone, Copy)]
pub struct About<'a> {
    pub core: &'a Arc<Core>,
    pub desk: &'a Desk,
    pub target: &'a Target,
    pub method: &'static Method,
    /// The storage server's record as it was sent.
    pub sent: &'a Value,
    /// The record that a `create` wanted.
    pub wanted: Option<&'a Value>,
}

impl About<'_> {
    /// Publishes what the answer changes and returns it in public form.
    ///
    /// # Errors
    /// [`Kind::PluginFault`] where the answer is not what the method answers; [`Kind::NotFound`]
    /// where the storage server was unregistered meanwhile.
    pub fn take_in(&self, answer: &Value) -> Result<Value> {
        let mut problems = Vec::new();
        let mut plugin = String::new();
        let result = self.core.inventory.publish(|draft| {
            let server = call::server_of(draft.snapshot(), self.target)?.clone();
            plugin.clone_from(&server.plugin);
            self.by_answer(draft, &server, answer, &mut problems)
        });
        self.core.report(&plugin, self.method, problems);
        result.map_err(|error| match error.kind() {
            Kind::PluginFault => error.in_method(&plugin, self.method.name),
            _ => error,
        })
    }

    fn by_answer(
        &self,
        draft: &mut Draft,
        server: &Server,
        answer: &Value,
        problems: &mut Problems,
    ) -> Result<Value> {
        match (self.method.answer, self.target) {
            (Answer::Nothing, _) => Ok(Value::Null),
            (Answer::Plain, _) => Ok(merge::plain(answer.clone())),
            (Answer::Server, _) => self.server(draft, server, answer, problems),
            (Answer::Record, Target::Element(_, id)) => {
                self.element(draft, server, Some(id), answer, problems)
            }
            (Answer::Record, Target::FileSystem(_, id)) => {
                self.file_system(draft, server, Some(id), answer, problems)
            }
            (Answer::Record, _) => self.server(draft, server, answer, problems),
            (Answer::Element, Target::Element(_, id)) => {
                self.element(draft, server, Some(id), answer, problems)
            }
            (Answer::Element | Answer::NewElement, _) => self.element(draft, server, None, answer, problems),
            (Answer::Elements | Answer::AllElements, _) => {
                let items = merge::items(answer, "a list of se_records")?;
                items.iter().map(|item| self.element(draft, server, None, item, problems)).collect()
            }
            (Answer::ElementGone, Target::Element(ss, id)) => {
                self.desk.touch(id);
                draft.remove_element(*ss, id);
                Ok(json!({"id": &**id}))
            }
            (Answer::FileSystem, Target::FileSystem(_, id)) => {
                self.file_system(draft, server, Some(id), answer, problems)
            }
            (Answer::FileSystem | Answer::NewFileSystem, _) => {
                self.file_system(draft, server, None, answer, problems)
            }
            (Answer::AllFileSystems, _) => {
                let items = merge::items(answer, "a list of fs_records")?;
                items.iter().map(|item| self.file_system(draft, server, None, item, problems)).collect()
            }
            (Answer::FileSystemGone, Target::FileSystem(ss, id)) => {
                self.desk.touch(id);
                draft.remove_file_system(*ss, id);
                Ok(json!({"id": &**id}))
            }
            (Answer::Mount, Target::FileSystem(ss, id)) => {
                self.mount(draft, server, *ss, id, answer, problems)
            }
            (Answer::Mounts, Target::FileSystem(ss, id)) => {
                let items = merge::items(answer, "a list of mount_records")?;
                let fs = call::file_system(server, id)?;
                let mut fs = copy(fs);
                fs.mounts.clear();
                for item in items {
                    let (record, found) = record::Mount::parse(item);
                    problems.extend(found);
                    problems.extend(merge::mount(&mut fs, record)?.1);
                }
                let shown = fs.mounts.values().map(|line| merge::shown(line)).collect();
                self.desk.touch(id);
                draft.put_file_system(*ss, Arc::new(fs));
                Ok(shown)
            }
            (Answer::File, _) => match merge::answered::<File>(answer)? {
                Some((record, found)) => {
                    problems.extend(found);
                    self.file(server, record, problems)
                }
                None => Err(merge::unusable("a file_record", answer)),
            },
            (Answer::Files, _) => {
                let items = merge::items(answer, "a list of file_records")?;
                let file = |item| {
                    let (record, found) = File::parse(item);
                    problems.extend(found);
                    self.file(server, record, problems)
                };
                items.iter().map(file).collect()
            }
            (Answer::BackingDevices, _) => {
                list::<BackingDevice>(answer, "a list of backing_devices", problems)
            }
            (Answer::AccessGroups, target) => {
                let shown = list::<AccessGroup>(answer, "a list of access_grps", problems)?;
                if let (Target::Server(ss), false) = (target, self.method.changes) {
                    draft.edit_server(*ss, |server| refresh::set_access_groups(self.core, server, answer));
                }
                Ok(shown)
            }
            (Answer::QosValues, _) => {
                let shown = list::<QosValue>(answer, "a list of qos_vals", problems)?;
                let qos = refresh::qos_values(self.core, server, answer);
                draft.edit_server(server.uuid, |server| server.qos = Arc::new(qos));
                Ok(shown)
            }
            (Answer::Abilities, _) => {
                if !answer.is_object() {
                    return Err(merge::unusable("an ability dict", answer));
                }
                let abilities = match draft.snapshot().plugins.get(&server.plugin) {
                    Some(plugin) => refresh::abilities(plugin, answer),
                    None => server.abilities.clone(),
                };
                let shown = json!(*abilities);
                draft.edit_server(server.uuid, |server| server.abilities = abilities);
                Ok(shown)
            }
            // The method table gives these answers only to methods about such an object.
            (Answer::ElementGone | Answer::FileSystemGone | Answer::Mount | Answer::Mounts, _) => {
                Ok(Value::Null)
            }
        }
    }

    fn server(
        &self,
        draft: &mut Draft,
        server: &Server,
        answer: &Value,
        problems: &mut Problems,
    ) -> Result<Value> {
        let mut record = StorageServer::clone(&server.record);
        match merge::answered::<StorageServer>(answer)? {
            Some((answer, found)) => {
                problems.extend(found);
                let (sent, _) = StorageServer::parse(self.sent);
                problems.extend(context::merge(&mut record, &sent, answer));
            }
            None => problems.push(nothing("ss_record")),
        }
        let shown = merge::public(&record);
        draft.edit_server(server.uuid, |server| server.record = Arc::new(record));
        Ok(shown)
    }

    fn element(
        &self,
        draft: &mut Draft,
        server: &Server,
        id: Option<&Arc<str>>,
        answer: &Value,
        problems: &mut Problems,
    ) -> Result<Value> {
        let known = id.and_then(|id| server.elements.by_id.get(id));
        let (answer, found) = match (merge::answered::<StorageElement>(answer)?, known) {
            (Some(answer), _) => answer,
            // It was done; what it led to, the refresh that follows tells.
            (None, Some(known)) => {
                problems.push(nothing("se_record"));
                return Ok(merge::shown(&known.line));
            }
            (None, None) => return Err(merge::unusable("an se_record", answer)),
        };
        problems.extend(found);
        let wanted = self.wanted.map(|wanted| StorageElement::parse(wanted).0);
        let (element, found) = merge::element(server, known.map(|known| &**known), answer, wanted)?;
        problems.extend(found);
        let shown = with_id(merge::shown(&element.line), &element.id);
        self.desk.touch(&element.id);
        draft.put_element(server.uuid, element);
        Ok(shown)
    }

    /// A file's record, which the agent keeps nowhere.
    fn file(&self, server: &Server, mut record: File, problems: &mut Problems) -> Result<Value> {
        if let Target::FileSystem(_, id) = self.target {
            let fs = call::file_system(server, id)?.record().uuid;
            problems.extend(merge::held_to(fs, &mut record.fs_uuid));
        }
        Ok(merge::public(&record))
    }

    fn file_system(
        &self,
        draft: &mut Draft,
        server: &Server,
        id: Option<&Arc<str>>,
        answer: &Value,
        problems: &mut Problems,
    ) -> Result<Value> {
        let known = id.and_then(|id| server.file_systems.get(id));
        let (answer, found) = match (merge::answered::<record::FileSystem>(answer)?, known) {
            (Some(answer), _) => answer,
            (None, Some(known)) => {
                problems.push(nothing("fs_record"));
                return Ok(merge::shown(&known.line));
            }
            (None, None) => return Err(merge::unusable("an fs_record", answer)),
        };
        problems.extend(found);
        let wanted = self.wanted.map(|wanted| record::FileSystem::parse(wanted).0);
        let (fs, found) = merge::file_system(server, known.map(|known| &**known), answer, wanted)?;
        problems.extend(found);
        let shown = with_id(merge::shown(&fs.line), &fs.id);
        self.desk.touch(&fs.id);
        draft.put_file_system(server.uuid, Arc::new(fs));
        Ok(shown)
    }

    /// A mount answers the file system's record, a mount record, or None where it was mounted already.
    fn mount(
        &self,
        draft: &mut Draft,
        server: &Server,
        ss: Uuid,
        id: &Arc<str>,
        answer: &Value,
        problems: &mut Problems,
    ) -> Result<Value> {
        if answer.is_null() {
            let already = self.method.name == "mount";
            return Ok(if already { json!({"already_mounted": true}) } else { Value::Null });
        }
        if answer.get("mount_point").is_none() {
            return self.file_system(draft, server, Some(id), answer, problems);
        }
        let Some((record, found)) = merge::answered::<record::Mount>(answer)? else { return Ok(Value::Null) };
        problems.extend(found);
        let shown = merge::public(&record);
        if self.method.name == "mount" {
            let mut fs = copy(call::file_system(server, id)?);
            problems.extend(merge::mount(&mut fs, record)?.1);
            self.desk.touch(id);
            draft.put_file_system(ss, Arc::new(fs));
        }
        Ok(shown)
    }
}

fn copy(fs: &crate::inventory::FileSystem) -> crate::inventory::FileSystem {
    crate::inventory::FileSystem { id: fs.id.clone(), line: fs.line.clone(), mounts: fs.mounts.clone() }
}

/// The record with the id under which the tree and D-Bus have the object, where that is not a field.
fn with_id(mut record: Value, id: &str) -> Value {
    if let Value::Object(map) = &mut record {
        map.entry("id").or_insert_with(|| id.into());
    }
    record
}

fn list<T: record::Dict>(answer: &Value, what: &str, problems: &mut Problems) -> Result<Value> {
    let items = merge::items(answer, what)?;
    let (records, found) = merge::public_records::<T>(items);
    problems.extend(found);
    Ok(records.into())
}

fn nothing(record: &str) -> record::Problem {
    record::Problem { field: record.into(), text: "None instead of the updated record".into() }
}
