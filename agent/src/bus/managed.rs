//! `GetManagedObjects` and `GetState`: a whole subtree in one message, written object by object.

use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeMap;
use zbus::message::Header;
use zbus::{Message, ObjectPath, Signature, Type};

use super::call::Failure;
use super::object::{Object, everything, managed};
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
    fitting(&|| managed(snapshot, path), limit, path, |objects| Message::method_return(call).build(&objects))
}

/// The answer to `GetState`: the number of the last event, and what all managers show at that event. What would
/// not fit is dealt with as in [`reply`].
///
/// # Errors
/// As [`reply`].
pub fn state(call: &Header<'_>, snapshot: &Snapshot, limit: usize) -> Result<Message, Failure> {
    fitting(&|| Box::new(everything(snapshot)), limit, &Path::Root, |objects| {
        Message::method_return(call).build(&(snapshot.seq, objects))
    })
}

type Objects<'a> = Box<dyn Iterator<Item = Object> + 'a>;

fn fitting<'a>(
    objects: &'a dyn Fn() -> Objects<'a>,
    limit: usize,
    path: &Path,
    build: impl Fn(Managed<'a>) -> zbus::Result<Message>,
) -> Result<Message, Failure> {
    for skip in [&[] as &[&str], &["Record"]] {
        // What has no chance is not tried: it would be held in memory twice.
        let least: usize =
            if skip.is_empty() { objects().map(|object| record_size(&object)).sum() } else { 0 };
        if least > limit {
            continue;
        }
        let message = build(Managed { objects, skip })?;
        if message.data().len() <= limit {
            return Ok(message);
        }
    }
    Err(Failure::Standard(
        "LimitsExceeded",
        format!(
            "{} objects do not fit into one message; read {path} by Introspect and Properties.GetAll, \
             or from the tree",
            objects().count()
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
    objects: &'a dyn Fn() -> Objects<'a>,
    skip: &'static [&'static str],
}

impl Serialize for Managed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for object in (self.objects)() {
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
