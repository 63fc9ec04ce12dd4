"""Block devices and the file systems on them: finding, making, growing, erasing. The devices themselves are the only memory.

A file system is this plug-in's when its label starts with "osc-": createFileSystem sets it as its last step, so that one that was
cut off in the making is never listed, and an administrator adopts a file system by giving it such a label.
"""

import errno
import fcntl
import fnmatch
import glob
import os
import re
import stat
import struct
import subprocess

from OSCPlugin import (
    FileSystemBusyEx, IPlugin, InvalidValueEx, MissingKeyEx, OperationFailedEx, OperationPreReqNotMetEx,
    PermissionDeniedEx)

from . import kernel

PREFIX = "osc-"
PARTLY = "~"  # ends a label that does not hold the whole name
MIB = 1 << 20
KINDS = {
    # what makes it, Debian's package, label's bytes, least size, how it is labelled and grown, whether files share blocks
    "xfs": {"mkfs": ["mkfs.xfs", "-q", "-m", "reflink=1,uuid={uuid}"], "size": ["-d", "size={size}"],
            "label": ["xfs_admin", "-L", "{label}", "{device}"], "grow": ["xfs_growfs", "-D", "{blocks}", "{place}"],
            "package": "xfsprogs", "label_bytes": 12, "least": 300 * MIB, "reflink": True},
    "btrfs": {"mkfs": ["mkfs.btrfs", "-q", "-U", "{uuid}"], "size": ["-b", "{size}"],
              "label": ["btrfs", "filesystem", "label", "{device}", "{label}"],
              "grow": ["btrfs", "filesystem", "resize", "{size}", "{place}"],
              "package": "btrfs-progs", "label_bytes": 255, "least": 128 * MIB, "reflink": True},
    "ext4": {"mkfs": ["mkfs.ext4", "-q", "-m", "0", "-U", "{uuid}"], "size": [],
             "label": ["e2label", "{device}", "{label}"], "grow": ["resize2fs", "{device}", "{kib}K"],
             "package": "e2fsprogs", "label_bytes": 16, "least": 2 * MIB, "reflink": False},
}
BEST_FIRST = ("xfs", "btrfs", "ext4")


def run(words, what, failed=OperationFailedEx):
    """Output of a command. Raises `failed` with what was being done and the command's own words."""
    with open(os.devnull, "rb") as nothing:
        try:
            process = subprocess.Popen(words, stdin=nothing, stdout=subprocess.PIPE, stderr=subprocess.PIPE, close_fds=True)
        except OSError as wrong:
            raise OperationPreReqNotMetEx("%s: %s cannot be run: %s" % (what, words[0], wrong.strerror))
        out, err = process.communicate()
    if process.returncode != 0:
        said = " ".join((err.strip() or out.strip()).decode("utf-8", "replace").split())
        raise failed("%s: %s" % (what, said or "%s ended with status %d" % (words[0], process.returncode)))
    return str(out.decode("utf-8", "replace")) if str is not bytes else out


def require(kind, *commands):
    """Raises OperationPreReqNotMetEx naming the Debian package that has the missing command."""
    try:
        IPlugin.checkRequired(*commands)
    except OperationPreReqNotMetEx as missing:
        raise OperationPreReqNotMetEx("%s (Debian package %s)" % (missing, KINDS[kind]["package"]))


def have(kind):
    """Whether this host can make and mount file systems of that kind."""
    try:
        IPlugin.checkRequired(KINDS[kind]["mkfs"][0])
    except OperationPreReqNotMetEx:
        return False
    with open("/proc/filesystems") as known:
        if kind in known.read().split():
            return True
    with open(os.devnull, "r+b") as nothing:
        try:
            return subprocess.call(["modprobe", "-n", "-q", kind], stdin=nothing, stdout=nothing, stderr=nothing) == 0
        except OSError:
            return False


def settings(ss):
    """The storage server's extra_info as a dict: `devices` (list of globs, empty for any) and `fstype` ("" for the best)."""
    pairs = IPlugin.__get_key_value_pairs__(ss.get("extra_info") or "")
    return {"devices": [word for word in re.split(r"[;\s]+", pairs.get("devices") or "") if word],
            "fstype": (pairs.get("fstype") or "").lower()}


def allowed(ss, device):
    """Whether the storage server may touch the device: `devices` of its extra_info decides, links resolved."""
    globs = settings(ss)["devices"]
    return not globs or any(fnmatch.fnmatch(device, word) for word in globs) or any(
        os.path.realpath(path) == device for word in globs for path in glob.glob(word))


def candidates(ss):
    """The block devices that have a size and that the storage server may touch, as /dev paths."""
    found = []
    for name in sorted(os.listdir("/sys/class/block")):
        if re.match(r"(ram|zram|sr|fd)\d", name):
            continue
        device = "/dev/" + name.replace("!", "/")
        if size_of(name) and os.path.exists(device) and allowed(ss, device):
            found.append(device)
    return found


def size_of(device):
    """Bytes of a block device by name or path; 0 where it has none."""
    try:
        with open("/sys/class/block/%s/size" % os.path.basename(device).replace("/", "!")) as said:
            return int(said.read()) * 512
    except (IOError, OSError, ValueError):
        return 0


def probe(devices):
    """What is on the devices, by path: dicts with TYPE, UUID, LABEL as far as there are. Reads the devices, no cache."""
    found = {}
    if not devices:
        return found
    with open(os.devnull, "r+b") as nothing:
        process = subprocess.Popen(["blkid", "--probe", "--output", "export"] + list(devices), stdin=nothing,
                                   stdout=subprocess.PIPE, stderr=nothing, close_fds=True)
        out = process.communicate()[0]
    here = None
    for line in out.decode("utf-8", "replace").splitlines():
        key, _, value = line.partition("=")
        if key == "DEVNAME":
            here = found.setdefault(str(value), {})
        elif here is not None and key:
            here[str(key)] = re.sub(r"\\(.)", r"\1", value) if str is not bytes else re.sub(
                r"\\(.)", r"\1", value).encode("utf-8")
    return found


def ours(ss):
    """(device, facts) of every file system of this plug-in, each UUID once: where several devices carry it, a mounted one."""
    known = {}
    sources = frozenset(os.path.realpath(mount["source"]) for mount in kernel.mounts())
    wanted = settings(ss)["fstype"]
    for device, facts in sorted(probe(candidates(ss)).items()):
        if facts.get("TYPE") in KINDS and facts.get("LABEL", "").startswith(PREFIX) and facts.get("UUID") and (
                not wanted or facts["TYPE"] == wanted):
            holders = _list("/sys/class/block/%s/holders" % os.path.basename(device))
            rank = (device not in sources, bool(holders))
            if facts["UUID"] not in known or rank < known[facts["UUID"]][0]:
                known[facts["UUID"]] = (rank, device, facts)
    return [(device, facts) for _, (_, device, facts) in sorted(known.items())]


def find(ss, fs):
    """(device, facts) of the file system that the record names by uuid; where it was last is only where to look first."""
    uuid = (fs.get("uuid") or "").lower()
    if not uuid:
        raise MissingKeyEx("the file system's record has no uuid", "uuid")
    hint = fs.get("array_path") or ""
    if hint.startswith("/dev/") and allowed(ss, hint):
        facts = probe([hint]).get(hint, {})
        if facts.get("UUID") == uuid and facts.get("LABEL", "").startswith(PREFIX) and mounts_of(hint):
            return hint, facts
    for device, facts in ours(ss):
        if facts["UUID"] == uuid:
            return device, facts
    raise InvalidValueEx("no device of this host carries the file system %s, labelled %s...: is its device there?"
                         % (uuid, PREFIX))


def mounts_of(device):
    """The mounts of the file system on the device, in order."""
    try:
        number = os.stat(device).st_rdev
    except OSError:
        return []
    text = "%d:%d" % (os.major(number), os.minor(number))
    found = []
    for mount in kernel.mounts():
        if mount["number"] == text:
            found.append(mount)
        elif mount["kind"] == "btrfs" and mount["source"].startswith("/"):
            # btrfs shows a number of its own; its source may be another name of the device.
            try:
                if os.stat(mount["source"]).st_rdev == number:
                    found.append(mount)
            except OSError:
                continue
    return found


def sizes(device, kind):
    """(size, free) of the file system in bytes: from the mounted one if it is mounted, else from its superblock."""
    places = mounts_of(device)
    if places:
        real = os.statvfs(places[0]["place"])
        free = real.f_bavail * real.f_frsize
        if kind == "btrfs":
            return real.f_blocks * real.f_frsize, free
        if kind == "xfs":
            fd = os.open(places[0]["place"], os.O_RDONLY)
            try:
                geometry = fcntl.ioctl(fd, kernel.XFS_IOC_FSGEOMETRY_V1, b"\0" * 112)
            finally:
                os.close(fd)
            return struct.unpack_from("=I", geometry, 0)[0] * struct.unpack_from("=Q", geometry, 32)[0], free
        return _superblock(device, kind)[0], free
    return _superblock(device, kind)


def _superblock(device, kind):
    with open(device, "rb") as disk:
        disk.seek(65536 if kind == "btrfs" else 0)
        raw = disk.read(4096)
    if kind == "xfs":
        block, blocks = struct.unpack_from(">IQ", raw, 4)
        return block * blocks, block * struct.unpack_from(">Q", raw, 144)[0]
    if kind == "btrfs":
        total, used = struct.unpack_from("<QQ", raw, 0x70)
        return total, total - used
    raw = raw[1024:]
    block = 1024 << struct.unpack_from("<I", raw, 0x18)[0]
    total = struct.unpack_from("<I", raw, 4)[0] | struct.unpack_from("<I", raw, 0x150)[0] << 32
    free = struct.unpack_from("<I", raw, 0x0C)[0] | struct.unpack_from("<I", raw, 0x158)[0] << 32
    return block * total, block * free


def why_not_blank(device):
    """Why nothing may be made on the device: a phrase, "" where it is unused and carries no signature at all."""
    places = mounts_of(device)
    if places:
        return "it is mounted on %s" % places[0]["place"]
    name = os.path.basename(device)
    holders = _list("/sys/class/block/%s/holders" % name)
    if holders:
        return "it is used by %s" % ", ".join(holders)
    if [entry for entry in _list("/sys/class/block/" + name) if os.path.exists("/sys/class/block/%s/%s/partition" % (name, entry))]:
        return "it has partitions"
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
    except OSError as refused:
        return "the kernel uses it" if refused.errno == errno.EBUSY else "it cannot be opened: %s" % refused.strerror
    said = [line.split(",") for line in run(["wipefs", "--no-act", "--parsable", device], "looking at %s" % device).splitlines()
            if line and not line.startswith("#")]
    return "it carries %s" % ", ".join(sorted(set(words[-1] for words in said))) if said else ""


def checked_device(ss, backing):
    """The one block device that a record's backing_device names. Raises MissingKeyEx, InvalidValueEx, PermissionDeniedEx."""
    if isinstance(backing, (list, tuple)):
        if len(backing) > 1:
            raise InvalidValueEx("a file system lies on one device, not on %d" % len(backing))
        backing = backing[0] if backing else None
    if not backing:
        raise MissingKeyEx("which block device should the file system be made on?", "backing_device")
    device = os.path.realpath(str(backing))
    if not str(backing).startswith("/dev/") or not os.path.exists(device) or not stat.S_ISBLK(os.stat(device).st_mode):
        raise InvalidValueEx("%s is no block device of this host" % backing)
    if not allowed(ss, device):
        raise PermissionDeniedEx("%s is not among the storage server's devices (%s)"
                                 % (backing, " ".join(settings(ss)["devices"])))
    return device


def make(device, kind, uuid, label, size):
    """Makes the file system on a blank device. Raises FileSystemBusyEx where the device is not blank and unused."""
    how = KINDS[kind]
    require(kind, how["mkfs"][0], how["label"][0])
    IPlugin.checkRequired("wipefs", "blkid")
    room = size_of(device)
    if size > room:
        raise InvalidValueEx("%s has %d bytes: a file system of %d does not fit" % (device, room, size))
    if (size or room) < how["least"]:
        raise InvalidValueEx("%s wants at least %d MiB; %s has %d" % (kind, how["least"] // MIB, device, (size or room) // MIB))
    words = dict(uuid=uuid, label=label, device=device, size=size)
    command = how["mkfs"] + (how["size"] if size else []) + ["{device}"] + (
        ["%dk" % (size // 1024)] if size and kind == "ext4" else [])
    fd = os.open(device, os.O_RDONLY)
    try:
        # The lock that udev and fdisk honour, and that makes a second create of ours wait and then find the signature.
        fcntl.flock(fd, fcntl.LOCK_EX)
        reason = why_not_blank(device)
        if reason:
            raise FileSystemBusyEx("no file system is made on %s: %s. Free it and erase it with wipefs first, if nothing "
                                   "on it is needed" % (device, reason))
        try:
            run([word.format(**words) for word in command], "making %s on %s" % (kind, device))
            run([word.format(**words) for word in how["label"]], "labelling %s" % device)
        except BaseException:
            with open(os.devnull, "r+b") as nothing:
                # It was blank before.
                subprocess.call(["wipefs", "--all", "--quiet", device], stdin=nothing, stdout=nothing, stderr=nothing)
            raise
        os.fsync(fd)
    finally:
        os.close(fd)


def grow(device, kind, size):
    """Grows the file system to `size` bytes where it is mounted, else in a mount namespace that ends with the command."""
    command = KINDS[kind]["grow"]
    require(kind, command[0])
    if kind == "ext4" and not kernel.may_use_resources():
        raise PermissionDeniedEx("ext4 only grows for processes with CAP_SYS_RESOURCE, which this one has not got")
    places = [mount for mount in mounts_of(device) if "ro" not in mount["options"]]
    words = dict(device=device, size=size, kib=size // 1024, blocks=size // 4096)
    if places:
        run([word.format(place=places[0]["place"], **words) for word in command], "growing %s" % device)
        return
    if mounts_of(device):
        raise OperationPreReqNotMetEx("%s is mounted read-only: mount it for writing, or unmount it, to let it grow" % device)
    IPlugin.checkRequired("unshare", "mount")
    # Nobody outside sees what the namespace mounts there, and it is gone with its last process, however that ends.
    script = 'mount -t "$1" "$2" "$3" && shift 3 && "$@"'
    place = "/mnt" if os.path.isdir("/mnt") else "/tmp"
    run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", kind, device, place]
        + [word.format(place=place, **words) for word in command], "growing %s" % device)


def erase(device, uuid):
    """Erases the file system with that UUID from the device. Raises FileSystemBusyEx where anybody uses it."""
    IPlugin.checkRequired("wipefs", "blkid")
    fd = os.open(device, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        facts = probe([device]).get(device, {})
        if facts.get("UUID") != uuid:
            raise OperationFailedEx("%s no longer carries the file system %s: nothing was erased" % (device, uuid))
        try:
            os.close(os.open(device, os.O_RDONLY | os.O_EXCL))
        except OSError as refused:
            raise FileSystemBusyEx("%s cannot be erased, it is in use: %s" % (device, refused.strerror))
        run(["wipefs", "--all", "--quiet", device], "erasing %s" % device)
    finally:
        os.close(fd)


def label_for(name, uuid, kind):
    """The label that marks a file system as ours and holds its name, or as much as fits and then PARTLY."""
    word = re.sub(r"[^A-Za-z0-9._-]", "_", name or "") or uuid[:8]
    whole, room = PREFIX + word, KINDS[kind]["label_bytes"]
    return whole if len(whole) <= room and word == (name or word) else whole[:room - len(PARTLY)] + PARTLY


def name_in(label):
    """The name that a label holds whole, else None: what is only a part of a name is none."""
    name = label[len(PREFIX):]
    return None if not name or name.endswith(PARTLY) else name


def _list(folder):
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
