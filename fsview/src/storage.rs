//! What the storage tree looks like: every directory, which files and links are in it, and who may read them.
//!
//! Two layouts share one set of places: [`Records`], which people walk, and [`Controls`], which mirrors the directories that hold control
//! files and is mounted inside the first at `.ctl`. In the record tree a control file is a relative symbolic link into the other.

mod changes;
mod controls;
mod links;

use std::sync::{Arc, PoisonError, RwLock};

use crate::engine::{Body, Entry, Kind, Layout, Name, Node};
use crate::model::{Model, Target, Verb};
use crate::names::{decode, encode, is_cut};

pub use controls::Controls;
use links::{LinkDir, Links};

/// The directory in the root where the control connection is mounted; not listed.
pub const CONTROL_DIR: &str = ".ctl";
/// A file in the root that holds the agent's process id; not listed. Another agent that finds the mount point taken reads it.
pub const PID_FILE: &str = ".pid";
/// The log of events, in the control connection.
pub const EVENTS: &str = "events";
/// How fresh a storage server is, in its directory.
pub const STATE: &str = "state";

const DIR_PERM: u16 = 0o555;
const RECORD_PERM: u16 = 0o440;
const PUBLIC_PERM: u16 = 0o444;

type Id = Arc<str>;

/// A place in the tree: every directory, and what the control connection's files act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `/`
    Root,
    /// `/plugins`
    Plugins,
    /// `/plugins/<impl_name>`
    Plugin(Id),
    /// `/ss`
    Servers,
    /// `/ss/<ss>`
    Server(Id),
    /// `/ss/<ss>/vol_groups`
    VolGroups(Id),
    /// `/ss/<ss>/access_grps`
    AccessGroups(Id),
    /// `/ss/<ss>/qos`
    QosValues(Id),
    /// `/ss/<ss>/se`
    Elements(Id),
    /// `/ss/<ss>/se/<se>`
    Element(Id, Id),
    /// `/ss/<ss>/se/<se>/attr`
    ElementAttrs(Id, Id),
    /// `/ss/<ss>/fs`
    FileSystems(Id),
    /// `/ss/<ss>/fs/<fs>`
    FileSystem(Id, Id),
    /// `/ss/<ss>/fs/<fs>/attr`
    FileSystemAttrs(Id, Id),
    /// `/ss/<ss>/fs/<fs>/mounts`
    Mounts(Id, Id),
    /// `/ss/<ss>/fs/<fs>/mounts/<mount>`
    Mount(Arc<(Id, Id)>, Id),
    /// `/op`
    Operations,
    /// `/op/<op>`
    Operation(Id),
    /// A directory of links made from names.
    Links(LinkDir),
    /// `/.ctl` of the record tree: empty, the control connection covers it.
    ControlMount,
    /// A control file.
    Control(Target, Verb),
    /// How fresh a storage server's records are: different at every refresh, so read from the model each time.
    State(Id),
    /// The log of events.
    Events,
}

/// The verbs of each kind of target, in the order of the design.
pub const AGENT_VERBS: &[Verb] = &[Verb::Register];
const SERVER_VERBS: &[Verb] = &[Verb::Refresh, Verb::Start, Verb::Stop, Verb::Create, Verb::Unregister];
const ELEMENT_VERBS: &[Verb] = &[
    Verb::Snapshot,
    Verb::Clone,
    Verb::Restore,
    Verb::Split,
    Verb::Resize,
    Verb::Online,
    Verb::Offline,
    Verb::Present,
    Verb::Unpresent,
    Verb::Qos,
    Verb::Remove,
];
const FILE_SYSTEM_VERBS: &[Verb] =
    &[Verb::Mount, Verb::Unmount, Verb::File, Verb::Resize, Verb::Destroy, Verb::Refresh];
const OPERATION_VERBS: &[Verb] = &[Verb::Cancel];

impl Place {
    /// What the control files of a directory act on, and which there are.
    fn verbs(&self) -> Option<(Target, &'static [Verb])> {
        Some(match self {
            Place::Root => (Target::Agent, AGENT_VERBS),
            Place::Server(ss) => (Target::Server(ss.clone()), SERVER_VERBS),
            Place::Element(ss, se) => (Target::Element { ss: ss.clone(), se: se.clone() }, ELEMENT_VERBS),
            Place::FileSystem(ss, fs) => {
                (Target::FileSystem { ss: ss.clone(), fs: fs.clone() }, FILE_SYSTEM_VERBS)
            }
            Place::Operation(op) => (Target::Operation(op.clone()), OPERATION_VERBS),
            _ => return None,
        })
    }

    /// The control file of that name in this directory.
    fn verb(&self, name: &str) -> Option<(Target, Verb)> {
        let (target, verbs) = self.verbs()?;
        verbs.iter().find(|verb| verb.as_str() == name).map(|verb| (target, *verb))
    }

    /// The file names that lead to a place that holds control files.
    fn path(&self) -> Vec<Name> {
        let id = |id: &Id| Name::Owned(encode(id).into_owned());
        match self {
            Place::Server(ss) => vec!["ss".into(), id(ss)],
            Place::Element(ss, se) => vec!["ss".into(), id(ss), "se".into(), id(se)],
            Place::FileSystem(ss, fs) => vec!["ss".into(), id(ss), "fs".into(), id(fs)],
            Place::Operation(op) => vec!["op".into(), id(op)],
            _ => Vec::new(),
        }
    }

    /// Where the link of a control file in this directory leads.
    fn control_link(&self, name: &str) -> Arc<str> {
        let path = self.path();
        let up = "../".repeat(path.len());
        let down: String = path.iter().flat_map(|name| [name, "/"]).collect();
        format!("{up}{CONTROL_DIR}/{down}{name}").into()
    }
}

/// The record tree.
pub struct Records {
    model: Arc<dyn Model>,
    gid: u32,
    links: RwLock<Links>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("gid", &self.gid).finish_non_exhaustive()
    }
}

impl Records {
    /// The tree over `model`; members of the group `gid` may read records.
    pub fn new(model: Arc<dyn Model>, gid: u32) -> Self {
        let mut links = Links::default();
        links.rebuild(&*model);
        Self { model, gid, links: RwLock::new(links) }
    }

    fn links(&self) -> std::sync::RwLockReadGuard<'_, Links> {
        self.links.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: Arc<str>) -> Node<Place> {
        Node { body: Body::File { text, newline: true }, perm: RECORD_PERM, gid: self.gid }
    }

    fn public(&self, text: Arc<str>, newline: bool) -> Node<Place> {
        Node { body: Body::File { text, newline }, perm: PUBLIC_PERM, gid: 0 }
    }

    fn dir(place: Place) -> Node<Place> {
        Node { body: Body::Dir(place), perm: DIR_PERM, gid: 0 }
    }

    fn link(target: impl Into<Arc<str>>) -> Node<Place> {
        Node { body: Body::Link(target.into()), perm: 0o777, gid: 0 }
    }

    fn in_root(&self, name: &str) -> Option<Node<Place>> {
        let m = &self.model;
        Some(match name {
            "README" => self.public(m.readme(), false),
            "version" => self.public(m.version(), true),
            "plugins" => Self::dir(Place::Plugins),
            "ss" => Self::dir(Place::Servers),
            "op" => Self::dir(Place::Operations),
            "by-name" => Self::dir(Place::Links(LinkDir::ByName)),
            "by-page83" => Self::dir(Place::Links(LinkDir::ByPage83)),
            "by-device" => Self::dir(Place::Links(LinkDir::ByDevice)),
            EVENTS => Self::link(Place::Root.control_link(EVENTS)),
            CONTROL_DIR => Self::dir(Place::ControlMount),
            PID_FILE => self.public(std::process::id().to_string().into(), true),
            _ => return None,
        })
    }

    fn in_server(&self, ss: &Id, name: &str) -> Option<Node<Place>> {
        let server = self.model.server(ss)?;
        Some(match name {
            "record" => self.line(server.record),
            "abilities" => self.line(server.abilities),
            STATE => Self::link(Place::Server(ss.clone()).control_link(STATE)),
            "plugin" => Self::link(format!("../../plugins/{}", encode(&server.plugin))),
            "vol_groups" => Self::dir(Place::VolGroups(ss.clone())),
            "access_grps" => Self::dir(Place::AccessGroups(ss.clone())),
            "qos" => Self::dir(Place::QosValues(ss.clone())),
            "se" => Self::dir(Place::Elements(ss.clone())),
            "fs" => Self::dir(Place::FileSystems(ss.clone())),
            "se-by-name" => Self::dir(Place::Links(LinkDir::SeByName(ss.clone()))),
            _ => return None,
        })
    }

    fn in_plugin(&self, impl_name: &str, name: &str) -> Option<Node<Place>> {
        let plugin = self.model.plugin(impl_name)?;
        Some(match name {
            "info" => self.public(plugin.info, true),
            "abilities" => self.public(plugin.abilities, true),
            "status" => self.public(plugin.status, true),
            _ => return None,
        })
    }

    fn in_operation(&self, op: &str, name: &str) -> Option<Node<Place>> {
        let operation = self.model.operation(op)?;
        Some(match name {
            "record" => self.line(operation.record),
            "progress" => self.line(operation.progress),
            _ => return None,
        })
    }

    fn pairs(&self, dir: &Place) -> Vec<(Id, Arc<str>)> {
        match dir {
            Place::VolGroups(ss) => self.model.vol_groups(ss),
            Place::AccessGroups(ss) => self.model.access_groups(ss),
            Place::QosValues(ss) => self.model.qos_values(ss),
            Place::Mounts(ss, fs) => self.model.mounts(ss, fs),
            Place::ElementAttrs(..) | Place::FileSystemAttrs(..) => self.model.attrs(&attr_target(dir)),
            _ => Vec::new(),
        }
    }

    /// A file of a directory that has one for each name: found by its name where that can be decoded, else by comparing.
    fn pair(&self, dir: &Place, name: &str) -> Option<(Id, Arc<str>)> {
        if let (Place::ElementAttrs(..) | Place::FileSystemAttrs(..), Some(field)) = (dir, decode(name)) {
            return self.model.attr(&attr_target(dir), &field).map(|value| (field.into(), value));
        }
        self.pairs(dir).into_iter().find(|(id, _)| encode(id) == name)
    }
}

fn attr_target(dir: &Place) -> Target {
    match dir {
        Place::ElementAttrs(ss, se) => Target::Element { ss: ss.clone(), se: se.clone() },
        Place::FileSystemAttrs(ss, fs) => Target::FileSystem { ss: ss.clone(), fs: fs.clone() },
        _ => Target::Agent,
    }
}

/// The identity that a directory's name stands for, if there is such an object.
fn identity(name: &str, exists: impl Fn(&str) -> bool, all: impl FnOnce() -> Vec<Id>) -> Option<Id> {
    if is_cut(name)
        && let Some(id) = all().into_iter().find(|id| encode(id) == name)
    {
        return Some(id);
    }
    decode(name).filter(|id| exists(id)).map(Id::from)
}

/// The sub-directory of a place that holds one directory for each object.
fn object_dir(model: &dyn Model, dir: &Place, name: &str) -> Option<Place> {
    Some(match dir {
        Place::Plugins => Place::Plugin(identity(name, |id| model.plugin(id).is_some(), || model.plugins())?),
        Place::Servers => Place::Server(identity(name, |id| model.server(id).is_some(), || model.servers())?),
        Place::Operations => {
            Place::Operation(identity(name, |id| model.operation(id).is_some(), || model.operations())?)
        }
        Place::Elements(ss) => Place::Element(
            ss.clone(),
            identity(name, |se| model.element_record(ss, se).is_some(), || model.elements(ss))?,
        ),
        Place::FileSystems(ss) => Place::FileSystem(
            ss.clone(),
            identity(name, |fs| model.file_system_record(ss, fs).is_some(), || model.file_systems(ss))?,
        ),
        _ => return None,
    })
}

/// The names in such a directory.
fn object_names(model: &dyn Model, dir: &Place) -> Option<Vec<Entry>> {
    let ids = match dir {
        Place::Plugins => model.plugins(),
        Place::Servers => model.servers(),
        Place::Operations => model.operations(),
        Place::Elements(ss) => model.elements(ss),
        Place::FileSystems(ss) => model.file_systems(ss),
        _ => return None,
    };
    Some(ids.iter().map(|id| Entry::new(encode(id).into_owned(), Kind::Dir)).collect())
}

impl Layout for Records {
    type Key = Place;

    fn root(&self) -> Place {
        Place::Root
    }

    fn lookup(&self, dir: &Place, name: &str) -> Option<Node<Place>> {
        let model = &*self.model;
        if let Some((_, verb)) = dir.verb(name) {
            return Some(Self::link(dir.control_link(verb.as_str())));
        }
        match dir {
            Place::Root => self.in_root(name),
            Place::Plugin(impl_name) => self.in_plugin(impl_name, name),
            Place::Server(ss) => self.in_server(ss, name),
            Place::Operation(op) => self.in_operation(op, name),
            Place::Element(ss, se) => match name {
                "record" => Some(self.line(model.element_record(ss, se)?)),
                "attr" => Some(Self::dir(Place::ElementAttrs(ss.clone(), se.clone()))),
                _ => None,
            },
            Place::FileSystem(ss, fs) => match name {
                "record" => Some(self.line(model.file_system_record(ss, fs)?)),
                "attr" => Some(Self::dir(Place::FileSystemAttrs(ss.clone(), fs.clone()))),
                "mounts" => Some(Self::dir(Place::Mounts(ss.clone(), fs.clone()))),
                _ => None,
            },
            Place::Mounts(ss, fs) => {
                let (id, _) = self.pair(dir, name)?;
                Some(Self::dir(Place::Mount(Arc::new((ss.clone(), fs.clone())), id)))
            }
            Place::Mount(of, mount) if name == "record" => {
                let mounts = model.mounts(&of.0, &of.1);
                mounts.into_iter().find(|(id, _)| id == mount).map(|(_, record)| self.line(record))
            }
            Place::Links(links) => self.links().target(links, name).map(Self::link),
            _ => match object_dir(model, dir, name) {
                Some(place) => Some(Self::dir(place)),
                None => self.pair(dir, name).map(|(_, line)| self.line(line)),
            },
        }
    }

    fn list(&self, dir: &Place) -> Vec<Entry> {
        let (dirs, files, other): (&[&'static str], &[&'static str], &[&'static str]) = match dir {
            Place::Root => (
                &["plugins", "ss", "op", "by-name", "by-page83", "by-device"],
                &["README", "version"],
                &[EVENTS],
            ),
            Place::Plugin(_) => (&[], &["info", "abilities", "status"], &[]),
            Place::Server(_) => (
                &["vol_groups", "access_grps", "qos", "se", "fs", "se-by-name"],
                &["record", "abilities"],
                &["plugin", STATE],
            ),
            Place::Element(..) => (&["attr"], &["record"], &[]),
            Place::FileSystem(..) => (&["attr", "mounts"], &["record"], &[]),
            Place::Mount(..) => (&[], &["record"], &[]),
            Place::Operation(_) => (&[], &["record", "progress"], &[]),
            Place::Links(links) => return self.links().list(links),
            _ => {
                return object_names(&*self.model, dir).unwrap_or_else(|| {
                    let kind = if matches!(dir, Place::Mounts(..)) { Kind::Dir } else { Kind::File };
                    let pairs = self.pairs(dir);
                    pairs.iter().map(|(id, _)| Entry::new(encode(id).into_owned(), kind)).collect()
                });
            }
        };
        let verbs = dir.verbs().map_or(&[][..], |(_, verbs)| verbs);
        let fixed = |names: &[&'static str], kind| {
            names.iter().map(|name| Entry::new(*name, kind)).collect::<Vec<_>>()
        };
        let mut entries = fixed(dirs, Kind::Dir);
        entries.extend(fixed(files, Kind::File));
        entries.extend(fixed(other, Kind::Link));
        entries.extend(verbs.iter().map(|verb| Entry::new(verb.as_str(), Kind::Link)));
        entries
    }
}

#[cfg(test)]
mod tests;
