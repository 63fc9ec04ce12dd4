//! The tree engine: inodes for what the kernel has looked up, and what to tell the kernel when the world below changes.
//!
//! It knows nothing of storage (a [`Layout`] says what is where) and nothing of FUSE (an adapter translates), so that all of it can be tested
//! without a kernel. A file's content never changes under its inode: a new version is a new inode, and dropping the old name is the
//! whole update. Inode numbers are never used twice, and start at random so that two processes do not share any.

mod listing;
mod restore;
mod table;
mod touch;

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use listing::{Entry, Listing};
pub use touch::{Notice, Touch};

use crate::names;
use table::Table;

/// The root's inode number, FUSE_ROOT_ID of linux/fuse.h.
pub const ROOT: u64 = 1;

/// What is where. Answers from memory; called from the threads that serve the kernel, without any lock of the engine held.
pub trait Layout: Send + Sync + 'static {
    /// A directory's or a control file's place.
    type Key: Clone + PartialEq + Send + Sync + 'static;
    /// The root directory.
    fn root(&self) -> Self::Key;
    /// What `name` is in `dir`.
    fn lookup(&self, dir: &Self::Key, name: &str) -> Option<Node<Self::Key>>;
    /// The names in `dir`, each once, in any order; what [`lookup`](Self::lookup) finds need not be listed.
    fn list(&self, dir: &Self::Key) -> Vec<Entry>;
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub struct Node<K> {
    /// The thing itself.
    pub body: Body<K>,
    /// Permission bits.
    pub perm: u16,
    /// Group; the owner is root.
    pub gid: u32,
}

/// A node's content.
#[derive(Clone, Debug)]
pub enum Body<K> {
    /// A directory.
    Dir(K),
    /// A file: the text and, where `newline`, one newline more.
    File {
        /// The text.
        text: Arc<str>,
        /// Whether the file ends in a newline that the text lacks.
        newline: bool,
    },
    /// A symbolic link and where it leads.
    Link(Arc<str>),
    /// A file that acts. Every lookup makes an inode of its own, so that callers of the same file share no lock in the kernel.
    Control(K),
}

/// What kind of thing a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
}

impl<K: PartialEq> Node<K> {
    /// Whether the kernel may go on using one for the other.
    fn same(&self, other: &Self) -> bool {
        self.perm == other.perm
            && self.gid == other.gid
            && match (&self.body, &other.body) {
                (Body::Dir(a), Body::Dir(b)) => a == b,
                (Body::File { text: a, newline: m }, Body::File { text: b, newline: n }) => {
                    m == n && same_text(a, b)
                }
                (Body::Link(a), Body::Link(b)) => same_text(a, b),
                _ => false,
            }
    }

    /// A number that stands for kind, permissions and content, the same in every process. A directory's content is its place, which its
    /// path stands for.
    fn print(&self) -> u64 {
        let (kind, text, newline): (u8, &str, bool) = match &self.body {
            Body::Dir(_) => (1, "", false),
            Body::File { text, newline } => (2, text, *newline),
            Body::Link(target) => (3, target, false),
            Body::Control(_) => (4, "", false),
        };
        let mut head = [0; 8];
        head[0] = kind | u8::from(newline) << 7;
        head[2..4].copy_from_slice(&self.perm.to_ne_bytes());
        head[4..].copy_from_slice(&self.gid.to_ne_bytes());
        names::hash(text.as_bytes()).rotate_left(1) ^ names::hash(&head) ^ text.len() as u64
    }
}

impl<K> Body<K> {
    /// Its kind, as a directory entry tells it.
    pub fn kind(&self) -> Kind {
        match self {
            Body::Dir(_) => Kind::Dir,
            Body::File { .. } | Body::Control(_) => Kind::File,
            Body::Link(_) => Kind::Link,
        }
    }

    fn size(&self) -> u64 {
        match self {
            Body::Dir(_) | Body::Control(_) => 0,
            Body::File { text, newline } => text.len() as u64 + u64::from(*newline),
            Body::Link(target) => target.len() as u64,
        }
    }
}

fn same_text(a: &Arc<str>, b: &Arc<str>) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

/// What the kernel wants to know of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Inode number.
    pub ino: u64,
    /// Directory, file or link.
    pub kind: Kind,
    /// Permission bits.
    pub perm: u16,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// When this version was first looked up, in seconds after the tree was mounted.
    pub born: u32,
}

/// An errno of errno(3), positive.
pub type Errno = i32;

/// The engine over one layout.
pub struct Engine<L: Layout> {
    layout: L,
    state: Mutex<State<L::Key>>,
    made: std::time::Instant,
    /// How long before that the tree was mounted, in seconds.
    age: u32,
    untidy: AtomicBool,
}

struct State<K> {
    table: Table<K>,
    listings: listing::Recent,
    /// Counts changes: what was asked of the layout before one and comes back after it is asked again.
    epoch: u64,
}

impl<L: Layout> std::fmt::Debug for Engine<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("inodes", &self.inodes()).finish_non_exhaustive()
    }
}

impl<L: Layout> Engine<L> {
    /// An engine that knows only the root.
    pub fn new(layout: L) -> Self {
        let root = Node { body: Body::Dir(layout.root()), perm: 0o555, gid: 0 };
        let state =
            State { table: Table::new(root, random_start()), listings: listing::Recent::default(), epoch: 0 };
        Self {
            layout,
            state: Mutex::new(state),
            made: std::time::Instant::now(),
            age: 0,
            untidy: AtomicBool::new(false),
        }
    }

    /// What is where.
    pub fn layout(&self) -> &L {
        &self.layout
    }

    /// How many inodes the kernel knows, the root included.
    pub fn inodes(&self) -> usize {
        self.state().table.len()
    }

    /// No code of others runs under this lock, so that a poisoned one is as good as any.
    fn state(&self) -> MutexGuard<'_, State<L::Key>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u32 {
        u32::try_from(self.made.elapsed().as_secs()).map_or(u32::MAX, |time| time.saturating_add(self.age))
    }

    /// Finds `name` in the directory `parent` and counts one reference of the kernel to it.
    ///
    /// # Errors
    /// ENOENT; ENOTDIR; ESTALE where `parent` is not in the tree any more, which makes the kernel walk the path again.
    pub fn lookup(&self, parent: u64, name: &str) -> Result<Attr, Errno> {
        loop {
            let (key, epoch) = {
                let state = self.state();
                (state.table.dir_key(parent)?, state.epoch)
            };
            let found = self.layout.lookup(&key, name);
            let mut state = self.state();
            if state.epoch != epoch {
                continue;
            }
            let node = found.ok_or(libc::ENOENT)?;
            let attr = state.table.reference(parent, name, node, self.now());
            if state.table.is_untidy() {
                self.untidy.store(true, Ordering::Relaxed);
            }
            return attr;
        }
    }

    /// The kernel drops `count` references; without any, the inode is gone.
    pub fn forget(&self, ino: u64, count: u64) {
        self.state().table.forget(ino, count);
    }

    /// An inode's attributes.
    ///
    /// # Errors
    /// ESTALE.
    pub fn attr(&self, ino: u64) -> Result<Attr, Errno> {
        self.state().table.attr(ino)
    }

    /// An inode's node.
    ///
    /// # Errors
    /// ESTALE.
    pub fn node(&self, ino: u64) -> Result<Node<L::Key>, Errno> {
        self.state().table.node(ino).cloned()
    }

    /// Up to `size` bytes of a file from `offset`, handed to `use_it`.
    ///
    /// # Errors
    /// ESTALE; EISDIR; EINVAL for a link.
    pub fn read<R>(
        &self,
        ino: u64,
        offset: u64,
        size: u32,
        use_it: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, Errno> {
        let (text, newline) = match &self.state().table.node(ino)?.body {
            Body::File { text, newline } => (text.clone(), *newline),
            Body::Dir(_) => return Err(libc::EISDIR),
            Body::Link(_) | Body::Control(_) => return Err(libc::EINVAL),
        };
        let total = text.len() + usize::from(newline);
        let from = usize::try_from(offset).unwrap_or(total).min(total);
        let to = from.saturating_add(size as usize).min(total);
        if from == to {
            return Ok(use_it(&[]));
        }
        if to <= text.len() {
            return Ok(use_it(&text.as_bytes()[from..to]));
        }
        let mut bytes = Vec::with_capacity(to - from);
        bytes.extend_from_slice(&text.as_bytes()[from..]);
        bytes.push(b'\n');
        Ok(use_it(&bytes))
    }

    /// Where a link leads.
    ///
    /// # Errors
    /// ESTALE; EINVAL for anything else.
    pub fn readlink(&self, ino: u64) -> Result<Arc<str>, Errno> {
        match &self.state().table.node(ino)?.body {
            Body::Link(target) => Ok(target.clone()),
            _ => Err(libc::EINVAL),
        }
    }

    /// The listing of a directory to read on from `offset`: a new one at 0, else the one last made while it is kept. Positions belong to
    /// names, so that reading on in a newer listing neither repeats nor skips what both have.
    ///
    /// # Errors
    /// ENOTDIR; ESTALE.
    pub fn list(&self, dir: u64, offset: u64) -> Result<Arc<Listing>, Errno> {
        loop {
            let (key, epoch) = {
                let mut state = self.state();
                let key = state.table.dir_key(dir)?;
                if offset != 0
                    && let Some(listing) = state.listings.get(dir)
                {
                    if listing.after(offset).is_empty() {
                        state.listings.remove(dir);
                    }
                    return Ok(listing);
                }
                // From here on the kernel may come to hold a listing: a change that comes in between must know.
                state.table.set_listed(dir, listing::BEING_MADE);
                (key, state.epoch)
            };
            let listing = Arc::new(Listing::new(self.layout.list(&key)));
            let mut state = self.state();
            if state.epoch != epoch {
                continue;
            }
            state.table.set_listed(dir, listing.fingerprint());
            state.listings.put(dir, listing.clone());
            return Ok(listing);
        }
    }

    /// The parent's inode number, for `..`.
    pub fn parent(&self, ino: u64) -> u64 {
        self.state().table.parent(ino)
    }

    /// The inode number that a listed name has, where the kernel knows it already.
    pub fn known(&self, dir: u64, name: &str) -> Option<u64> {
        self.state().table.child(dir, name)
    }
}

/// A name in a directory.
pub type Name = Cow<'static, str>;

/// Where numbers begin that no other process may use: random in 62 bits, so that the ranges of two processes (or two engines) do not meet. Never a number that
/// means something else (0, the root, or libfuse's 0xffffffff for "unknown").
pub fn random_start() -> u64 {
    static SALT: AtomicU64 = AtomicU64::new(0);
    use std::hash::{BuildHasher, Hasher};
    // RandomState is seeded by the kernel's random numbers once per process; time and pid guard against a process image started twice.
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_u64(SALT.fetch_add(1, Ordering::Relaxed));
    hasher.write_u32(std::process::id());
    if let Ok(time) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
        hasher.write_u128(time.as_nanos());
    }
    (hasher.finish() >> 2) | 1 << 40
}

#[cfg(test)]
mod tests;
