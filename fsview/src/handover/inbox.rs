//! Where requests arrive on a kernel that cannot send them again: memory of the ledger.
//!
//! The kernel writes a request into it in one system call, which no signal cuts short. So whenever the process dies, the request is
//! either with the kernel still, or here, or in a slot; between them there is no gap.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use super::ledger::word;
use crate::proxy::{PACKET, read_request};

const LENGTH: NonZero<usize> = NonZero::new(PACKET).expect("not 0");
const ACCESS: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// Room for one request. It holds one while the request's length, its first word, is not 0.
#[derive(Debug)]
pub struct Inbox {
    memory: NonNull<u8>,
}

// SAFETY: the mapping is this value's own, and is used through `&mut` alone.
unsafe impl Send for Inbox {}

impl Inbox {
    pub(super) fn open(file: &File, at: u64) -> io::Result<Self> {
        // So that every page is there: using a mapping must not run out of memory.
        let mut was = vec![0; PACKET];
        let mut had = 0;
        while let Ok(more @ 1..) = file.read_at(&mut was[had..], at + had as u64) {
            had += more;
        }
        file.write_all_at(&was, at)?;
        // SAFETY: a new mapping, which nobody else knows of.
        let memory = unsafe { mmap(None, LENGTH, ACCESS, MapFlags::MAP_SHARED, file, at as i64)? };
        let mut inbox = Self { memory: memory.cast() };
        // Written to once, a page is mapped for writing, and the kernel need not wait for it while a signal is under way.
        inbox.bytes().copy_from_slice(&was);
        Ok(inbox)
    }

    /// One that dies with the process, for a kernel that sends requests again. Shared all the same: a fork does not make it read-only.
    ///
    /// # Errors
    /// There is no memory.
    pub fn transient() -> io::Result<Self> {
        // SAFETY: a new mapping, which nobody else knows of.
        let memory = unsafe { mmap_anonymous(None, LENGTH, ACCESS, MapFlags::MAP_SHARED)? };
        let mut inbox = Self { memory: memory.cast() };
        inbox.bytes().fill(0);
        Ok(inbox)
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped with this length for as long as `self` lives; `&mut self` keeps it to one user.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), PACKET) }
    }

    /// What a dead predecessor read last, if it had come no further with it.
    pub fn left(&mut self) -> Option<Vec<u8>> {
        let bytes = self.bytes();
        let length = word(bytes, 0) as usize;
        bytes.get(..length).filter(|packet| !packet.is_empty()).map(<[u8]>::to_vec)
    }

    /// Takes the next request in, and copies it into `packet`; returns its length. To be [`clear`](Self::clear)ed when it is safe elsewhere.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn receive(&mut self, device: &File, packet: &mut [u8]) -> io::Result<usize> {
        let bytes = self.bytes();
        let size = read_request(device, bytes)?;
        packet[..size].copy_from_slice(&bytes[..size]);
        Ok(size)
    }

    /// Its request is in a slot, or needs none.
    pub fn clear(&mut self) {
        // SAFETY: the mapping is longer, and its beginning is aligned as any page. Volatile: a successor reads it.
        unsafe { self.memory.as_ptr().cast::<u32>().write_volatile(0) };
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        // SAFETY: mapped with this length, and nobody uses it any more.
        let _ = unsafe { munmap(self.memory.cast(), PACKET) };
    }
}
