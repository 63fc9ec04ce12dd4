//! The record connection's kernel adapter: translates requests into calls of the engine and answers back, nothing else.
//!
//! Everything is cached until a notification says otherwise, names that do not exist excepted. Nothing is ever opened here
//! (FUSE_NO_OPEN_SUPPORT), so that reading what the kernel has costs no request.

mod control;

use std::ffi::OsStr;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};

use crate::engine::{Attr, Engine, Kind, Layout};
use crate::fault;
use crate::proxy::MAX_WRITE;
use crate::stats::{Count, Stats};
use crate::storage::Records;
use crate::tree::Tree;

pub use control::{ControlFs, Pollers};

/// "Never": ten years, which every kernel's jiffies hold.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Inode number of a listed name that the kernel has not looked up (FUSE_UNKNOWN_INO of libfuse).
const UNKNOWN_INO: u64 = 0xffff_ffff;
/// Positions of `.` and `..`; those of names begin above.
const DOTS: [(u64, &str); 2] = [(1, "."), (2, "..")];
const BLOCK: u64 = 512;

/// Serves the record tree.
#[derive(Debug)]
pub struct RecordFs {
    engine: Arc<Engine<Records>>,
    tree: Tree,
    stats: Arc<Stats>,
    born: SystemTime,
}

impl RecordFs {
    /// An adapter for the engine of `tree`, which was mounted at `born`.
    pub fn new(engine: Arc<Engine<Records>>, tree: Tree, born: SystemTime) -> Self {
        Self { engine, stats: tree.record_counter(), tree, born }
    }
}

fn errno(errno: i32) -> Errno {
    Errno::from_i32(errno)
}

fn kind(kind: Kind) -> FileType {
    match kind {
        Kind::Dir => FileType::Directory,
        Kind::File => FileType::RegularFile,
        Kind::Link => FileType::Symlink,
    }
}

/// Owned by root; a directory's link count of 1 says "not counted" (find(1) relies on it).
fn file_attr(attr: &Attr, born: SystemTime) -> FileAttr {
    let time = born + Duration::from_secs(attr.born.into());
    FileAttr {
        ino: INodeNo(attr.ino),
        size: attr.size,
        blocks: attr.size.div_ceil(BLOCK),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: kind(attr.kind),
        perm: attr.perm,
        nlink: 1,
        uid: 0,
        gid: attr.gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

/// Fills a listing from `offset` on, `.` and `..` first; entries of `..` come from the kernel itself.
fn fill_names<L: Layout>(engine: &Engine<L>, dir: u64, offset: u64, mut reply: ReplyDirectory) {
    let listing = match engine.list(dir, offset) {
        Ok(listing) => listing,
        Err(e) => return reply.error(errno(e)),
    };
    for (position, name) in DOTS {
        let ino = if position == 1 { dir } else { engine.parent(dir) };
        if position > offset && reply.add(INodeNo(ino), position, FileType::Directory, name) {
            return reply.ok();
        }
    }
    for entry in listing.after(offset) {
        let ino = engine.known(dir, &entry.name).unwrap_or(UNKNOWN_INO);
        if reply.add(INodeNo(ino), entry.position, kind(entry.kind), &*entry.name) {
            break;
        }
    }
    reply.ok();
}

impl Filesystem for RecordFs {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = InitFlags::FUSE_NO_OPEN_SUPPORT
            | InitFlags::FUSE_NO_OPENDIR_SUPPORT
            | InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_READDIRPLUS_AUTO
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_CACHE_SYMLINKS
            | InitFlags::FUSE_EXPLICIT_INVAL_DATA;
        // Kernels of before 5.1 lack some; they ask more often, and all else is the same.
        let _ = config.add_capabilities(wanted & config.capabilities());
        // Nobody writes here, but every buffer for requests has to have room.
        let _ = config.set_max_write(MAX_WRITE as u32);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.stats.add(Count::Lookup);
        fault::point("record-served");
        let found = name.to_str().ok_or(libc::ENOENT).and_then(|name| self.engine.lookup(parent.0, name));
        if self.engine.wants_tidying() {
            self.tree.tidy();
        }
        fault::point("record-looked-up");
        match found {
            Ok(attr) => reply.entry(&FOREVER, &file_attr(&attr, self.born), Generation(0)),
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
            Ok(attr) => reply.attr(&FOREVER, &file_attr(&attr, self.born)),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        self.stats.add(Count::Readlink);
        match self.engine.readlink(ino.0) {
            Ok(target) => reply.data(target.as_bytes()),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.stats.add(Count::Open);
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.stats.add(Count::Read);
        fault::point("record-read");
        let mut reply = Some(reply);
        // Taken once: either here or below.
        let sent = self.engine.read(ino.0, offset, size, |bytes| reply.take().map(|reply| reply.data(bytes)));
        if let (Err(e), Some(reply)) = (sent, reply) {
            reply.error(errno(e));
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        self.stats.add(Count::Flush);
        reply.error(Errno::ENOSYS);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.stats.add(Count::Opendir);
        reply.error(Errno::ENOSYS);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, reply: ReplyDirectory) {
        self.stats.add(Count::Readdir);
        fill_names(&self.engine, ino.0, offset, reply);
    }

    fn readdirplus(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.stats.add(Count::Readdirplus);
        fault::point("record-listed");
        let listing = match self.engine.list(ino.0, offset) {
            Ok(listing) => listing,
            Err(e) => return reply.error(errno(e)),
        };
        for (position, name) in DOTS {
            let dot = if position == 1 { ino.0 } else { self.engine.parent(ino.0) };
            // The kernel takes no reference to the dots.
            if position > offset
                && let Ok(attr) = self.engine.attr(dot)
                && reply.add(
                    INodeNo(dot),
                    position,
                    name,
                    &FOREVER,
                    &file_attr(&attr, self.born),
                    Generation(0),
                )
            {
                return reply.ok();
            }
        }
        if offset == 0 && !listing.leads_on() {
            // Inodes for a listing are worth their memory, here and in the kernel, where the next step is into each of them. Elsewhere the
            // kernel, having got the dots, asks for names alone.
            return reply.ok();
        }
        for entry in listing.after(offset) {
            // What is gone since it was listed is left out.
            let Ok(attr) = self.engine.lookup(ino.0, &entry.name) else {
                continue;
            };
            let full = reply.add(
                INodeNo(attr.ino),
                entry.position,
                &*entry.name,
                &FOREVER,
                &file_attr(&attr, self.born),
                Generation(0),
            );
            if full {
                self.engine.forget(attr.ino, 1);
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.stats.add(Count::Statfs);
        reply.statfs(0, 0, 0, self.engine.inodes() as u64, 0, BLOCK as u32, 255, BLOCK as u32);
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

    // The mount is read-only: the kernel refuses whatever would change it, with EROFS, before it gets here.
}
