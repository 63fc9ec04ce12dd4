"""Scenarios of osc.localfs on loop devices: XFS and btrfs, which share blocks, and ext4, which does not."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from support import Bench, ended, in_process, need, run  # noqa: E402

from OSCPlugin import (  # noqa: E402
    ABILITY_TYPES, FS_STATES, FileSystemAlreadyMountedEx, FileSystemBusyEx, InvalidFSTypeEx, InvalidValueEx, MissingKeyEx,
    NoSuchOperationEx, OperationFailedEx, OperationPreReqNotMetEx, PermissionDeniedEx, ValueFormatEx)
from osc.localfs import devices, kernel, paths  # noqa: E402
from osc.localfs.LocalFS import FAMILY, LocalFS  # noqa: E402

MIB = 1 << 20
SIZE = {"xfs": 320 * MIB, "btrfs": 256 * MIB, "ext4": 64 * MIB}


def digest(path):
    with open(path, "rb") as disk:
        return hashlib.sha256(disk.read()).hexdigest()


class Scenarios(object):
    kind, reflink = None, True

    @classmethod
    def setUpClass(cls):
        need("mkfs." + cls.kind, "losetup", "blkid", "wipefs")
        if not FAMILY.have(cls.kind):
            raise unittest.SkipTest("this kernel has no " + cls.kind)

    def setUp(self):
        self.bench = Bench()
        self.addCleanup(self.bench.close)
        self.disk = self.bench.file(SIZE[self.kind])
        self.device = run("losetup", "--find", "--show", self.disk).strip()
        self.ss = {"uuid": "0c1de0e3-0000-4000-8000-000000000002", "name": "", "storage_type": "LocalFS",
                   "extra_info": "devices=%s,fstype=%s" % (self.device, self.kind)}
        self.wanted = {"name": "scratch", "backing_device": self.device, "uuid": str(uuid.uuid4())}

    def made(self, mounted=True):
        fs = LocalFS.createFileSystem(self.ss, self.wanted)
        if not mounted:
            return fs
        self.place = self.bench.place()
        return LocalFS.mount(self.ss, fs, self.place, "", True, [])

    def path(self, name):
        return os.path.join(self.place, name)

    def write(self, name, offset, data):
        with open(self.path(name), "r+b") as disk:
            disk.seek(offset)
            disk.write(data)
            disk.flush()
            os.fsync(disk.fileno())

    # File systems

    def test_a_name_that_the_label_does_not_hold_whole_is_never_answered_in_part(self):
        for name in ("a name", "n" * 20 + "/"):
            fs = LocalFS.createFileSystem(self.ss, dict(self.wanted, name=name))
            self.assertEqual(fs["name"], name)
            listed, = LocalFS.listFileSystems(self.ss)
            self.assertEqual((listed["uuid"], listed.get("name")), (fs["uuid"], None))
            self.assertEqual(LocalFS.getFileSystemInfo(self.ss, fs)["name"], name)
            LocalFS.destroyFileSystem(self.ss, fs)

    def test_a_file_system_is_made_listed_mounted_and_destroyed(self):
        fs = self.made(mounted=False)
        self.assertEqual((fs["uuid"], fs["name"], fs["state"]), (self.wanted["uuid"], "scratch", FS_STATES.UNMOUNTED))
        self.assertEqual((fs["size"], fs["backing_device"], fs["array_path"]), (SIZE[self.kind], self.device, self.device))
        self.assertTrue(0 < fs["free_sz"] <= fs["size"])
        listed, = LocalFS.listFileSystems(self.ss)
        self.assertEqual((listed["uuid"], listed["name"]), (fs["uuid"], "scratch"))
        for key, kind in dict(ss_uuid=str, name=str, mount_options=list, export_opts=list, uuid=str, size=int, free_sz=int,
                              status=str, state=int, access_grp_names=list, array_path=str).items():
            self.assertIsInstance(listed[key], (kind, int) if kind is int else kind, key)
        # It is not the plug-in's to set.
        self.assertNotIn("extra_info", listed)
        place = os.path.join(self.bench.place(), "made", "by mount")
        mounted = LocalFS.mount(self.ss, fs, place, "", True, ["noatime"])
        self.assertEqual((mounted["state"], mounted["size"]), (FS_STATES.MOUNTED, SIZE[self.kind]))
        self.assertIsNone(LocalFS.mount(self.ss, fs, place, "", True, []))
        point, = LocalFS.listMountPoints(self.ss, fs)
        self.assertEqual((point["mount_point"], point["status"], point["fs_uuid"]), (place, "Mounted", fs["uuid"]))
        self.assertIn("noatime", point["options"])
        self.assertEqual(LocalFS.listMountPoints(self.ss, fs), [point])
        self.assertRaises(FileSystemBusyEx, LocalFS.destroyFileSystem, self.ss, fs)
        self.assertEqual(LocalFS.unmount(self.ss, fs, place, True)["state"], FS_STATES.UNMOUNTED)
        self.assertEqual(LocalFS.unmount(self.ss, fs, place, True)["state"], FS_STATES.UNMOUNTED)
        LocalFS.mount(self.ss, fs, place, "/", True, ["ro"])
        self.assertEqual(LocalFS.getFileSystemInfo(self.ss, fs)["state"], FS_STATES.MOUNTED_READONLY)
        self.assertRaises(OperationPreReqNotMetEx, LocalFS.create, self.ss, fs, "x", "File", 1)
        LocalFS.mount(self.ss, fs, place + "2", "/", True, ["ro"])
        self.assertRaises(InvalidValueEx, LocalFS.unmount, self.ss, fs, "", True)
        self.assertEqual(len(LocalFS.listMountPoints(self.ss, fs)), 2)
        LocalFS.unmount(self.ss, fs, place + "2", True)
        LocalFS.unmount(self.ss, fs, "", True)
        LocalFS.destroyFileSystem(self.ss, fs)
        self.assertEqual(LocalFS.listFileSystems(self.ss), [])
        self.assertRaises(InvalidValueEx, LocalFS.getFileSystemInfo, self.ss, fs)
        self.assertEqual(LocalFS.getFileSystemBackingDevices(self.ss)[0]["value"], self.device)

    def test_only_a_blank_unused_device_that_was_given_is_touched(self):
        other = self.bench.device(SIZE[self.kind])
        for backing, error in ((other, PermissionDeniedEx), (None, MissingKeyEx), ("/dev/null", InvalidValueEx),
                               (self.disk, InvalidValueEx), ("/dev/does-not-exist", InvalidValueEx),
                               ([self.device, other], InvalidValueEx)):
            self.assertRaises(error, LocalFS.createFileSystem, self.ss, dict(self.wanted, backing_device=backing))
        self.assertEqual(LocalFS.getFileSystemBackingDevices(self.ss)[0]["value"], self.device)
        with open(self.device, "r+b") as disk:
            disk.seek(510)
            disk.write(b"\x55\xaa")
            disk.seek(446)
            disk.write(b"\x80\x01\x01\x00\x83\xfe\xff\xff\x00\x08\x00\x00\x00\x10\x00\x00")
        before = digest(self.disk)
        with self.assertRaises(FileSystemBusyEx) as said:
            LocalFS.createFileSystem(self.ss, self.wanted)
        self.assertIn("dos", str(said.exception))
        self.assertEqual(digest(self.disk), before)
        self.assertEqual(LocalFS.getFileSystemBackingDevices(self.ss), [])
        run("wipefs", "--all", self.device)
        fs = self.made()
        self.assertRaises(FileSystemBusyEx, LocalFS.createFileSystem, self.ss, dict(self.wanted, uuid=""))
        self.assertRaises(InvalidValueEx, LocalFS.createFileSystem, self.ss, dict(self.wanted, extra_info="fstype=vfat"))
        self.assertEqual(LocalFS.getFileSystemInfo(self.ss, fs)["state"], FS_STATES.MOUNTED)

    def test_of_two_that_want_the_same_device_one_gets_it(self):
        stderr = os.dup(2)
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        try:
            pids = [in_process(lambda: LocalFS.createFileSystem(self.ss, dict(self.wanted, uuid=""))) for _ in range(3)]
            statuses = sorted(ended(pid) for pid in pids)
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        self.assertEqual(statuses, [0, 1, 1])
        self.assertEqual(len(LocalFS.listFileSystems(self.ss)), 1)

    def test_a_file_system_killed_in_the_making_is_not_listed(self):
        def doomed():
            real = devices.run

            def deadly(words, what, *more):
                if what.startswith("labelling"):
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(words, what, *more)
            devices.run = deadly
            LocalFS.createFileSystem(self.ss, self.wanted)
        self.assertEqual(ended(in_process(doomed)), -signal.SIGKILL)
        self.assertEqual(LocalFS.listFileSystems(self.ss), [])
        with self.assertRaises(FileSystemBusyEx) as said:
            LocalFS.createFileSystem(self.ss, self.wanted)
        self.assertIn("wipefs", str(said.exception))

    def test_file_systems_grow_mounted_or_not_and_never_shrink(self):
        size = SIZE[self.kind]
        self.wanted["size"] = size - 16 * MIB
        fs = self.made(mounted=False)
        self.assertEqual(fs["size"], size - 16 * MIB)
        self.assertRaises(InvalidValueEx, LocalFS.resizeFileSystem, self.ss, fs, size - 32 * MIB)
        self.assertRaises(InvalidValueEx, LocalFS.resizeFileSystem, self.ss, fs, size + MIB)
        if self.kind == "ext4" and not kernel.may_use_resources():
            self.assertRaises(PermissionDeniedEx, LocalFS.resizeFileSystem, self.ss, fs, size)
            self.assertEqual(LocalFS.getFileSystemInfo(self.ss, fs)["size"], size - 16 * MIB)
            self.skipTest("ext4 only grows with CAP_SYS_RESOURCE, which this machine's root has not got")
        fs = LocalFS.resizeFileSystem(self.ss, fs, size)
        self.assertEqual((fs["size"], fs["state"]), (size, FS_STATES.UNMOUNTED))
        with open(self.disk, "r+b") as disk:
            disk.truncate(size + 64 * MIB)
        run("losetup", "--set-capacity", self.device)
        place = self.bench.place()
        LocalFS.mount(self.ss, fs, place, "", True, [])
        fs = LocalFS.resizeFileSystem(self.ss, fs, str(size + 64 * MIB))
        self.assertEqual((fs["size"], fs["state"]), (size + 64 * MIB, FS_STATES.MOUNTED))
        self.assertRaises(InvalidValueEx, LocalFS.resizeFileSystem, self.ss, fs, size)
        LocalFS.unmount(self.ss, fs, place, True)
        self.assertEqual(LocalFS.getFileSystemInfo(self.ss, fs)["size"], size + 64 * MIB)

    def test_unmounting_names_who_is_in_the_way(self):
        fs = self.made()
        child = subprocess.Popen(["sleep", "60"], cwd=self.place)
        try:
            with self.assertRaises(FileSystemBusyEx) as said:
                LocalFS.unmount(self.ss, fs, self.place, True)
            self.assertIn(str(child.pid), str(said.exception))
        finally:
            child.kill()
            child.wait()
        LocalFS.unmount(self.ss, fs, self.place, True)
        taken = self.bench.place()
        run("mount", "-t", "tmpfs", "none", taken)
        self.assertRaises(FileSystemAlreadyMountedEx, LocalFS.mount, self.ss, fs, taken, "", True, [])
        for place in ("", "relative", "/", "/a/../b", self.disk):
            self.assertRaises(InvalidValueEx, LocalFS.mount, self.ss, fs, place, "", True, [])
        self.assertRaises(InvalidValueEx, LocalFS.mount, self.ss, fs, self.place, "sub", True, [])
        self.assertRaises(InvalidValueEx, LocalFS.mount, self.ss, fs, self.place, "", True, ["-t", "tmpfs"])
        absent = os.path.join(self.bench.root, "absent")
        self.assertRaises(OperationFailedEx, LocalFS.mount, self.ss, fs, absent, "", True, ["no_such_option"])
        self.assertFalse(os.path.exists(absent))

    # Files

    def test_files_are_made_listed_resized_and_removed(self):
        fs = self.made()
        record = LocalFS.create(self.ss, fs, "a.img", "File", str(10 * MIB))
        self.assertEqual((record["fr_type"], record["file_path"], record["file_sz"], record["fs_uuid"]),
                         ("File", "a.img", 10 * MIB, fs["uuid"]))
        self.assertEqual(record["ondisk_sz"], 0)
        LocalFS.create(self.ss, fs, self.place + "/dir", "Directory", 0)
        LocalFS.create(self.ss, fs, "dir/b.iso", "File", 1)
        os.symlink("/etc/passwd", self.path("link"))
        listed = LocalFS.list(self.ss, fs, {"file_path": ""})
        self.assertEqual([(each["file_path"], each["fr_type"]) for each in listed if each["file_path"] != "lost+found"],
                         [("a.img", "File"), ("dir", "Directory"), ("link", "SymLink")])
        self.assertEqual([each["dest_path"] for each in listed if "dest_path" in each], ["/etc/passwd"])
        self.assertEqual([each["file_path"] for each in LocalFS.list(self.ss, fs, {"file_path": "/", "name_pattern": r"\.img$"})],
                         ["a.img"])
        self.assertEqual([each["file_path"] for each in LocalFS.list(self.ss, fs, {"file_path": "dir"})], ["dir/b.iso"])
        self.assertRaises(ValueFormatEx, LocalFS.list, self.ss, fs, {"file_path": "", "name_pattern": "("})
        self.assertEqual(LocalFS.resize(self.ss, fs, record, 20 * MIB)["file_sz"], 20 * MIB)
        self.assertRaises(InvalidValueEx, LocalFS.resize, self.ss, fs, record, MIB)
        self.assertRaises(InvalidValueEx, LocalFS.create, self.ss, fs, "a.img", "File", 1)
        self.assertRaises(InvalidValueEx, LocalFS.create, self.ss, fs, "none/x", "File", 1)
        self.assertRaises(InvalidValueEx, LocalFS.create, self.ss, fs, "dev", "BlkDev", 1)
        self.assertRaises(InvalidValueEx, LocalFS.create, self.ss, fs, "n" * 300, "File", 1)
        self.assertRaises(InvalidValueEx, LocalFS.create, self.ss, fs, "x", "File", -1)
        self.assertRaises(ValueFormatEx, LocalFS.create, self.ss, fs, "x", "File", "much")
        self.assertRaises(InvalidValueEx, LocalFS.getFileInfo, self.ss, fs, {"file_path": "missing"})
        self.assertRaises(FileSystemBusyEx, LocalFS.destroy, self.ss, fs, {"file_path": "dir"})
        device = run("losetup", "--find", "--show", self.path("a.img")).strip()
        try:
            self.assertRaises(FileSystemBusyEx, LocalFS.destroy, self.ss, fs, record)
        finally:
            run("losetup", "--detach", device)
        for _ in range(100):
            # A loop device lets its file go a moment after the detaching command has ended.
            try:
                LocalFS.destroy(self.ss, fs, record)
                break
            except FileSystemBusyEx:
                time.sleep(0.05)
        LocalFS.destroy(self.ss, fs, {"file_path": "dir/b.iso"})
        LocalFS.destroy(self.ss, fs, {"file_path": "dir"})
        LocalFS.destroy(self.ss, fs, {"file_path": "link"})
        self.assertEqual([name for name in os.listdir(self.place) if name != "lost+found"], [])
        LocalFS.unmount(self.ss, fs, self.place, True)
        self.assertRaises(OperationPreReqNotMetEx, LocalFS.list, self.ss, fs, {"file_path": ""})

    def test_no_path_leads_out_of_the_file_system(self):
        fs = self.made()
        outside = self.bench.place()
        with open(os.path.join(outside, "secret"), "w") as text:
            text.write("secret")
        os.symlink(outside, self.path("out"))
        os.symlink(os.path.join(outside, "secret"), self.path("file"))
        inner = self.path("inner")
        os.mkdir(inner)
        run("mount", "-t", "tmpfs", "none", inner)
        for path in ("../x", "out/secret", "out/new", "inner/new", "a/../../x", "x\0y"):
            self.assertRaises(InvalidValueEx, LocalFS.getFileInfo, self.ss, fs, {"file_path": path})
            self.assertRaises(InvalidValueEx, LocalFS.create, self.ss, fs, path, "File", 1)
        self.assertRaises(InvalidValueEx, LocalFS.resize, self.ss, fs, {"file_path": "file"}, MIB)
        self.assertRaises((InvalidValueEx, NoSuchOperationEx), LocalFS.clone, self.ss, fs, {"file_path": "file"}, "stolen")
        self.assertEqual(os.listdir(outside), ["secret"])
        self.assertEqual(LocalFS.getFileInfo(self.ss, fs, {"file_path": "file"})["fr_type"], "SymLink")

    def test_abilities_are_what_the_file_system_has(self):
        able = LocalFS.getCapabilities(self.ss)
        wanted = ABILITY_TYPES.ONLINE if self.reflink else ABILITY_TYPES.UNSUPPORTED
        self.assertEqual([able[key] for key in ("snapshot", "clone", "snapclone")], [wanted] * 3)
        fs = self.made()
        record = LocalFS.create(self.ss, fs, "f", "File", MIB)
        self.assertEqual(LocalFS.isSnapable(self.ss, fs, record), self.reflink)
        self.assertEqual(LocalFS.isCloneable(self.ss, fs, record), self.reflink)
        self.assertRaises(NoSuchOperationEx, LocalFS.splitClone, self.ss, fs, record)
        if not self.reflink:
            self.assertRaises(NoSuchOperationEx, LocalFS.createSnap, self.ss, fs, record, "s")
            self.assertRaises(NoSuchOperationEx, LocalFS.clone, self.ss, fs, record, "c")
            self.assertEqual(LocalFS.getFileSystemSnapLimits(self.ss, fs), {"max": 0, "current": 0})
            self.assertEqual(sorted(set(os.listdir(self.place)) - set(["lost+found"])), ["f"])

    def test_snapshots_and_clones_of_files_share_blocks(self):
        if not self.reflink:
            self.skipTest(self.kind + " has no reflink")
        fs = self.made()
        LocalFS.create(self.ss, fs, "dir", "Directory", 0)
        record = LocalFS.create(self.ss, fs, "dir/f,1", "File", 4 * MIB)
        self.write("dir/f,1", 0, os.urandom(2 * MIB))
        old = digest(self.path("dir/f,1"))
        snap = LocalFS.createSnap(self.ss, fs, record, "s1")
        self.assertEqual((snap["fr_type"], snap["snap_name"], snap["extra_info"]), ("Snap", "s1", "parent=dir/f%2C1"))
        info = LocalFS.getFileInfo(self.ss, fs, record, snap)
        self.assertEqual((info["shared_sz"], info["ondisk_sz"]), (2 * MIB, 2 * MIB))
        self.write("dir/f,1", 0, os.urandom(MIB))
        self.assertEqual(LocalFS.getFileInfo(self.ss, fs, record, snap)["shared_sz"], MIB)
        self.assertEqual(digest(self.path(snap["file_path"])), old)
        self.assertEqual(LocalFS.getCurrentSnaps(self.ss, fs, record), [snap])
        for name in ("s1", "", "a/b", "a@", "x" * 65):
            self.assertRaises(InvalidValueEx, LocalFS.createSnap, self.ss, fs, record, name)
        os.chmod(self.path("dir/f,1"), 0o640)
        clone = LocalFS.clone(self.ss, fs, record, "c")
        self.assertEqual((clone["file_path"], clone["fr_type"]), ("dir/c", "File"))
        snapclone = LocalFS.cloneFromSnap(self.ss, fs, snap, "/sc")
        modes = [os.stat(self.path(name)).st_mode & 0o777 for name in ("dir/c", "sc")]
        self.assertEqual(modes, [0o640, 0o600], "readable for nobody who could not read the original")
        self.assertEqual((snapclone["file_path"], snapclone["fr_type"]), ("sc", "SnapClone"))
        self.assertEqual(digest(self.path("sc")), old)
        self.assertRaises(InvalidValueEx, LocalFS.clone, self.ss, fs, record, "c")
        self.assertRaises(InvalidValueEx, LocalFS.cloneFromSnap, self.ss, fs, record, "x")
        self.assertEqual(LocalFS.getFileSystemSnapLimits(self.ss, fs)["current"], 1)
        self.assertEqual(LocalFS.getFileSystemCloneLimits(self.ss, fs)["current"], 2)
        self.assertGreater(LocalFS.getFileSystemCloneLimits(self.ss, fs)["max"], 2)
        self.assertNotIn(paths.SNAPS, [each["file_path"] for each in LocalFS.list(self.ss, fs, {"file_path": ""})])
        for call in (LocalFS.destroy, lambda *args: LocalFS.resize(*(args + (8 * MIB,)))):
            self.assertRaises(InvalidValueEx, call, self.ss, fs, snap)
        self.assertRaises(FileSystemBusyEx, LocalFS.destroy, self.ss, fs, record)
        with open(self.path("dir/f,1"), "rb"):
            pid = in_process(lambda: time.sleep(60))
        try:
            self.assertFalse(LocalFS.isRestorable(self.ss, fs, record, snap))
            self.assertRaises(FileSystemBusyEx, LocalFS.snapRestore, self.ss, fs, record, snap)
        finally:
            os.kill(pid, signal.SIGKILL)
            ended(pid)
        self.assertTrue(LocalFS.isRestorable(self.ss, fs, record, snap))
        LocalFS.snapRestore(self.ss, fs, record, snap)
        self.assertEqual(digest(self.path("dir/f,1")), old)
        self.assertRaises(InvalidValueEx, LocalFS.snapRestore, self.ss, fs, clone, snap)
        LocalFS.snapRemove(self.ss, fs, snap)
        self.assertEqual(LocalFS.getCurrentSnaps(self.ss, fs, record), [])
        self.assertRaises(InvalidValueEx, LocalFS.snapRemove, self.ss, fs, clone)
        LocalFS.destroy(self.ss, fs, record)

    def test_a_kill_in_the_middle_leaves_no_half_file(self):
        if not self.reflink:
            self.skipTest(self.kind + " has no reflink")
        fs = self.made()
        record = LocalFS.create(self.ss, fs, "f", "File", MIB)
        self.write("f", 0, os.urandom(MIB))
        snap = LocalFS.createSnap(self.ss, fs, record, "s")
        old = digest(self.path("f"))
        self.write("f", 0, os.urandom(MIB))
        new = digest(self.path("f"))
        for name in ("reflink", "link_nameless"):
            for after in (False, True):
                for do in (lambda: LocalFS.createSnap(self.ss, fs, record, "half"),
                           lambda: LocalFS.clone(self.ss, fs, record, "half"),
                           lambda: LocalFS.snapRestore(self.ss, fs, record, snap)):
                    def doomed():
                        real = getattr(kernel, name)

                        def deadly(*arguments):
                            if after:
                                real(*arguments)
                            os.kill(os.getpid(), signal.SIGKILL)
                        setattr(kernel, name, deadly)
                        do()
                    self.assertEqual(ended(in_process(doomed)), -signal.SIGKILL)
                    self.assertEqual(digest(self.path("f")), new)
                    for left in LocalFS.getCurrentSnaps(self.ss, fs, record):
                        self.assertEqual(digest(self.path(left["file_path"])), old if left["snap_name"] == "s" else new)
                        if left["snap_name"] == "half":
                            LocalFS.snapRemove(self.ss, fs, left)
                    if os.path.exists(self.path("half")):
                        self.assertEqual(digest(self.path("half")), new)
                        os.unlink(self.path("half"))
        LocalFS.snapRestore(self.ss, fs, record, snap)
        self.assertEqual(digest(self.path("f")), old)
        self.assertEqual([name for name in os.listdir(self.path(paths.SNAPS)) if name.startswith(".new-")], [])


class OnXfs(Scenarios, unittest.TestCase):
    kind = "xfs"


class OnXfsWithoutNamelessFiles(OnXfs):
    """As on OCFS2: the kernel takes O_TMPFILE for an attempt to write to a directory."""

    def setUp(self):
        self.addCleanup(setattr, kernel, "O_TMPFILE", kernel.O_TMPFILE)
        kernel.O_TMPFILE = os.O_DIRECTORY
        super(OnXfsWithoutNamelessFiles, self).setUp()


class OnBtrfs(Scenarios, unittest.TestCase):
    kind = "btrfs"


class OnExt4(Scenarios, unittest.TestCase):
    kind, reflink = "ext4", False


class Validation(unittest.TestCase):
    def test_a_record_is_checked_and_nothing_is_touched(self):
        need("blkid", "wipefs")
        self.assertRaises(InvalidFSTypeEx, LocalFS.validate, {"extra_info": "fstype=vfat"})
        self.assertRaises(InvalidValueEx, LocalFS.validate, {"storage_type": "NetworkFS"})
        self.assertRaises(ValueFormatEx, LocalFS.validate, {"extra_info": "nonsense"})
        record = LocalFS.validate({"storage_type": "FileSys", "extra_info": "devices=/dev/none*;/dev/nothing"})
        self.assertEqual((record["total_sz"], record["alloc_sz"]), (0, -1))
        self.assertRaises(NoSuchOperationEx, LocalFS.createAccessGroups, record, [])

    def test_the_best_file_system_that_fits_is_chosen(self):
        need("mkfs.xfs", "mkfs.btrfs", "mkfs.ext4")
        for size, kind in ((300 * MIB, "xfs"), (200 * MIB, "btrfs"), (10 * MIB, "ext4")):
            self.assertEqual(FAMILY.kind_for({}, {}, size), kind)
        self.assertRaises(InvalidValueEx, FAMILY.kind_for, {"extra_info": "fstype=ext4"}, {"extra_info": "fstype=xfs"}, MIB)


if __name__ == "__main__":
    unittest.main()
