"""osc.ocfs2 as far as it goes without the kernel's module: real volumes on loop devices, never mounted, and the cluster's configuration.

What is mounted is tried in the virtual machine (tests/vm/ocfs2).
"""

import os
import struct
import subprocess
import sys
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from support import Bench, need, run  # noqa: E402

from OSCPlugin import (  # noqa: E402
    ABILITY_TYPES, BACKING_DEVICE_TYPES, FS_STATES, FileSystemBusyEx, InvalidFSTypeEx, InvalidValueEx,
    OperationFailedEx, OperationPreReqNotMetEx)
from osc.ocfs2 import cluster, volumes  # noqa: E402
from osc.ocfs2.OCFS2 import OCFS2Plugin, VOLUMES  # noqa: E402

MIB = 1 << 20
SIZE = 256 * MIB


class OnALoopDevice(unittest.TestCase):
    def setUp(self):
        need("mkfs.ocfs2", "tunefs.ocfs2", "debugfs.ocfs2", "losetup", "blkid", "wipefs")
        self.bench = Bench()
        self.addCleanup(self.bench.close)
        self.disk = self.bench.file(SIZE)
        self.device = run("losetup", "--find", "--show", self.disk).strip()
        self.ss = {"uuid": "0c1de0e3-0000-4000-8000-000000000002", "extra_info": "devices=" + self.device}
        self.wanted = {"name": "repository", "backing_device": self.device, "uuid": str(uuid.uuid4())}

    def test_a_volume_is_made_listed_grown_and_destroyed(self):
        self.wanted["size"] = SIZE - 64 * MIB
        fs = OCFS2Plugin.createFileSystem(self.ss, self.wanted)
        self.assertEqual((fs["uuid"], fs["name"], fs["size"], fs["state"], fs["array_path"]),
                         (self.wanted["uuid"], "repository", SIZE - 64 * MIB, FS_STATES.UNMOUNTED, self.device))
        listed, = OCFS2Plugin.listFileSystems(self.ss)
        self.assertEqual((listed["uuid"], listed["name"], listed["free_sz"]), (fs["uuid"], "repository", fs["free_sz"]))
        self.assertEqual(OCFS2Plugin.listMountPoints(self.ss, fs), [])
        self.assertRaises(OperationPreReqNotMetEx, OCFS2Plugin.list, self.ss, fs, {"file_path": ""})
        self.assertRaises(InvalidValueEx, OCFS2Plugin.resizeFileSystem, self.ss, fs, SIZE + MIB)
        self.assertRaises(InvalidValueEx, OCFS2Plugin.resizeFileSystem, self.ss, fs, MIB)
        fs = OCFS2Plugin.resizeFileSystem(self.ss, fs, str(SIZE))
        self.assertEqual(fs["size"], SIZE)
        self.assertEqual(subprocess.call(["fsck.ocfs2", "-fn", self.device], stdout=subprocess.PIPE, stderr=subprocess.PIPE), 0)
        with self.assertRaises(FileSystemBusyEx) as said:
            OCFS2Plugin.createFileSystem(self.ss, dict(self.wanted, uuid=""))
        self.assertIn("ocfs2", str(said.exception))
        OCFS2Plugin.destroyFileSystem(self.ss, fs)
        self.assertEqual(OCFS2Plugin.listFileSystems(self.ss), [])
        self.assertEqual(OCFS2Plugin.getFileSystemBackingDevices(self.ss)[0]["value"], self.device)

    def test_it_is_cluster_less_and_shares_blocks(self):
        OCFS2Plugin.createFileSystem(self.ss, self.wanted)
        features = run("debugfs.ocfs2", "-R", "stats", self.device)
        for feature in ("local", "refcount", "xattr"):
            self.assertIn(" %s " % feature, features)
        self.assertTrue(volumes.superblock(self.device).local)

    def test_the_superblock_is_read_as_the_tools_read_it(self):
        for options in (["-b", "1K", "-C", "4K"], ["-b", "4K", "-C", "64K"], ["-b", "512", "-C", "1M"]):
            run(*["mkfs.ocfs2", "-q", "-M", "local"] + options + [self.device])
            said = run("debugfs.ocfs2", "-R", "stat //global_bitmap", self.device).split("Bitmap Total:")[1].split()
            found = volumes.superblock(self.device)
            self.assertEqual((found.size, found.free), tuple(int(said[n]) * found.cluster_size for n in (0, 4)))
            sizes = [{"K": 1 << 10, "M": MIB}.get(word[-1], 1) * int(word.rstrip("KM")) for word in (options[1], options[3])]
            self.assertEqual([found.block, found.cluster_size], sizes)
            run("wipefs", "--all", self.device)

    def test_a_volume_of_others_is_not_listed_until_it_is_adopted(self):
        run("mkfs.ocfs2", "-q", "-M", "local", "-b", "1K", "-L", "other", self.device, str(128 * 1024))
        self.assertEqual(OCFS2Plugin.listFileSystems(self.ss), [])
        run("tunefs.ocfs2", "-L", "osc-other", self.device)
        fs, = OCFS2Plugin.listFileSystems(self.ss)
        self.assertEqual((fs["name"], fs["size"]), ("other", 128 * MIB))
        # Its blocks are smaller than those that the plug-in makes.
        self.assertEqual(OCFS2Plugin.resizeFileSystem(self.ss, fs, SIZE)["size"], SIZE)

    def test_a_volume_of_a_cluster_needs_the_cluster(self):
        # Without a cluster, mkfs.ocfs2 makes none: what it would have written into the superblock is put there.
        run("mkfs.ocfs2", "-q", "-M", "local", "-b", "4K", "-L", "osc-shared", self.device, "32768")
        with open(self.device, "r+b") as disk:
            disk.seek(8192)
            raw = bytearray(disk.read(512))
            raw[0xE0:0xE2] = struct.pack("<H", struct.unpack_from("<H", bytes(raw), 0xE0)[0] & ~8 | 0x4000)
            raw[0x160:0x178] = b"o2cb\0\0\0\0pool\0junk".ljust(24, b"\0")
            disk.seek(8192)
            disk.write(raw)
        fs, = OCFS2Plugin.listFileSystems(self.ss)
        found = volumes.superblock(self.device)
        self.assertEqual((found.local, found.cluster), (False, "pool"))
        place = os.path.join(self.bench.root, "place")
        with self.assertRaises(OperationPreReqNotMetEx) as said:
            OCFS2Plugin.mount(self.ss, fs, place, "", True, [])
        self.assertIn("the cluster stack o2cb is not configured", str(said.exception))
        self.assertIn("o2cb add-cluster pool", str(said.exception))
        self.assertFalse(os.path.exists(place))
        # tunefs.ocfs2 fails with status 0.
        self.assertRaises(OperationFailedEx, OCFS2Plugin.resizeFileSystem, self.ss, fs, SIZE)
        # Nobody has it mounted.
        OCFS2Plugin.destroyFileSystem(self.ss, fs)
        self.assertRaises(OperationPreReqNotMetEx, OCFS2Plugin.createFileSystem,
                          dict(self.ss, extra_info=self.ss["extra_info"] + ",cluster=pool"), self.wanted)
        self.assertRaises(InvalidValueEx, OCFS2Plugin.createFileSystem,
                          dict(self.ss, extra_info=self.ss["extra_info"] + ",nodes=2"), self.wanted)
        self.assertEqual(run("wipefs", "--no-act", self.device), "")


class Configuration(unittest.TestCase):
    def setUp(self):
        self.bench = Bench()
        self.addCleanup(self.bench.close)
        for name in ("CONFIGURATION", "ONLINE"):
            self.addCleanup(setattr, cluster, name, getattr(cluster, name))
            setattr(cluster, name, os.path.join(self.bench.root, name))

    def configure(self, *nodes):
        with open(cluster.CONFIGURATION, "w") as text:
            for number, node in enumerate(nodes):
                text.write("node:\n\tname = %s\n\tcluster = pool\n\tnumber = %d\n\tip_port = 7777\n\n" % (node, number))
            text.write("cluster:\n\tname = pool\n\theartbeat_mode = local\n\tnode_count = %d\n" % len(nodes))

    def refused(self, name):
        with self.assertRaises(OperationPreReqNotMetEx) as said:
            cluster.require(name)
        return str(said.exception)

    def test_what_is_missing_of_a_cluster_is_told_with_what_to_do(self):
        here = os.uname()[1].partition(".")[0]
        self.assertIn("not configured: %s has no cluster pool" % cluster.CONFIGURATION, self.refused("pool"))
        self.configure("elsewhere")
        self.assertIn("o2cb add-node pool " + here, self.refused("pool"))
        self.configure("elsewhere", here)
        self.assertEqual(cluster.configured(), {"pool": ["elsewhere", here]})
        self.assertIn("no cluster other", self.refused("other"))
        self.assertIn("systemctl start o2cb", self.refused("pool"))
        os.makedirs(os.path.join(cluster.ONLINE, "pool"))
        cluster.require("pool")
        cluster.require("")

    def test_a_record_says_which_cluster(self):
        self.assertEqual(cluster.settings({"extra_info": "cluster=pool,nodes=8"}), {"cluster": "pool", "nodes": "8"})
        self.assertEqual(cluster.settings({}), {"cluster": "", "nodes": ""})
        for wrong in ("cluster=a b", "cluster=" + "n" * 17, "cluster=-x", "cluster=p,nodes=0", "cluster=p,nodes=256", "nodes=x"):
            self.assertRaises(InvalidValueEx, cluster.settings, {"extra_info": wrong})
        self.assertRaises(InvalidFSTypeEx, OCFS2Plugin.validate, {"extra_info": "fstype=xfs"})
        self.assertRaises(InvalidValueEx, OCFS2Plugin.validate, {"storage_type": "NetworkFS"})

    def test_without_the_kernels_module_nothing_is_served(self):
        need("mkfs.ocfs2", "mounted.ocfs2")
        if VOLUMES.have("ocfs2"):
            self.skipTest("this kernel has OCFS2")
        with self.assertRaises(OperationPreReqNotMetEx) as said:
            OCFS2Plugin.validate({"storage_type": "LocalFS"})
        self.assertIn("module ocfs2", str(said.exception))

    def test_who_mounts_a_volume_is_read_from_mounted_ocfs2(self):
        head = "Device      Stack  Cluster  F  Nodes\n"
        for line, nodes in (("/dev/sdb    o2cb   pool     G  node1, node2", "node1, node2"), ("/dev/sdb    o2cb   pool        node1", "node1"),
                            ("/dev/sdb    o2cb   pool        Not mounted", ""), ("/dev/sdc    o2cb   pool        node1", "")):
            self.assertEqual(cluster.nodes_that_mount(head + line + "\n", "/dev/sdb"), nodes)

    def test_the_abilities_are_those_of_the_original(self):
        on, yes, no, never = (ABILITY_TYPES.ONLINE, ABILITY_TYPES.YES, ABILITY_TYPES.NO, ABILITY_TYPES.UNSUPPORTED)
        able = OCFS2Plugin.getCapabilities({})
        self.assertEqual(able, OCFS2Plugin.abilities)
        wanted = dict(resize=on, snapshot=on, clone=on, snapclone=on, splitclone=never, custom_snap_name=yes, custom_clone_name=yes,
                      access_control=no, snap_is_sync=yes, clone_is_sync=yes, snapclone_is_sync=yes, resize_is_sync=yes,
                      splitclone_is_sync=no, backing_device_type=BACKING_DEVICE_TYPES.DEVICE_SINGLE)
        self.assertEqual(dict((key, able[key]) for key in wanted), wanted)
        info = OCFS2Plugin.getPluginInfo()
        self.assertEqual((info["filesys_type"], info["filesys_name"], info["cluster_required"], info["generic_plugin"]),
                         ("LocalFS", "ocfs2", True, False))


if __name__ == "__main__":
    unittest.main()
