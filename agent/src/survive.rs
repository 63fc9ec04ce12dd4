//! Outliving the process: where the tree's descriptors are kept, so that the mount stays when the agent dies, is restarted or upgraded.
//!
//! Whoever started the agent keeps them: systemd in its descriptor store, or [`supervise`], which speaks the same protocol (sd_notify(3),
//! sd_listen_fds(3)). An agent that is given descriptors at its start goes on with the tree that they belong to.

mod apart;
mod supervise;

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use fsview::Handover;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tracing::warn;

pub use apart::set_apart;
pub use supervise::supervise;

/// Begins a request to keep descriptors, and one to let them go.
const STORE: &str = "FDSTORE=1";
const REMOVE: &str = "FDSTOREREMOVE=1";
/// Names what is kept or let go.
const NAME: &str = "FDNAME=";
/// Where whoever started the agent listens.
const SOCKET: &str = "NOTIFY_SOCKET";

/// What a predecessor left: all that it takes to go on with its tree. What is incomplete, since it died while it handed things over, is
/// let go of.
///
/// # Safety
/// To be called once, before any other thread is started: it changes the environment.
pub unsafe fn inherited() -> Option<Handover> {
    // SAFETY: the caller's promise.
    let listed = unsafe { sd_notify::listen_fds_with_names_and_unset_env() };
    let given: Vec<(String, OwnedFd)> = match listed {
        // SAFETY: passed to this process under these numbers, and taken once.
        Ok(fds) => fds.map(|(fd, name)| (name, unsafe { OwnedFd::from_raw_fd(fd) })).collect(),
        Err(error) => {
            warn!("the descriptors that were passed cannot be used: {error}");
            Vec::new()
        }
    };
    let any = !given.is_empty();
    let handover = Handover::from_named(given);
    if any && handover.is_none() {
        let_go();
    }
    handover
}

/// Has a newly mounted tree kept, in the place of any other. False where nobody is there to keep it.
///
/// # Errors
/// What sending says.
pub fn keep(handover: &Handover) -> io::Result<bool> {
    let Some(socket) = std::env::var_os(SOCKET) else {
        return Ok(false);
    };
    let_go();
    for (name, fd) in handover.named() {
        // FDPOLL: watching a device would wake the keeper with every request.
        send(&socket, &format!("{STORE}\nFDPOLL=0\n{NAME}{name}\n"), &[fd])?;
    }
    Ok(true)
}

/// Has the tree's descriptors let go of: it is unmounted, or none of ours.
pub fn let_go() {
    let Some(socket) = std::env::var_os(SOCKET) else {
        return;
    };
    for name in Handover::NAMES {
        if let Err(error) = send(&socket, &format!("{REMOVE}\n{NAME}{name}\n"), &[]) {
            warn!("cannot tell the service manager to let {name} go: {error}");
        }
    }
}

fn send(socket: &OsString, text: &str, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let ours = UnixDatagram::unbound()?;
    ours.connect(socket)?;
    let fds: Vec<_> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&fds)];
    let rights = if fds.is_empty() { &[][..] } else { &rights[..] };
    sendmsg::<()>(ours.as_raw_fd(), &[IoSlice::new(text.as_bytes())], rights, MsgFlags::empty(), None)?;
    Ok(())
}
