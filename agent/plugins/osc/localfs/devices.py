"""Block devices of this host: which there are, what is on them, who uses them, and erasing them."""

import errno
import fcntl
import fnmatch
import glob
import os
import re
import stat
import subprocess

from OSCPlugin import (
    FileSystemBusyEx, IPlugin, InvalidValueEx, MissingKeyEx, OperationFailedEx, OperationPreReqNotMetEx,
    PermissionDeniedEx)

from . import kernel


def run(words, what, complaint=None):
    """Output of a command. Raises OperationFailedEx with what was being done and the command's own words.

    Some commands fail with status 0: then a line of their complaints begins with `complaint`."""
    with open(os.devnull, "rb") as nothing:
        try:
            process = subprocess.Popen(words, stdin=nothing, stdout=subprocess.PIPE, stderr=subprocess.PIPE, close_fds=True)
        except OSError as wrong:
            raise OperationPreReqNotMetEx("%s: %s cannot be run: %s" % (what, words[0], wrong.strerror))
        out, err = process.communicate()
    complained = complaint and any(line.startswith(complaint.encode("ascii")) for line in err.splitlines())
    if process.returncode != 0 or complained:
        said = " ".join((err.strip() or out.strip()).decode("utf-8", "replace").split())
        raise OperationFailedEx("%s: %s" % (what, said or "%s ended with status %d" % (words[0], process.returncode)))
    return str(out.decode("utf-8", "replace")) if str is not bytes else out


def globs(ss):
    """What `devices` in the storage server's extra_info names; nothing for any."""
    pairs = IPlugin.__get_key_value_pairs__(ss.get("extra_info") or "")
    return [word for word in re.split(r"[;\s]+", pairs.get("devices") or "") if word]


def allowed(ss, device):
    """Whether the storage server may touch the device: `devices` of its extra_info decides, links resolved."""
    words = globs(ss)
    return not words or any(fnmatch.fnmatch(device, word) for word in words) or any(
        os.path.realpath(path) == device for word in words for path in glob.glob(word))


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


def why_not_blank(device):
    """Why nothing may be made on the device: a phrase, "" where it is unused and carries no signature at all."""
    places = mounts_of(device)
    if places:
        return "it is mounted on %s" % places[0]["place"]
    name = os.path.basename(device)
    holders = entries("/sys/class/block/%s/holders" % name)
    if holders:
        return "it is used by %s" % ", ".join(holders)
    if [entry for entry in entries("/sys/class/block/" + name) if os.path.exists("/sys/class/block/%s/%s/partition" % (name, entry))]:
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
                                 % (backing, " ".join(globs(ss))))
    return device


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


def entries(folder):
    """The names in a directory, sorted; none where there is no such directory."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
