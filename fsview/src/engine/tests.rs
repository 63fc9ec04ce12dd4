//! The engine without a kernel, over a small layout that a test rewrites.

use std::collections::BTreeMap;

use super::*;

/// Directories and files by path; `/` separates.
#[derive(Clone, Default)]
struct World(Arc<Mutex<BTreeMap<String, String>>>);

impl World {
    fn put(&self, path: &str, text: &str) {
        self.0.lock().unwrap().insert(path.into(), text.into());
    }
    fn remove(&self, path: &str) {
        self.0.lock().unwrap().retain(|key, _| key != path && !key.starts_with(&format!("{path}/")));
    }
}

impl Layout for World {
    type Key = String;

    fn root(&self) -> String {
        String::new()
    }

    fn lookup(&self, dir: &String, name: &str) -> Option<Node<String>> {
        let path = format!("{dir}{name}");
        let world = self.0.lock().unwrap();
        let body = match world.get(&path) {
            Some(text) => Body::File { text: text.as_str().into(), newline: true },
            None if world.keys().any(|key| key.starts_with(&format!("{path}/"))) => {
                Body::Dir(format!("{path}/"))
            }
            None => return None,
        };
        Some(Node { body, perm: 0o444, gid: 0 })
    }

    fn list(&self, dir: &String) -> Vec<Entry> {
        let mut names = BTreeMap::new();
        for key in self.0.lock().unwrap().keys() {
            if let Some(rest) = key.strip_prefix(dir.as_str()) {
                let (name, kind) =
                    rest.split_once('/').map_or((rest, Kind::File), |(name, _)| (name, Kind::Dir));
                names.insert(name.to_owned(), kind);
            }
        }
        names.into_iter().map(|(name, kind)| Entry::new(name, kind)).collect()
    }
}

fn engine() -> (World, Engine<World>) {
    let world = World::default();
    world.put("d/one", "1");
    world.put("d/two", "2");
    (world.clone(), Engine::new(world))
}

fn text(engine: &Engine<World>, ino: u64) -> Result<String, Errno> {
    engine.read(ino, 0, 1 << 20, |bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

fn touch(name: &str, listing: bool) -> Touch {
    Touch { dir: vec!["d".into()], name: name.to_owned().into(), listing, deep: true }
}

#[test]
fn a_new_version_is_a_new_inode_and_the_old_one_keeps_its_content_until_forgotten() {
    let (world, engine) = engine();
    let d = engine.lookup(ROOT, "d").unwrap().ino;
    let old = engine.lookup(d, "one").unwrap();
    assert_eq!(engine.lookup(d, "one").unwrap().ino, old.ino);
    world.put("d/one", "changed");
    assert_eq!(engine.touch(&[touch("one", false)]), [Notice::Entry { dir: d, name: "one".into() }]);
    let new = engine.lookup(d, "one").unwrap();
    assert_ne!(new.ino, old.ino);
    assert_eq!((text(&engine, old.ino), text(&engine, new.ino)), (Ok("1\n".into()), Ok("changed\n".into())));
    engine.forget(old.ino, 1);
    assert!(text(&engine, old.ino).is_ok(), "one of two references is left");
    engine.forget(old.ino, 1);
    assert_eq!(text(&engine, old.ino), Err(libc::ESTALE));
    assert_eq!(engine.attr(old.ino), Err(libc::ESTALE));
}

#[test]
fn inode_numbers_are_never_used_again_nor_shared_by_two_engines() {
    let (_, one) = engine();
    let (_, two) = engine();
    let mut seen = std::collections::BTreeSet::new();
    for engine in [&one, &two] {
        for _ in 0..100 {
            let ino = engine.lookup(ROOT, "d").unwrap().ino;
            engine.forget(ino, 1);
            assert!(seen.insert(ino));
        }
        assert_eq!(engine.inodes(), 1);
    }
}

#[test]
fn what_the_kernel_does_not_know_it_is_not_told_of() {
    let (world, engine) = engine();
    world.put("d/one", "changed");
    world.put("d/three", "3");
    assert_eq!(engine.touch(&[touch("one", false), touch("three", true)]), []);
    let d = engine.lookup(ROOT, "d").unwrap().ino;
    assert_eq!(engine.touch(&[touch("one", false), touch("three", true)]), []);
    assert_eq!(engine.inodes(), 2);
    engine.list(d, 0).unwrap();
    assert_eq!(engine.touch(&[touch("three", true)]), [Notice::Listing { dir: d }]);
    assert_eq!(engine.touch(&[touch("three", true)]), [], "once told, it holds no listing any more");
}

#[test]
fn a_directory_that_left_the_tree_is_stale_with_all_below() {
    let (world, engine) = engine();
    let d = engine.lookup(ROOT, "d").unwrap().ino;
    let one = engine.lookup(d, "one").unwrap().ino;
    world.remove("d");
    assert_eq!(engine.touch_all(), [Notice::Entry { dir: ROOT, name: "d".into() }]);
    world.put("d/one", "again");
    assert_eq!(engine.lookup(d, "one"), Err(libc::ESTALE));
    assert_eq!(engine.list(d, 0).err(), Some(libc::ESTALE));
    assert_eq!(text(&engine, one), Ok("1\n".into()));
    assert_ne!(engine.lookup(ROOT, "d").unwrap().ino, d);
}

#[test]
fn reading_on_in_a_changed_directory_neither_repeats_nor_skips() {
    let world = World::default();
    for n in 0..100 {
        world.put(&format!("f{n}"), "");
    }
    let engine = Engine::new(world.clone());
    let mut seen = Vec::new();
    let mut offset = 0;
    for step in 0.. {
        let listing = engine.list(ROOT, offset).unwrap();
        let Some(entry) = listing.after(offset).first() else {
            break;
        };
        seen.push(entry.name.to_string());
        offset = entry.position;
        // Comes and goes, beside what stays.
        match step % 2 {
            0 => world.put("extra", ""),
            _ => world.remove("extra"),
        }
        engine.touch(&[Touch { dir: vec![], name: "extra".into(), listing: true, deep: false }]);
    }
    seen.retain(|name| name != "extra");
    let mut expected: Vec<String> = (0..100).map(|n| format!("f{n}")).collect();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
}

#[test]
fn reads_end_at_the_newline_wherever_they_begin() {
    let (_, engine) = engine();
    let d = engine.lookup(ROOT, "d").unwrap().ino;
    let one = engine.lookup(d, "one").unwrap();
    assert_eq!(one.size, 2);
    let part = |offset, size| engine.read(one.ino, offset, size, <[u8]>::to_vec).unwrap();
    assert_eq!(
        (part(0, 1), part(1, 1), part(1, 9), part(2, 9)),
        (b"1".to_vec(), b"\n".to_vec(), b"\n".to_vec(), vec![])
    );
    assert_eq!(part(u64::MAX, u32::MAX), b"");
    assert_eq!(engine.read(d, 0, 1, |_| ()), Err(libc::EISDIR));
    assert_eq!(engine.lookup(one.ino, "x"), Err(libc::ENOTDIR));
}
