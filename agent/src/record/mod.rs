//! The specification's dicts as types: pure, and dependent on nothing.
//!
//! [`table`] writes every field down once, with its type, update rule, optionality and visibility;
//! parsing, printing, merging, D-Bus properties, tree attributes and the documentation read it from
//! there. Keys that no table knows are kept and passed on.

mod enumeration;
mod field;
mod secret;
mod table;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

pub use enumeration::{Ability, BackingDeviceType, FsState, SeState};
pub use field::{Devices, FieldType, Opaque, Type, View};
pub use secret::Secret;
pub use table::{
    ALL, AccessDescriptor, AccessGroup, BackingDevice, File, FileSystem, Mount, QosValue, StorageElement,
    StorageServer, VolumeGroup,
};

/// The specification's "Allow Update" column: what a plug-in's answer may do to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// The plug-in may not change it.
    No,
    /// The plug-in may fill it in where it is empty.
    OnlyIfEmpty,
    /// The plug-in may change it.
    Yes,
}

/// Whom a field may be shown to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Everybody who may read the record.
    Shown,
    /// The plug-in only; write-only for everybody else.
    Secret,
    /// The plug-in only, and only while a call lasts; never persisted.
    Transient,
}

/// One row of a dict's table.
#[derive(Debug)]
pub struct Field {
    /// The key in the dict.
    pub name: &'static str,
    /// The type of its values.
    pub ty: Type,
    /// The update rule.
    pub update: Update,
    /// Whether the key may be absent.
    pub optional: bool,
    /// Whom it may be shown to.
    pub visibility: Visibility,
    /// What it is, in one line.
    pub doc: &'static str,
}

/// Something wrong with one field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key.
    pub field: String,
    /// What is wrong, without the value where it could be a secret.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.text)
    }
}

/// One dict of the specification.
pub trait Dict: Sized + Clone + Default + fmt::Debug + PartialEq {
    /// The specification's name of the dict (`se_record`).
    const NAME: &'static str;
    /// Its fields, in the specification's order.
    const FIELDS: &'static [Field];

    /// The value of the field at `index` of [`Dict::FIELDS`], printed for `view`; `None` when unset.
    fn get(&self, index: usize, view: View) -> Option<Value>;

    /// Sets the field at `index` of [`Dict::FIELDS`]; an unset value clears it.
    ///
    /// # Errors
    /// What is wrong with the value; the field keeps what it had.
    fn set(&mut self, index: usize, value: &Value) -> Result<(), String>;

    /// The keys that no table knows, in order.
    fn extra(&self) -> &BTreeMap<String, Value>;

    /// The keys that no table knows, to be changed.
    fn extra_mut(&mut self) -> &mut BTreeMap<String, Value>;

    /// Reads a record leniently. What cannot be read is left unset and told.
    fn parse(value: &Value) -> (Self, Vec<Problem>) {
        let mut record = Self::default();
        let problems = record.absorb(value);
        (record, problems)
    }

    /// Sets every field that `value` has, as [`Dict::parse`] reads it.
    fn absorb(&mut self, value: &Value) -> Vec<Problem> {
        let Value::Object(map) = value else {
            return vec![Problem { field: Self::NAME.into(), text: "is not a dict".into() }];
        };
        let mut problems = Vec::new();
        for (key, value) in map {
            match index_of::<Self>(key) {
                Some(index) => {
                    let field = &Self::FIELDS[index];
                    // Clients send "" for unset, also where a string would be legal.
                    let unset = field.optional && value.as_str() == Some("");
                    let value = if unset { &Value::Null } else { value };
                    if let Err(text) = self.set(index, value) {
                        problems.push(Problem { field: key.clone(), text });
                    }
                }
                None => {
                    self.extra_mut().insert(key.clone(), value.clone());
                }
            }
        }
        problems
    }

    /// The record for `view`: fields in the specification's order, then the unknown keys.
    fn to_value(&self, view: View) -> Value {
        let mut map = Map::new();
        for (index, field) in Self::FIELDS.iter().enumerate() {
            if view == View::Public && field.visibility != Visibility::Shown {
                continue;
            }
            if let Some(value) = self.get(index, view) {
                map.insert(field.name.to_owned(), value);
            }
        }
        for (key, value) in self.extra() {
            if view == View::Wire {
                map.insert(key.clone(), value.clone());
            } else if !looks_secret(key) {
                let mut value = value.clone();
                redact(&mut value);
                map.insert(key.clone(), value);
            }
        }
        Value::Object(map)
    }

    /// The public record as one line of JSON, without a newline.
    fn to_line(&self) -> String {
        self.to_value(View::Public).to_string()
    }

    /// The required fields that are unset.
    fn missing(&self) -> Vec<&'static str> {
        Self::FIELDS
            .iter()
            .enumerate()
            .filter(|(index, field)| !field.optional && self.get(*index, View::Wire).is_none())
            .map(|(_, field)| field.name)
            .collect()
    }

    /// Merges a plug-in's answer into what is known, by the "Allow Update" rules.
    ///
    /// A field that the answer leaves out keeps its value. A field that it may not change keeps
    /// its value too, and the attempt is told. Unknown keys are the plug-in's own: they follow it.
    fn merge(&mut self, answer: &Self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (index, field) in Self::FIELDS.iter().enumerate() {
            let Some(new) = answer.get(index, View::Wire) else { continue };
            let old = self.get(index, View::Wire);
            if old.as_ref() == Some(&new) {
                continue;
            }
            let empty = old.as_ref().is_none_or(is_empty);
            let allowed = match field.update {
                Update::Yes => true,
                Update::OnlyIfEmpty => empty,
                // Filling in nothing with nothing is no change.
                Update::No => empty && is_empty(&new),
            };
            if allowed {
                // What `get` printed for the wire, `set` reads back.
                if let Err(text) = self.set(index, &new) {
                    problems.push(Problem { field: field.name.into(), text });
                }
            } else {
                let rule = match field.update {
                    Update::OnlyIfEmpty => "the plug-in may set it only while it is empty",
                    Update::No | Update::Yes => "the plug-in may not change it",
                };
                problems.push(Problem { field: field.name.into(), text: rule.into() });
            }
        }
        *self.extra_mut() = answer.extra().clone();
        problems
    }
}

/// The position of a field in its dict's table.
pub fn index_of<T: Dict>(name: &str) -> Option<usize> {
    T::FIELDS.iter().position(|field| field.name == name)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Whether an unknown key is named like a credential, and so is passed on but never shown.
pub fn looks_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["passw", "secret", "passphrase", "private_key"].iter().any(|word| key.contains(word))
}

/// Takes out everything that is named like a credential, however deep.
pub fn redact(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !looks_secret(key));
            map.values_mut().for_each(redact);
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The bare value of a field as `attr/<field>` shows it: text as it is, a list one item a line,
/// anything else as JSON.
pub fn bare(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(bare).collect::<Vec<_>>().join("\n"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
