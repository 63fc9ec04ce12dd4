//! `GetManagedObjects`: a whole subtree in one message, written object by object.

use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;
use zbus::message::Header;
use zbus::{Message, ObjectPath, Signature, Type};

use super::call::Failure;
use super::object::{Object, managed};
use super::path::Path;
use super::value::{Interfaces, Props, object_path};
use crate::inventory::Snapshot;

/// The most that an answer may hold, in bytes. The reference implementation's system bus carries
/// 32 MiB a message, and cuts off whoever sends more.
pub const LIMIT: usize = 30 << 20;

/// The answer to `GetManagedObjects` of the manager at `path`. Where it would not fit, `Record` is
/// left out: it repeats the other properties.
///
/// # Errors
/// `LimitsExceeded` when it is too much all the same.
pub fn reply(call: &Header<'_>, snapshot: &Snapshot, path: &Path, limit: usize) -> Result<Message, Failure> {
    for skip in [&[] as &[&str], &["Record"]] {
        // What has no chance is not tried: it would be held in memory twice.
        let least: usize = if skip.is_empty() {
            managed(snapshot, path).map(|object| record_size(&object)).sum()
        } else {
            0
        };
        if least > limit {
            continue;
        }
        let message = Message::method_return(call).build(&Managed { snapshot, path, skip })?;
        if message.data().len() <= limit {
            return Ok(message);
        }
    }
    let count = managed(snapshot, path).count();
    Err(Failure::Standard(
        "LimitsExceeded",
        format!(
            "{count} objects do not fit into one message; read {path} by Introspect and Properties.GetAll, \
             or from the tree"
        ),
    ))
}

fn record_size(object: &Object) -> usize {
    match object {
        Object::Element(_, element) => 2 * element.line.len(),
        Object::FileSystem(_, fs) => 2 * fs.line.len(),
        _ => 0,
    }
}

struct Managed<'a> {
    snapshot: &'a Snapshot,
    path: &'a Path,
    skip: &'static [&'static str],
}

impl Serialize for Managed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for object in managed(self.snapshot, self.path) {
            let properties = object.properties(self.skip);
            let interfaces = Interfaces(&object.interface().name, &properties);
            map.serialize_entry(&object_path(&object.path()), &interfaces)?;
        }
        map.end()
    }
}

impl Type for Managed<'_> {
    const SIGNATURE: &'static Signature =
        <BTreeMap<ObjectPath<'_>, BTreeMap<&str, Props>> as Type>::SIGNATURE;
}
