//! From "this may have changed" to what the kernel must drop: only what it knows, and only where it is different.

use super::listing::Listing;
use super::{Body, Engine, Layout, Name, ROOT};

/// A name to look at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The directory, as file names from the root.
    pub dir: Vec<Name>,
    /// The name in it.
    pub name: Name,
    /// The name came or went, or became another kind: whoever holds a listing of the directory needs a new one.
    pub listing: bool,
    /// Look at everything below as well.
    pub deep: bool,
}

/// What to tell the kernel, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Drop what you know of `name` in `dir`.
    Entry {
        /// The directory's inode number.
        dir: u64,
        /// The file name.
        name: Box<str>,
    },
    /// Drop the listing of `dir`.
    Listing {
        /// The directory's inode number.
        dir: u64,
    },
}

impl<L: Layout> Engine<L> {
    /// Compares what the kernel knows with what is. The layout must already show the new state. To be called by one thread at a time.
    pub fn touch(&self, touches: &[Touch]) -> Vec<Notice> {
        self.state().epoch += 1;
        let mut notices = Vec::new();
        for touch in touches {
            let Some(dir) = self.walk(&touch.dir) else {
                continue;
            };
            self.revalidate(dir, &touch.name, touch.deep, &mut notices);
            if touch.listing {
                let mut state = self.state();
                if state.table.listed(dir) != 0 {
                    state.table.set_listed(dir, 0);
                    state.listings.remove(dir);
                    notices.push(Notice::Listing { dir });
                }
            }
        }
        notices
    }

    /// Compares everything that the kernel knows. To be called by the thread that calls [`touch`](Self::touch).
    pub fn touch_all(&self) -> Vec<Notice> {
        self.state().epoch += 1;
        let mut notices = Vec::new();
        self.revalidate_below(ROOT, &mut notices);
        notices
    }

    /// The directory of that path, if the kernel knows it: of what it does not know it need not be told.
    fn walk(&self, path: &[Name]) -> Option<u64> {
        let state = self.state();
        path.iter().try_fold(ROOT, |dir, name| state.table.child(dir, name))
    }

    fn revalidate(&self, dir: u64, name: &str, deep: bool, notices: &mut Vec<Notice>) {
        let (key, child) = {
            let state = self.state();
            let (Ok(key), Some(child)) = (state.table.dir_key(dir), state.table.child(dir, name)) else {
                return;
            };
            (key, child)
        };
        let now = self.layout().lookup(&key, name);
        let is_dir = {
            let mut state = self.state();
            // Meanwhile the child may have been forgotten, or found anew by a reader, who then saw the new state.
            if state.table.child(dir, name) != Some(child) {
                return;
            }
            let same = match (state.table.node(child), &now) {
                (Ok(was), Some(now)) => was.same(now),
                _ => false,
            };
            if !same {
                state.table.detach(child);
                notices.push(Notice::Entry { dir, name: name.into() });
            }
            same && now.is_some_and(|now| matches!(now.body, Body::Dir(_)))
        };
        if deep && is_dir {
            self.revalidate_below(child, notices);
        }
    }

    fn revalidate_below(&self, dir: u64, notices: &mut Vec<Notice>) {
        let (children, key, listed) = {
            let state = self.state();
            let Ok(key) = state.table.dir_key(dir) else {
                return;
            };
            (state.table.children(dir), key, state.table.listed(dir))
        };
        for (_, name) in children {
            self.revalidate(dir, &name, true, notices);
        }
        if listed != 0 && Listing::new(self.layout().list(&key)).fingerprint() != listed {
            let mut state = self.state();
            state.table.set_listed(dir, 0);
            state.listings.remove(dir);
            notices.push(Notice::Listing { dir });
        }
    }
}
