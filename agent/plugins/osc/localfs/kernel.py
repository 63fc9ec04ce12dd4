"""What Python 2.7 and 3 do not both offer of Linux: reflinks, extents, nameless files, extended attributes, mounts."""

import array
import ctypes
import errno
import fcntl
import os
import re
import struct
import uuid

FICLONE = 0x40049409            # linux/fs.h
FS_IOC_FIEMAP = 0xC020660B      # linux/fs.h
FIEMAP_FLAG_SYNC, FIEMAP_EXTENT_LAST, FIEMAP_EXTENT_SHARED = 0x1, 0x1, 0x2000
FIEMAP_NO_PLACE = 0x2 | 0x4 | 0x8 | 0x100 | 0x200  # unknown, delayed, encoded, not aligned, inline
XFS_IOC_FSGEOMETRY_V1 = 0x80705864
F_SETLEASE = 1024               # fcntl.h
O_TMPFILE = 0o20000000 | os.O_DIRECTORY
AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400
# What the kernel answers where it, or the file system, cannot copy or share blocks that way.
NOT_HERE = (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS)
NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR)  # the file system's answer to O_TMPFILE, and that of kernels before it

_libc = ctypes.CDLL(None, use_errno=True)


def _raise(path):
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), path)


def _bytes(path):
    return path if isinstance(path, bytes) else os.fsencode(path)


def reflink(source, target):
    """Makes the open file `target` share all blocks of `source`. False where the file system cannot."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except (IOError, OSError) as refused:
        if refused.errno in NOT_HERE:
            return False
        raise
    return True


def nameless(folder):
    """A new file in `folder` to try things with: it has no name, and is gone when closed."""
    try:
        return os.open(folder, O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as wrong:
        if wrong.errno not in NO_TMPFILE:
            raise
    place = os.path.join(folder, ".osc-%s" % uuid.uuid4().hex)
    fd = os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    os.unlink(place)
    return fd


def can_share(folder):
    """Whether files in `folder` can share blocks: two nameless ones tell."""
    fds = []
    try:
        for _ in range(2):
            fds.append(nameless(folder))
        return reflink(fds[0], fds[1])
    finally:
        for fd in fds:
            os.close(fd)


def link_nameless(fd, path):
    """Gives the open file `fd` a name, which may be its first; EEXIST where that is taken."""
    if _libc.linkat(AT_FDCWD, _bytes("/proc/self/fd/%d" % fd), AT_FDCWD, _bytes(path), AT_SYMLINK_FOLLOW) != 0:
        _raise(path)


def set_attribute(fd, name, value):
    if _libc.fsetxattr(fd, _bytes(name), _bytes(value), ctypes.c_size_t(len(_bytes(value))), 0) != 0:
        _raise(name)


def get_attribute(path, name):
    """The extended attribute of a file that is not followed if a link, as `str`; "" where there is none."""
    room = ctypes.create_string_buffer(256)
    length = _libc.lgetxattr(_bytes(path), _bytes(name), room, ctypes.c_size_t(256))
    return "" if length < 0 else str(room.raw[:length].decode("ascii", "replace"))


def extents(fd):
    """(physical start, length, flags) of the file's extents that have a known place on the device."""
    found, start, count = [], 0, 256
    while True:
        room = array.array("B", struct.pack("=QQIIII", start, (1 << 64) - 1 - start, FIEMAP_FLAG_SYNC, 0, count, 0)
                           + b"\0" * (56 * count))
        fcntl.ioctl(fd, FS_IOC_FIEMAP, room, True)
        raw = room.tostring() if hasattr(room, "tostring") else room.tobytes()
        mapped, = struct.unpack_from("=I", raw, 20)
        if mapped == 0:
            return found
        for number in range(mapped):
            logical, physical, length, _, _, flags = struct.unpack_from("=QQQQQI", raw, 32 + 56 * number)
            if not flags & FIEMAP_NO_PLACE:
                found.append((physical, length, flags))
            start = logical + length
            if flags & FIEMAP_EXTENT_LAST:
                return found


def shared_bytes(fd, other=None):
    """Bytes of the file in blocks that it shares: with the open file `other`, or with anybody where that is None."""
    mine = extents(fd)
    if other is None:
        return sum(length for _, length, flags in mine if flags & FIEMAP_EXTENT_SHARED)
    theirs = sorted((start, start + length) for start, length, _ in extents(other))
    total, place = 0, 0
    for start, length, _ in sorted(mine):
        end = start + length
        while place and theirs[place - 1][1] > start:
            place -= 1
        while place < len(theirs) and theirs[place][0] < end:
            total += max(0, min(end, theirs[place][1]) - max(start, theirs[place][0]))
            place += 1
    return total


def in_use(fd):
    """Whether somebody else has the regular file open, a loop device included: then no write lease is granted."""
    try:
        fcntl.fcntl(fd, F_SETLEASE, fcntl.F_WRLCK)
    except (IOError, OSError) as refused:
        if refused.errno == errno.EAGAIN:
            return True
        return False  # leases are off, or not for this file system: nothing can be told
    fcntl.fcntl(fd, F_SETLEASE, fcntl.F_UNLCK)
    return False


def may_use_resources():
    """Whether this process has CAP_SYS_RESOURCE (linux/capability.h), which a container's root may lack."""
    with open("/proc/self/status") as lines:
        return any(int(line.split()[1], 16) >> 24 & 1 for line in lines if line.startswith("CapEff:"))


def mounts():
    """This mount namespace's mounts, in order: dicts of number, root, place, options (list), kind, source."""
    found = []
    with open("/proc/self/mountinfo", "rb") as said:
        text = said.read()
    for line in (text if str is bytes else os.fsdecode(text)).splitlines():
        words = line.split(" ")
        dash = words.index("-", 6)
        place, root, source = [_unescape(word) for word in (words[4], words[3], words[dash + 2])]
        found.append({"number": words[2], "root": root, "place": place, "kind": words[dash + 1], "source": source,
                      "options": words[5].split(",") + [word for word in words[dash + 3].split(",")
                                                        if word not in ("rw", "ro") and word not in words[5].split(",")]})
    return found


def _unescape(word):
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal.group(1), 8)), word)


def users_below(number, mount_point):
    """The processes that hold something open on the file system of that device number (`st_dev`), mounted there."""
    pids = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) == os.getpid():
            continue
        places = ["/proc/%s/%s" % (pid, word) for word in ("cwd", "root", "exe")]
        try:
            places += ["/proc/%s/fd/%s" % (pid, fd) for fd in os.listdir("/proc/%s/fd" % pid)]
        except OSError:
            pass  # it ended
        for place in places:
            try:
                # Only what the name places here is looked at: a stat of a file on a server that is gone would not come back.
                if os.readlink(place).startswith(mount_point) and os.stat(place).st_dev == number:
                    pids.append(int(pid))
                    break
            except OSError:
                continue
    return sorted(pids)
