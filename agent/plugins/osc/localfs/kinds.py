"""The kinds of local file systems: what makes, labels and grows each of them, and how large one is."""

import fcntl
import os
import struct

from . import kernel

MIB = 1 << 20


def _xfs_superblock(disk):
    raw = _at(disk, 0)
    block, blocks = struct.unpack_from(">IQ", raw, 4)
    return block * blocks, block * struct.unpack_from(">Q", raw, 144)[0]


def _xfs_mounted(place, _):
    fd = os.open(place, os.O_RDONLY)
    try:
        geometry = fcntl.ioctl(fd, kernel.XFS_IOC_FSGEOMETRY_V1, b"\0" * 112)
    finally:
        os.close(fd)
    return struct.unpack_from("=I", geometry, 0)[0] * struct.unpack_from("=Q", geometry, 32)[0]


def _btrfs_superblock(disk):
    total, used = struct.unpack_from("<QQ", _at(disk, 65536), 0x70)
    return total, total - used


def _ext4_superblock(disk):
    raw = _at(disk, 1024)
    block = 1024 << struct.unpack_from("<I", raw, 0x18)[0]
    total = struct.unpack_from("<I", raw, 4)[0] | struct.unpack_from("<I", raw, 0x150)[0] << 32
    free = struct.unpack_from("<I", raw, 0x0C)[0] | struct.unpack_from("<I", raw, 0x158)[0] << 32
    return block * total, block * free


def _ext4_mounted(_, device):
    with open(device, "rb") as disk:
        return _ext4_superblock(disk)[0]


def _at(disk, offset):
    disk.seek(offset)
    return disk.read(4096)


KINDS = {
    # what makes it, the words about its size before and after the device, how it is labelled and grown, Debian's package, the
    # label's bytes, its least size, whether files share blocks, and who tells its size: the superblock (size, free) or, mounted,
    # something better; statvfs where there is nothing better
    "xfs": {"mkfs": ["mkfs.xfs", "-q", "-m", "reflink=1,uuid={uuid}"], "size": ["-d", "size={size}"], "end": [],
            "label": ["xfs_admin", "-L", "{label}", "{device}"], "grow": ["xfs_growfs", "-D", "{blocks}", "{place}"],
            "package": "xfsprogs", "label_bytes": 12, "least": 300 * MIB, "reflink": True,
            "superblock": _xfs_superblock, "mounted": _xfs_mounted},
    "btrfs": {"mkfs": ["mkfs.btrfs", "-q", "-U", "{uuid}"], "size": ["-b", "{size}"], "end": [],
              "label": ["btrfs", "filesystem", "label", "{device}", "{label}"],
              "grow": ["btrfs", "filesystem", "resize", "{size}", "{place}"],
              "package": "btrfs-progs", "label_bytes": 255, "least": 128 * MIB, "reflink": True,
              "superblock": _btrfs_superblock, "mounted": None},
    "ext4": {"mkfs": ["mkfs.ext4", "-q", "-m", "0", "-U", "{uuid}"], "size": [], "end": ["{kib}k"],
             "label": ["e2label", "{device}", "{label}"], "grow": ["resize2fs", "{device}", "{kib}K"],
             "package": "e2fsprogs", "label_bytes": 16, "least": 2 * MIB, "reflink": False,
             "superblock": _ext4_superblock, "mounted": _ext4_mounted},
}
BEST_FIRST = ("xfs", "btrfs", "ext4")
