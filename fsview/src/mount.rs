//! Mounting the tree, and taking it down.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fuser::BackgroundSession;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::control::Desk;
use crate::engine::{Engine, Layout, Notice, ROOT};
use crate::fuse::{ControlFs, Pollers, RecordFs};
use crate::handover::{Handover, Ledger, Log, Side};
use crate::kernel::Kernel;
use crate::messenger::Messenger;
use crate::model::Model;
pub use crate::mountpoint::MountError;
use crate::mountpoint::{canonical, mounts, prepare};
use crate::proxy::Proxy;
use crate::session::Connection;
use crate::storage::{CONTROL_DIR, Controls, PID_FILE, Records};
use crate::tree::{self, Tree};

/// How long unmounting waits for whoever is in the tree before it detaches lazily.
const GRACE: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(20);
/// How many of the last descriptors may be polling when a successor wakes them.
const POLLERS: u64 = 1 << 16;

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

/// A mounted tree; dropping it unmounts.
#[derive(Debug)]
pub struct Mounted {
    tree: Tree,
    at: PathBuf,
    ledger: Ledger,
    devices: [Arc<File>; 2],
    proxies: Vec<Arc<Proxy>>,
    sessions: Vec<BackgroundSession>,
    teller: Option<JoinHandle<()>>,
    took_over: bool,
    unmounted: bool,
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
            // By force: whoever waits for an answer gets ECONNABORTED instead of none. The control files go with what they are mounted in,
            // which must not be walked through.
            let _ = umount2(&at, MntFlags::MNT_FORCE | MntFlags::UMOUNT_NOFOLLOW);
            let _ = umount2(&at, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
            mount(options, model)
        }
    }
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

/// Serves both connections; the second is there once the first is served.
fn serve(
    options: &Options,
    model: Arc<dyn Model>,
    ledger: &Ledger,
    records: Connection,
    controls: impl FnOnce() -> Result<Connection, MountError>,
) -> Result<Mounted, MountError> {
    let at = ledger.mountpoint();
    let threads = options.threads.clamp(1, 64);
    let unread = |e| failed("no ledger", at)(e);
    let age = ledger.mounted_at().elapsed().map_or(0, |age| u32::try_from(age.as_secs()).unwrap_or(u32::MAX));

    // While the rest is done it comes up.
    let messenger = options.messenger.as_deref().map(|command| Messenger::start(command, &records.device));
    let messenger = messenger.transpose().unwrap_or_else(|error| {
        tracing::warn!(%error, "no process to tell the kernel of changes; this one does, and may be hard to kill");
        None
    });

    let mut engine = Engine::new(Records::new(model.clone(), options.gid));
    let mut log = ledger.log(Side::Records).map_err(unread)?;
    let notices =
        if records.succeeds { inherit_records(&mut engine, &mut log, age).map_err(unread)? } else { vec![] };
    engine.keep(log);
    let engine = Arc::new(engine);
    let pollers = Pollers::default();
    let kernel = Arc::new(OnceLock::new());
    let (tree, teller) = tree::pair(engine.clone(), pollers.clone(), kernel.clone());
    let replies = tree.clone();
    let desk = Arc::new(Desk::new(model.clone(), Box::new(move |reply| replies.post(reply))));

    let copies = ledger.copies().map_err(unread)?;
    let proxied = match copies {
        true => Some(Arc::new(ledger.in_flight(Side::Records).map_err(unread)?)),
        false => None,
    };
    let told = Kernel::new(records.device.clone()).with(messenger);
    // Set once: nobody else has it yet.
    let _ = kernel.set(told.clone());
    let filesystem = RecordFs::new(engine, tree.clone(), ledger.mounted_at());
    let (record_session, record_proxy) =
        records.serve(filesystem, threads, proxied).map_err(failed("no session for the records", at))?;

    let controls = controls()?;
    let mut engine = Engine::new(Controls::new(model, options.gid));
    let mut log = ledger.log(Side::Controls).map_err(unread)?;
    if controls.succeeds {
        // Nothing of it is cached.
        let _ = engine.inherit(log.read().map_err(unread)?.0, age);
    }
    engine.keep(log);
    let in_flight = Arc::new(ledger.in_flight(Side::Controls).map_err(unread)?);
    let filesystem = ControlFs::new(
        Arc::new(engine),
        desk,
        tree.control_counter(),
        pollers,
        ledger.clone(),
        in_flight.clone(),
    );
    let (control_session, control_proxy) = controls
        .serve(filesystem, threads, Some(in_flight))
        .map_err(failed("no session for the control files", at))?;

    let took_over = records.succeeds;
    if took_over {
        resume(&told, &controls, copies, ledger);
        tree.tell(notices);
        tree.tidy();
    }
    let teller = teller.spawn().map_err(failed("no thread for notifications", at))?;
    Ok(Mounted {
        tree,
        at: at.to_owned(),
        ledger: ledger.clone(),
        devices: [records.device, controls.device],
        proxies: [control_proxy, record_proxy].into_iter().flatten().collect(),
        sessions: vec![control_session, record_session],
        teller: Some(teller),
        took_over,
        unmounted: false,
    })
}

fn inherit_records(engine: &mut Engine<Records>, log: &mut Log, age: u32) -> io::Result<Vec<Notice>> {
    let (mut seen, complete) = log.read()?;
    if complete {
        return Ok(engine.inherit(seen, age));
    }
    // Everything but the directory that the control files are mounted on, whose name the kernel must never be told to drop.
    let names =
        engine.layout().list(&engine.layout().root()).into_iter().map(|entry| entry.name.into_owned());
    let mut names: BTreeSet<_> = names.chain([PID_FILE.to_owned()]).collect();
    names.extend(seen.iter().filter(|seen| seen.parent == ROOT).map(|seen| seen.name.to_string()));
    names.remove(CONTROL_DIR);
    names.remove("");
    seen.retain(|seen| seen.parent == ROOT && &*seen.name == CONTROL_DIR);
    let mut notices = engine.inherit(seen, age);
    notices.extend(names.into_iter().map(|name| Notice::Entry { dir: ROOT, name: name.into() }));
    notices.push(Notice::Listing { dir: ROOT });
    Ok(notices)
}

/// Wakes those who wait for a dead process and have no request under way, and looks for lost ones.
fn resume(records: &Kernel, controls: &Connection, copies: bool, ledger: &Ledger) {
    if copies {
        // A request of our own ends the wait for the first one, behind which lost ones are looked for.
        records.ask(ledger.mountpoint());
        records.ask(&ledger.mountpoint().join(CONTROL_DIR));
    }
    let (kernel, last) = (Kernel::new(controls.device.clone()), ledger.polled());
    for poll in last.saturating_sub(POLLERS).max(1)..=last {
        let _ = kernel.wake(poll);
    }
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

impl Mounted {
    /// The handle that changes are told to.
    pub fn tree(&self) -> Tree {
        self.tree.clone()
    }

    /// Where it is mounted, without links.
    pub fn mountpoint(&self) -> &Path {
        &self.at
    }

    /// Whether it was another process's before.
    pub fn took_over(&self) -> bool {
        self.took_over
    }

    /// What another process needs to go on with the tree, should this one die. To be kept outside of it.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn handover(&self) -> io::Result<Handover> {
        let [records, controls] = &self.devices;
        Ok(Handover {
            records: records.as_fd().try_clone_to_owned()?,
            controls: controls.as_fd().try_clone_to_owned()?,
            ledger: self.ledger.fd().try_clone_to_owned()?,
        })
    }

    /// Leaves the tree mounted for a successor that has the [`handover`](Self::handover), and takes no more requests to control files. To be
    /// followed by the end of the process: until then, records are served on.
    pub fn leave(mut self) {
        self.unmounted = true;
        self.proxies.iter().for_each(|proxy| proxy.leave());
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
        self.release_writers();
        let deadline = Instant::now() + GRACE;
        let inner = self.detach(&self.at.join(CONTROL_DIR), deadline);
        let outer = self.detach(&self.at, deadline);
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

    fn release_writers(&self) {
        self.proxies.iter().for_each(|proxy| proxy.release_writers(libc::EINPROGRESS));
    }

    /// Unmounts `at`, waiting for it to become free until `deadline`, then detaches it.
    fn detach(&self, at: &Path, deadline: Instant) -> Result<(), MountError> {
        loop {
            // UMOUNT_NOFOLLOW: `at` was resolved when it was mounted.
            match umount2(at, MntFlags::UMOUNT_NOFOLLOW) {
                Ok(()) => return Ok(()),
                Err(Errno::EBUSY) if Instant::now() < deadline => {
                    self.release_writers();
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
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.take_down() {
            tracing::warn!(%error, "unmounting failed");
        }
    }
}

fn failed_to_unmount(at: &Path, e: Errno) -> MountError {
    MountError::io(format!("cannot unmount {}", at.display()), io::Error::from(e))
}
