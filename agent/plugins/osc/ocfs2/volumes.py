"""OCFS2 volumes: how they are made, found, mounted and grown, and what their superblock says."""

import struct

from OSCPlugin import (
    ABILITY_TYPES, FileSystemBusyEx, IPlugin, InvalidFSTypeEx, InvalidValueEx, OperationFailedEx, OperationPreReqNotMetEx)
from osc.localfs import devices
from osc.localfs.family import Family
from osc.localfs.kinds import MIB

from . import cluster

OCFS2 = "ocfs2"
# fs/ocfs2/ocfs2_fs.h
SIGNATURE = b"OCFSV2\0\0"
LOCAL_MOUNT = 0x8
IN_SUPERBLOCK = 0xC0  # of struct ocfs2_super_block in its dinode


class Superblock(object):
    """What the superblock on the open device says, and how much its global bitmap has free. Raises OperationFailedEx."""

    def __init__(self, disk):
        for bits in range(9, 13):  # it is block 2, whatever a block is
            raw = self._read(disk, 2 << bits)
            if raw[:8] == SIGNATURE and struct.unpack_from("<I", raw, IN_SUPERBLOCK + 0x38)[0] == bits:
                break
        else:
            raise OperationFailedEx("%s has no superblock of OCFS2 any more" % disk.name)
        self.block = 1 << bits
        self.cluster_size = 1 << struct.unpack_from("<I", raw, IN_SUPERBLOCK + 0x3C)[0]
        self.size = struct.unpack_from("<I", raw, 0x14)[0] * self.cluster_size
        self.local = bool(struct.unpack_from("<I", raw, IN_SUPERBLOCK + 0x20)[0] & LOCAL_MOUNT)
        name = raw[IN_SUPERBLOCK + 0xA8:IN_SUPERBLOCK + 0xB8].partition(b"\0")[0]  # what follows is of no matter
        self.cluster = str(name.decode("ascii", "replace"))
        # The first group of clusters knows the bitmap's inode, and that how many are used.
        group = self._read(disk, struct.unpack_from("<Q", raw, IN_SUPERBLOCK + 0x48)[0] * self.block)
        bitmap = self._read(disk, struct.unpack_from("<Q", group, 0x20)[0] * self.block)
        used, total = struct.unpack_from("<II", bitmap, 0xB8)
        self.free = (total - used) * self.cluster_size

    @staticmethod
    def _read(disk, offset):
        disk.seek(offset)
        return disk.read(512)


def superblock(device):
    """The superblock of the volume on the device."""
    with open(device, "rb") as disk:
        return Superblock(disk)


def _sizes(disk):
    found = Superblock(disk)
    return found.size, found.free


class Volumes(Family):
    """OCFS2, cluster-less or of the cluster that the storage server names."""

    kinds = {
        OCFS2: {"mkfs": ["mkfs.ocfs2", "-q", "-b", "4K", "--fs-features=refcount,xattr", "-U", "{uuid}"],
                "size": [], "end": ["{blocks}"], "label": ["tunefs.ocfs2", "-q", "-L", "{label}", "{device}"],
                "grow": ["tunefs.ocfs2", "-q", "-S", "{device}", "{blocks}"], "grows_unmounted": True,
                "complaint": "tunefs.ocfs2:",  # which ends with status 0 whatever happens
                "package": "ocfs2-tools", "label_bytes": 63, "least": 32 * MIB, "reflink": True,
                "superblock": _sizes, "mounted": None},
    }
    best_first = (OCFS2,)
    abilities = dict(Family.abilities, splitclone_is_sync=ABILITY_TYPES.NO)

    def bound_to(self, ss):
        return OCFS2

    def check(self, ss):
        wanted = IPlugin.__get_key_value_pairs__(ss.get("extra_info") or "").get("fstype") or OCFS2
        if wanted.lower() != OCFS2:
            raise InvalidFSTypeEx("fstype=%s: this plug-in knows %s" % (wanted, OCFS2))
        super(Volumes, self).check(ss)
        self.require(OCFS2, "mkfs.ocfs2", "tunefs.ocfs2", "mounted.ocfs2")
        if not self.have(OCFS2):
            raise OperationPreReqNotMetEx("this host's kernel has no OCFS2: install a kernel with the module ocfs2")
        if cluster.settings(ss)["cluster"]:
            cluster.require(cluster.settings(ss)["cluster"])

    def words(self, ss, kind):
        told = cluster.settings(ss)
        if not told["cluster"]:
            if told["nodes"]:
                raise InvalidValueEx("nodes=%s says nothing without cluster=NAME: the volume is this host's alone" % told["nodes"])
            return self.kinds[kind]["mkfs"] + ["-M", "local"]
        cluster.require(told["cluster"])
        return self.kinds[kind]["mkfs"] + ["-M", "cluster", "--cluster-stack=o2cb", "--cluster-name=" + told["cluster"]] + (
            ["-N", told["nodes"]] if told["nodes"] else [])

    def mount(self, device, kind, place, options):
        found = superblock(device)
        if not found.local:
            cluster.require(found.cluster)
        super(Volumes, self).mount(device, kind, place, options)

    def unit(self, device, kind):
        return superblock(device).cluster_size

    def block(self, device, kind):
        return superblock(device).block

    def refuse_used_elsewhere(self, device):
        if not superblock(device).local:
            self.require(OCFS2, "mounted.ocfs2")
            said = devices.run(["mounted.ocfs2", "-f", device], "asking who mounts %s" % device)
            nodes = cluster.nodes_that_mount(said, device)
            if nodes:
                raise FileSystemBusyEx("%s is mounted by %s of its cluster: unmount it there. A node that crashed is off the "
                                       "list after the next mount here" % (device, nodes))
