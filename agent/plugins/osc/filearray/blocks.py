"""Data files: making them, copying them (by reflink where the file system can), and taking shared blocks apart.

Everything raises IOError or OSError; the caller knows which element it was about.
"""

import ctypes
import errno
import os
import time

from osc.localfs.kernel import NOT_HERE, can_share, nameless, reflink

__all__ = ["allocated", "can_reflink", "copy", "create", "extents", "reflink", "unshare", "unshares_in_place"]
SEEK_DATA, SEEK_HOLE = 3, 4     # unistd.h; Python 2 has no names for them
FALLOC_FL_UNSHARE_RANGE = 0x40  # linux/falloc.h
FALLOC_FL_KEEP_SIZE = 0x01
CHUNK = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)


def create(path, size):
    """A new sparse file of `size` bytes, open and durable but for its directory entry; returns its descriptor."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.ftruncate(fd, size)
        os.fsync(fd)
    except BaseException:
        os.close(fd)
        os.unlink(path)
        raise
    return fd


def can_reflink(folder):
    """Whether files in `folder` can share blocks."""
    try:
        return can_share(folder)
    except (IOError, OSError):
        return False


def extents(fd, start, size):
    """The ranges of the file from `start` on that hold data; all of it where the file system cannot tell."""
    while start < size:
        try:
            begin = os.lseek(fd, start, SEEK_DATA)
            start = min(os.lseek(fd, begin, SEEK_HOLE), size)
        except OSError as refused:
            if refused.errno == errno.ENXIO:
                return  # a hole up to the end of the file
            begin, start = start, size
        if begin < start:
            yield begin, start


def copy(source, target):
    """Copies `source` to the empty open file `target`, holes as holes, and syncs it."""
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    for start, end in extents(source, 0, size):
        _copy_range(source, target, start, end)
    os.fsync(target)


def _copy_range(source, target, start, end):
    while start < end:
        os.lseek(source, start, os.SEEK_SET)
        data = os.read(source, min(CHUNK, end - start))
        if not data:
            raise IOError(errno.EIO, "the file became shorter while it was read")
        if source == target or data.count(b"\0") != len(data):
            os.lseek(target, start, os.SEEK_SET)
            view = memoryview(data)
            while len(view):
                view = view[os.write(target, view):]
        start += len(data)


def unshare(fd, start, most_bytes, most_seconds):
    """Gives the file blocks of its own from `start` on, at most so many bytes of data or seconds; returns where it got to.

    In place, and its content never changes, so that it may be cut off anywhere. Where the file system has no
    FALLOC_FL_UNSHARE_RANGE (btrfs), the same bytes are written again: then nobody else may write meanwhile.
    """
    size = os.fstat(fd).st_size
    done, deadline = 0, time.time() + most_seconds
    for begin, end in extents(fd, start, size):
        while begin < end:
            step = min(end - begin, 16 * CHUNK, most_bytes)
            if not _fallocate_unshare(fd, begin, step):
                _copy_range(fd, fd, begin, begin + step)
            begin += step
            done += step
            if done >= most_bytes or time.time() >= deadline:
                os.fsync(fd)
                return begin
    os.fsync(fd)
    return size


def _fallocate_unshare(fd, start, length):
    mode = FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE
    while _libc.fallocate64(fd, mode, ctypes.c_longlong(start), ctypes.c_longlong(length)) != 0:
        wrong = ctypes.get_errno()
        if wrong in NOT_HERE:
            return False
        if wrong != errno.EINTR:
            raise IOError(wrong, os.strerror(wrong))
    return True


def unshares_in_place(folder):
    """Whether blocks can be unshared below a running writer: a nameless file tells."""
    try:
        fd = nameless(folder)
    except (IOError, OSError):
        return False
    try:
        os.ftruncate(fd, 4096)
        return _fallocate_unshare(fd, 0, 4096)
    except (IOError, OSError):
        return False
    finally:
        os.close(fd)


def allocated(path_or_fd):
    """Bytes that the file occupies, blocks shared with others included, nothing beyond its size."""
    facts = os.fstat(path_or_fd) if isinstance(path_or_fd, int) else os.stat(path_or_fd)
    return min(facts.st_blocks * 512, facts.st_size)
