"""Paths below a mounted file system, walked without ever leaving it, and where its snapshots are.

    <root>/.osc-snap/<directory of the file>/<file>@/<snapshot>     where the snapshots of <directory>/<file> are

Every path is walked one component at a time, links are not followed, and other file systems are not entered: a guest that plants
a link or a mount in its directory gains nothing.
"""

import contextlib
import errno
import os
import stat

from OSCPlugin import InvalidValueEx

SNAPS = ".osc-snap"
NAME_BYTES = 64


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


def quoted(path):
    """The path with the characters that mean something in a key=value list percent-encoded."""
    return path.replace("%", "%25").replace(",", "%2C").replace("=", "%3D")


def sync(place):
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
