//! The control connection's tree: the directories that hold control files, the control files, and the log of events.

use std::sync::Arc;

use super::{DIR_PERM, EVENTS, Place, RECORD_PERM, STATE, object_dir, object_names};
use crate::engine::{Body, Entry, Kind, Layout, Node};
use crate::model::Model;

const CONTROL_PERM: u16 = 0o600;

/// The tree below `.ctl`.
pub struct Controls {
    model: Arc<dyn Model>,
    gid: u32,
}

impl std::fmt::Debug for Controls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controls").field("gid", &self.gid).finish_non_exhaustive()
    }
}

impl Controls {
    /// The control files of `model`; members of the group `gid` may read the events.
    pub fn new(model: Arc<dyn Model>, gid: u32) -> Self {
        Self { model, gid }
    }
}

fn dir(place: Place) -> Node<Place> {
    Node { body: Body::Dir(place), perm: DIR_PERM, gid: 0 }
}

impl Layout for Controls {
    type Key = Place;

    fn root(&self) -> Place {
        Place::Root
    }

    fn lookup(&self, at: &Place, name: &str) -> Option<Node<Place>> {
        if let Some((target, verb)) = at.verb(name) {
            return Some(Node {
                body: Body::Control(Place::Control(target, verb)),
                perm: CONTROL_PERM,
                gid: 0,
            });
        }
        Some(match (at, name) {
            (Place::Root, "ss") => dir(Place::Servers),
            (Place::Root, "op") => dir(Place::Operations),
            (Place::Root, EVENTS) => {
                Node { body: Body::Control(Place::Events), perm: RECORD_PERM, gid: self.gid }
            }
            (Place::Server(ss), STATE) => {
                self.model.server(ss)?;
                Node { body: Body::Control(Place::State(ss.clone())), perm: RECORD_PERM, gid: self.gid }
            }
            (Place::Server(ss), "se") => dir(Place::Elements(ss.clone())),
            (Place::Server(ss), "fs") => dir(Place::FileSystems(ss.clone())),
            _ => dir(object_dir(&*self.model, at, name)?),
        })
    }

    fn list(&self, at: &Place) -> Vec<Entry> {
        let dirs: &[&'static str] = match at {
            Place::Root => &["ss", "op"],
            Place::Server(_) => &["se", "fs"],
            _ => &[],
        };
        let mut entries = object_names(&*self.model, at).unwrap_or_default();
        entries.extend(dirs.iter().map(|name| Entry::new(*name, Kind::Dir)));
        let file = match at {
            Place::Root => Some(EVENTS),
            Place::Server(_) => Some(STATE),
            _ => None,
        };
        entries.extend(file.map(|name| Entry::new(name, Kind::File)));
        let verbs = at.verbs().map_or(&[][..], |(_, verbs)| verbs);
        entries.extend(verbs.iter().map(|verb| Entry::new(verb.as_str(), Kind::File)));
        entries
    }
}
