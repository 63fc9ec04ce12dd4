//! The inodes that the kernel knows, as a log that is written anew when most of it is history.
//!
//! An entry is written before the answer that tells the kernel of it: what an interrupted write leaves is known to nobody, and the kernel
//! never has more references to an inode than are counted here.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use nix::fcntl::{FallocateFlags, fallocate};

use super::ledger::{long, word};
use crate::engine::ROOT;
use crate::names;

/// Each log has two areas, of which one is in use.
const AREA: u64 = 1 << 40;
/// Below this many bytes a log is never written anew.
const SMALL: u64 = 1 << 20;
const HEAD: usize = 8;
const BORN: u8 = 1;
const REFERENCED: u8 = 2;
const FORGOTTEN: u8 = 3;
const LISTED: u8 = 4;

/// An inode as the log knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Inode number.
    pub ino: u64,
    /// The directory's.
    pub parent: u64,
    /// How many references the kernel holds.
    pub references: u64,
    /// Stands for kind, permissions and content.
    pub print: u64,
    /// Stands for the names of a directory whose listing the kernel may hold; 0 for none.
    pub listed: u64,
    /// When it was first looked up, in seconds after the tree was mounted.
    pub born: u32,
    /// File name.
    pub name: Box<str>,
}

impl Seen {
    fn root() -> Self {
        Self { ino: ROOT, parent: ROOT, references: 1, print: 0, listed: 0, born: 0, name: "".into() }
    }
}

/// The log of one connection.
#[derive(Debug)]
pub struct Log {
    file: Arc<File>,
    /// Offset of the words that say which area is in use, and that something is missing.
    state: u64,
    areas: u64,
    area: u64,
    end: u64,
    /// Its size when it was last written anew.
    base: u64,
}

impl Log {
    pub(super) fn open(file: Arc<File>, state: u64, areas: u64) -> io::Result<Self> {
        let mut which = [0; 4];
        file.read_exact_at(&mut which, state)?;
        Ok(Self { file, state, areas, area: u64::from(word(&which, 0) & 1), end: 0, base: 0 })
    }

    fn offset(&self) -> u64 {
        self.areas + self.area * AREA
    }

    /// What the kernel knows of a predecessor's inodes, in the order of their births, and whether that is all. From then on the log is
    /// continued.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn read(&mut self) -> io::Result<(Vec<Seen>, bool)> {
        let mut missing = [0; 4];
        self.file.read_exact_at(&mut missing, self.state + 4)?;
        let mut seen: HashMap<u64, (usize, Seen)> = HashMap::new();
        self.end = 0;
        let (mut bytes, mut at, mut order) = (Vec::new(), 0, 0);
        let mut offset = self.offset();
        loop {
            if bytes.len() - at < HEAD + 4096 {
                bytes.drain(..at);
                at = 0;
                let mut more = vec![0; 1 << 20];
                let got = self.file.read_at(&mut more, offset)?;
                offset += got as u64;
                bytes.extend_from_slice(&more[..got]);
            }
            let len = word(&bytes[at..], 0) as usize;
            let Some(body) = bytes.get(at + HEAD..at + HEAD + len).filter(|body| !body.is_empty()) else {
                break;
            };
            if word(&bytes[at..], 4) != sum(body) {
                break;
            }
            take_in(&mut seen, body, order);
            order += 1;
            at += HEAD + len;
            self.end += (HEAD + len) as u64;
        }
        let mut seen: Vec<_> = seen.into_values().collect();
        seen.sort_unstable_by_key(|(order, _)| *order);
        Ok((seen.into_iter().map(|(_, seen)| seen).collect(), missing == [0; 4]))
    }

    /// An inode that the kernel is about to be told of.
    pub fn born(&mut self, seen: &Seen) {
        let mut entry = Vec::new();
        put_born(&mut entry, seen);
        self.append(&entry);
    }

    /// The kernel is about to be told of an inode once more.
    pub fn referenced(&mut self, ino: u64) {
        let mut entry = Vec::new();
        put(&mut entry, REFERENCED, &[ino], "");
        self.append(&entry);
    }

    /// The kernel has dropped references to an inode.
    pub fn forgotten(&mut self, ino: u64, count: u64) {
        let mut entry = Vec::new();
        put(&mut entry, FORGOTTEN, &[ino, count], "");
        self.append(&entry);
    }

    /// The kernel is about to get a listing of a directory.
    pub fn listed(&mut self, ino: u64, listed: u64) {
        let mut entry = Vec::new();
        put(&mut entry, LISTED, &[ino, listed], "");
        self.append(&entry);
    }

    fn append(&mut self, entry: &[u8]) {
        if let Err(error) = self.file.write_all_at(entry, self.offset() + self.end) {
            // The page of this word is there.
            let _ = self.file.write_all_at(&1_u32.to_ne_bytes(), self.state + 4);
            tracing::warn!(%error, "the ledger of inodes is incomplete; a restart will drop what the kernel caches");
            return;
        }
        self.end += entry.len() as u64;
    }

    /// Whether most of it is history.
    pub fn is_due(&self) -> bool {
        self.end > SMALL && self.end > 3 * self.base
    }

    /// Begins anew with what there is now.
    pub fn rewrite(&mut self, inodes: impl Iterator<Item = Seen>) {
        let mut bytes = Vec::new();
        for seen in inodes {
            put_born(&mut bytes, &seen);
        }
        let old = (self.area, self.end.max(self.base));
        self.area ^= 1;
        (self.end, self.base) = (0, bytes.len() as u64);
        // What an earlier use left there would follow.
        self.clear(self.area);
        self.append(&bytes);
        // One word decides which is in use.
        let _ = self.file.write_all_at(&(self.area as u32).to_ne_bytes(), self.state);
        if old.1 > 0 || self.base > 0 {
            self.clear(old.0);
        }
    }

    fn clear(&self, area: u64) {
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        // Offsets below 2^63.
        let _ = fallocate(&*self.file, hole, (self.areas + area * AREA) as i64, AREA as i64);
    }
}

fn sum(body: &[u8]) -> u32 {
    names::hash(body) as u32
}

fn put(bytes: &mut Vec<u8>, tag: u8, longs: &[u64], name: &str) {
    let at = bytes.len();
    bytes.extend_from_slice(&[0; HEAD]);
    bytes.push(tag);
    longs.iter().for_each(|long| bytes.extend_from_slice(&long.to_ne_bytes()));
    bytes.extend_from_slice(name.as_bytes());
    let len = (bytes.len() - at - HEAD) as u32;
    let sum = sum(&bytes[at + HEAD..]);
    bytes[at..at + 4].copy_from_slice(&len.to_ne_bytes());
    bytes[at + 4..at + HEAD].copy_from_slice(&sum.to_ne_bytes());
}

fn put_born(bytes: &mut Vec<u8>, seen: &Seen) {
    put(
        bytes,
        BORN,
        &[seen.ino, seen.parent, seen.references, seen.print, seen.listed, seen.born.into()],
        &seen.name,
    );
}

fn take_in(seen: &mut HashMap<u64, (usize, Seen)>, body: &[u8], order: usize) {
    let ino = long(body, 1);
    match body[0] {
        BORN => {
            let Some(Ok(name)) = body.get(49..).map(std::str::from_utf8) else {
                return;
            };
            let born = Seen {
                ino,
                parent: long(body, 9),
                references: long(body, 17),
                print: long(body, 25),
                listed: long(body, 33),
                born: long(body, 41) as u32,
                name: name.into(),
            };
            seen.insert(ino, (order, born));
        }
        REFERENCED => {
            if let Some((_, seen)) = seen.get_mut(&ino) {
                seen.references += 1;
            }
        }
        FORGOTTEN => {
            if let Some((_, inode)) = seen.get_mut(&ino) {
                inode.references = inode.references.saturating_sub(long(body, 9));
                if inode.references == 0 && ino != ROOT {
                    seen.remove(&ino);
                }
            }
        }
        LISTED => {
            let listed = long(body, 9);
            match seen.get_mut(&ino) {
                Some((_, seen)) => seen.listed = listed,
                // Nobody tells the kernel of the root.
                None if ino == ROOT => drop(seen.insert(ino, (order, Seen { listed, ..Seen::root() }))),
                None => {}
            }
        }
        _ => {}
    }
}
