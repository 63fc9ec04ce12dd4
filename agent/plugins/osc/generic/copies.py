"""Clones of files that the file server makes itself: by sharing blocks, or by copying where they are.

The client's part is FICLONE and copy_file_range(2), which NFS 4.2 hands to the server (RFC 7862, CLONE and COPY).
"""

import contextlib
import ctypes
import errno
import os
import stat
import uuid

from OSCPlugin import CloneFailedEx, FileSystemBusyEx, InvalidValueEx, NoSuchOperationEx
from osc.localfs import files, kernel

STEP = 1 << 30
can_share = kernel.can_share
_libc = ctypes.CDLL(None, use_errno=True)


def clone(root, source, target):
    """A new file at `target` with the content of `source`: whole when it has its name, and nothing if that fails.

    Whether blocks are shared is returned. Where they are copied, the source must not change meanwhile.
    """
    with files.opened(root, source) as fd, files.at(root, target) as place:
        if os.path.lexists(place):
            raise InvalidValueEx("%s exists already" % target)
        before = os.fstat(fd)
        spare = os.path.join(os.path.dirname(place), ".osc-%s" % uuid.uuid4().hex)
        new = os.open(spare, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            try:
                shared = kernel.reflink(fd, new)
                if not shared:
                    _copy(fd, new, before.st_size, source)
                    if _changes(os.fstat(fd)) != _changes(before):
                        raise CloneFailedEx("%s was written to while the server copied it: try again when nobody does"
                                            % source)
                with _where_it_may():
                    os.fchown(new, before.st_uid, before.st_gid)
                os.fchmod(new, stat.S_IMODE(before.st_mode))
                os.fsync(new)
            finally:
                os.close(new)
            with files.naming(target):
                os.link(spare, place)
        finally:
            with _where_it_may():
                os.unlink(spare)
        return shared


def _copy(source, target, size, name):
    try:
        call = _libc.copy_file_range
    except AttributeError:
        raise NoSuchOperationEx("the C library of this host has no copy_file_range, so that the server cannot be asked "
                                "to copy %s" % name)
    call.restype = ctypes.c_ssize_t
    left = size
    while left:
        done = call(ctypes.c_int(source), None, ctypes.c_int(target), None, ctypes.c_size_t(min(left, STEP)), ctypes.c_uint(0))
        if done < 0:
            number = ctypes.get_errno()
            if number == errno.EINTR:
                continue
            if number in kernel.NOT_HERE:
                raise NoSuchOperationEx("the server of %s neither shares blocks between files nor copies them" % name)
            raise OSError(number, os.strerror(number), name)
        if done == 0:
            break
        left -= done
    if left:
        raise CloneFailedEx("%s became shorter while the server copied it" % name)


def _changes(facts):
    return facts.st_size, facts.st_mtime, facts.st_ctime


@contextlib.contextmanager
def _where_it_may():
    """What a squashed root may not do, and a name that is gone, do no harm."""
    try:
        yield
    except OSError as refused:
        if refused.errno not in (errno.EPERM, errno.EACCES, errno.ENOENT, errno.EINVAL):
            raise


def remove(root, path, places):
    """Removes a file that no process of this host has open, or an empty directory."""
    with files.at(root, files.own(path)) as place:
        try:
            if stat.S_ISDIR(os.lstat(place).st_mode):
                os.rmdir(place)
                return
            users = _users([os.path.join(mount, path) for mount in places])
            if users:
                raise FileSystemBusyEx("%s is in use by %s" % (path, ", ".join(users)))
            os.unlink(place)
        except OSError as wrong:
            if wrong.errno in (errno.ENOENT, errno.ENAMETOOLONG):
                raise InvalidValueEx("there is no %s in the file system" % path)
            if wrong.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise FileSystemBusyEx("the directory %s is not empty" % path)
            if wrong.errno == errno.EBUSY:
                raise FileSystemBusyEx("%s is in use: %s" % (path, wrong.strerror))
            raise


def _users(paths):
    """Who on this host has one of the paths open. Only names are compared: an NFS 4 lease would not tell."""
    found = []
    for name in os.listdir("/sys/block"):
        try:
            with open("/sys/block/%s/loop/backing_file" % name) as said:
                if said.read().rstrip("\n") in paths:
                    found.append("/dev/" + name)
        except (IOError, OSError):
            continue  # no loop device, or not attached
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) == os.getpid():
            continue
        if any(_link("/proc/%s/fd/%s" % (pid, fd)) in paths for fd in _open_files(pid)):
            found.append("process " + pid)
    return found


def _open_files(pid):
    try:
        return os.listdir("/proc/%s/fd" % pid)
    except OSError:
        return []  # it ended


def _link(path):
    try:
        return os.readlink(path)
    except OSError:
        return None  # it was closed
