//! Outliving the process: what has to be kept so that another process can go on serving a mounted tree.
//!
//! The kernel keeps a FUSE connection for as long as somebody holds its descriptor. A service manager (or `oscd --supervise`) holds both
//! connections' and, beside them, the [`ledger`]: a memfd with the kernel's INIT requests, the inodes that the kernel knows, and the writes
//! that have become operations. A successor
//!
//! - answers each write in the ledger EINPROGRESS: its operation was begun, and must not be begun twice;
//! - gets every other request that was read and not answered once more: from the kernel itself since Linux 6.9 (FUSE_NOTIFY_RESEND), on
//!   older ones from copies in the ledger, which a [`Proxy`](crate::proxy::Proxy) in front of both connections then keeps;
//! - finds each inode by its path and goes on using it where the content is the same, so that the kernel's caches, working directories and
//!   open files live on; of the others it tells the kernel.
//!
//! What is in the kernel's cache is read without any of this; a request costs one small write into the ledger where it makes an inode or
//! begins an operation.

mod in_flight;
mod inbox;
mod ledger;
mod log;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub use in_flight::InFlight;
pub use inbox::Inbox;
pub use ledger::{Ledger, Side};
pub use log::{Log, Seen};

/// The descriptors that keep a mounted tree alive without the process that serves it. To be kept together, under [`NAMES`](Self::NAMES).
#[derive(Debug)]
pub struct Handover {
    /// The record connection's device.
    pub records: OwnedFd,
    /// The control connection's device.
    pub controls: OwnedFd,
    /// The ledger.
    pub ledger: OwnedFd,
}

impl Handover {
    /// What the descriptors are called in a service manager's store.
    pub const NAMES: [&'static str; 3] = ["osc-records", "osc-controls", "osc-ledger"];

    /// The descriptors with their names.
    pub fn named(&self) -> [(&'static str, BorrowedFd<'_>); 3] {
        let fds = [self.records.as_fd(), self.controls.as_fd(), self.ledger.as_fd()];
        std::array::from_fn(|n| (Self::NAMES[n], fds[n]))
    }

    /// Puts together what a store gave back. `None` where one is missing; others' descriptors are left out and closed.
    pub fn from_named(fds: impl IntoIterator<Item = (String, OwnedFd)>) -> Option<Self> {
        let mut found: [Option<OwnedFd>; 3] = Default::default();
        for (name, fd) in fds {
            if let Some(n) = Self::NAMES.iter().position(|known| *known == name) {
                found[n] = Some(fd);
            }
        }
        let [records, controls, ledger] = found;
        Some(Self { records: records?, controls: controls?, ledger: ledger? })
    }
}
