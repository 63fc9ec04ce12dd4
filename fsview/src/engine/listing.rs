//! Directory listings whose positions belong to names: reading on after a change neither repeats nor skips an entry.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Kind, Name};
use crate::names;

/// Positions below are the adapter's, for `.` and `..`.
const FIRST: u64 = 16;
/// A fingerprint that stands for "someone is making one".
pub(super) const BEING_MADE: u64 = 1;
/// How many directories may be in the middle of being read before one has to be listed again.
const KEPT: usize = 8;

/// One name of a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The file name.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// Its position in the directory, made from the name; [`Listing::new`] sets it.
    pub position: u64,
}

impl Entry {
    /// An entry that is not in a listing yet.
    pub fn new(name: impl Into<Name>, kind: Kind) -> Self {
        Self { name: name.into(), kind, position: 0 }
    }
}

/// A directory's names in the order of their positions (hash order, as in ext4 and sysfs).
#[derive(Debug)]
pub struct Listing {
    entries: Box<[Entry]>,
}

impl Listing {
    /// Orders the entries.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        for entry in &mut entries {
            // 63 bits: off_t is signed.
            entry.position = (names::hash(entry.name.as_bytes()) >> 1).max(FIRST);
        }
        entries.sort_unstable_by(|a, b| a.position.cmp(&b.position).then_with(|| a.name.cmp(&b.name)));
        for i in 1..entries.len() {
            if entries[i].position <= entries[i - 1].position {
                entries[i].position = entries[i - 1].position + 1;
            }
        }
        Self { entries: entries.into_boxed_slice() }
    }

    /// The entries behind a position.
    pub fn after(&self, position: u64) -> &[Entry] {
        &self.entries[self.entries.partition_point(|entry| entry.position <= position)..]
    }

    /// Whether at least half of it are directories.
    pub fn leads_on(&self) -> bool {
        2 * self.entries.iter().filter(|entry| entry.kind == Kind::Dir).count() >= self.entries.len()
    }

    /// Equal for equal names and kinds; never 0 (nothing listed) nor [`BEING_MADE`].
    pub(super) fn fingerprint(&self) -> u64 {
        let sum = self.entries.iter().fold(self.entries.len() as u64, |sum, entry| {
            sum.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)
                ^ entry.position
                ^ ((entry.kind as u64) << 62)
        });
        sum.max(BEING_MADE + 1)
    }
}

/// The listings that readers are in the middle of.
#[derive(Debug, Default)]
pub(super) struct Recent {
    kept: VecDeque<(u64, Arc<Listing>)>,
}

impl Recent {
    pub(super) fn get(&self, dir: u64) -> Option<Arc<Listing>> {
        self.kept.iter().find(|(ino, _)| *ino == dir).map(|(_, listing)| listing.clone())
    }
    pub(super) fn put(&mut self, dir: u64, listing: Arc<Listing>) {
        self.remove(dir);
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back((dir, listing));
    }
    pub(super) fn remove(&mut self, dir: u64) {
        self.kept.retain(|(ino, _)| *ino != dir);
    }
}
