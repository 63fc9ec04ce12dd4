//! Lets a signal cut a waiting writer loose: stands between the kernel and the control connection's session and answers FUSE_INTERRUPT.
//!
//! The session gets one end of a packet socket for its /dev/fuse; two threads carry packets between the other end and the device. Requests
//! under way are listed by the kernel's `unique`. When the kernel asks to interrupt a write, the write is answered EINTR at
//! once, and the answer that the session gives later is dropped; the operation itself goes on. Whoever takes a request off the list answers
//! it, so that each is answered once. Layouts are those of linux/fuse.h.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};

/// The largest write that the kernel may send in one request, in bytes.
pub const MAX_WRITE: usize = 256 * 1024;

/// Room for a request's headers besides its data; the kernel wants a buffer of at least 8 KiB.
const PACKET: usize = MAX_WRITE + 8192;
const IN_HEADER: usize = 40;
const OUT_HEADER: usize = 16;
/// `unique` of the requests by which we end the session's threads; the kernel counts up from 2 by 2.
const FAREWELL: u64 = u64::MAX - 4096;

const FUSE_FORGET: u32 = 2;
const FUSE_WRITE: u32 = 16;
const FUSE_INTERRUPT: u32 = 36;
const FUSE_DESTROY: u32 = 38;
const FUSE_BATCH_FORGET: u32 = 42;

/// The kernel's side of a control connection.
#[derive(Debug)]
pub struct Proxy {
    device: File,
    in_flight: Mutex<HashMap<u64, u32>>,
}

impl Proxy {
    /// Puts a proxy in front of `device`; the descriptor returned is what a session of `threads` threads runs on.
    ///
    /// # Errors
    /// No socket or no thread could be made.
    pub fn interpose(device: OwnedFd, threads: usize) -> io::Result<(Arc<Self>, OwnedFd)> {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .map_err(io::Error::from)?;
        for end in [&ours, &theirs] {
            // A packet must fit; without the right to exceed the system's limit the usual 208 KiB are doubled, which is still enough.
            if setsockopt(&end.as_fd(), sockopt::SndBufForce, &(4 * PACKET)).is_err() {
                setsockopt(&end.as_fd(), sockopt::SndBuf, &(2 * PACKET)).map_err(io::Error::from)?;
            }
        }
        let proxy = Arc::new(Self { device: File::from(device), in_flight: Mutex::default() });
        let (requests, replies) = (File::from(ours.try_clone()?), File::from(ours));
        let spawn = |name: &str, carry: Box<dyn FnOnce() + Send>| {
            thread::Builder::new().name(name.to_owned()).spawn(carry).map(drop)
        };
        let carrier = proxy.clone();
        spawn("ctl-requests", Box::new(move || carrier.carry_requests(&requests, threads)))?;
        let carrier = proxy.clone();
        spawn("ctl-replies", Box::new(move || carrier.carry_replies(&replies, threads)))?;
        Ok((proxy, theirs))
    }

    fn in_flight(&self) -> MutexGuard<'_, HashMap<u64, u32>> {
        // A map is whole between its operations.
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers every write that is still waiting, for a daemon that goes away. What they started goes on, or is told in the journal.
    pub fn release_writers(&self, errno: i32) {
        let waiting: Vec<u64> = {
            let mut in_flight = self.in_flight();
            let writes = in_flight
                .iter()
                .filter(|(_, opcode)| **opcode == FUSE_WRITE)
                .map(|(unique, _)| *unique)
                .collect();
            in_flight.retain(|_, opcode| *opcode != FUSE_WRITE);
            writes
        };
        waiting.into_iter().for_each(|unique| self.answer(unique, errno));
    }

    fn answer(&self, unique: u64, errno: i32) {
        let mut packet = [0; OUT_HEADER];
        packet[..4].copy_from_slice(&(OUT_HEADER as u32).to_ne_bytes());
        packet[4..8].copy_from_slice(&(-errno).to_ne_bytes());
        packet[8..].copy_from_slice(&unique.to_ne_bytes());
        // ENOENT: the kernel has given up on it already.
        let _ = (&self.device).write(&packet);
    }

    /// From the kernel to the session, until the mount is gone.
    fn carry_requests(&self, session: &File, threads: usize) {
        let mut buffer = vec![0; PACKET];
        loop {
            let size = match (&self.device).read(&mut buffer) {
                Ok(size) => size,
                // A request was withdrawn between being announced and being read (ENOENT), or a signal came.
                Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINTR | libc::EAGAIN)) => {
                    continue;
                }
                Err(_) => break,
            };
            let packet = &buffer[..size];
            let (Some(opcode), Some(unique)) = (u32_at(packet, 4), u64_at(packet, 8)) else {
                continue;
            };
            match opcode {
                FUSE_INTERRUPT => {
                    // Only this thread lists requests, so that one that is not listed has been answered.
                    let Some(target) = u64_at(packet, IN_HEADER) else {
                        continue;
                    };
                    let mut in_flight = self.in_flight();
                    if in_flight.get(&target) == Some(&FUSE_WRITE) {
                        in_flight.remove(&target);
                        drop(in_flight);
                        self.answer(target, libc::EINTR);
                    }
                    // An interrupt itself wants no answer; ENOSYS would make the kernel stop asking.
                    continue;
                }
                FUSE_FORGET | FUSE_BATCH_FORGET => {}
                _ => drop(self.in_flight().insert(unique, opcode)),
            }
            if (&mut &*session).write(packet).is_err() {
                break;
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
            match u64_at(packet, 8) {
                // A notification answers nothing.
                Some(0) => {}
                Some(unique) if unique >= FAREWELL => {
                    ended += 1;
                    continue;
                }
                Some(unique) if self.in_flight().remove(&unique).is_some() => {}
                _ => continue,
            }
            // ENOENT: the kernel has given up on it already.
            let _ = (&self.device).write(packet);
        }
    }
}

fn u32_at(packet: &[u8], at: usize) -> Option<u32> {
    packet.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn u64_at(packet: &[u8], at: usize) -> Option<u64> {
    packet.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes)
}
