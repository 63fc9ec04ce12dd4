"""A family: the kinds of local file systems that one plug-in serves. Which of the host's are its own, making and growing them.

A file system is a family's when its label starts with "osc-": making one sets it as the last step, so that one that was cut off in
the making is never listed, and an administrator adopts a file system by giving it such a label. Nothing else is remembered.
"""

import fcntl
import os
import re
import subprocess

from OSCPlugin import (
    ABILITY_TYPES, BACKING_DEVICE_TYPES, FileSystemBusyEx, IPlugin, InvalidFSTypeEx, InvalidValueEx, MissingKeyEx,
    OperationPreReqNotMetEx, PermissionDeniedEx)

from . import devices, kernel
from .kinds import BEST_FIRST, KINDS, MIB

PREFIX = "osc-"
PARTLY = "~"  # ends a label that does not hold the whole name


class Family(object):
    """XFS, btrfs and ext4. What another family does otherwise, it overrides."""

    kinds, best_first = KINDS, BEST_FIRST
    # What its ablest kinds can do; `able` takes away what a storage server's cannot.
    abilities = {
        "snapshot": ABILITY_TYPES.ONLINE, "clone": ABILITY_TYPES.ONLINE, "snapclone": ABILITY_TYPES.ONLINE,
        "splitclone": ABILITY_TYPES.UNSUPPORTED, "resize": ABILITY_TYPES.ONLINE,
        "snap_is_sync": ABILITY_TYPES.YES, "clone_is_sync": ABILITY_TYPES.YES, "snapclone_is_sync": ABILITY_TYPES.YES,
        "splitclone_is_sync": ABILITY_TYPES.UNSUPPORTED, "resize_is_sync": ABILITY_TYPES.YES,
        "custom_snap_name": ABILITY_TYPES.YES, "custom_clone_name": ABILITY_TYPES.YES,
        "require_storage_name": ABILITY_TYPES.NO, "access_control": ABILITY_TYPES.NO,
        "splitclone_while_open": ABILITY_TYPES.UNSUPPORTED, "backing_device_type": BACKING_DEVICE_TYPES.DEVICE_SINGLE,
    }

    def bound_to(self, ss):
        """The kind that all file systems of the storage server are of, "" for the best that fits."""
        return (IPlugin.__get_key_value_pairs__(ss.get("extra_info") or "").get("fstype") or "").lower()

    def check(self, ss):
        """Raises what keeps this host from serving the storage server."""
        kind = self.bound_to(ss)
        if kind and kind not in self.kinds:
            raise InvalidFSTypeEx("fstype=%s: this plug-in knows %s" % (kind, ", ".join(self.best_first)))
        IPlugin.checkRequired("blkid", "wipefs", "mount", "umount")
        if kind:
            self.require(kind, self.kinds[kind]["mkfs"][0])
        elif not any(self.have(kind) for kind in self.best_first):
            raise OperationPreReqNotMetEx("this host can make none of %s: install %s" % (
                ", ".join(self.best_first), self._packages()))

    def able(self, ss):
        """The abilities of the storage server."""
        able, bound = dict(self.abilities), self.bound_to(ss)
        kinds = [bound] if bound else [kind for kind in self.best_first if self.have(kind)]
        if not any(self.kinds[kind]["reflink"] for kind in kinds if kind in self.kinds):
            for key in ("snapshot", "clone", "snapclone", "snap_is_sync", "clone_is_sync", "snapclone_is_sync",
                        "custom_snap_name", "custom_clone_name"):
                able[key] = ABILITY_TYPES.UNSUPPORTED
        return able

    def require(self, kind, *commands):
        """Raises OperationPreReqNotMetEx naming the Debian package that has the missing command."""
        try:
            IPlugin.checkRequired(*commands)
        except OperationPreReqNotMetEx as missing:
            raise OperationPreReqNotMetEx("%s (Debian package %s)" % (missing, self.kinds[kind]["package"]))

    def have(self, kind):
        """Whether this host can make and mount file systems of that kind."""
        try:
            IPlugin.checkRequired(self.kinds[kind]["mkfs"][0])
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

    def kind_for(self, ss, fs, room):
        """The kind of a file system that is wanted on `room` bytes."""
        bound = self.bound_to(ss)
        pairs = IPlugin.__get_key_value_pairs__(fs.get("extra_info") or "")
        kind = (pairs.get("fstype") or bound).lower()
        if kind and kind not in self.kinds:
            raise InvalidValueEx("fstype=%s: choose %s" % (kind, ", ".join(self.best_first)))
        if bound and kind != bound:
            raise InvalidValueEx("fstype=%s: this storage server is bound to %s" % (kind, bound))
        if kind:
            return kind
        fitting = [known for known in self.best_first if self.have(known) and room >= self.kinds[known]["least"]]
        if not fitting:
            raise OperationPreReqNotMetEx("no file system for a device of %d bytes: install %s, or take a larger device"
                                          % (room, self._packages()))
        return fitting[0]

    def _packages(self):
        return " or ".join(self.kinds[kind]["package"] for kind in self.best_first)

    def ours(self, ss):
        """(device, facts) of every file system of the family, each UUID once: where several devices carry it, a mounted one."""
        known = {}
        sources = frozenset(os.path.realpath(mount["source"]) for mount in kernel.mounts())
        wanted = self.bound_to(ss)
        for device, facts in sorted(devices.probe(devices.candidates(ss)).items()):
            if facts.get("TYPE") in self.kinds and facts.get("LABEL", "").startswith(PREFIX) and facts.get("UUID") and (
                    not wanted or facts["TYPE"] == wanted):
                holders = devices.entries("/sys/class/block/%s/holders" % os.path.basename(device))
                rank = (device not in sources, bool(holders))
                if facts["UUID"] not in known or rank < known[facts["UUID"]][0]:
                    known[facts["UUID"]] = (rank, device, facts)
        return [(device, facts) for _, (_, device, facts) in sorted(known.items())]

    def find(self, ss, fs):
        """(device, facts) of the file system that the record names by uuid; where it was last is only where to look first."""
        uuid = (fs.get("uuid") or "").lower()
        if not uuid:
            raise MissingKeyEx("the file system's record has no uuid", "uuid")
        hint = fs.get("array_path") or ""
        if hint.startswith("/dev/") and devices.allowed(ss, hint):
            facts = devices.probe([hint]).get(hint, {})
            if facts.get("UUID") == uuid and facts.get("TYPE") in self.kinds and facts.get("LABEL", "").startswith(
                    PREFIX) and devices.mounts_of(hint):
                return hint, facts
        for device, facts in self.ours(ss):
            if facts["UUID"] == uuid:
                return device, facts
        raise InvalidValueEx("no device of this host carries the file system %s, labelled %s...: is its device there?"
                             % (uuid, PREFIX))

    def sizes(self, device, kind):
        """(size, free) of the file system in bytes: from the mounted one if it is mounted, else from its superblock."""
        places, how = devices.mounts_of(device), self.kinds[kind]
        if places:
            real, better = os.statvfs(places[0]["place"]), how["mounted"]
            return better(places[0]["place"], device) if better else real.f_blocks * real.f_frsize, real.f_bavail * real.f_frsize
        with open(device, "rb") as disk:
            return how["superblock"](disk)

    def unit(self, device, kind):
        """The bytes that the size of the file system on the device is a multiple of."""
        return 4096

    def block(self, device, kind):
        """The bytes of a block, in which the size is told where the file system grows."""
        return 4096

    def words(self, ss, kind):
        """The words of mkfs for the storage server."""
        return self.kinds[kind]["mkfs"]

    def make(self, ss, device, kind, uuid, label, size):
        """Makes the file system on a blank device. Raises FileSystemBusyEx where the device is not blank and unused."""
        how = self.kinds[kind]
        self.require(kind, how["mkfs"][0], how["label"][0])
        IPlugin.checkRequired("wipefs", "blkid")
        room = devices.size_of(device)
        if size > room:
            raise InvalidValueEx("%s has %d bytes: a file system of %d does not fit" % (device, room, size))
        if (size or room) < how["least"]:
            raise InvalidValueEx("%s wants at least %d MiB; %s has %d" % (
                kind, how["least"] // MIB, device, (size or room) // MIB))
        words = dict(uuid=uuid, label=label, device=device, size=size, kib=size // 1024, blocks=size // 4096)
        command = self.words(ss, kind) + (how["size"] if size else []) + ["{device}"] + (how["end"] if size else [])
        fd = os.open(device, os.O_RDONLY)
        try:
            # The lock that udev and fdisk honour, and that makes a second create of ours wait and then find the signature.
            fcntl.flock(fd, fcntl.LOCK_EX)
            reason = devices.why_not_blank(device)
            if reason:
                raise FileSystemBusyEx("no file system is made on %s: %s. Free it and erase it with wipefs first, if nothing "
                                       "on it is needed" % (device, reason))
            try:
                devices.run([word.format(**words) for word in command], "making %s on %s" % (kind, device))
                devices.run([word.format(**words) for word in how["label"]], "labelling %s" % device, how.get("complaint"))
            except BaseException:
                with open(os.devnull, "r+b") as nothing:
                    # It was blank before.
                    subprocess.call(["wipefs", "--all", "--quiet", device], stdin=nothing, stdout=nothing, stderr=nothing)
                raise
            os.fsync(fd)
        finally:
            os.close(fd)

    def mount(self, device, kind, place, options):
        """Mounts the file system there."""
        devices.run(["mount", "-t", kind] + (["-o", ",".join(options)] if options else []) + ["--", device, place],
                    "mounting %s on %s" % (device, place))

    def refuse_used_elsewhere(self, device):
        """Raises FileSystemBusyEx where other hosts are known to use the file system."""

    def grow(self, device, kind, size):
        """Grows the file system to `size` bytes where it is mounted, else in a mount namespace that ends with the command."""
        how = self.kinds[kind]
        command = how["grow"]
        self.require(kind, command[0])
        if kind == "ext4" and not kernel.may_use_resources():
            raise PermissionDeniedEx("ext4 only grows for processes with CAP_SYS_RESOURCE, which this one has not got")
        mounts = devices.mounts_of(device)
        places = [mount["place"] for mount in mounts if "ro" not in mount["options"]]
        if mounts and not places:
            raise OperationPreReqNotMetEx("%s is mounted read-only: mount it for writing, or unmount it, to let it grow" % device)
        # Nobody outside sees what the namespace mounts there, and it is gone with its last process, however that ends.
        private = "/mnt" if os.path.isdir("/mnt") else "/tmp"
        words = dict(device=device, place=places[0] if places else private, size=size, kib=size // 1024,
                     blocks=size // self.block(device, kind))
        command = [word.format(**words) for word in command]
        if not places and not how.get("grows_unmounted"):
            IPlugin.checkRequired("unshare", "mount")
            script = 'mount -t "$1" "$2" "$3" && shift 3 && "$@"'
            command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", kind, device, private] + command
        devices.run(command, "growing %s" % device, how.get("complaint"))

    def label_for(self, name, uuid, kind):
        """The label that marks a file system as ours and holds its name, or as much as fits and then PARTLY."""
        word = re.sub(r"[^A-Za-z0-9._-]", "_", name or "") or uuid[:8]
        whole, room = PREFIX + word, self.kinds[kind]["label_bytes"]
        return whole if len(whole) <= room and word == (name or word) else whole[:room - len(PARTLY)] + PARTLY


def name_in(label):
    """The name that a label holds whole, else None: what is only a part of a name is none."""
    name = label[len(PREFIX):]
    return None if not name or name.endswith(PARTLY) else name


def title(facts):
    """The name that a file system was made under, as far as its label holds it."""
    return facts["LABEL"][len(PREFIX):] or facts["UUID"]
