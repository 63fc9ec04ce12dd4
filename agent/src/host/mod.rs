//! This host's half of storage work: what is done to its kernel, once, for every plug-in.
//!
//! [`OPERATIONS`] is the table of what plug-ins can ask for through `IPlugin.host`; each group of
//! operations is a module that adds its rows to it. [`Host::ask`] is the one way in: it holds a
//! request against the table and the [`Scope`] of the call that makes it, puts it under a deadline,
//! logs it, and has what it began taken back when it fails or its call dies.
//!
//! The kernel's files are read below [`Roots`], so that everything that only reads and decides is
//! tested on trees of ordinary files.

mod ask;
pub mod command;
pub mod device;
pub mod in_use;
pub mod iscsi;
pub mod mount;
pub mod multipath;
mod operation;
mod roots;
mod scope;
pub mod scsi;
pub mod uevent;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;
use uuid::Uuid;

pub use ask::Request;
pub use operation::{Arg, ArgType, Args, Need, Operation, Task};
pub use roots::Roots;
pub use scope::{Portal, Scope};

use crate::error::{Error, Kind, Result};

/// Every group of operations. A group is a module with a table of its own.
pub const OPERATIONS: &[&[Operation]] =
    &[iscsi::OPERATIONS, scsi::OPERATIONS, multipath::OPERATIONS, mount::OPERATIONS];

/// Storage servers whose discovered targets are remembered; nobody can make the agent grow by inventing more.
const SERVERS: usize = 1024;

/// The operation of that name (`iscsi.login`).
pub fn operation(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().copied().flatten().find(|row| row.name == name)
}

/// The host. A handle: clones are the same host.
#[derive(Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

struct Inner {
    roots: Roots,
    /// The targets that discovery at a storage server's own portals has named, by storage server.
    discovered: Mutex<HashMap<Uuid, BTreeSet<String>>>,
    /// The interface records of open-iscsi that are needed at the moment, and by how many.
    ifaces: Mutex<HashMap<String, usize>>,
    events: broadcast::Sender<Arc<uevent::Uevent>>,
    /// Whether this host's device events are listened to.
    listening: Mutex<bool>,
}

impl Host {
    /// The host that this process runs on.
    pub fn linux() -> Host {
        Host::at(Roots::default())
    }

    /// A host whose files are below `roots`.
    pub fn at(roots: Roots) -> Host {
        Host {
            inner: Arc::new(Inner {
                roots,
                discovered: Mutex::default(),
                ifaces: Mutex::default(),
                events: broadcast::channel(uevent::BEHIND).0,
                listening: Mutex::default(),
            }),
        }
    }

    /// Where its files are.
    pub fn roots(&self) -> &Roots {
        &self.inner.roots
    }

    /// The iSCSI targets that are the storage server's own: those that its record names, or where it names none
    /// yet, what was discovered. A portal may be several arrays'.
    pub fn targets_of(&self, scope: &Scope) -> BTreeSet<String> {
        if !scope.storage_ids().is_empty() {
            return scope.storage_ids().iter().cloned().collect();
        }
        let discovered = self.inner.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        discovered.get(&scope.ss_uuid()).into_iter().flatten().cloned().collect()
    }

    fn ifaces(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.inner.ifaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the targets that a discovery at the storage server's own portals has named.
    fn discovered(&self, scope: &Scope, targets: impl Iterator<Item = String>) {
        if scope.ss_uuid().is_nil() {
            return;
        }
        let mut discovered = self.inner.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        if discovered.len() >= SERVERS && !discovered.contains_key(&scope.ss_uuid()) {
            discovered.clear();
        }
        discovered.entry(scope.ss_uuid()).or_default().extend(targets);
    }

    /// Where a command is.
    ///
    /// # Errors
    /// [`Kind::OperationPreReqNotMet`] naming it and the package that brings it.
    pub fn command(&self, need: &Need) -> Result<PathBuf> {
        self.roots().find_command(need.command).ok_or_else(|| {
            let text =
                format!("{} is not on this host: install {}, then try again", need.command, need.package);
            Error::new(Kind::OperationPreReqNotMet, text)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
