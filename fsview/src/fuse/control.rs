//! The control connection's kernel adapter: real opens, every read and write straight to the [`Desk`], nothing cached.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, Errno, FileAttr, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen,
    ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::{BLOCK, errno, file_attr, fill_names};
use crate::control::Desk;
use crate::engine::{Attr, Body, Engine};
use crate::fault;
use crate::handover::{InFlight, Ledger};
use crate::model::{Caller, PAYLOAD_MAX};
use crate::proxy::MAX_WRITE;
use crate::stats::{Count, Stats};
use crate::storage::{Controls, Place};

/// Every walk asks: inodes of control files are never shared, and there is nothing to invalidate.
const NOT_CACHED: Duration = Duration::ZERO;
/// Of a control file, in bytes.
const SHOWN_SIZE: u64 = 4096;

/// Readers of events that wait for more.
pub type Pollers = Arc<Mutex<Vec<PollNotifier>>>;

/// Serves the control files.
#[derive(Debug)]
pub struct ControlFs {
    engine: Arc<Engine<Controls>>,
    desk: Arc<Desk>,
    stats: Arc<Stats>,
    pollers: Pollers,
    ledger: Ledger,
    in_flight: Arc<InFlight>,
    polled: AtomicU64,
}

impl ControlFs {
    /// An adapter that counts into `stats`, leaves those who poll in `pollers`, and marks requests in `in_flight` that have become operations.
    pub fn new(
        engine: Arc<Engine<Controls>>,
        desk: Arc<Desk>,
        stats: Arc<Stats>,
        pollers: Pollers,
        ledger: Ledger,
        in_flight: Arc<InFlight>,
    ) -> Self {
        let polled = AtomicU64::new(ledger.polled());
        Self { engine, desk, stats, pollers, ledger, in_flight, polled }
    }

    /// The descriptor, which a predecessor may have opened.
    fn opened(&self, ino: INodeNo, fh: FileHandle) -> u64 {
        self.desk.know(fh.0, || self.place(ino.0));
        fh.0
    }

    fn place(&self, ino: u64) -> Option<Place> {
        match self.engine.node(ino).ok()?.body {
            Body::Control(place) => Some(place),
            _ => None,
        }
    }

    fn attr(&self, attr: &Attr) -> FileAttr {
        let mut file = file_attr(attr, self.ledger.mounted_at());
        match self.place(attr.ino) {
            Some(Place::Events) => {
                file.size = self.desk.events().size();
                file.mtime = SystemTime::now();
            }
            // The size of a sysfs file: room for an ordinary write, which would take the file's lock if it extended it, and small enough for
            // tail(1) to read what is there instead of seeking to an end that is not. The block size makes stdio buffer as much as
            // it ever does, 8 KiB.
            Some(_) => {
                file.size = SHOWN_SIZE;
                file.blksize = PAYLOAD_MAX as u32;
            }
            None => {}
        }
        file.blocks = 0;
        file
    }
}

impl Filesystem for ControlFs {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS & config.capabilities());
        // Above a payload's limit, so that what is too long arrives whole enough to be refused instead of in pieces.
        let _ = config.set_max_write(MAX_WRITE as u32);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.stats.add(Count::Lookup);
        match name.to_str().ok_or(libc::ENOENT).and_then(|name| self.engine.lookup(parent.0, name)) {
            Ok(attr) => reply.entry(&NOT_CACHED, &self.attr(&attr), Generation(0)),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn forget(&self, _: &Request, ino: INodeNo, count: u64) {
        self.stats.add(Count::Forget);
        self.engine.forget(ino.0, count);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.stats.add(Count::Getattr);
        match self.engine.attr(ino.0) {
            Ok(attr) => reply.attr(&NOT_CACHED, &self.attr(&attr)),
            Err(e) => reply.error(errno(e)),
        }
    }

    /// Truncation and new times come with every `echo x > file` and mean nothing; owner and mode are not for changing.
    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        self.stats.add(Count::Setattr);
        if mode.is_some() || uid.is_some() || gid.is_some() {
            return reply.error(Errno::EPERM);
        }
        match self.engine.attr(ino.0) {
            Ok(attr) => reply.attr(&NOT_CACHED, &self.attr(&attr)),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.stats.add(Count::Open);
        if self.engine.wants_tidying() {
            self.engine.tidy();
        }
        match self.place(ino.0) {
            Some(place) => {
                let flags = FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES;
                reply.opened(FileHandle(self.desk.open(place)), flags);
            }
            None => reply.error(Errno::ESTALE),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.stats.add(Count::Release);
        self.desk.close(fh.0);
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        self.stats.add(Count::Flush);
        reply.error(Errno::ENOSYS);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.stats.add(Count::Other);
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.stats.add(Count::Read);
        match self.desk.read(self.opened(ino, fh), offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.stats.add(Count::Write);
        let caller = Caller { uid: request.uid(), gid: request.gid(), pid: request.pid() };
        let nonblock = flags.0 & libc::O_NONBLOCK != 0;
        let answer = move |result| match result {
            Ok(taken) => reply.written(taken),
            Err(e) => reply.error(errno(e)),
        };
        let fh = self.opened(ino, fh);
        fault::point("control-served");
        let (in_flight, unique) = (self.in_flight.clone(), request.unique().0);
        let begun = move || {
            in_flight.begin(unique);
            fault::point("control-begun");
        };
        self.desk.write(fh, offset, data, nonblock, caller, Box::new(begun), Box::new(answer));
        fault::point("control-commanded");
    }

    fn poll(
        &self,
        _: &Request,
        ino: INodeNo,
        fh: FileHandle,
        notifier: PollNotifier,
        events: PollEvents,
        flags: PollFlags,
        reply: ReplyPoll,
    ) {
        self.stats.add(Count::Poll);
        if flags.contains(PollFlags::FUSE_POLL_SCHEDULE_NOTIFY) {
            let handle = notifier.handle().0;
            if self.polled.fetch_max(handle, Ordering::Relaxed) < handle {
                self.ledger.set_polled(handle);
            }
            let mut pollers = self.pollers.lock().unwrap_or_else(PoisonError::into_inner);
            pollers.retain(|other| other.handle().0 != handle);
            pollers.push(notifier);
        }
        let mut ready = PollEvents::POLLOUT | PollEvents::POLLWRNORM;
        if self.desk.readable(self.opened(ino, fh)) {
            ready |= PollEvents::POLLIN | PollEvents::POLLRDNORM;
        }
        reply.poll(ready & events);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, reply: ReplyDirectory) {
        self.stats.add(Count::Readdir);
        fill_names(&self.engine, ino.0, offset, reply);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.stats.add(Count::Statfs);
        reply.statfs(0, 0, 0, self.engine.inodes() as u64, 0, BLOCK as u32, 255, BLOCK as u32);
    }

    fn lseek(&self, _: &Request, _: INodeNo, _: FileHandle, _: i64, _: i32, reply: ReplyLseek) {
        self.stats.add(Count::Other);
        reply.error(Errno::ENOSYS);
    }

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        self.stats.add(Count::Other);
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        self.stats.add(Count::Other);
        reply.error(Errno::ENOSYS);
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        self.stats.add(Count::Other);
        reply.error(Errno::ENOSYS);
    }

    fn create(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        self.stats.add(Count::Other);
        reply.error(Errno::EPERM);
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        self.stats.add(Count::Other);
        reply.error(Errno::EPERM);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        self.stats.add(Count::Other);
        reply.error(Errno::EPERM);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        self.stats.add(Count::Other);
        reply.error(Errno::EPERM);
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        self.stats.add(Count::Other);
        reply.error(Errno::EPERM);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        self.stats.add(Count::Other);
        reply.error(Errno::EPERM);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        self.stats.add(Count::Other);
        reply.error(Errno::EPERM);
    }

    fn rename(
        &self,
        _: &Request,
        _: INodeNo,
        _: &OsStr,
        _: INodeNo,
        _: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.stats.add(Count::Other);
        reply.error(Errno::EPERM);
    }
}
