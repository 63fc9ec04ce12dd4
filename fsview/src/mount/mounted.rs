//! A mounted tree in its owner's hands: to be handed over, left, or taken down.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fuser::BackgroundSession;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::MountError;
use crate::handover::{Handover, Ledger};
use crate::mountpoint::mounts;
use crate::proxy::Proxy;
use crate::storage::CONTROL_DIR;
use crate::tree::Tree;
use crate::watched::Hands;

/// How long unmounting waits for whoever is in the tree before it detaches lazily.
const GRACE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(20);

/// A mounted tree; dropping it unmounts.
#[derive(Debug)]
pub struct Mounted {
    pub(super) tree: Tree,
    pub(super) at: PathBuf,
    pub(super) ledger: Ledger,
    pub(super) devices: [Arc<File>; 2],
    pub(super) proxies: Vec<Arc<Proxy>>,
    pub(super) hands: [Arc<Hands>; 2],
    pub(super) sessions: Vec<BackgroundSession>,
    pub(super) teller: Option<JoinHandle<()>>,
    pub(super) messenger: Option<u32>,
    pub(super) took_over: bool,
    pub(super) unmounted: bool,
}

impl Mounted {
    /// The handle that changes are told to.
    pub fn tree(&self) -> Tree {
        self.tree.clone()
    }

    /// Where it is mounted, without links.
    pub fn mountpoint(&self) -> &Path {
        &self.at
    }

    /// What the threads of each connection have in hand: of the records, and of the control files.
    pub fn hands(&self) -> [Arc<Hands>; 2] {
        self.hands.clone()
    }

    /// The process of [`Options::messenger`](crate::Options::messenger), as long as it lives.
    pub fn messenger(&self) -> Option<u32> {
        self.messenger
    }

    /// Whether it was another process's before.
    pub fn took_over(&self) -> bool {
        self.took_over
    }

    /// What another process needs to go on with the tree, should this one die. To be kept outside of it.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn handover(&self) -> io::Result<Handover> {
        let [records, controls] = &self.devices;
        Ok(Handover {
            records: records.as_fd().try_clone_to_owned()?,
            controls: controls.as_fd().try_clone_to_owned()?,
            ledger: self.ledger.fd().try_clone_to_owned()?,
        })
    }

    /// Leaves the tree mounted for a successor that has the [`handover`](Self::handover), and takes no more requests to control files. To be
    /// followed by the end of the process: until then, records are served on.
    pub fn leave(mut self) {
        self.unmounted = true;
        self.proxies.iter().for_each(|proxy| proxy.leave());
    }

    /// Unmounts both connections. Writers that still wait are answered EINPROGRESS. Where somebody is still in the tree after two seconds, it
    /// is detached: gone from the file system at once, and for good when the last one has left.
    ///
    /// # Errors
    /// What umount2(2) said, with the mount point.
    pub fn unmount(mut self) -> Result<(), MountError> {
        self.take_down()
    }

    fn take_down(&mut self) -> Result<(), MountError> {
        if std::mem::replace(&mut self.unmounted, true) {
            return Ok(());
        }
        self.release_writers();
        let deadline = Instant::now() + GRACE;
        let inner = self.detach(&self.at.join(CONTROL_DIR), deadline);
        let outer = self.detach(&self.at, deadline);
        self.tree.end();
        if let Some(teller) = self.teller.take() {
            // It cannot wait for anyone any more than the sessions below can.
            drop(teller);
        }
        // The sessions end when the kernel lets go of the connection; what is detached lazily may keep them for longer than we stay.
        let sessions = std::mem::take(&mut self.sessions);
        while !sessions.iter().all(|session| session.guard.is_finished()) && Instant::now() < deadline {
            thread::sleep(STEP);
        }
        for session in sessions {
            if session.guard.is_finished() {
                let _ = session.join();
            }
        }
        inner.and(outer)
    }

    fn release_writers(&self) {
        self.proxies.iter().for_each(|proxy| proxy.release_writers(libc::EINPROGRESS));
    }

    /// Unmounts `at`, waiting for it to become free until `deadline`, then detaches it.
    fn detach(&self, at: &Path, deadline: Instant) -> Result<(), MountError> {
        loop {
            // UMOUNT_NOFOLLOW: `at` was resolved when it was mounted.
            match umount2(at, MntFlags::UMOUNT_NOFOLLOW) {
                Ok(()) => return Ok(()),
                Err(Errno::EBUSY) if Instant::now() < deadline => {
                    self.release_writers();
                    thread::sleep(STEP);
                }
                Err(Errno::EBUSY) => {
                    return umount2(at, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
                        .map_err(|e| failed_to_unmount(at, e));
                }
                // Someone else unmounted it.
                Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
                Err(e) if !mounts().is_ok_and(|mounts| mounts.iter().any(|mount| mount.at == at)) => {
                    tracing::debug!(at = %at.display(), error = %e, "no mount there any more");
                    return Ok(());
                }
                Err(e) => return Err(failed_to_unmount(at, e)),
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.take_down() {
            tracing::warn!(%error, "unmounting failed");
        }
    }
}

fn failed_to_unmount(at: &Path, e: Errno) -> MountError {
    MountError::io(format!("cannot unmount {}", at.display()), io::Error::from(e))
}
