//! The process that tells the kernel to drop names.
//!
//! Dropping a name waits, and not even SIGKILL ends it, for a request in the same directory that is under way. Should the agent be killed
//! just then, it could not die before that request is answered, which is for its successor to do, and nobody would start one. So the waiting
//! is done in another process, which may outlive the agent by that moment. It has nothing but the device and a socket to us, and ends when
//! that is closed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use nix::sys::signal::{SigHandler, Signal, signal};

use crate::proxy::packet_socket;

const SOCKET: RawFd = 3;
const DEVICE: RawFd = 4;
const LARGEST: usize = 4096 + 64;

/// Our side of it.
#[derive(Debug)]
pub struct Messenger {
    socket: Mutex<File>,
    child: Option<Child>,
}

impl Messenger {
    /// Starts `command`, which has to call [`carry_messages`], for `device`.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(command: &[OsString], device: &File) -> io::Result<Self> {
        let (ours, theirs) = packet_socket()?;
        let Some((program, arguments)) = command.split_first() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let passed = [(theirs.as_raw_fd(), SOCKET), (device.as_raw_fd(), DEVICE)];
        let mut command = Command::new(program);
        command.args(arguments).env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: between fork and exec only fcntl and dup2 are called, on numbers.
        unsafe {
            command.pre_exec(move || {
                // Out of the way first: a source may be a target. What is above is closed by exec.
                let mut high = [0; 2];
                for ((from, _), high) in passed.iter().zip(&mut high) {
                    *high = libc::fcntl(*from, libc::F_DUPFD_CLOEXEC, 10);
                    if *high < 0 {
                        return Err(io::Error::last_os_error());
                    }
                }
                for ((_, to), high) in passed.iter().zip(high) {
                    if libc::dup2(high, *to) < 0 {
                        return Err(io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        Ok(Self { socket: Mutex::new(ours), child: Some(command.spawn()?) })
    }

    /// Its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Has a packet written to the device, and returns what the kernel said to it. `None` where the process is gone.
    pub fn carry(&self, packet: &[u8]) -> Option<io::Result<()>> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        socket.write_all(packet).ok()?;
        let mut errno = [0; 4];
        loop {
            match socket.read(&mut errno) {
                Ok(4) => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                _ => return None,
            }
        }
        Some(match i32::from_ne_bytes(errno) {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        })
    }
}

impl Drop for Messenger {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It ends once the socket is closed and the kernel lets it go: not for us to wait.
            let _ = thread::Builder::new().name("messenger-end".into()).spawn(move || child.wait());
        }
    }
}

/// The whole life of that process: to be called by the program that [`Options::messenger`](crate::Options::messenger) names, first of all.
pub fn carry_messages() {
    // What ps shows; it makes no difference where it cannot be set.
    let _ = nix::sys::prctl::set_name(c"oscd-messenger");
    for ignored in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE] {
        // SAFETY: ignoring has no handler that could do anything wrong.
        let _ = unsafe { signal(ignored, SigHandler::SigIgn) };
    }
    // SAFETY: both were passed to this process, and nobody else here knows of them.
    let (mut socket, mut device) = unsafe { (File::from_raw_fd(SOCKET), File::from_raw_fd(DEVICE)) };
    let mut buffer = [0; LARGEST];
    loop {
        let size = match socket.read(&mut buffer) {
            Ok(0) => return,
            Ok(size) => size,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        let done = device.write(&buffer[..size]).map(drop);
        let errno = done.err().map_or(0, |e| e.raw_os_error().unwrap_or(libc::EIO));
        if socket.write_all(&errno.to_ne_bytes()).is_err() {
            return;
        }
    }
}
