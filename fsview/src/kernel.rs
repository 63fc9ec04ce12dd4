//! What is told to the kernel unasked: messages on a connection's device that answer no request. Layouts are those of linux/fuse.h.
//!
//! They go straight to the device, past any proxy: dropping a name may wait for a request in flight, which the proxy has to answer.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use crate::messenger::Messenger;

const FUSE_NOTIFY_POLL: i32 = 1;
const FUSE_NOTIFY_INVAL_INODE: i32 = 2;
const FUSE_NOTIFY_INVAL_ENTRY: i32 = 3;
const FUSE_NOTIFY_RESEND: i32 = 7;
const OUT_HEADER: usize = 16;

/// A connection's device.
#[derive(Clone, Debug)]
pub struct Kernel {
    device: Arc<File>,
    messenger: Option<Arc<Messenger>>,
}

impl Kernel {
    /// Over a device.
    pub fn new(device: Arc<File>) -> Self {
        Self { device, messenger: None }
    }

    /// The same with another process to wait where telling something has to wait.
    pub fn with(self, messenger: Option<Messenger>) -> Self {
        Self { messenger: messenger.map(Arc::new), ..self }
    }

    /// Drop what you know of `name` in `dir`. Waits for requests that hold the directory.
    ///
    /// # Errors
    /// ENOENT where the kernel knows no such name; what the connection says.
    pub fn inval_entry(&self, dir: u64, name: &[u8]) -> io::Result<()> {
        let mut body = Vec::with_capacity(16 + name.len() + 1);
        body.extend_from_slice(&dir.to_ne_bytes());
        body.extend_from_slice(&(name.len() as u32).to_ne_bytes());
        body.extend_from_slice(&[0; 4]);
        body.extend_from_slice(name);
        body.push(0);
        self.tell(FUSE_NOTIFY_INVAL_ENTRY, &body)
    }

    /// Drop the attributes and the content of an inode.
    ///
    /// # Errors
    /// ENOENT where the kernel does not know it; what the connection says.
    pub fn inval_inode(&self, ino: u64) -> io::Result<()> {
        let mut body = [0; 24];
        body[..8].copy_from_slice(&ino.to_ne_bytes());
        self.tell(FUSE_NOTIFY_INVAL_INODE, &body)
    }

    /// Whoever polls with this handle should look again.
    ///
    /// # Errors
    /// What the connection says.
    pub fn wake(&self, poll: u64) -> io::Result<()> {
        self.tell(FUSE_NOTIFY_POLL, &poll.to_ne_bytes())
    }

    /// Send every request again that was read and not answered.
    ///
    /// # Errors
    /// EINVAL: a kernel before 6.9.
    pub fn resend(&self) -> io::Result<()> {
        self.tell(FUSE_NOTIFY_RESEND, &[])
    }

    fn tell(&self, what: i32, body: &[u8]) -> io::Result<()> {
        let mut packet = header(OUT_HEADER + body.len(), what, 0).to_vec();
        packet.extend_from_slice(body);
        match self.messenger.as_ref().and_then(|messenger| messenger.carry(&packet)) {
            Some(told) => told,
            None => (&*self.device).write(&packet).map(drop),
        }
    }

    /// Answers a request with an errno. That the kernel has given up on it is as good.
    pub fn refuse(&self, unique: u64, errno: i32) {
        let _ = (&*self.device).write(&header(OUT_HEADER, -errno, unique));
    }
}

fn header(len: usize, error: i32, unique: u64) -> [u8; OUT_HEADER] {
    let mut header = [0; OUT_HEADER];
    header[..4].copy_from_slice(&(len as u32).to_ne_bytes());
    header[4..8].copy_from_slice(&error.to_ne_bytes());
    header[8..].copy_from_slice(&unique.to_ne_bytes());
    header
}
