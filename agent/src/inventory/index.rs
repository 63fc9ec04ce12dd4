//! Who an element or a file system is, and under which names it is found.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use uuid::Uuid;

use super::model::{Element, Elements};
use crate::record;

/// The id of an element: `uuid`, else `page83_id`, else `id`, else a UUIDv5 of the storage server
/// and `array_path` or `name`. `None` where the record has none of them.
pub fn element_id(ss: Uuid, record: &record::StorageElement) -> Option<Arc<str>> {
    let text = |field: &Option<String>| field.as_deref().filter(|text| !text.is_empty()).map(Arc::from);
    record
        .uuid
        .filter(|uuid| !uuid.is_nil())
        .map(|uuid| uuid.to_string().into())
        .or_else(|| text(&record.page83_id))
        .or_else(|| text(&record.id))
        .or_else(|| derived(ss, &[&record.array_path, &record.name]))
}

/// The id of a file system: `uuid`, else a UUIDv5 of the storage server and `access_path`,
/// `array_path` or `name`. `None` where the record has none of them.
pub fn file_system_id(ss: Uuid, record: &record::FileSystem) -> Option<Arc<str>> {
    record
        .uuid
        .filter(|uuid| !uuid.is_nil())
        .map(|uuid| uuid.to_string().into())
        .or_else(|| derived(ss, &[&record.access_path, &record.array_path, &record.name]))
}

/// The UUID of a mount: its own, else a UUIDv5 of the file system and the mount point, which is what the
/// base class of the plug-ins gives it too.
pub fn mount_id(fs: &str, record: &record::Mount) -> Option<Uuid> {
    record.uuid.filter(|uuid| !uuid.is_nil()).or_else(|| {
        let point = record.mount_point.as_deref().filter(|text| !text.is_empty())?;
        Some(match fs.parse() {
            Ok(fs) => Uuid::new_v5(&fs, point.as_bytes()),
            Err(_) => Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("mount:{fs}:{point}").as_bytes()),
        })
    })
}

fn derived(ss: Uuid, names: &[&Option<String>]) -> Option<Arc<str>> {
    let name = names.iter().find_map(|name| name.as_deref().filter(|text| !text.is_empty()))?;
    Some(Uuid::new_v5(&ss, name.as_bytes()).to_string().into())
}

/// What the indexes need of a line.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Names<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    page83_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    path: Option<Vec<Cow<'a, str>>>,
}

impl Elements {
    /// Puts an element in, or in the place of the one with its id.
    pub fn insert(&mut self, element: Arc<Element>) {
        self.remove(&element.id);
        let id = &element.id;
        let names = names(&element.line);
        if let Some(name) = names.name.filter(|name| !name.is_empty()) {
            self.by_name.insert((name.into(), id.clone()));
        }
        if let Some(page83) = names.page83_id.filter(|page83| !page83.is_empty()) {
            // Most often the id itself: hold it once.
            let page83 = if *page83 == **id { id.clone() } else { page83.into() };
            self.by_page83.insert((page83, id.clone()));
        }
        for device in names.path.iter().flatten().filter_map(|path| device(path)) {
            self.by_device.insert(device, id.clone());
        }
        self.by_id.insert(id.clone(), element);
    }

    /// Takes an element out.
    pub fn remove(&mut self, id: &str) -> Option<Arc<Element>> {
        let (id, element) = self.by_id.remove_entry(id)?;
        let names = names(&element.line);
        if let Some(name) = names.name {
            self.by_name.remove(&(name.into(), id.clone()));
        }
        if let Some(page83) = names.page83_id {
            self.by_page83.remove(&(page83.into(), id.clone()));
        }
        let devices = names.path.unwrap_or_default();
        let mut gone = 0;
        for device in devices.iter().filter_map(|path| device(path)) {
            if self.by_device.get(&device) == Some(&id) {
                self.by_device.remove(&device);
                gone += 1;
            }
        }
        // A link leads elsewhere by now.
        if gone < devices.len() {
            self.by_device.retain(|_, of| *of != id);
        }
        Some(element)
    }
}

fn names(line: &str) -> Names<'_> {
    // A line is what `to_line` printed; one that is not has no names.
    serde_json::from_str(line).unwrap_or_default()
}

/// The kernel's name of the device at `path`: `/dev/loop7` is `loop7`, and a link in a directory
/// below `/dev` is what it leads to.
fn device(path: &str) -> Option<Arc<str>> {
    let below = path.strip_prefix("/dev/")?;
    if !below.contains('/') {
        return (!below.is_empty()).then(|| below.into());
    }
    // /dev is in memory: following a link never waits for a device.
    let target = std::fs::read_link(path).ok()?;
    target.file_name()?.to_str().map(Arc::from)
}
