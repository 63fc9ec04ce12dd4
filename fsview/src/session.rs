//! Starting a session on a connection: with the kernel's own INIT on a fresh mount, or, where the kernel has had its answer from a dead
//! process, with the same INIT once more, whose answer goes nowhere.
//!
//! Either way the handshake runs over a packet socket. Then the session gets the device itself, or stays at the socket behind a proxy.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use fuser::{BackgroundSession, Config, Filesystem, Session, SessionACL};

use crate::handover::{InFlight, Ledger, Side};
use crate::kernel::Kernel;
use crate::proxy::{PACKET, Proxy, packet_socket, read_request};

const FUSE_INIT: u32 = 26;
/// In a body of the protocol's version 7.36: major, minor, read-ahead, flags, flags2.
const FLAGS: usize = 40 + 12;
const FUSE_INIT_EXT: u32 = 1 << 30;
/// FUSE_HAS_RESEND, bit 39.
const HAS_RESEND: u32 = 1 << (39 - 32);

/// One connection: its device, and what is known of it.
#[derive(Debug)]
pub struct Connection {
    /// /dev/fuse.
    pub device: Arc<File>,
    /// The kernel's INIT request.
    pub init: Vec<u8>,
    /// Whether a predecessor served it.
    pub succeeds: bool,
}

impl Connection {
    /// A connection just mounted: takes the kernel's INIT and keeps it.
    ///
    /// # Errors
    /// The kernel does not greet; the ledger cannot be written.
    pub fn fresh(device: OwnedFd, side: Side, ledger: &Ledger) -> io::Result<Self> {
        let device = Arc::new(File::from(device));
        let mut init = vec![0; PACKET];
        let size = read_request(&device, &mut init)?;
        init.truncate(size);
        if word(&init, 4) != FUSE_INIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel's first request is no INIT"));
        }
        ledger.set_init(side, &init)?;
        Ok(Self { device, init, succeeds: false })
    }

    /// A predecessor's.
    ///
    /// # Errors
    /// The ledger cannot be read; there is no INIT in it.
    pub fn inherited(device: OwnedFd, side: Side, ledger: &Ledger) -> io::Result<Self> {
        let init = ledger.init(side)?;
        if word(&init, 4) != FUSE_INIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the ledger has no INIT"));
        }
        Ok(Self { device: Arc::new(File::from(device)), init, succeeds: true })
    }

    /// Whether the kernel can send requests again that were not answered (Linux 6.9).
    pub fn has_resend(&self) -> bool {
        word(&self.init, FLAGS) & FUSE_INIT_EXT != 0 && word(&self.init, FLAGS + 4) & HAS_RESEND != 0
    }

    /// Starts serving it: through a proxy where `in_flight` says so, else directly.
    ///
    /// # Errors
    /// No handshake, socket or thread.
    pub fn serve(
        &self,
        filesystem: impl Filesystem + 'static,
        threads: usize,
        proxied: Option<Arc<InFlight>>,
    ) -> io::Result<(BackgroundSession, Option<Arc<Proxy>>)> {
        let mut config = Config::default();
        config.acl = SessionACL::All;
        config.n_threads = Some(threads);
        let (mut ours, theirs) = packet_socket()?;
        ours.write_all(&self.init)?;
        let session = Session::from_fd(filesystem, theirs, SessionACL::All, config)?;
        let mut answer = [0; 256];
        let size = ours.read(&mut answer)?;
        if !self.succeeds {
            (&*self.device).write_all(&answer[..size])?;
        }
        let proxy = match proxied {
            Some(in_flight) => {
                Some(Proxy::start(self.device.clone(), ours, in_flight, threads, self.succeeds)?)
            }
            None => {
                if self.succeeds {
                    // Before anything is read here, which would be sent again as well.
                    Kernel::new(self.device.clone()).resend()?;
                }
                let own = session.as_fd().as_raw_fd();
                // SAFETY: both descriptors are open; the session, whose own is replaced, has no thread yet.
                if unsafe { libc::dup3(self.device.as_raw_fd(), own, libc::O_CLOEXEC) } < 0 {
                    return Err(io::Error::last_os_error());
                }
                None
            }
        };
        Ok((session.spawn()?, proxy))
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes)
}
