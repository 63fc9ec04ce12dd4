//! The requests that were read from the kernel and not answered, as far as a successor must know them.
//!
//! A slot of the ledger holds one request. A write that has become an operation has one always, so that it is never begun twice. Where the
//! kernel cannot send requests again, every request has one with its packet, from before it is handed on until after its answer
//! is written. A slot counts by its first word, which is written last and cleared first.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Inbox;
use super::ledger::{long, word};

/// Room for the longest request that is not refused for its length. What is not used of it takes no memory.
const SLOT: u64 = 128 * 1024;
const HEAD: usize = 24;

const FREE: u32 = 0;
const READ: u32 = 1;
const BEGUN: u32 = 2;

/// Requests under way on one connection.
#[derive(Debug)]
pub struct InFlight {
    file: Arc<File>,
    /// Offset of the number of slots that were ever in use.
    state: u64,
    slots: u64,
    copies: bool,
    /// Until the one who reads requests has it.
    inbox: Mutex<Option<Inbox>>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    requests: HashMap<u64, Entry>,
    free: Vec<u32>,
    used: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    opcode: u32,
    slot: Option<u32>,
    /// Bytes of its packet that the slot holds.
    kept: usize,
    /// Whether it has become an operation.
    begun: bool,
}

/// A request that has been taken off the list: whoever holds this answers it, then [`InFlight::release`]s it.
#[derive(Debug)]
#[must_use]
pub struct Taken {
    slot: Option<u32>,
    kept: usize,
}

/// A request of a dead predecessor.
#[derive(Debug)]
pub struct Inherited {
    /// The kernel's number of it.
    pub unique: u64,
    /// Its kind, as in linux/fuse.h.
    pub opcode: u32,
    /// Whether it has become an operation.
    pub begun: bool,
    /// All of it, where that was kept.
    pub packet: Option<Vec<u8>>,
    slot: u32,
}

impl InFlight {
    pub(super) fn open(file: Arc<File>, state: u64, slots: u64, inbox: Option<Inbox>) -> io::Result<Self> {
        let mut used = [0; 4];
        file.read_exact_at(&mut used, state)?;
        let used = u32::from_ne_bytes(used);
        // What a predecessor left is not free before it is released.
        let inner = Inner { used, ..Inner::default() };
        let copies = inbox.is_some();
        Ok(Self { file, state, slots, copies, inbox: Mutex::new(inbox), inner: Mutex::new(inner) })
    }

    /// The map and the slots are whole between any two operations.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where requests are to be read into, if they are copied; given out once.
    pub fn take_inbox(&self) -> Option<Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What a dead predecessor left. Each is to be answered or listed again, and [`release`](Self::release)d.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn inherited(&self) -> io::Result<Vec<Inherited>> {
        let mut left = Vec::new();
        let mut inner = self.inner();
        for slot in 0..inner.used {
            let mut head = [0; HEAD];
            self.file.read_exact_at(&mut head, self.offset(slot))?;
            let (state, len) = (word(&head, 0), word(&head, 16) as usize);
            if state == FREE {
                inner.free.push(slot);
                continue;
            }
            let mut packet = vec![0; len.min(SLOT as usize - HEAD)];
            self.file.read_exact_at(&mut packet, self.offset(slot) + HEAD as u64)?;
            left.push(Inherited {
                unique: long(&head, 8),
                opcode: word(&head, 4),
                begun: state == BEGUN,
                packet: Some(packet).filter(|packet| !packet.is_empty()),
                slot,
            });
        }
        Ok(left)
    }

    /// A request has been read from the kernel.
    pub fn list(&self, unique: u64, opcode: u32, packet: &[u8]) {
        let fits = packet.len() <= SLOT as usize - HEAD;
        let packet = if fits { packet } else { &[] };
        let slot = self.copies.then(|| {
            let slot = self.slot(&mut self.inner());
            self.fill(slot, READ, unique, opcode, packet);
            slot
        });
        self.inner().requests.insert(unique, Entry { opcode, slot, kept: packet.len(), begun: false });
    }

    /// A predecessor's request is under way again.
    pub fn list_again(&self, request: &Inherited) {
        let kept = request.packet.as_ref().map_or(0, Vec::len);
        let entry = Entry { opcode: request.opcode, slot: Some(request.slot), kept, begun: false };
        self.inner().requests.insert(request.unique, entry);
    }

    /// A write is about to become an operation: from now on, no successor may begin it. One that a signal cut short has been answered
    /// already, and is nobody's any more.
    pub fn begin(&self, unique: u64) {
        let mut inner = self.inner();
        let Some(entry) = inner.requests.get(&unique).copied() else {
            return;
        };
        // Written under the lock: whoever takes the request off the list frees its slot.
        match entry.slot {
            Some(slot) => {
                self.put(self.offset(slot), &BEGUN.to_ne_bytes());
                inner.requests.insert(unique, Entry { begun: true, ..entry });
            }
            None => {
                let slot = self.slot(&mut inner);
                self.fill(slot, BEGUN, unique, entry.opcode, &[]);
                inner.requests.insert(unique, Entry { slot: Some(slot), kept: 0, begun: true, ..entry });
            }
        }
    }

    /// Takes a request off the list, if it is of one of these kinds (of any, where there is none).
    pub fn take(&self, unique: u64, opcodes: &[u32]) -> Option<Taken> {
        let mut inner = self.inner();
        let entry = inner.requests.get(&unique)?;
        if !opcodes.is_empty() && !opcodes.contains(&entry.opcode) {
            return None;
        }
        let entry = inner.requests.remove(&unique)?;
        Some(Taken { slot: entry.slot, kept: entry.kept })
    }

    /// Whether a request of that kind is under way under this number.
    pub fn is(&self, unique: u64, opcode: u32) -> bool {
        self.inner().requests.get(&unique).is_some_and(|entry| entry.opcode == opcode)
    }

    /// Every request that has become an operation.
    pub fn begun(&self) -> Vec<u64> {
        let inner = self.inner();
        inner.requests.iter().filter(|(_, entry)| entry.begun).map(|(unique, _)| *unique).collect()
    }

    /// Every request of that kind that is under way.
    pub fn all(&self, opcode: u32) -> Vec<u64> {
        let inner = self.inner();
        inner.requests.iter().filter(|(_, entry)| entry.opcode == opcode).map(|(unique, _)| *unique).collect()
    }

    /// Its answer is with the kernel.
    pub fn release(&self, taken: Taken) {
        let Some(slot) = taken.slot else {
            return;
        };
        self.put(self.offset(slot), &FREE.to_ne_bytes());
        if taken.kept > 0 {
            // A registration's password must not stay.
            self.put(self.offset(slot) + HEAD as u64, &vec![0; taken.kept]);
        }
        self.inner().free.push(slot);
    }

    /// A predecessor's request has been answered.
    pub fn release_inherited(&self, request: Inherited) {
        let kept = request.packet.as_ref().map_or(0, Vec::len);
        self.release(Taken { slot: Some(request.slot), kept });
    }

    fn offset(&self, slot: u32) -> u64 {
        self.slots + u64::from(slot) * SLOT
    }

    fn slot(&self, inner: &mut Inner) -> u32 {
        if let Some(slot) = inner.free.pop() {
            return slot;
        }
        let slot = inner.used;
        inner.used += 1;
        self.put(self.state, &inner.used.to_ne_bytes());
        slot
    }

    fn fill(&self, slot: u32, state: u32, unique: u64, opcode: u32, packet: &[u8]) {
        let mut bytes = Vec::with_capacity(HEAD + packet.len());
        bytes.extend_from_slice(&FREE.to_ne_bytes());
        bytes.extend_from_slice(&opcode.to_ne_bytes());
        bytes.extend_from_slice(&unique.to_ne_bytes());
        bytes.extend_from_slice(&(packet.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(packet);
        self.put(self.offset(slot), &bytes);
        self.put(self.offset(slot), &state.to_ne_bytes());
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        if let Err(error) = self.file.write_all_at(bytes, at) {
            tracing::warn!(%error, "the ledger of requests cannot be written; should this process die now, a caller may hang");
        }
    }
}
