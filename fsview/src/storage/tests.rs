//! Any sequence of changes, against a kernel of our own that caches everything and forgets only what it is told to.

#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/common/reference.rs"]
mod reference;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use self::reference::{View, carry_out, expected, seen, steps};
use super::*;
use crate::engine::{Engine, Notice, ROOT};

/// Caches as the kernel does: names by directory inode, listings by inode.
struct Kernel {
    engine: Engine<Records>,
    names: RefCell<BTreeMap<(u64, String), u64>>,
    listings: RefCell<BTreeMap<u64, BTreeSet<String>>>,
}

impl Kernel {
    fn walk(&self, path: &str) -> Option<u64> {
        path.split('/').try_fold(ROOT, |dir, name| {
            let mut names = self.names.borrow_mut();
            if let Some(ino) = names.get(&(dir, name.to_owned())) {
                return Some(*ino);
            }
            let ino = self.engine.lookup(dir, name).ok()?.ino;
            names.insert((dir, name.to_owned()), ino);
            Some(ino)
        })
    }

    fn take(&self, notices: &[Notice]) {
        for notice in notices {
            match notice {
                Notice::Entry { dir, name } => {
                    let gone = self.names.borrow_mut().remove(&(*dir, name.to_string()));
                    self.listings.borrow_mut().remove(dir);
                    gone.into_iter().for_each(|ino| self.drop_below(ino));
                }
                Notice::Listing { dir } => drop(self.listings.borrow_mut().remove(dir)),
            }
        }
    }

    /// A dropped name takes its subtree along; every inode is forgotten.
    fn drop_below(&self, ino: u64) {
        let children: Vec<_> = {
            let names = self.names.borrow();
            names
                .range((ino, String::new())..)
                .take_while(|((dir, _), _)| *dir == ino)
                .map(|(key, child)| (key.clone(), *child))
                .collect()
        };
        for (key, child) in children {
            self.names.borrow_mut().remove(&key);
            self.drop_below(child);
        }
        self.engine.forget(ino, 1);
    }
}

impl View for Kernel {
    fn list(&self, dir: &str) -> Option<BTreeSet<String>> {
        let ino = self.walk(dir)?;
        if let Some(listing) = self.listings.borrow().get(&ino) {
            return Some(listing.clone());
        }
        let listing = self.engine.list(ino, 0).ok()?;
        let names: BTreeSet<String> = listing.after(0).iter().map(|entry| entry.name.to_string()).collect();
        self.listings.borrow_mut().insert(ino, names.clone());
        Some(names)
    }
    fn read(&self, file: &str) -> Option<String> {
        let ino = self.walk(file)?;
        self.engine.read(ino, 0, u32::MAX, |bytes| String::from_utf8(bytes.to_vec()).unwrap()).ok()
    }
    fn link(&self, link: &str) -> Option<String> {
        self.engine.readlink(self.walk(link)?).ok().map(|target| target.to_string())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_kernel_that_caches_everything_sees_what_the_model_holds(steps in steps()) {
        let fake = common::fake(0, 0);
        let kernel = Kernel {
            engine: Engine::new(Records::new(fake.clone(), 0)),
            names: RefCell::default(),
            listings: RefCell::default(),
        };
        for step in &steps {
            if let Some(change) = carry_out(&fake, step) {
                kernel.take(&kernel.engine.apply(&change, false));
            } else {
                prop_assert_eq!(seen(&kernel), expected(&fake));
            }
        }
        prop_assert_eq!(seen(&kernel), expected(&fake));
        prop_assert_eq!(kernel.engine.touch_all(), vec![]);
        let known = kernel.names.borrow().len();
        prop_assert_eq!(kernel.engine.inodes(), known + 1);
    }
}

#[test]
fn every_control_link_leads_to_its_control_file() {
    let fake = common::fake(1, 10);
    fake.state().file_systems.insert((common::SS.into(), "f/1".into()), "{}".into());
    let op = crate::Operation { record: "{}".into(), progress: "1".into() };
    fake.state().operations.insert("op1".into(), op);
    let (records, controls) = (Records::new(fake.clone(), 0), Controls::new(fake, 0));
    let mut checked = 0;
    let (ss, fs) = (common::SS, "f%2F1");
    for dir in
        ["", &format!("ss/{ss}"), &format!("ss/{ss}/se/se-00000"), &format!("ss/{ss}/fs/{fs}"), "op/op1"]
    {
        let at = |layout: &dyn Layout<Key = Place>| {
            dir.split('/').filter(|name| !name.is_empty()).fold(Place::Root, |at, name| {
                match layout.lookup(&at, name).unwrap().body {
                    Body::Dir(place) => place,
                    other => panic!("{name}: {other:?}"),
                }
            })
        };
        let (record_dir, control_dir) = (at(&records), at(&controls));
        let links = records
            .list(&record_dir)
            .into_iter()
            .filter(|entry| entry.kind == Kind::Link && entry.name != "plugin");
        let files = controls.list(&control_dir);
        for link in links {
            let Body::Link(target) = records.lookup(&record_dir, &link.name).unwrap().body else {
                panic!("{}", link.name)
            };
            let up = "../".repeat(dir.split('/').filter(|name| !name.is_empty()).count());
            let slash = if dir.is_empty() { "" } else { "/" };
            assert_eq!(*target, *format!("{up}.ctl/{dir}{slash}{}", link.name));
            assert!(files.iter().any(|file| file.name == link.name && file.kind == Kind::File));
            assert!(matches!(controls.lookup(&control_dir, &link.name).unwrap().body, Body::Control(_)));
            checked += 1;
        }
    }
    // `register` and `events` in the root, `state` of the server, `cancel` of the operation.
    assert_eq!(checked, 2 + 1 + SERVER_VERBS.len() + ELEMENT_VERBS.len() + FILE_SYSTEM_VERBS.len() + 1);
}
