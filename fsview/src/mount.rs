//! Mounting the tree, or going on with one that another process mounted.

mod mounted;
mod serve;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::handover::{Handover, Ledger, Side};
use crate::model::Model;
pub use crate::mountpoint::MountError;
use crate::mountpoint::{canonical, prepare};
use crate::session::Connection;
use crate::storage::CONTROL_DIR;
pub use mounted::Mounted;
use serve::serve;

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
    /// Keep copies of requests under way for a successor even where the kernel could send them again. (Before Linux 6.9 it cannot, and they
    /// are kept in any case.) A request for what the kernel has not cached then takes longer.
    pub copy_requests: bool,
    /// The command line of a program that calls [`carry_messages`](crate::carry_messages). Without one, a process that is killed while it
    /// tells the kernel of a change may have to wait for its successor before it can die.
    pub messenger: Option<Vec<OsString>>,
}

impl Options {
    /// The usual ones: root alone, `oscd`, two threads.
    pub fn new(mountpoint: impl Into<PathBuf>) -> Self {
        Self {
            mountpoint: mountpoint.into(),
            gid: 0,
            fs_name: "oscd".into(),
            threads: 2,
            copy_requests: false,
            messenger: None,
        }
    }
}

/// Mounts the tree: records on the mount point, control files inside at `.ctl`.
///
/// # Errors
/// The mount point is not there, not a directory, not empty or already served; /dev/fuse is not usable. A mount that a dead daemon left is
/// replaced.
pub fn mount(options: Options, model: Arc<dyn Model>) -> Result<Mounted, MountError> {
    let at = prepare(&options.mountpoint)?;
    let ledger = Ledger::create(&at).map_err(failed("no memory for the ledger", &at))?;
    let device = mount_fuse(&at, &options.fs_name, MsFlags::MS_RDONLY)?;
    // From here on, dropping this undoes whatever has been mounted.
    let mut undo = Undo(vec![at.clone()]);
    let records = Connection::fresh(device, Side::Records, &ledger)
        .map_err(failed("no handshake with the kernel for the records", &at))?;
    ledger
        .set_copies(options.copy_requests || !records.has_resend())
        .map_err(failed("no memory for the ledger", &at))?;
    let control_at = at.join(CONTROL_DIR);
    let controls = || {
        let device = mount_fuse(&control_at, &options.fs_name, MsFlags::empty())?;
        undo.0.push(control_at.clone());
        Connection::fresh(device, Side::Controls, &ledger)
            .map_err(failed("no handshake with the kernel for the control files", &at))
    };
    let mounted = serve(&options, model, &ledger, records, controls)?;
    undo.0.clear();
    Ok(mounted)
}

/// Goes on serving a tree that another process mounted and does not serve any more, as [`mount`] would serve it. What the kernel caches and
/// still is true stays cached; requests under way are answered, writes that had become operations with EINPROGRESS. The model must show by
/// now what the dead process had acknowledged; what changes from now on must be told, as after [`mount`].
///
/// Where that cannot be (the tree was unmounted meanwhile, or the ledger is another version's), what is left is detached and the tree is
/// mounted anew: [`Mounted::took_over`] tells.
///
/// # Errors
/// Those of [`mount`].
pub fn take_over(handover: Handover, options: Options, model: Arc<dyn Model>) -> Result<Mounted, MountError> {
    match succeed(handover, &options, model.clone()) {
        Ok(mounted) => Ok(mounted),
        Err((at, error)) => {
            tracing::warn!(%error, "the tree cannot be taken over and is mounted anew");
            end(&at);
            mount(options, model)
        }
    }
}

/// Takes down a tree that nobody will serve any more. Whoever waits for an answer gets ECONNABORTED.
pub fn abandon(handover: Handover) {
    match Ledger::open(handover.ledger) {
        Ok(ledger) => end(ledger.mountpoint()),
        Err(error) => {
            tracing::warn!(%error, "the ledger cannot be used, and does not say what is to be unmounted")
        }
    }
}

/// By force: whoever waits for an answer gets ECONNABORTED instead of none. The control files go with what they are mounted in, which must
/// not be walked through.
fn end(at: &Path) {
    let _ = umount2(at, MntFlags::MNT_FORCE | MntFlags::UMOUNT_NOFOLLOW);
    let _ = umount2(at, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
}

/// With an error, where the mount may still be.
fn succeed(
    handover: Handover,
    options: &Options,
    model: Arc<dyn Model>,
) -> Result<Mounted, (PathBuf, MountError)> {
    let wanted = canonical(&options.mountpoint).map_err(|error| (options.mountpoint.clone(), error))?;
    let ledger = Ledger::open(handover.ledger)
        .map_err(|e| (wanted.clone(), MountError::io("the ledger cannot be used".into(), e)))?;
    let at = ledger.mountpoint().to_owned();
    let succeed = || {
        if at != wanted {
            let (at, wanted) = (at.display(), wanted.display());
            return Err(MountError::new(format!("it is mounted on {at}, and wanted on {wanted}")));
        }
        for device in [&handover.records, &handover.controls] {
            if is_dead(device.as_fd()) {
                return Err(MountError::new(format!("{} has been unmounted", at.display())));
            }
        }
        let inherited = |device, side| {
            Connection::inherited(device, side, &ledger).map_err(failed("no way into the connection", &at))
        };
        let records = inherited(handover.records, Side::Records)?;
        serve(options, model, &ledger, records, || inherited(handover.controls, Side::Controls))
    };
    let mounted = succeed().map_err(|error| (at.clone(), error))?;
    Ok(mounted)
}

/// Whether the kernel has ended the connection.
fn is_dead(device: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(device, PollFlags::POLLIN)];
    let polled = poll(&mut fds, PollTimeout::ZERO);
    polled.is_err() || fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}

fn failed<'a>(what: &'a str, at: &'a Path) -> impl FnOnce(io::Error) -> MountError + use<'a> {
    move |e| MountError::io(format!("{what} of {}", at.display()), e)
}

struct Undo(Vec<PathBuf>);

impl Drop for Undo {
    fn drop(&mut self) {
        for at in self.0.iter().rev() {
            let _ = umount2(at, MntFlags::MNT_DETACH);
        }
    }
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
