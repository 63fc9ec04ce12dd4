//! How long the requests that a connection is answering have been in hand: what a watchdog asks, since a thread that is stuck can only be
//! told from one that waits for the kernel by what it holds. (Asking the mount itself would be a request that nobody answers where
//! everything is stuck, and whoever waits for it cannot even be killed.)

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use fuser::*;

use crate::fault;

/// More than a connection has threads.
const HANDS: usize = 64;

/// What the threads of one connection hold.
#[derive(Debug)]
pub struct Hands {
    since: Instant,
    /// When each was taken, in milliseconds after `since`; 0 is an empty hand.
    taken: [AtomicU64; HANDS],
}

impl Default for Hands {
    fn default() -> Self {
        Self { since: Instant::now(), taken: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Hands {
    /// How long the oldest request has been in hand; zero where there is none.
    pub fn longest(&self) -> Duration {
        let now = self.now();
        let taken = self.taken.iter().map(|hand| hand.load(Ordering::Relaxed)).filter(|at| *at > 0);
        taken.map(|at| Duration::from_millis(now.saturating_sub(at))).max().unwrap_or_default()
    }

    /// Never 0.
    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    fn take(&self) -> Held<'_> {
        let now = self.now();
        let free =
            |hand: &&AtomicU64| hand.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        Held(self.taken.iter().find(free))
    }
}

/// A request in hand.
struct Held<'a>(Option<&'a AtomicU64>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(hand) = self.0 {
            hand.store(0, Ordering::Relaxed);
        }
    }
}

/// A file system that counts what it has in hand.
#[derive(Debug)]
pub struct Watched<F> {
    inner: F,
    name: &'static str,
    hands: Arc<Hands>,
}

impl<F> Watched<F> {
    /// `inner`, which a test knows as `name`, with what it has in hand in `hands`.
    pub fn new(inner: F, name: &'static str, hands: Arc<Hands>) -> Self {
        Self { inner, name, hands }
    }
}

macro_rules! watched {
    ($($request:ident($($arg:ident: $ty:ty),*);)*) => {
        impl<F: Filesystem> Filesystem for Watched<F> {
            fn init(&mut self, request: &Request, config: &mut KernelConfig) -> io::Result<()> {
                self.inner.init(request, config)
            }

            fn destroy(&mut self) {
                self.inner.destroy();
            }

            // Programs ask every file that they open whether it is a terminal.
            fn ioctl(&self, _: &Request, _: INodeNo, _: FileHandle, _: IoctlFlags, _: u32, _: &[u8], _: u32, reply: ReplyIoctl) {
                reply.error(Errno::ENOTTY);
            }

            $(fn $request(&self, request: &Request, $($arg: $ty),*) {
                let _held = self.hands.take();
                fault::hang(self.name);
                self.inner.$request(request, $($arg),*);
            })*
        }
    };
}

// Every request of linux/fuse.h that comes from Linux; several forgets in one come as one each.
watched! {
    lookup(parent: INodeNo, name: &OsStr, reply: ReplyEntry);
    forget(ino: INodeNo, count: u64);
    getattr(ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr);
    setattr(ino: INodeNo, mode: Option<u32>, uid: Option<u32>, gid: Option<u32>, size: Option<u64>, atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>, ctime: Option<SystemTime>, fh: Option<FileHandle>, crtime: Option<SystemTime>, chgtime: Option<SystemTime>,
        bkuptime: Option<SystemTime>, flags: Option<BsdFileFlags>, reply: ReplyAttr);
    readlink(ino: INodeNo, reply: ReplyData);
    mknod(parent: INodeNo, name: &OsStr, mode: u32, umask: u32, rdev: u32, reply: ReplyEntry);
    mkdir(parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry);
    unlink(parent: INodeNo, name: &OsStr, reply: ReplyEmpty);
    rmdir(parent: INodeNo, name: &OsStr, reply: ReplyEmpty);
    symlink(parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry);
    rename(parent: INodeNo, name: &OsStr, to: INodeNo, new_name: &OsStr, flags: RenameFlags, reply: ReplyEmpty);
    link(ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry);
    open(ino: INodeNo, flags: OpenFlags, reply: ReplyOpen);
    read(ino: INodeNo, fh: FileHandle, offset: u64, size: u32, flags: OpenFlags, owner: Option<LockOwner>, reply: ReplyData);
    write(ino: INodeNo, fh: FileHandle, offset: u64, data: &[u8], write: WriteFlags, flags: OpenFlags, owner: Option<LockOwner>,
        reply: ReplyWrite);
    flush(ino: INodeNo, fh: FileHandle, owner: LockOwner, reply: ReplyEmpty);
    release(ino: INodeNo, fh: FileHandle, flags: OpenFlags, owner: Option<LockOwner>, flush: bool, reply: ReplyEmpty);
    fsync(ino: INodeNo, fh: FileHandle, data: bool, reply: ReplyEmpty);
    opendir(ino: INodeNo, flags: OpenFlags, reply: ReplyOpen);
    readdir(ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectory);
    readdirplus(ino: INodeNo, fh: FileHandle, offset: u64, reply: ReplyDirectoryPlus);
    releasedir(ino: INodeNo, fh: FileHandle, flags: OpenFlags, reply: ReplyEmpty);
    fsyncdir(ino: INodeNo, fh: FileHandle, data: bool, reply: ReplyEmpty);
    statfs(ino: INodeNo, reply: ReplyStatfs);
    setxattr(ino: INodeNo, name: &OsStr, value: &[u8], flags: i32, position: u32, reply: ReplyEmpty);
    getxattr(ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr);
    listxattr(ino: INodeNo, size: u32, reply: ReplyXattr);
    removexattr(ino: INodeNo, name: &OsStr, reply: ReplyEmpty);
    access(ino: INodeNo, mask: AccessFlags, reply: ReplyEmpty);
    create(parent: INodeNo, name: &OsStr, mode: u32, umask: u32, flags: i32, reply: ReplyCreate);
    getlk(ino: INodeNo, fh: FileHandle, owner: LockOwner, start: u64, end: u64, ty: i32, pid: u32, reply: ReplyLock);
    setlk(ino: INodeNo, fh: FileHandle, owner: LockOwner, start: u64, end: u64, ty: i32, pid: u32, sleep: bool, reply: ReplyEmpty);
    bmap(ino: INodeNo, size: u32, index: u64, reply: ReplyBmap);
    poll(ino: INodeNo, fh: FileHandle, notifier: PollNotifier, events: PollEvents, flags: PollFlags, reply: ReplyPoll);
    fallocate(ino: INodeNo, fh: FileHandle, offset: u64, length: u64, mode: i32, reply: ReplyEmpty);
    lseek(ino: INodeNo, fh: FileHandle, offset: i64, whence: i32, reply: ReplyLseek);
    copy_file_range(ino: INodeNo, fh: FileHandle, offset: u64, to: INodeNo, to_fh: FileHandle, to_offset: u64, length: u64,
        flags: CopyFileRangeFlags, reply: ReplyWrite);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_hand_is_seen_until_it_is_answered() {
        let hands = Hands::default();
        assert_eq!(hands.longest(), Duration::ZERO);
        let (first, second) = (hands.take(), hands.take());
        std::thread::sleep(Duration::from_millis(5));
        drop(second);
        assert!(hands.longest() > Duration::ZERO);
        drop(first);
        assert_eq!(hands.longest(), Duration::ZERO);
    }

    #[test]
    fn more_than_there_are_hands_for_is_no_harm() {
        let hands = Hands::default();
        let held: Vec<_> = (0..HANDS + 3).map(|_| hands.take()).collect();
        drop(held);
        assert_eq!(hands.longest(), Duration::ZERO);
    }
}
