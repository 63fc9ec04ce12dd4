//! Mounting the tree, and taking it down.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, Session, SessionACL};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};

use crate::control::Desk;
use crate::engine::Engine;
use crate::fuse::{ControlFs, Pollers, RecordFs};
use crate::model::Model;
pub use crate::mountpoint::MountError;
use crate::mountpoint::{mounts, prepare};
use crate::proxy::Proxy;
use crate::storage::{CONTROL_DIR, Controls, Records};
use crate::tree::{self, Tree};

/// How long unmounting waits for whoever is in the tree before it detaches lazily.
const GRACE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(20);

/// Where and how the tree is mounted.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory to mount on. It is created where only the last component is missing.
    pub mountpoint: PathBuf,
    /// Group that may read records (`osc`); 0 for root alone.
    pub gid: u32,
    /// The mount's source as mount(8) shows it; the file system type is `fuse.<fs_name>`.
    pub fs_name: String,
    /// Threads for each of the two connections.
    pub threads: usize,
}

impl Options {
    /// The usual ones: root alone, `oscd`, two threads.
    pub fn new(mountpoint: impl Into<PathBuf>) -> Self {
        Self { mountpoint: mountpoint.into(), gid: 0, fs_name: "oscd".into(), threads: 2 }
    }
}

/// A mounted tree; dropping it unmounts.
#[derive(Debug)]
pub struct Mounted {
    tree: Tree,
    at: PathBuf,
    proxy: Arc<Proxy>,
    sessions: Vec<BackgroundSession>,
    teller: Option<JoinHandle<()>>,
    unmounted: bool,
}

/// Mounts the tree: records on the mount point, control files inside at `.ctl`.
///
/// # Errors
/// The mount point is not there, not a directory, not empty or already served; /dev/fuse is not usable. A mount that a dead daemon left is
/// replaced.
pub fn mount(options: Options, model: Arc<dyn Model>) -> Result<Mounted, MountError> {
    let at = prepare(&options.mountpoint)?;
    let threads = options.threads.clamp(1, 64);
    let engine = Arc::new(Engine::new(Records::new(model.clone(), options.gid)));
    let pollers = Pollers::default();
    let notifier = Arc::new(OnceLock::new());
    let (tree, teller) = tree::pair(engine.clone(), pollers.clone(), notifier.clone());
    let replies = tree.clone();
    let desk = Arc::new(Desk::new(model.clone(), Box::new(move |reply| replies.post(reply))));
    let failed = |what: &str| {
        let message = format!("{what} of {}", at.display());
        move |e| MountError::io(message, e)
    };

    let device = mount_fuse(&at, &options.fs_name, MsFlags::MS_RDONLY)?;
    // From here on, dropping this undoes whatever has been mounted.
    let mut undo = Undo(vec![at.clone()]);
    let records = RecordFs::new(engine, tree.record_counter());
    let session = Session::from_fd(records, device, SessionACL::All, config(threads))
        .map_err(failed("no handshake with the kernel for the records"))?;
    let records = session.spawn().map_err(failed("no thread for the records"))?;
    // Set once: nobody else has it yet.
    let _ = notifier.set(records.notifier());

    let control_at = at.join(CONTROL_DIR);
    let device = mount_fuse(&control_at, &options.fs_name, MsFlags::empty())?;
    undo.0.push(control_at);
    let (proxy, session_end) =
        Proxy::interpose(device, threads).map_err(failed("no proxy for the control files"))?;
    let controls = Arc::new(Engine::new(Controls::new(model, options.gid)));
    let controls = ControlFs::new(controls, desk, tree.control_counter(), pollers);
    let session = Session::from_fd(controls, session_end, SessionACL::All, config(threads))
        .map_err(failed("no handshake with the kernel for the control files"))?;
    let controls = session.spawn().map_err(failed("no thread for the control files"))?;

    let teller = teller.spawn().map_err(failed("no thread for notifications"))?;
    undo.0.clear();
    Ok(Mounted { tree, at, proxy, sessions: vec![controls, records], teller: Some(teller), unmounted: false })
}

struct Undo(Vec<PathBuf>);

impl Drop for Undo {
    fn drop(&mut self) {
        for at in self.0.iter().rev() {
            let _ = umount2(at, MntFlags::MNT_DETACH);
        }
    }
}

fn config(threads: usize) -> Config {
    let mut config = Config::default();
    config.acl = SessionACL::All;
    config.n_threads = Some(threads);
    config
}

/// A FUSE mount on `at` and its device. The kernel checks permissions, for all users.
fn mount_fuse(at: &Path, name: &str, flags: MsFlags) -> Result<OwnedFd, MountError> {
    let device = open_device(at)?;
    let data = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other",
        device.as_raw_fd()
    );
    let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let fstype = format!("fuse.{name}");
    nix::mount::mount(Some(name), at, Some(&*fstype), flags, Some(&*data)).map_err(|e| {
        let next = match e {
            Errno::EPERM => "; mounting takes root (CAP_SYS_ADMIN)",
            Errno::ENODEV => "; this kernel has no FUSE (modprobe fuse)",
            _ => "",
        };
        MountError::io(format!("cannot mount on {}{next}", at.display()), e.into())
    })?;
    Ok(device.into())
}

fn open_device(at: &Path) -> Result<File, MountError> {
    OpenOptions::new().read(true).write(true).open("/dev/fuse").map_err(|e| {
        let next = match e.raw_os_error() {
            Some(libc::ENOENT) => {
                "is missing: load FUSE (modprobe fuse), or pass the device to this container"
            }
            Some(libc::ENODEV | libc::ENXIO) => "has no driver: load FUSE (modprobe fuse)",
            Some(libc::EACCES | libc::EPERM) => "may not be opened: run as root with the device allowed",
            _ => "cannot be opened",
        };
        MountError::io(format!("cannot mount on {}: /dev/fuse {next}", at.display()), e)
    })
}

impl Mounted {
    /// The handle that changes are told to.
    pub fn tree(&self) -> Tree {
        self.tree.clone()
    }

    /// Where it is mounted, without links.
    pub fn mountpoint(&self) -> &Path {
        &self.at
    }

    /// Unmounts both connections. Writers that still wait are answered EINPROGRESS. Where somebody is still in the tree after two seconds, it
    /// is detached: gone from the file system at once, and for good when the last one has left.
    ///
    /// # Errors
    /// What umount2(2) said, with the mount point.
    pub fn unmount(mut self) -> Result<(), MountError> {
        self.take_down()
    }

    fn take_down(&mut self) -> Result<(), MountError> {
        if std::mem::replace(&mut self.unmounted, true) {
            return Ok(());
        }
        self.proxy.release_writers(libc::EINPROGRESS);
        let deadline = Instant::now() + GRACE;
        let inner = detach(&self.at.join(CONTROL_DIR), deadline, &self.proxy);
        let outer = detach(&self.at, deadline, &self.proxy);
        self.tree.end();
        if let Some(teller) = self.teller.take() {
            // It cannot wait for anyone any more than the sessions below can.
            drop(teller);
        }
        // The sessions end when the kernel lets go of the connection; what is detached lazily may keep them for longer than we stay.
        let sessions = std::mem::take(&mut self.sessions);
        while !sessions.iter().all(|session| session.guard.is_finished()) && Instant::now() < deadline {
            thread::sleep(STEP);
        }
        for session in sessions {
            if session.guard.is_finished() {
                let _ = session.join();
            }
        }
        inner.and(outer)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.take_down() {
            tracing::warn!(%error, "unmounting failed");
        }
    }
}

/// Unmounts `at`, waiting for it to become free until `deadline`, then detaches it.
fn detach(at: &Path, deadline: Instant, proxy: &Proxy) -> Result<(), MountError> {
    loop {
        // UMOUNT_NOFOLLOW: `at` was resolved when it was mounted.
        match umount2(at, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => return Ok(()),
            Err(Errno::EBUSY) if Instant::now() < deadline => {
                proxy.release_writers(libc::EINPROGRESS);
                thread::sleep(STEP);
            }
            Err(Errno::EBUSY) => {
                return umount2(at, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
                    .map_err(|e| failed_to_unmount(at, e));
            }
            // Someone else unmounted it.
            Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(e) if !mounts().is_ok_and(|mounts| mounts.iter().any(|mount| mount.at == at)) => {
                tracing::debug!(at = %at.display(), error = %e, "no mount there any more");
                return Ok(());
            }
            Err(e) => return Err(failed_to_unmount(at, e)),
        }
    }
}

fn failed_to_unmount(at: &Path, e: Errno) -> MountError {
    MountError::io(format!("cannot unmount {}", at.display()), io::Error::from(e))
}
