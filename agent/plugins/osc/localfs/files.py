"""Files of a mounted file system: described, listed, made, resized and removed."""

import errno
import os
import re
import stat

from OSCPlugin import FileSystemBusyEx, IFileSystemPlugin, InvalidValueEx, ValueFormatEx

from . import kernel
from .paths import SNAPS, at, folder, naming, native, opened, own, quoted, relative, snapshot_of, snapshots, sync

__all__ = ["at", "create", "destroy", "folder", "listing", "naming", "native", "opened", "own", "record", "refuse_in_use",
           "relative", "resize", "snapshots"]
TYPE_MARK, PARENT_MARK = "user.osc.type", "parent"
_TYPES = (
    (stat.S_ISREG, IFileSystemPlugin.FileType), (stat.S_ISDIR, IFileSystemPlugin.DirType),
    (stat.S_ISLNK, IFileSystemPlugin.SymLinkType), (stat.S_ISCHR, IFileSystemPlugin.CharDevType),
    (stat.S_ISBLK, IFileSystemPlugin.BlkDevType), (stat.S_ISFIFO, IFileSystemPlugin.FifoType),
    (stat.S_ISSOCK, IFileSystemPlugin.SockFileType),
)


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
        sync(os.path.dirname(place))


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
                    refuse_in_use(place, path)
                os.unlink(place)
        except OSError as wrong:
            if wrong.errno == errno.ENOENT:
                raise InvalidValueEx("there is no %s in the file system" % path)
            if wrong.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise FileSystemBusyEx("the directory %s is not empty" % path)
            if wrong.errno == errno.EBUSY:
                raise FileSystemBusyEx("%s is in use: %s" % (path, wrong.strerror))
            raise
        sync(os.path.dirname(place))


def refuse_in_use(place, path):
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
