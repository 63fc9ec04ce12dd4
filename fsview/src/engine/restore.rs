//! Taking over the inodes of a predecessor: what still is what it was stays in use, the kernel is told of the rest.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::listing::Listing;
use super::{Body, Engine, Layout, Notice, ROOT};
use crate::handover::{Log, Seen};

impl<L: Layout> Engine<L> {
    /// Writes down in `log`, from now on, which inodes the kernel knows.
    pub fn keep(&self, log: Log) {
        self.state().table.keep(log);
    }

    /// Whether the log is to be written anew. Says so once.
    pub fn wants_tidying(&self) -> bool {
        self.untidy.swap(false, Ordering::Relaxed)
    }

    /// Writes the log anew. To be called when the kernel has been told of every change that this engine knows: until then, a successor
    /// finds in the log what it would have to tell.
    pub fn tidy(&self) {
        self.state().table.rewrite_log();
    }

    /// Goes on, before anything else is done, with the inodes that a predecessor told the kernel of, `age` seconds after the tree was mounted.
    /// Each is looked for by its path. Where there is something else now, or nothing, the inode is dropped: what the kernel asks of it is
    /// answered ESTALE, and the notices make it look up the name again.
    pub fn inherit(&mut self, seen: Vec<Seen>, age: u32) -> Vec<Notice> {
        self.age = age;
        let mut below: HashMap<u64, Vec<Seen>> = HashMap::new();
        let mut root_listed = 0;
        for inode in seen {
            if inode.ino == ROOT {
                root_listed = inode.listed;
            } else {
                below.entry(inode.parent).or_default().push(inode);
            }
        }
        let mut notices = Vec::new();
        let mut left = vec![(ROOT, root_listed)];
        while let Some((dir, listed)) = left.pop() {
            let Ok(key) = self.state().table.dir_key(dir) else {
                continue;
            };
            if listed != 0 {
                if Listing::new(self.layout().list(&key)).fingerprint() == listed {
                    self.state().table.set_listed(dir, listed);
                } else {
                    notices.push(Notice::Listing { dir });
                }
            }
            // The last one of a name is what the name stands for; all of them, where inodes are not shared.
            let mut last: HashMap<Box<str>, u64> = HashMap::new();
            let inodes = below.remove(&dir).unwrap_or_default();
            for inode in &inodes {
                last.insert(inode.name.clone(), inode.ino);
            }
            for inode in inodes {
                let newest = last.get(&inode.name) == Some(&inode.ino);
                match self.layout().lookup(&key, &inode.name) {
                    Some(node)
                        if node.print() == inode.print
                            && (newest || matches!(node.body, Body::Control(_))) =>
                    {
                        if matches!(node.body, Body::Dir(_)) {
                            left.push((inode.ino, inode.listed));
                        }
                        self.state().table.inherit(&inode, node);
                    }
                    _ if newest => notices.push(Notice::Entry { dir, name: inode.name }),
                    _ => {}
                }
            }
        }
        notices
    }
}
