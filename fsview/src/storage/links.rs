//! The directories of links, `by-name` and its like: which names lead to which objects, kept so that a changed name is found from its object.
//!
//! Where several objects have the same name, the first by identity has it; each other one is `<name>~<identity>`
//! (`<name>~<ss>~<se>` in `by-page83` and `by-device`, which span storage servers). A name that another object really has goes to that one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::engine::{Entry, Kind};
use crate::model::{Change, Model};
use crate::names::{decode, encode, is_cut};

type Id = Arc<str>;

/// A directory of links.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkDir {
    /// `/by-name`: to storage servers.
    ByName,
    /// `/by-page83`: to storage elements.
    ByPage83,
    /// `/by-device`: to storage elements.
    ByDevice,
    /// `/ss/<ss>/se-by-name`: to storage elements.
    SeByName(Id),
}

/// An object with a directory of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Object {
    Plugin(Id),
    Server(Id),
    Element(Id, Id),
    FileSystem(Id, Id),
    Operation(Id),
}

impl Object {
    /// The object that a change is about.
    pub(super) fn of(change: &Change) -> Option<Self> {
        Some(match change {
            Change::Plugin(id) => Self::Plugin(id.clone()),
            Change::Server(ss) => Self::Server(ss.clone()),
            Change::Element { ss, se } => Self::Element(ss.clone(), se.clone()),
            Change::FileSystem { ss, fs } => Self::FileSystem(ss.clone(), fs.clone()),
            Change::Operation(id) => Self::Operation(id.clone()),
            Change::Events | Change::Everything => return None,
        })
    }

    /// What tells it from others of its name in that directory.
    fn suffix(&self, dir: &LinkDir) -> String {
        match (self, dir) {
            (Self::Element(_, se), LinkDir::SeByName(_)) => se.to_string(),
            (Self::Element(ss, se) | Self::FileSystem(ss, se), _) => format!("{ss}~{se}"),
            (Self::Server(id) | Self::Plugin(id) | Self::Operation(id), _) => id.to_string(),
        }
    }

    fn target(&self, dir: &LinkDir) -> String {
        match (self, dir) {
            (Self::Element(_, se), LinkDir::SeByName(_)) => format!("../se/{}", encode(se)),
            (Self::Element(ss, se), _) => format!("../ss/{}/se/{}", encode(ss), encode(se)),
            (Self::FileSystem(ss, fs), _) => format!("../ss/{}/fs/{}", encode(ss), encode(fs)),
            (Self::Server(ss), _) => format!("../ss/{}", encode(ss)),
            (Self::Plugin(id), _) => format!("../plugins/{}", encode(id)),
            (Self::Operation(op), _) => format!("../op/{}", encode(op)),
        }
    }
}

/// All objects and the links to them.
#[derive(Debug, Default)]
pub(super) struct Links {
    objects: BTreeMap<Object, Box<[(LinkDir, Id)]>>,
    names: BTreeSet<(LinkDir, Id, Object)>,
}

/// What an update of one object came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Updated {
    /// The object came or went.
    pub existence: bool,
    /// File names that may lead elsewhere now, or be new or gone.
    pub links: Vec<(LinkDir, String)>,
}

impl Links {
    /// Reads everything from the model.
    pub(super) fn rebuild(&mut self, model: &dyn Model) {
        *self = Self::default();
        let mut objects: Vec<Object> = model.plugins().into_iter().map(Object::Plugin).collect();
        objects.extend(model.operations().into_iter().map(Object::Operation));
        for ss in model.servers() {
            objects.extend(model.elements(&ss).into_iter().map(|se| Object::Element(ss.clone(), se)));
            objects.extend(model.file_systems(&ss).into_iter().map(|fs| Object::FileSystem(ss.clone(), fs)));
            objects.push(Object::Server(ss));
        }
        for object in objects {
            if let Some(names) = wanted(model, &object) {
                self.names
                    .extend(names.iter().map(|(dir, name)| (dir.clone(), name.clone(), object.clone())));
                self.objects.insert(object, names);
            }
        }
    }

    /// Reads one object from the model, and with a storage server that came or went (or did both) also what is below it.
    pub(super) fn update(&mut self, model: &dyn Model, object: &Object, was_gone: bool) -> Updated {
        let mut updated = self.update_one(model, object);
        if let (true, Object::Server(ss)) = (updated.existence || was_gone, object) {
            let mut below: BTreeSet<Object> = self.below(ss);
            below.extend(model.elements(ss).into_iter().map(|se| Object::Element(ss.clone(), se)));
            below.extend(model.file_systems(ss).into_iter().map(|fs| Object::FileSystem(ss.clone(), fs)));
            for object in below {
                updated.links.extend(self.update_one(model, &object).links);
            }
        }
        updated
    }

    fn below(&self, ss: &Id) -> BTreeSet<Object> {
        let none: Id = "".into();
        let elements = self.objects.range(Object::Element(ss.clone(), none.clone())..);
        let file_systems = self.objects.range(Object::FileSystem(ss.clone(), none)..);
        let elements =
            elements.take_while(|(object, _)| matches!(object, Object::Element(of, _) if of == ss));
        let file_systems =
            file_systems.take_while(|(object, _)| matches!(object, Object::FileSystem(of, _) if of == ss));
        elements.chain(file_systems).map(|(object, _)| object.clone()).collect()
    }

    fn update_one(&mut self, model: &dyn Model, object: &Object) -> Updated {
        let new = wanted(model, object);
        let old = self.objects.get(object);
        if old == new.as_ref() {
            return Updated::default();
        }
        let existence = old.is_some() != new.is_some();
        let old: BTreeSet<_> = old.into_iter().flatten().cloned().collect();
        let now: BTreeSet<_> = new.iter().flatten().cloned().collect();
        let mut links = Vec::new();
        for (dir, name) in old.symmetric_difference(&now) {
            // A name's holders before and after: with the first, all others' file names may change.
            let mut holders: Vec<Object> = self.holders(dir, name).cloned().collect();
            holders.push(object.clone());
            links.push((dir.clone(), encode(name).into_owned()));
            links.extend(holders.iter().map(|holder| (dir.clone(), secondary(dir, name, holder))));
            let entry = (dir.clone(), name.clone(), object.clone());
            if now.contains(&(dir.clone(), name.clone())) {
                self.names.insert(entry);
            } else {
                self.names.remove(&entry);
            }
        }
        match new {
            Some(names) => self.objects.insert(object.clone(), names),
            None => self.objects.remove(object),
        };
        Updated { existence, links }
    }

    /// The objects of that name, first by identity first.
    fn holders<'a>(&'a self, dir: &'a LinkDir, name: &'a str) -> impl Iterator<Item = &'a Object> {
        // Plugin("") is the least of all objects.
        let least = (dir.clone(), Id::from(name), Object::Plugin("".into()));
        let from = self.names.range((Bound::Included(least), Bound::Unbounded));
        from.take_while(move |(d, n, _)| d == dir && &**n == name).map(|(_, _, object)| object)
    }

    /// Where a link leads.
    pub(super) fn target(&self, dir: &LinkDir, file: &str) -> Option<String> {
        let Some(raw) = decode(file) else {
            // A cut name: only looking at all of them tells.
            let named =
                is_cut(file).then(|| self.named(dir).into_iter().find(|(name, _)| name == file))??;
            return Some(named.1.target(dir));
        };
        if let Some(first) = self.holders(dir, &raw).next() {
            return Some(first.target(dir));
        }
        raw.match_indices('~').find_map(|(at, _)| {
            let (name, suffix) = (&raw[..at], &raw[at + 1..]);
            self.holders(dir, name)
                .skip(1)
                .find(|object| object.suffix(dir) == suffix)
                .map(|object| object.target(dir))
        })
    }

    /// The names in a directory.
    pub(super) fn list(&self, dir: &LinkDir) -> Vec<Entry> {
        self.named(dir).into_keys().map(|name| Entry::new(name, Kind::Link)).collect()
    }

    fn named(&self, dir: &LinkDir) -> BTreeMap<String, &Object> {
        let least = (dir.clone(), Id::from(""), Object::Plugin("".into()));
        let mut named = BTreeMap::new();
        let mut others = Vec::new();
        let mut last: Option<&Id> = None;
        for (_, name, object) in self.names.range(least..).take_while(|(d, ..)| d == dir) {
            if last == Some(name) {
                others.push((secondary(dir, name, object), object));
            } else {
                named.insert(encode(name).into_owned(), object);
            }
            last = Some(name);
        }
        for (name, object) in others {
            named.entry(name).or_insert(object);
        }
        named
    }
}

/// The file name of one that is not the first of its name.
fn secondary(dir: &LinkDir, name: &str, object: &Object) -> String {
    encode(&format!("{name}~{}", object.suffix(dir))).into_owned()
}

/// The links that an object should have; `None` where there is no such object.
fn wanted(model: &dyn Model, object: &Object) -> Option<Box<[(LinkDir, Id)]>> {
    let mut names = match object {
        Object::Plugin(id) => model.plugin(id).map(|_| Vec::new()),
        Object::Operation(id) => model.operation(id).map(|_| Vec::new()),
        Object::Server(ss) => model.server(ss).map(|server| vec![(LinkDir::ByName, server.name)]),
        // What a server that is gone still has is not in the tree.
        Object::Element(ss, _) | Object::FileSystem(ss, _) if model.server(ss).is_none() => None,
        Object::FileSystem(ss, fs) => model.file_system_record(ss, fs).map(|_| Vec::new()),
        Object::Element(ss, se) => model.element_names(ss, se).map(|names| {
            let mut links =
                vec![(LinkDir::SeByName(ss.clone()), names.name), (LinkDir::ByPage83, names.page83)];
            links.extend(names.devices.into_iter().map(|device| (LinkDir::ByDevice, device)));
            links
        }),
    }?;
    names.retain(|(_, name)| !name.is_empty());
    Some(names.into())
}
