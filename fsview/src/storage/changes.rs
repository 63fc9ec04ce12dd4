//! From a change of the model to the names in the tree that it may show at.

use std::sync::PoisonError;

use super::links::{LinkDir, Object};
use super::{Place, Records};
use crate::engine::{Engine, Name, Notice, Touch};
use crate::model::Change;
use crate::names::encode;

/// What of a storage server's directory a change of the server may concern; its elements and file systems have changes of their own.
const OF_SERVER: &[&str] = &["record", "abilities", "plugin", "vol_groups", "access_grps", "qos"];

impl Engine<Records> {
    /// What the kernel must drop because of a change that the model already shows; `was_gone` says that the object was not there when the
    /// change was told, even if it is now. To be called by one thread at a time.
    pub fn apply(&self, change: &Change, was_gone: bool) -> Vec<Notice> {
        match (Object::of(change), change) {
            (Some(object), _) => self.touch(&self.layout().touches(&object, was_gone)),
            (None, Change::Everything) => {
                let records = self.layout();
                records.links.write().unwrap_or_else(PoisonError::into_inner).rebuild(&*records.model);
                self.touch_all()
            }
            (None, _) => Vec::new(),
        }
    }
}

impl Records {
    /// Whether what a change is about is not there at this moment. Only of a storage server does it matter: what was below went with it.
    pub fn is_gone(&self, change: &Change) -> bool {
        matches!(change, Change::Server(ss) if self.model.server(ss).is_none())
    }

    fn touches(&self, object: &Object, was_gone: bool) -> Vec<Touch> {
        let updated =
            self.links.write().unwrap_or_else(PoisonError::into_inner).update(&*self.model, object, was_gone);
        let name = |id: &str| Name::Owned(encode(id).into_owned());
        let (dir, id) = match object {
            Object::Plugin(id) => (vec!["plugins".into()], id),
            Object::Server(ss) => (vec!["ss".into()], ss),
            Object::Element(ss, se) => (vec!["ss".into(), name(ss), "se".into()], se),
            Object::FileSystem(ss, fs) => (vec!["ss".into(), name(ss), "fs".into()], fs),
            Object::Operation(op) => (vec!["op".into()], op),
        };
        let mut touches = Vec::new();
        if let Object::Server(ss) = object {
            let dir = Place::Server(ss.clone()).path();
            touches.extend(OF_SERVER.iter().map(|name| Touch {
                dir: dir.clone(),
                name: (*name).into(),
                listing: false,
                deep: true,
            }));
        }
        let deep = was_gone || !matches!(object, Object::Server(_));
        touches.push(Touch { dir, name: name(id), listing: updated.existence, deep });
        touches.extend(updated.links.into_iter().map(|(dir, name)| Touch {
            dir: link_path(&dir),
            name: name.into(),
            listing: true,
            deep: false,
        }));
        touches
    }
}

fn link_path(dir: &LinkDir) -> Vec<Name> {
    match dir {
        LinkDir::ByName => vec!["by-name".into()],
        LinkDir::ByPage83 => vec!["by-page83".into()],
        LinkDir::ByDevice => vec!["by-device".into()],
        LinkDir::SeByName(ss) => {
            let mut path = Place::Server(ss.clone()).path();
            path.push("se-by-name".into());
            path
        }
    }
}
