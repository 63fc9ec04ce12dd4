"""Loop devices: how an element appears on this host. Only the kernel is asked who is attached; nothing is remembered."""

import ctypes
import errno
import fcntl
import os
import re
import stat
import struct
import subprocess

SYS_BLOCK = "/sys/block"
LOOP_GET_STATUS64 = 0x4C05  # linux/loop.h
_libc = ctypes.CDLL(None, use_errno=True)


def attached():
    """backing file name (without its directory) -> list of (device, backing file), for all loop devices."""
    found = {}
    for name in os.listdir(SYS_BLOCK):
        if not name.startswith("loop"):
            continue
        try:
            with open("%s/%s/loop/backing_file" % (SYS_BLOCK, name), "rb") as said:
                backing = said.read()
            backing = backing if str is bytes else os.fsdecode(backing)
        except (IOError, OSError):
            continue  # not attached, or detached this moment
        backing = backing[:-1] if backing.endswith("\n") else backing
        found.setdefault(os.path.basename(backing), []).append(("/dev/" + name, backing))
    return found


def devices_of(path, known=None):
    """The loop devices whose backing file is `path`, sorted; `known` is what `attached` said."""
    known = attached() if known is None else known
    candidates = known.get(os.path.basename(path))
    if not candidates:
        return []
    real = os.path.realpath(path)
    # The same array may be mounted in two places: then only device and inode number tell.
    return sorted(device for device, backing in candidates if backing in (path, real) or _same_inode(device, path))


def _same_inode(device, path):
    try:
        facts = os.stat(path)
        fd = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = fcntl.ioctl(fd, LOOP_GET_STATUS64, b"\0" * 232)
        finally:
            os.close(fd)
    except (IOError, OSError):
        return False
    backing_device, inode = struct.unpack_from("=QQ", status)
    return inode == facts.st_ino and backing_device in (facts.st_dev, _huge(facts.st_dev))


def _huge(device):
    major, minor = os.major(device), os.minor(device)
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def attach(path, read_only=False):
    """Attaches `path` to a free loop device and returns the device. Raises OSError with losetup's words."""
    options = ["--read-only"] if read_only else []
    return _losetup(["--find", "--show", "--nooverlap"] + options + [path]).strip()


def detach(device):
    """Detaches the device, which must not be in use. Raises OSError, EBUSY where it still is."""
    _losetup(["--detach", device])
    if os.path.exists("%s/%s/loop/backing_file" % (SYS_BLOCK, os.path.basename(device))):
        raise OSError(errno.EBUSY, "%s will go away when its last user closes it" % device)


def take_size(device):
    """Makes the device as large as its backing file has become."""
    _losetup(["--set-capacity", device])


def _losetup(arguments):
    with open(os.devnull, "rb") as nothing:
        process = subprocess.Popen(["losetup"] + arguments, stdin=nothing, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, close_fds=True)
        out, err = process.communicate()
    if process.returncode != 0:
        raise OSError(errno.EIO, err.decode("utf-8", "replace").strip() or "losetup failed")
    return str(out.decode("utf-8"))


def users_of(device):
    """Why the device cannot be taken away: a list of phrases, empty when nobody uses it."""
    reasons = ["mounted on %s" % place for place in mount_points(device)]
    name = os.path.basename(device)
    try:
        reasons += ["used by %s" % holder for holder in sorted(os.listdir("%s/%s/holders" % (SYS_BLOCK, name)))]
    except OSError:
        pass
    number = os.stat(device).st_rdev
    pids = []
    for pid in os.listdir("/proc"):
        if not pid.isdigit() or int(pid) == os.getpid():
            continue
        try:
            for fd in os.listdir("/proc/%s/fd" % pid):
                place = "/proc/%s/fd/%s" % (pid, fd)
                if not os.readlink(place).startswith("/dev/"):
                    continue  # a stat of a file on a server that is gone would not come back
                facts = os.stat(place)
                if stat.S_ISBLK(facts.st_mode) and facts.st_rdev == number:
                    pids.append(pid)
                    break
        except OSError:
            continue  # it ended meanwhile
    if pids:
        reasons.append("open in process %s" % ", ".join(pids))
    if not reasons:
        try:
            os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
        except OSError as refused:
            if refused.errno == errno.EBUSY:
                reasons.append("claimed by the kernel (swap, or a mount of another namespace)")
    return reasons


def mount_points(device):
    """Where this mount namespace has the device mounted."""
    facts = os.stat(device)
    number = "%d:%d" % (os.major(facts.st_rdev), os.minor(facts.st_rdev))
    places = []
    with open("/proc/self/mountinfo", "rb") as said:
        text = said.read()
    for line in (text if str is bytes else os.fsdecode(text)).splitlines():
        words = line.split(" ")
        # btrfs shows a device number of its own: there the source tells.
        if words[2] == number or words[words.index("-", 6) + 2] == device:
            places.append(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal.group(1), 8)), words[4]))
    return places


def flush(device):
    """Writes out what this host holds back for the device: mounted file systems first, then the device's own cache."""
    for place in mount_points(device):
        fd = os.open(place, os.O_RDONLY)
        try:
            _libc.syncfs(fd)
        finally:
            os.close(fd)
    fd = os.open(device, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def writes(device):
    """Counters that move with every write or discard of the device, and how many are under way."""
    with open("%s/%s/stat" % (SYS_BLOCK, os.path.basename(device))) as line:
        words = line.read().split()
    in_flight = open("%s/%s/inflight" % (SYS_BLOCK, os.path.basename(device)))
    try:
        writing = int(in_flight.read().split()[1])
    finally:
        in_flight.close()
    return words[4], words[6], words[11] if len(words) > 11 else "0", writing
