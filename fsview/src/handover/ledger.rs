//! The ledger's place in memory: a memfd with a header, and for each connection its INIT request, a log of inodes and slots of requests.
//!
//! Offsets are far apart and fixed, what is not written takes no memory. Everything is written with pwrite(2), which a SIGKILL does not cut
//! within a page; what is larger is checked by a sum or valid only by a word that is written after it. There is nothing to flush: the
//! memory belongs to the kernel, and a reboot ends mount and ledger together.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::{InFlight, Inbox, Log};

/// What a ledger begins with: a name, and the version of all that follows.
const MAGIC: &[u8; 8] = b"osc-tree";
const VERSION: u32 = 1;

const COPIES: u64 = 12;
const MOUNTED_AT: u64 = 16;
const MOUNTPOINT: u64 = 24;
const INIT: u64 = 0x1000;
/// 64 bytes for each connection: which area its log is in, what is missing there, the slots in use, the last poll.
const STATE: u64 = 0x4000;
const IN_FLIGHT: u64 = 16;
const POLLED: u64 = 40;
/// A mebibyte for each connection.
const INBOX: u64 = 1 << 20;
const SLOTS: u64 = 1 << 32;
const LOGS: u64 = 1 << 40;

/// One of the two connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Records.
    Records,
    /// Control files.
    Controls,
}

/// The ledger of a mounted tree.
#[derive(Clone, Debug)]
pub struct Ledger {
    file: Arc<File>,
    mountpoint: PathBuf,
    mounted_at: SystemTime,
}

impl Ledger {
    /// An empty one for a tree that is about to be mounted.
    ///
    /// # Errors
    /// There is no memory.
    pub fn create(mountpoint: &Path) -> io::Result<Self> {
        let file = File::from(memfd_create("osc-ledger", MFdFlags::MFD_CLOEXEC)?);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        file.write_all_at(&now.to_ne_bytes(), MOUNTED_AT)?;
        put_bytes(&file, MOUNTPOINT, mountpoint.as_os_str().as_bytes())?;
        for side in [Side::Records, Side::Controls] {
            // So that no later write into this page can fail for want of memory.
            file.write_all_at(&[0; 64], state_of(side))?;
        }
        file.write_all_at(&VERSION.to_ne_bytes(), 8)?;
        file.write_all_at(MAGIC, 0)?;
        Self::open(file.into())
    }

    /// The ledger that another process left.
    ///
    /// # Errors
    /// It is none, or that of another version: InvalidData.
    pub fn open(fd: OwnedFd) -> io::Result<Self> {
        let file = File::from(fd);
        let mut head = [0; 24];
        file.read_exact_at(&mut head, 0)?;
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        if &head[..8] != MAGIC {
            return Err(invalid("the stored descriptor is no ledger".into()));
        }
        let version = word(&head, 8);
        if version != VERSION {
            return Err(invalid(format!("the ledger has layout {version}, and this agent knows {VERSION}")));
        }
        let mountpoint = OsString::from_vec(get_bytes(&file, MOUNTPOINT, 4096)?).into();
        let mounted_at = SystemTime::UNIX_EPOCH + Duration::from_secs(long(&head, MOUNTED_AT as usize));
        Ok(Self { file: Arc::new(file), mountpoint, mounted_at })
    }

    /// Its descriptor.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Where the tree is mounted.
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// When it was mounted.
    pub fn mounted_at(&self) -> SystemTime {
        self.mounted_at
    }

    /// Whether requests are copied, for a kernel that cannot send them again.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn copies(&self) -> io::Result<bool> {
        let mut word = [0; 4];
        self.file.read_exact_at(&mut word, COPIES)?;
        Ok(word != [0; 4])
    }

    /// Decides it, once.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_copies(&self, copies: bool) -> io::Result<()> {
        self.file.write_all_at(&u32::from(copies).to_ne_bytes(), COPIES)
    }

    /// The kernel's INIT request, as it came.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn init(&self, side: Side) -> io::Result<Vec<u8>> {
        get_bytes(&self.file, INIT + side as u64 * 0x1000, 0x1000 - 4)
    }

    /// Keeps the kernel's INIT request.
    ///
    /// # Errors
    /// The ledger cannot be written.
    pub fn set_init(&self, side: Side, packet: &[u8]) -> io::Result<()> {
        put_bytes(&self.file, INIT + side as u64 * 0x1000, packet)
    }

    /// The highest handle by which somebody polls a control file; the kernel counts them up.
    pub fn polled(&self) -> u64 {
        let mut handle = [0; 8];
        match self.file.read_exact_at(&mut handle, state_of(Side::Controls) + POLLED) {
            Ok(()) => u64::from_ne_bytes(handle),
            Err(_) => 0,
        }
    }

    /// Keeps it.
    pub fn set_polled(&self, handle: u64) {
        // The page is there.
        let _ = self.file.write_all_at(&handle.to_ne_bytes(), state_of(Side::Controls) + POLLED);
    }

    /// The inodes of a connection.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn log(&self, side: Side) -> io::Result<Log> {
        Log::open(self.file.clone(), state_of(side), LOGS + side as u64 * (1 << 41))
    }

    /// The requests of a connection.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn in_flight(&self, side: Side) -> io::Result<InFlight> {
        let inbox = match self.copies()? {
            true => Some(Inbox::open(&self.file, INBOX + side as u64 * (1 << 20))?),
            false => None,
        };
        let slots = SLOTS + side as u64 * (1 << 33);
        InFlight::open(self.file.clone(), state_of(side) + IN_FLIGHT, slots, inbox)
    }
}

fn state_of(side: Side) -> u64 {
    STATE + side as u64 * 64
}

/// The 32-bit word at an offset of something that is long enough.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// The 64-bit word at an offset of something that is long enough.
pub(super) fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_ne_bytes)
}

fn put_bytes(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, at + 4)?;
    file.write_all_at(&(bytes.len() as u32).to_ne_bytes(), at)
}

fn get_bytes(file: &File, at: u64, most: u32) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    file.read_exact_at(&mut len, at)?;
    let mut bytes = vec![0; u32::from_ne_bytes(len).min(most) as usize];
    file.read_exact_at(&mut bytes, at + 4)?;
    Ok(bytes)
}
