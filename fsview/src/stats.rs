//! Counts of what the kernel asked and was told: how a test or a bench proves that a warm read costs no request.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($name:ident,)*) => {
        /// One kind of thing counted: a FUSE request, or a notification.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // named as in linux/fuse.h
        pub enum Count { $($name,)* }
        const NAMES: &[&str] = &[$(stringify!($name),)*];
    };
}
counters! {
    Lookup, Forget, Getattr, Setattr, Readlink, Open, Read, Write, Flush, Release, Opendir, Readdir, Readdirplus, Releasedir, Statfs,
    Poll, Other, InvalEntry, InvalInode,
}

/// Counters of one connection, since it was mounted.
#[derive(Debug)]
pub struct Stats {
    counts: [AtomicU64; NAMES.len()],
}

impl Default for Stats {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Stats {
    pub(crate) fn add(&self, what: Count) {
        self.counts[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often `what` happened.
    pub fn get(&self, what: Count) -> u64 {
        self.counts[what as usize].load(Ordering::Relaxed)
    }

    /// All requests of the kernel; notifications are none.
    pub fn requests(&self) -> u64 {
        self.all().filter(|(name, _)| !name.starts_with("Inval")).map(|(_, count)| count).sum()
    }

    /// All notifications to the kernel.
    pub fn notices(&self) -> u64 {
        self.get(Count::InvalEntry) + self.get(Count::InvalInode)
    }

    /// Every counter with its name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES.iter().zip(&self.counts).map(|(name, count)| (*name, count.load(Ordering::Relaxed)))
    }
}
