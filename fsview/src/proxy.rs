//! Stands between the kernel and a session, where requests have to be known before the session gets them.
//!
//! The session gets one end of a packet socket for its /dev/fuse; two threads carry packets between the other end and the device. Requests
//! under way are listed by the kernel's `unique`; whoever takes a request off the list answers it, so that each is answered once.
//!
//! On the control connection, this lets a signal cut a waiting writer loose: when the kernel asks to interrupt a write, the write is answered
//! EINTR at once, and the answer that the session gives later is dropped; the operation itself goes on. On either, where the kernel cannot
//! send requests again, a dead process's are copied into the ledger before they are handed on, and a successor's proxy repeats
//! them. Layouts are those of linux/fuse.h.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};

use crate::fault;
use crate::handover::{InFlight, Inbox};
use crate::kernel::Kernel;

/// The largest write that the kernel may send in one request, in bytes.
pub const MAX_WRITE: usize = 256 * 1024;

/// Room for a request's headers besides its data; the kernel wants a buffer of at least 8 KiB.
pub const PACKET: usize = MAX_WRITE + 8192;
const IN_HEADER: usize = 40;
/// `unique` of the requests by which we end the session's threads; the kernel counts up from 2 by 2.
const FAREWELL: u64 = u64::MAX - 4096;

const FUSE_FORGET: u32 = 2;
const FUSE_WRITE: u32 = 16;
const FUSE_INTERRUPT: u32 = 36;
const FUSE_DESTROY: u32 = 38;
const FUSE_BATCH_FORGET: u32 = 42;

/// The kernel's side of a connection.
#[derive(Debug)]
pub struct Proxy {
    device: Arc<File>,
    kernel: Kernel,
    in_flight: Arc<InFlight>,
    leaving: AtomicBool,
}

/// A packet socket: our end, and the one that a session takes for its device.
///
/// # Errors
/// No socket could be made.
pub fn packet_socket() -> io::Result<(File, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    for end in [&ours, &theirs] {
        // A packet must fit; without the right to exceed the system's limit the usual 208 KiB are doubled, which is still enough.
        if setsockopt(&end.as_fd(), sockopt::SndBufForce, &(4 * PACKET)).is_err() {
            setsockopt(&end.as_fd(), sockopt::SndBuf, &(2 * PACKET))?;
        }
    }
    Ok((ours.into(), theirs))
}

/// Reads the next request of the kernel into `packet`, which has to have room for [`PACKET`] bytes; returns its length.
///
/// # Errors
/// The connection is gone.
pub fn read_request(device: &File, packet: &mut [u8]) -> io::Result<usize> {
    loop {
        match (&mut &*device).read(packet) {
            // A request was withdrawn between being announced and being read (ENOENT), or a signal came.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINTR | libc::EAGAIN)) => {}
            read => return read,
        }
    }
}

impl Proxy {
    /// Puts a proxy between `device` and the session of `threads` threads at the other end of `socket`. What a dead process left under way
    /// comes first.
    ///
    /// # Errors
    /// No thread could be made; the ledger cannot be read.
    pub fn start(
        device: Arc<File>,
        socket: File,
        in_flight: Arc<InFlight>,
        threads: usize,
        succeeds: bool,
    ) -> io::Result<Arc<Self>> {
        let kernel = Kernel::new(device.clone());
        let proxy = Arc::new(Self { device, kernel, in_flight, leaving: AtomicBool::new(false) });
        let (requests, replies) = (socket.try_clone()?, socket);
        let spawn = |name: &str, carry: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.to_owned()).spawn(carry).map(drop)
        };
        let kept = proxy.in_flight.take_inbox();
        let copies = kept.is_some();
        let mut inbox = kept.map_or_else(Inbox::transient, Ok)?;
        let mut unlisted = if succeeds { inbox.left() } else { None };
        let repeated = if succeeds { proxy.inherit(&mut unlisted)? } else { Vec::new() };
        if succeeds && !copies {
            // Before anything is read here, which would be sent again as well.
            proxy.kernel.resend()?;
        }
        let carrier = proxy.clone();
        spawn("fuse-replies", Box::new(move || carrier.carry_replies(&replies, threads)))?;
        let carrier = proxy.clone();
        let carry = move || {
            for packet in repeated {
                let _ = (&mut &requests).write(&packet);
            }
            if let Some(packet) = unlisted {
                carrier.hand_on(&packet, &requests, || inbox.clear());
            }
            carrier.carry_requests(&requests, inbox, threads);
        };
        spawn("fuse-requests", Box::new(carry))?;
        Ok(proxy)
    }

    /// Answers the dead process's writes that had become operations; returns the other requests that it listed. What it read last is not
    /// `unlisted` if it is among them.
    fn inherit(&self, unlisted: &mut Option<Vec<u8>>) -> io::Result<Vec<Vec<u8>>> {
        let mut repeated = Vec::new();
        let listed = self.in_flight.inherited()?;
        let number = unlisted.as_deref().and_then(|packet| u64_at(packet, 8));
        if listed.iter().any(|request| Some(request.unique) == number) {
            *unlisted = None;
        }
        for request in listed {
            match &request.packet {
                Some(packet) if !request.begun => {
                    self.in_flight.list_again(&request);
                    repeated.push(packet.clone());
                }
                _ => {
                    // What was too long to be copied, and for a request, is safe to repeat: EINTR says so.
                    let errno = if request.begun { libc::EINPROGRESS } else { libc::EINTR };
                    self.kernel.refuse(request.unique, errno);
                    self.in_flight.release_inherited(request);
                }
            }
        }
        Ok(repeated)
    }

    /// Answers every write that is still waiting, for a daemon that goes away. What they started goes on, or is told in the journal.
    pub fn release_writers(&self, errno: i32) {
        for unique in self.in_flight.all(FUSE_WRITE) {
            self.answer(unique, errno);
        }
    }

    /// From now on leaves requests to a successor: those that come, and writes that have not become operations. Writers whose operations
    /// have begun are told that they are in progress, since this process will not see their end.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
        for unique in self.in_flight.begun() {
            self.answer(unique, libc::EINPROGRESS);
        }
    }

    /// Answers a write that is still under way.
    fn answer(&self, unique: u64, errno: i32) {
        if let Some(taken) = self.in_flight.take(unique, &[FUSE_WRITE]) {
            self.kernel.refuse(unique, errno);
            self.in_flight.release(taken);
        }
    }

    /// From the kernel to the session, until the mount is gone.
    fn carry_requests(&self, session: &File, mut inbox: Inbox, threads: usize) {
        let mut packet = vec![0; PACKET];
        while let Ok(size) = inbox.receive(&self.device, &mut packet) {
            fault::point("control-read");
            if !self.hand_on(&packet[..size], session, || inbox.clear()) {
                return;
            }
        }
        for thread in 0..threads as u64 {
            let mut packet = [0; IN_HEADER];
            packet[..4].copy_from_slice(&(IN_HEADER as u32).to_ne_bytes());
            packet[4..8].copy_from_slice(&FUSE_DESTROY.to_ne_bytes());
            packet[8..16].copy_from_slice(&(FAREWELL + thread).to_ne_bytes());
            let _ = (&mut &*session).write(&packet);
        }
    }

    /// Lists a request and hands it on; `safe` is called when the list has it. False where the session takes no more.
    fn hand_on(&self, packet: &[u8], session: &File, safe: impl FnOnce()) -> bool {
        let (Some(opcode), Some(unique)) = (u32_at(packet, 4), u64_at(packet, 8)) else {
            safe();
            return true;
        };
        match opcode {
            FUSE_INTERRUPT => {
                // Only this thread lists requests, so that one that is not listed has been answered. An interrupt itself wants no
                // answer; ENOSYS would make the kernel stop asking.
                if let Some(target) = u64_at(packet, IN_HEADER) {
                    self.answer(target, libc::EINTR);
                }
                safe();
                return true;
            }
            FUSE_FORGET | FUSE_BATCH_FORGET => {}
            _ => self.in_flight.list(unique, opcode, packet),
        }
        fault::point("control-listed");
        safe();
        if self.leaving.load(Ordering::SeqCst) {
            // Read, not answered: the successor gets it.
            return false;
        }
        let taken = (&mut &*session).write(packet).is_ok();
        fault::point("control-handed-on");
        taken
    }

    /// From the session to the kernel, until every thread of the session has ended.
    fn carry_replies(&self, session: &File, threads: usize) {
        let mut buffer = vec![0; PACKET];
        let mut ended = 0;
        while ended < threads {
            let size = match (&mut &*session).read(&mut buffer) {
                Ok(0) => break,
                Ok(size) => size,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let packet = &buffer[..size];
            fault::point("control-replied");
            let taken = match u64_at(packet, 8) {
                // A notification answers nothing.
                Some(0) => None,
                Some(unique) if unique >= FAREWELL => {
                    ended += 1;
                    continue;
                }
                // What the parting agent has to say of it is not the last word.
                Some(unique)
                    if self.leaving.load(Ordering::SeqCst) && self.in_flight.is(unique, FUSE_WRITE) =>
                {
                    continue;
                }
                Some(unique) => match self.in_flight.take(unique, &[]) {
                    Some(taken) => Some(taken),
                    None => continue,
                },
                None => continue,
            };
            fault::point("control-taken");
            // ENOENT: the kernel has given up on it already.
            let _ = (&mut &*self.device).write(packet);
            fault::point("control-answered");
            if let Some(taken) = taken {
                self.in_flight.release(taken);
            }
        }
    }
}

fn u32_at(packet: &[u8], at: usize) -> Option<u32> {
    packet.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn u64_at(packet: &[u8], at: usize) -> Option<u64> {
    packet.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes)
}
