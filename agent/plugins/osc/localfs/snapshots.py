"""Snapshots and clones of files, made by sharing their blocks: each appears whole or not at all."""

import contextlib
import errno
import fcntl
import os
import stat
import uuid

from OSCPlugin import IFileSystemPlugin, InvalidValueEx, NoSuchOperationEx

from . import kernel
from .files import TYPE_MARK, refuse_in_use
from .paths import SNAPS, at, folder, naming, opened, own, snapshot_of, sync


def duplicate(root, source, target, mode, mark=None, make=False):
    """A new file at `target` that shares the blocks of `source`: whole when it appears, and nothing is left if it does not.

    It has that mode, or mode and owner of the source."""
    with opened(root, source) as fd, at(root, target, make) as place, _unnamed(root, os.path.dirname(place)) as new:
        _fill(new, fd, source, mode, mark)
        with naming(target):
            kernel.link_nameless(new, place)
        sync(os.path.dirname(place))


@contextlib.contextmanager
def _unnamed(root, place):
    """A descriptor of a new file that is to get its name in the directory `place`; without one, it is gone in the end.

    Where the file system has no nameless files (OCFS2), it has a hidden name meanwhile, which the next sweep removes
    should the process die."""
    try:
        fd = os.open(place, kernel.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as wrong:
        if wrong.errno not in kernel.NO_TMPFILE:
            raise
    else:
        try:
            yield fd
        finally:
            os.close(fd)
        return
    with folder(root, SNAPS, make=True) as spare:
        _sweep(spare)
        fd, hidden = _locked(spare)
        try:
            yield fd
        finally:
            os.unlink(hidden)
            os.close(fd)


def _locked(spare):
    while True:
        hidden = _hidden_name(spare)
        fd = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink:
                return fd, hidden
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)  # another's sweep was faster than the lock


def _hidden_name(spare):
    return "%s/.new-%s" % (spare, uuid.uuid4().hex)


def _fill(new, fd, source, mode, mark=None):
    if not kernel.reflink(fd, new):
        raise NoSuchOperationEx("this file system cannot share blocks between files (no reflink), so that there is no "
                                "snapshot or clone of %s" % source)
    if mark:
        kernel.set_attribute(new, TYPE_MARK, mark)
    if mode is None:
        status = os.fstat(fd)
        os.fchown(new, status.st_uid, status.st_gid)
        mode = stat.S_IMODE(status.st_mode)
    os.fchmod(new, mode)
    os.fsync(new)


def remove(root, path):
    if snapshot_of(path) is None:
        raise InvalidValueEx("%s is not the path of a snapshot" % path)
    with at(root, path) as place:
        try:
            if not stat.S_ISREG(os.lstat(place).st_mode):
                raise InvalidValueEx("%s is not a snapshot" % path)
            refuse_in_use(place, path)
            os.unlink(place)
        except OSError as wrong:
            if wrong.errno == errno.ENOENT:
                raise InvalidValueEx("there is no snapshot %s" % path)
            raise
        sync(os.path.dirname(place))
    # Directories that hold nothing any more go too, from the inside out.
    above = path.rpartition("/")[0]
    while above:
        try:
            with at(root, above) as place:
                os.rmdir(place)
        except (OSError, InvalidValueEx):
            return
        above = above.rpartition("/")[0]


def restore(root, path, snap):
    """Puts the snapshot's content in the place of a file that nobody has open."""
    if snapshot_of(snap) != path:
        raise InvalidValueEx("%s is not a snapshot of %s" % (snap, path))
    with opened(root, snap) as source, at(root, own(path)) as place, folder(root, SNAPS) as spare:
        facts = os.lstat(place)
        if not stat.S_ISREG(facts.st_mode):
            raise InvalidValueEx("%s is no regular file" % path)
        refuse_in_use(place, path)
        _sweep(spare)
        with _unnamed(root, spare) as new:
            _fill(new, source, snap, stat.S_IMODE(facts.st_mode))
            fcntl.flock(new, fcntl.LOCK_EX)
            os.fchown(new, facts.st_uid, facts.st_gid)
            os.fsync(new)
            unfinished = _hidden_name(spare)
            kernel.link_nameless(new, unfinished)
            os.rename(unfinished, place)
        sync(os.path.dirname(place))


def _sweep(spare):
    """Removes what a call that was killed before its file had its name left."""
    for name in os.listdir(spare):
        if name.startswith(".new-"):
            fd = os.open(spare + "/" + name, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(spare + "/" + name)
            except (IOError, OSError):
                pass  # it is being used this moment
            finally:
                os.close(fd)


def count(root, kind):
    """How many snapshots or clones the file system holds: a walk through all of it, or through the snapshots alone."""
    total = 0
    for place, folders, names in os.walk(os.path.join(root, SNAPS) if kind == IFileSystemPlugin.SnapType else root):
        folders[:] = [name for name in folders if kind == IFileSystemPlugin.SnapType or name != SNAPS or place != root]
        for name in names:
            if kind == IFileSystemPlugin.SnapType:
                total += place.endswith("@") and not name.startswith(".")
            else:
                total += kernel.get_attribute(os.path.join(place, name), TYPE_MARK) in ("Clone", "SnapClone")
    return total
