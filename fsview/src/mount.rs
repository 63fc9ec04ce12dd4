//! Mounting the tree, and taking it down.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{Change, Model};

/// Where and how the tree is mounted.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory to mount on. It is created where only the last component is missing.
    pub mountpoint: PathBuf,
    /// Group that may read records (`osc`); 0 for root alone.
    pub gid: u32,
    /// The mount's source as mount(8) shows it; the file system type is `fuse.<fs_name>`.
    pub fs_name: String,
    /// Threads for each of the two connections.
    pub threads: usize,
}

impl Options {
    /// The usual ones: root alone, `oscd`, two threads.
    pub fn new(mountpoint: impl Into<PathBuf>) -> Self {
        Self { mountpoint: mountpoint.into(), gid: 0, fs_name: "oscd".into(), threads: 2 }
    }
}

/// Why the tree could not be mounted: names the mount point and says what to do next.
#[derive(Debug)]
pub struct MountError {
    message: String,
}

impl std::fmt::Display for MountError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for MountError {}

/// Tells the kernel of changes. Cheap to clone; never blocks.
#[derive(Clone, Debug)]
pub struct Tree {}

impl Tree {
    /// Something changed, and the model already shows it. Returns at once; a thread of the tree's own tells the kernel.
    pub fn changed(&self, change: Change) {
        let _ = change;
    }
    /// Waits until all changes told so far have reached the kernel.
    pub fn settle(&self) {}
}

/// A mounted tree; dropping it unmounts.
#[derive(Debug)]
pub struct Mounted {
    tree: Tree,
}

impl Mounted {
    /// The handle that changes are told to.
    pub fn tree(&self) -> Tree {
        self.tree.clone()
    }
    /// Unmounts both connections, lazily where they stay busy.
    ///
    /// # Errors
    /// What umount2(2) said, with the mount point.
    pub fn unmount(self) -> Result<(), MountError> {
        Ok(())
    }
}

/// Mounts the tree.
///
/// # Errors
/// See [`MountError`].
pub fn mount(options: Options, model: Arc<dyn Model>) -> Result<Mounted, MountError> {
    let _ = model;
    Err(MountError { message: format!("{}: not yet implemented", options.mountpoint.display()) })
}
