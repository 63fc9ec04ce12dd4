"""Files of a mounted file system: reached without ever leaving it, described, snapshotted and cloned by sharing their blocks.

    <root>/.osc-snap/<directory of the file>/<file>@/<snapshot>     where the snapshots of <directory>/<file> are

Every path is walked one component at a time, links are not followed, and other file systems are not entered: a guest that plants
a link or a mount in its directory gains nothing.
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
import uuid

from OSCPlugin import (
    FileSystemBusyEx, IFileSystemPlugin, InvalidValueEx, NoSuchOperationEx, ValueFormatEx)

from . import kernel

SNAPS = ".osc-snap"
TYPE_MARK, PARENT_MARK = "user.osc.type", "parent"
NAME_BYTES = 64
_TYPES = (
    (stat.S_ISREG, IFileSystemPlugin.FileType), (stat.S_ISDIR, IFileSystemPlugin.DirType),
    (stat.S_ISLNK, IFileSystemPlugin.SymLinkType), (stat.S_ISCHR, IFileSystemPlugin.CharDevType),
    (stat.S_ISBLK, IFileSystemPlugin.BlkDevType), (stat.S_ISFIFO, IFileSystemPlugin.FifoType),
    (stat.S_ISSOCK, IFileSystemPlugin.SockFileType),
)


def native(value):
    """`value` as this Python's own `str`, UTF-8 bytes in Python 2."""
    if str is bytes:
        return value.encode("utf-8") if isinstance(value, unicode) else str(value)  # noqa: F821
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


def relative(path, places):
    """The path below the file system's root: a mount point in front of it is cut off, ".." is refused. "" is the root."""
    path = native(path or "")
    if "\0" in path:
        raise InvalidValueEx("a path cannot contain a zero byte")
    for place in sorted(places, key=len, reverse=True):
        if path == place or path.startswith(place.rstrip("/") + "/"):
            path = path[len(place):]
            break
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidValueEx("%s leads out of the file system: '..' is not allowed" % path)
    return "/".join(parts)


def own(path):
    """The path, unless it lies where the snapshots are kept."""
    if path.split("/")[0] == SNAPS:
        raise InvalidValueEx("%s holds snapshots: use the methods for snapshots" % SNAPS)
    return path


@contextlib.contextmanager
def folder(root, path, make=False):
    """The directory at `path` below `root`, as a path that stays valid and safe: /proc/self/fd/N."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        kin = os.fstat(fd).st_dev
        for part in [part for part in path.split("/") if part]:
            step = "/proc/self/fd/%d/%s" % (fd, part)
            if make:
                try:
                    os.mkdir(step, 0o700)
                except OSError as there:
                    if there.errno != errno.EEXIST:
                        raise
            try:
                deeper = os.open(step, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except OSError as wrong:
                if wrong.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.ENAMETOOLONG):
                    raise InvalidValueEx("%s: %s is not a directory of this file system (links are not followed)" % (path, part))
                raise
            os.close(fd)
            fd = deeper
            if os.fstat(fd).st_dev != kin:
                raise InvalidValueEx("%s: another file system begins at %s" % (path, part))
        yield "/proc/self/fd/%d" % fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def at(root, path, make=False):
    """The file at `path` as a safe path to use at once; the file itself may be a link or missing."""
    if not path:
        raise InvalidValueEx("a path below the root of the file system is needed")
    above, _, name = path.rpartition("/")
    with folder(root, above, make) as place:
        yield place + "/" + name


@contextlib.contextmanager
def opened(root, path, flags=os.O_RDONLY):
    """A descriptor of the regular file at `path`. Raises InvalidValueEx where there is none."""
    with at(root, path) as place:
        try:
            fd = os.open(place, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as wrong:
            if wrong.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.ENAMETOOLONG):
                raise InvalidValueEx("%s is no file of this file system" % path)
            raise
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise InvalidValueEx("%s is no regular file" % path)
        yield fd
    finally:
        os.close(fd)


def record(root, path, fs_uuid, given=None):
    """The file_record of what is at `path` ("" is the root). Raises InvalidValueEx where nothing is."""
    if path:
        with at(root, path) as place:
            return _record(place, path, fs_uuid, given)
    return _record(root, path, fs_uuid, given)


def _record(place, path, fs_uuid, given=None):
    try:
        facts = os.lstat(place)
    except OSError as wrong:
        if wrong.errno in (errno.ENOENT, errno.ENAMETOOLONG):
            raise InvalidValueEx("there is no %s in the file system" % path)
        raise
    kind = [name for test, name in _TYPES if test(facts.st_mode)][0]
    result = dict(given or {})
    result.update(fr_type=kind, file_path=path, file_sz=facts.st_size, ondisk_sz=facts.st_blocks * 512,
                  fs_uuid=(given or {}).get("fs_uuid") or fs_uuid)
    for transient in ("async_handle", "async_progress", "shared_sz"):
        result.pop(transient, None)
    if kind == IFileSystemPlugin.SymLinkType:
        result["dest_path"] = os.readlink(place)
    elif kind == IFileSystemPlugin.FileType:
        parent = snapshot_of(path)
        if parent is not None:
            result["fr_type"], result["snap_name"] = IFileSystemPlugin.SnapType, path.rpartition("/")[2]
            result["extra_info"] = result.get("extra_info") or IFileSystemPlugin.__set_key_value_pairs__(
                {PARENT_MARK: quoted(parent)})
        elif kernel.get_attribute(place, TYPE_MARK) == IFileSystemPlugin.SnapCloneType:
            result["fr_type"] = IFileSystemPlugin.SnapCloneType
    return result


def quoted(path):
    """The path with the characters that mean something in a key=value list percent-encoded."""
    return path.replace("%", "%25").replace(",", "%2C").replace("=", "%3D")


def listing(root, path, pattern, fs_uuid):
    """The file_records in a directory, by name, or of the one file; `pattern` is searched in the last component."""
    try:
        wanted = re.compile(native(pattern)) if pattern else None
    except re.error as wrong:
        raise ValueFormatEx("%s is no regular expression: %s" % (pattern, wrong), "name_pattern")
    whole = record(root, path, fs_uuid)
    if whole["fr_type"] != IFileSystemPlugin.DirType:
        return [whole] if wanted is None or wanted.search(path.rpartition("/")[2]) else []
    found = []
    with folder(root, path) as place:
        for name in sorted(os.listdir(place)):
            if (not path and name == SNAPS) or (wanted is not None and not wanted.search(name)):
                continue
            try:
                found.append(_record(place + "/" + name, path + "/" + name if path else name, fs_uuid))
            except InvalidValueEx:
                continue  # removed meanwhile
    return found


def create(root, path, kind, size):
    """Makes a sparse file of `size` bytes, or a directory."""
    with at(root, own(path)) as place:
        try:
            if kind == IFileSystemPlugin.DirType:
                os.mkdir(place, 0o755)
            elif kind == IFileSystemPlugin.FileType:
                fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
                try:
                    os.ftruncate(fd, size)
                    os.fsync(fd)
                except BaseException:
                    os.unlink(place)
                    raise
                finally:
                    os.close(fd)
            else:
                raise InvalidValueEx("files of type %s are not created, only %s and %s" % (
                    kind, IFileSystemPlugin.FileType, IFileSystemPlugin.DirType))
        except OSError as wrong:
            if wrong.errno == errno.EEXIST:
                raise InvalidValueEx("%s exists already" % path)
            if wrong.errno in (errno.EFBIG, errno.EINVAL):
                raise InvalidValueEx("this file system has no files of %d bytes" % size)
            if wrong.errno == errno.ENAMETOOLONG:
                raise InvalidValueEx("%s: the name is too long" % path)
            raise
        _sync(os.path.dirname(place))


def destroy(root, path):
    """Removes a file that nobody has open, or an empty directory."""
    if snapshots(root, path):
        raise FileSystemBusyEx("%s has snapshots: remove them first" % path)
    with at(root, own(path)) as place:
        try:
            facts = os.lstat(place)
            if stat.S_ISDIR(facts.st_mode):
                os.rmdir(place)
            else:
                if stat.S_ISREG(facts.st_mode):
                    _refuse_in_use(place, path)
                os.unlink(place)
        except OSError as wrong:
            if wrong.errno == errno.ENOENT:
                raise InvalidValueEx("there is no %s in the file system" % path)
            if wrong.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise FileSystemBusyEx("the directory %s is not empty" % path)
            if wrong.errno == errno.EBUSY:
                raise FileSystemBusyEx("%s is in use: %s" % (path, wrong.strerror))
            raise
        _sync(os.path.dirname(place))


def _refuse_in_use(place, path):
    fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if kernel.in_use(fd):
            raise FileSystemBusyEx("%s is open in another process, or attached to a loop device" % path)
    finally:
        os.close(fd)


def resize(root, path, size):
    """Makes the file longer, with a hole. Raises InvalidValueEx where it would become shorter."""
    with opened(root, own(path), os.O_RDWR) as fd:
        now = os.fstat(fd).st_size
        if size < now:
            raise InvalidValueEx("%s has %d bytes and cannot shrink to %d: files only grow" % (path, now, size))
        try:
            os.ftruncate(fd, size)
        except (IOError, OSError) as wrong:
            if wrong.errno in (errno.EFBIG, errno.EINVAL):
                raise InvalidValueEx("this file system has no files of %d bytes" % size)
            raise
        os.fsync(fd)


def duplicate(root, source, target, mode, mark=None, make=False):
    """A new file at `target` that shares the blocks of `source`: whole when it appears, and nothing is left if it does not.

    It has that mode, or mode and owner of the source."""
    with opened(root, source) as fd, at(root, target, make) as place:
        new = _nameless_copy(fd, os.path.dirname(place), source, mode, mark)
        try:
            with naming(target):
                kernel.link_nameless(new, place)
        finally:
            os.close(new)
        _sync(os.path.dirname(place))


@contextlib.contextmanager
def naming(target):
    """Gives a new file its name: what can be wrong with the name is the caller's mistake."""
    try:
        yield
    except OSError as wrong:
        if wrong.errno == errno.EEXIST:
            raise InvalidValueEx("%s exists already" % target)
        if wrong.errno == errno.ENAMETOOLONG:
            raise InvalidValueEx("%s: the name is too long" % target)
        raise


def _nameless_copy(fd, place, source, mode, mark=None):
    try:
        new = os.open(place, kernel.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as wrong:
        if wrong.errno in (errno.EOPNOTSUPP, errno.EISDIR):
            raise NoSuchOperationEx("this file system cannot make a snapshot or clone of %s" % source)
        raise
    try:
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
    except BaseException:
        os.close(new)
        raise
    return new


def snap_folder(path):
    return "%s/%s@" % (SNAPS, path)


def snapshot_of(path):
    """The path of the file whose snapshot `path` is, None for what is no snapshot."""
    above, _, name = path.rpartition("/")
    if path.startswith(SNAPS + "/") and above.endswith("@") and not name.endswith("@"):
        return above[len(SNAPS) + 1:-1]
    return None


def checked_name(name):
    """The name of a snapshot. Raises InvalidValueEx."""
    name = native(name or "")
    length = len(name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape"))
    if not name or length > NAME_BYTES or name[0] == "." or any(c in "/@\0" or ord(c) < 32 for c in name):
        raise InvalidValueEx("%r cannot name a snapshot: 1 to %d bytes, no '/', no '@', no leading '.'" % (name, NAME_BYTES))
    return name


def snapshots(root, path):
    """The names of the file's snapshots, sorted."""
    try:
        with folder(root, snap_folder(path)) as place:
            return sorted(name for name in os.listdir(place)
                          if not name.endswith("@") and stat.S_ISREG(os.lstat(place + "/" + name).st_mode))
    except InvalidValueEx:
        return []


def remove_snapshot(root, path):
    if snapshot_of(path) is None:
        raise InvalidValueEx("%s is not the path of a snapshot" % path)
    with at(root, path) as place:
        try:
            if not stat.S_ISREG(os.lstat(place).st_mode):
                raise InvalidValueEx("%s is not a snapshot" % path)
            _refuse_in_use(place, path)
            os.unlink(place)
        except OSError as wrong:
            if wrong.errno == errno.ENOENT:
                raise InvalidValueEx("there is no snapshot %s" % path)
            raise
        _sync(os.path.dirname(place))
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
        _refuse_in_use(place, path)
        _sweep(spare)
        new = _nameless_copy(source, spare, snap, stat.S_IMODE(facts.st_mode))
        try:
            fcntl.flock(new, fcntl.LOCK_EX)
            os.fchown(new, facts.st_uid, facts.st_gid)
            os.fsync(new)
            unfinished = "%s/.new-%s" % (spare, uuid.uuid4().hex)
            kernel.link_nameless(new, unfinished)
            os.rename(unfinished, place)
        finally:
            os.close(new)
        _sync(os.path.dirname(place))


def _sweep(spare):
    """Removes what a restore that was killed between its last two steps left."""
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


def _sync(place):
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
