//! The inodes that the kernel knows: a number, what it stands for, and how many references the kernel holds.

use std::collections::HashMap;

use super::listing::BEING_MADE;
use super::{Attr, Body, Errno, Node, ROOT};
use crate::handover::{Log, Seen};

/// All live inodes. A directory keeps its looked-up children ordered by name; what has left the tree ("detached") stays until forgotten.
#[derive(Debug)]
pub(super) struct Table<K> {
    slots: HashMap<u64, Slot<K>, Mix>,
    next: u64,
    /// Where a successor finds them.
    log: Option<Log>,
}

#[derive(Debug)]
struct Slot<K> {
    node: Node<K>,
    name: Box<str>,
    parent: u64,
    references: u64,
    /// For directories only: most inodes are files, and there may be a great many.
    dir: Option<Box<Dir>>,
    born: u32,
    attached: bool,
}

#[derive(Debug, Default)]
struct Dir {
    children: Vec<u64>,
    /// Fingerprint of the listing that the kernel may hold; 0 for none.
    listed: u64,
}

impl<K: Clone + PartialEq> Table<K> {
    pub(super) fn new(root: Node<K>, first: u64) -> Self {
        let slot = Slot {
            node: root,
            name: "".into(),
            parent: ROOT,
            references: 1,
            dir: Some(Box::default()),
            born: 0,
            attached: true,
        };
        let mut slots = HashMap::default();
        slots.insert(ROOT, slot);
        Self { slots, next: first, log: None }
    }

    /// Writes down in `log`, from now on, what a successor must know.
    pub(super) fn keep(&mut self, log: Log) {
        self.log = Some(log);
    }

    pub(super) fn is_untidy(&self) -> bool {
        self.log.as_ref().is_some_and(Log::is_due)
    }

    pub(super) fn rewrite_log(&mut self) {
        if let Some(mut log) = self.log.take() {
            // What has left the tree could not be found again. The root is there for its listing.
            let kept = self.slots.iter().filter(|(_, slot)| slot.attached);
            log.rewrite(kept.map(|(ino, slot)| slot.seen(*ino)));
            self.log = Some(log);
        }
    }

    /// An inode that a predecessor told the kernel of.
    pub(super) fn inherit(&mut self, seen: &Seen, node: Node<K>) {
        let control = matches!(node.body, Body::Control(_));
        let dir = matches!(node.body, Body::Dir(_)).then(Box::default);
        let slot = Slot {
            node,
            name: seen.name.clone(),
            parent: seen.parent,
            references: seen.references,
            dir,
            born: seen.born,
            attached: true,
        };
        self.put(seen.ino, slot, !control);
    }

    fn put(&mut self, ino: u64, slot: Slot<K>, by_name: bool) {
        let (parent, name) = (slot.parent, slot.name.clone());
        self.slots.insert(ino, slot);
        if !by_name {
            return;
        }
        let at =
            self.slots.get(&parent).and_then(|slot| slot.dir.as_deref()).map(|dir| self.position(dir, &name));
        if let Some(Err(at)) = at
            && let Some(dir) = self.slots.get_mut(&parent).and_then(|slot| slot.dir.as_deref_mut())
        {
            dir.children.insert(at, ino);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    fn slot(&self, ino: u64) -> Result<&Slot<K>, Errno> {
        self.slots.get(&ino).ok_or(libc::ESTALE)
    }

    pub(super) fn node(&self, ino: u64) -> Result<&Node<K>, Errno> {
        self.slot(ino).map(|slot| &slot.node)
    }

    pub(super) fn attr(&self, ino: u64) -> Result<Attr, Errno> {
        let slot = self.slot(ino)?;
        let Node { body, perm, gid } = &slot.node;
        Ok(Attr { ino, kind: body.kind(), perm: *perm, gid: *gid, size: body.size(), born: slot.born })
    }

    /// The key of a directory that is in the tree.
    pub(super) fn dir_key(&self, ino: u64) -> Result<K, Errno> {
        let slot = self.slot(ino)?;
        match &slot.node.body {
            _ if !slot.attached => Err(libc::ESTALE),
            Body::Dir(key) => Ok(key.clone()),
            _ => Err(libc::ENOTDIR),
        }
    }

    pub(super) fn parent(&self, ino: u64) -> u64 {
        self.slots.get(&ino).map_or(ROOT, |slot| slot.parent)
    }

    fn position(&self, dir: &Dir, name: &str) -> Result<usize, usize> {
        // Children are forgotten before their slots go, so that each is there; a missing one sorts first and is never equal.
        dir.children.binary_search_by(|ino| self.slots.get(ino).map_or("", |slot| &*slot.name).cmp(name))
    }

    pub(super) fn child(&self, parent: u64, name: &str) -> Option<u64> {
        let dir = self.slots.get(&parent)?.dir.as_deref()?;
        self.position(dir, name).ok().map(|at| dir.children[at])
    }

    pub(super) fn children(&self, parent: u64) -> Vec<(u64, Box<str>)> {
        let children =
            self.slots.get(&parent).and_then(|slot| slot.dir.as_deref()).map_or(&[][..], |dir| &dir.children);
        children.iter().filter_map(|ino| self.slots.get(ino).map(|slot| (*ino, slot.name.clone()))).collect()
    }

    pub(super) fn listed(&self, ino: u64) -> u64 {
        self.slots.get(&ino).and_then(|slot| slot.dir.as_deref()).map_or(0, |dir| dir.listed)
    }

    pub(super) fn set_listed(&mut self, ino: u64, listed: u64) {
        if let Some(dir) = self.slots.get_mut(&ino).and_then(|slot| slot.dir.as_deref_mut()) {
            if let Some(log) = &mut self.log
                && listed > BEING_MADE
                && listed != dir.listed
            {
                log.listed(ino, listed);
            }
            dir.listed = listed;
        }
    }

    /// One reference more to what `name` in `parent` is now: the inode there is, where it is still the same, else a new one.
    pub(super) fn reference(
        &mut self,
        parent: u64,
        name: &str,
        node: Node<K>,
        now: u32,
    ) -> Result<Attr, Errno> {
        let fresh = matches!(node.body, Body::Control(_));
        let slot = self.slot(parent)?;
        if !slot.attached {
            return Err(libc::ESTALE);
        }
        let dir = slot.dir.as_deref().ok_or(libc::ENOTDIR)?;
        if let Ok(found) = self.position(dir, name) {
            let ino = dir.children[found];
            if let Some(child) = self.slots.get_mut(&ino)
                && child.node.same(&node)
            {
                child.references += 1;
                if let Some(log) = &mut self.log {
                    log.referenced(ino);
                }
                return self.attr(ino);
            }
            self.detach(ino);
        }
        let ino = self.next;
        self.next += 1;
        let dir = matches!(node.body, Body::Dir(_)).then(Box::default);
        let slot = Slot { node, name: name.into(), parent, references: 1, dir, born: now, attached: true };
        if let Some(log) = &mut self.log {
            log.born(&slot.seen(ino));
        }
        self.put(ino, slot, !fresh);
        self.attr(ino)
    }

    /// Takes an inode, and all below it, out of the tree. It lives on until the kernel has forgotten it.
    pub(super) fn detach(&mut self, ino: u64) {
        self.unlink(ino);
        let mut left = vec![ino];
        while let Some(ino) = left.pop() {
            let Some(slot) = self.slots.get_mut(&ino) else {
                continue;
            };
            slot.attached = false;
            if let Some(dir) = &mut slot.dir {
                left.append(&mut dir.children);
                dir.listed = 0;
            }
        }
    }

    /// Removes an inode from its parent's children.
    fn unlink(&mut self, ino: u64) {
        let Some(slot) = self.slots.get(&ino) else {
            return;
        };
        let Some(dir) = self.slots.get(&slot.parent).and_then(|parent| parent.dir.as_deref()) else {
            return;
        };
        let parent = slot.parent;
        if let Ok(at) = self.position(dir, &slot.name)
            && dir.children[at] == ino
            && let Some(dir) = self.slots.get_mut(&parent).and_then(|slot| slot.dir.as_deref_mut())
        {
            dir.children.remove(at);
        }
    }

    pub(super) fn forget(&mut self, ino: u64, count: u64) {
        let Some(slot) = self.slots.get_mut(&ino) else {
            return;
        };
        slot.references = slot.references.saturating_sub(count);
        if let Some(log) = &mut self.log {
            log.forgotten(ino, count);
        }
        if slot.references == 0 && ino != ROOT {
            // The kernel forgets children before their directory; should one be left, it must not be found by name any more.
            self.detach(ino);
            self.slots.remove(&ino);
            if self.slots.capacity() > 4096 && self.slots.len() < self.slots.capacity() / 8 {
                self.slots.shrink_to_fit();
            }
        }
    }
}

impl<K: PartialEq> Slot<K> {
    fn seen(&self, ino: u64) -> Seen {
        Seen {
            ino,
            parent: self.parent,
            references: self.references,
            print: self.node.print(),
            listed: self.dir.as_deref().map_or(0, |dir| dir.listed),
            born: self.born,
            name: self.name.clone(),
        }
    }
}

/// Inode numbers are consecutive from a random start: multiplying spreads them as well as a keyed hash would, for less.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mix(u64);

impl std::hash::BuildHasher for Mix {
    type Hasher = Mix;
    fn build_hasher(&self) -> Mix {
        Mix(0)
    }
}

impl std::hash::Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = crate::names::hash(bytes);
    }
    fn write_u64(&mut self, ino: u64) {
        self.0 = ino.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 32;
    }
}
