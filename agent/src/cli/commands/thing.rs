//! `oscctl element …` and `oscctl fs …`: the things on a storage server.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::act::{resolve, row};
use super::{Session, with};
use crate::cli::args::{Act, Doom, Element, Fs, Wanted};
use crate::cli::client::Contents;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::objects::{Entry, find};
use crate::cli::output::Output;
use crate::cli::{secret, view, words};
use crate::command::Object;
use crate::record::{self, Dict};

/// The actions on elements that have commands of their own.
#[cfg(test)]
pub const ELEMENT_ACTS: &[&str] = &[
    "snapshot",
    "clone",
    "restore",
    "split",
    "resize",
    "online",
    "offline",
    "present",
    "unpresent",
    "remove",
];
/// The actions on file systems and files that have commands of their own.
#[cfg(test)]
pub const FS_ACTS: &[&str] = &[
    "destroy",
    "resize",
    "mount",
    "unmount",
    "file-list",
    "file-create",
    "file-clone",
    "file-snapshot",
    "file-remove",
];

/// Which of a server's contents a command is about.
#[derive(Clone, Copy)]
pub struct Sort {
    what: &'static str,
    object: Object,
    of: fn(&Contents) -> &[Entry],
}

/// Storage elements.
pub const ELEMENT: Sort =
    Sort { what: "element", object: Object::Element, of: |contents| &contents.elements };
/// File systems.
pub const FILE_SYSTEM: Sort =
    Sort { what: "file system", object: Object::FileSystem, of: |contents| &contents.file_systems };

impl Sort {
    /// The thing on a server that a word names.
    ///
    /// # Errors
    /// As [`find`], naming the server.
    pub fn find<'a>(self, word: &str, server: &Entry, contents: &'a Contents) -> Outcome<&'a Entry> {
        find(self.what, word, (self.of)(contents)).map_err(|mut failure| {
            failure.hint = failure.hint.or_else(|| {
                let group = if self.object == Object::Element { "element" } else { "fs" };
                Some(format!("on {}; list them with: oscctl {group} list {}", server.name(), server.name()))
            });
            failure
        })
    }
}

/// `oscctl element …`.
///
/// # Errors
/// Why it could not be done.
pub async fn element(bus: &str, output: Output, command: Element) -> Outcome {
    let (name, act) = match command {
        Element::List { server } => {
            return list_elements(&Session::open(bus, output).await?, server.as_deref()).await;
        }
        Element::Show { words } => return show_element(bus, output, &words).await,
        Element::Create { wanted, vol_group } => {
            let more = vol_group.map(|group| ("vol_group_name", group.into()));
            return create::<record::StorageElement>(bus, output, &wanted, more).await;
        }
        Element::Remove(doom) => return destroy(bus, output, ELEMENT, "remove", doom).await,
        Element::Snapshot(act) => ("snapshot", act),
        Element::Clone(act) => ("clone", act),
        Element::Restore(act) => ("restore", act),
        Element::Split(act) => ("split", act),
        Element::Resize(act) => ("resize", act),
        Element::Online(act) => ("online", act),
        Element::Offline(act) => ("offline", act),
        Element::Present(act) => ("present", act),
        Element::Unpresent(act) => ("unpresent", act),
    };
    perform(bus, output, ELEMENT, name, &act, Map::new()).await
}

/// `oscctl fs …`.
///
/// # Errors
/// Why it could not be done.
pub async fn file_system(bus: &str, output: Output, command: Fs) -> Outcome {
    match command {
        Fs::List { server } => list_file_systems(&Session::open(bus, output).await?, server.as_deref()).await,
        Fs::Show { words } => show_file_system(bus, output, &words).await,
        Fs::Create { wanted, device } => {
            let more = match <[String; 1]>::try_from(device) {
                Ok([one]) => Some(one.into()),
                Err(none) if none.is_empty() => None,
                Err(several) => Some(several.into()),
            };
            create::<record::FileSystem>(bus, output, &wanted, more.map(|device| ("backing_device", device)))
                .await
        }
        Fs::Destroy(doom) => destroy(bus, output, FILE_SYSTEM, "destroy", doom).await,
        Fs::Resize(act) => perform(bus, output, FILE_SYSTEM, "resize", &act, Map::new()).await,
        Fs::Unmount(act) => perform(bus, output, FILE_SYSTEM, "unmount", &act, Map::new()).await,
        Fs::Mount { act, share_path, options } => {
            let mut named = Map::new();
            if let Some(path) = share_path {
                named.insert("share_path".into(), path.into());
            }
            if !options.is_empty() {
                named.insert("options".into(), options.into());
            }
            perform(bus, output, FILE_SYSTEM, "mount", &act, named).await
        }
    }
}

/// An action on one thing: `words` name it and give the parameters, `named` are those that options gave.
///
/// # Errors
/// Why it could not be done.
pub async fn perform(
    bus: &str,
    output: Output,
    sort: Sort,
    name: &str,
    act: &Act,
    named: Map<String, Value>,
) -> Outcome {
    let row = row(sort.object, name);
    let (server, thing, rest) = words::target(&act.words, sort.what)?;
    let mut args = words::parameters(row, rest)?;
    for (key, value) in named {
        if args.insert(key.clone(), value).is_some() {
            return Err(Failure::usage(format!("{key} is given twice")));
        }
    }
    words::complete(row, &args)?;
    let session = Session::open(bus, output).await?;
    let server = session.server(server).await?;
    let contents = session.client.contents(&server).await?;
    let thing = sort.find(thing, &server, &contents)?;
    resolve(row, &mut args, &contents)?;
    session.perform(thing, row, &args, &act.wait).await
}

async fn destroy(bus: &str, output: Output, sort: Sort, name: &str, doom: Doom) -> Outcome {
    let (server, thing, _) = words::target(&doom.act.words, sort.what)?;
    let question = format!("{name} the {} {thing} on {server}, with all its data?", sort.what);
    secret::confirm(&question, doom.yes)?;
    perform(bus, output, sort, name, &doom.act, Map::new()).await
}

async fn create<T: Dict>(bus: &str, output: Output, wanted: &Wanted, more: Option<(&str, Value)>) -> Outcome {
    let (mut record, unknown) = words::record::<T>(&wanted.words)?;
    note_unknown::<T>(&unknown);
    let size = wanted.size.as_deref().map(words::size).transpose()?.map(|size| ("size", size.into()));
    let qos = wanted.qos.as_deref().map(|qos| ("qos", qos.into()));
    for (key, value) in [size, qos, more].into_iter().flatten() {
        if record.insert(key.into(), value).is_some() {
            return Err(Failure::usage(format!("{key} is given twice")));
        }
    }
    let session = Session::open(bus, output).await?;
    let server = session.server(&wanted.server).await?;
    let args = Map::from_iter([("record".to_owned(), Value::Object(record))]);
    session.perform(&server, row(Object::Server, "create"), &args, &wanted.wait).await
}

/// Says which keys are passed on without anybody but the plug-in knowing them.
pub fn note_unknown<T: Dict>(unknown: &[String]) {
    if !unknown.is_empty() {
        eprintln!(
            "oscctl: note: {} is no key of {}; it is passed on to the plug-in",
            unknown.join(", "),
            T::NAME
        );
    }
}

async fn list_elements(session: &Session, server: Option<&str>) -> Outcome {
    let mut all = Vec::new();
    for server in session.servers(server).await? {
        let mut elements = session.client.contents(&server).await?.elements;
        // Ids are unique on their own server only.
        name_parents(&mut elements);
        all.append(&mut elements);
    }
    session.output.list(view::ELEMENTS, &all)
}

/// Plug-ins name a parent by id; people know it by name.
fn name_parents(elements: &mut [Entry]) {
    let ids = |element: &Entry| {
        [element.id.clone(), element.text("id").to_owned(), element.text("uuid").to_owned()]
    };
    let named = elements.iter().flat_map(|element| ids(element).map(|id| (id, element.name().to_owned())));
    let names: HashMap<String, String> = named.collect();
    let parents: Vec<String> = elements
        .iter()
        .map(|element| match view::parent(&element.record) {
            none if none.is_empty() => none,
            parent => names.get(&parent).cloned().unwrap_or(parent),
        })
        .collect();
    for (element, parent) in elements.iter_mut().zip(parents) {
        element.more.insert("parent".into(), parent.into());
    }
}

async fn show_element(bus: &str, output: Output, words: &[String]) -> Outcome {
    let (server, thing, _) = words::target(words, ELEMENT.what)?;
    let session = Session::open(bus, output).await?;
    let server = session.server(server).await?;
    let contents = session.client.contents(&server).await?;
    let element = ELEMENT.find(thing, &server, &contents)?;
    if output.json() {
        return output.value(&element.record);
    }
    output.text(&view::pairs(&details(element, &server)))
}

fn details(thing: &Entry, server: &Entry) -> Vec<(String, String)> {
    let mut pairs =
        vec![("server".to_owned(), server.name().to_owned()), ("object".to_owned(), thing.path.clone())];
    pairs.extend(view::fields(&thing.record));
    pairs
}

fn mounts_of<'a>(fs: &Entry, contents: &'a Contents) -> impl Iterator<Item = &'a Entry> {
    let prefix = format!("{}/mount/", fs.path);
    contents.mounts.iter().filter(move |mount| mount.path.starts_with(&prefix))
}

async fn list_file_systems(session: &Session, server: Option<&str>) -> Outcome {
    let mut all = Vec::new();
    for server in session.servers(server).await? {
        let contents = session.client.contents(&server).await?;
        for fs in &contents.file_systems {
            let mut fs = fs.clone();
            let points: Vec<&str> =
                mounts_of(&fs, &contents).map(|mount| mount.text("mount_point")).collect();
            fs.more.insert("mounts".into(), points.into());
            all.push(fs);
        }
    }
    session.output.list(view::FILE_SYSTEMS, &all)
}

async fn show_file_system(bus: &str, output: Output, words: &[String]) -> Outcome {
    let (server, thing, _) = words::target(words, FILE_SYSTEM.what)?;
    let session = Session::open(bus, output).await?;
    let server = session.server(server).await?;
    let contents = session.client.contents(&server).await?;
    let fs = FILE_SYSTEM.find(thing, &server, &contents)?;
    let mounts: Vec<Entry> = mounts_of(fs, &contents).cloned().collect();
    if output.json() {
        let records = mounts.iter().map(|mount| mount.record.clone()).collect();
        return output.value(&with(&fs.record, &[("mounts", records)]));
    }
    output.text(&view::pairs(&details(fs, &server)))?;
    match mounts.is_empty() {
        true => Ok(()),
        false => output.text(&format!("\n{}", view::table(view::MOUNTS, &mounts))),
    }
}
