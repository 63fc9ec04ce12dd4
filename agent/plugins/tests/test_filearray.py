"""Scenarios of osc.filearray on real file systems: XFS and btrfs, which share blocks, and ext4, which does not."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from support import Bench, MKARRAY, ended, in_process, need, run  # noqa: E402

from OSCPlugin import (  # noqa: E402
    ABILITY_TYPES, CloneFailedEx, CreateSnapFailedEx, InvalidStorageArrayEx, InvalidValueEx, MissingKeyEx,
    OperationFailedEx, OperationPreReqNotMetEx, SE_STATES, SnapRestoreNotSafeEx, StorageElementBusyEx, ValueFormatEx)
from osc.filearray import blocks, copies, layout  # noqa: E402
from osc.filearray.FileArray import FileArray  # noqa: E402

MIB = 1 << 20


def write(record_or_path, offset, data):
    path = record_or_path["array_path"] if isinstance(record_or_path, dict) else record_or_path
    with open(path, "r+b") as disk:
        disk.seek(offset)
        disk.write(data)
        disk.flush()
        os.fsync(disk.fileno())


def content(record, size=None):
    with open(record["array_path"], "rb") as disk:
        return hashlib.sha256(disk.read(size or -1)).hexdigest()


class Scenarios(object):
    """Held by every kind of file system; `live` says whether elements in use can be copied."""

    kind, live = None, True

    @classmethod
    def setUpClass(cls):
        cls.bench = Bench()
        try:
            cls.place = cls.bench.mounted(cls.kind)
        except BaseException:
            cls.bench.close()
            raise
        cls.number = 0

    @classmethod
    def tearDownClass(cls):
        cls.bench.close()

    def setUp(self):
        type(self).number += 1
        self.path = os.path.join(self.place, "array%d" % self.number)
        run(sys.executable, MKARRAY, self.path, "--vol-group", "gold=64MiB", "--vol-group", "small=8MiB")
        self.ss = {"uuid": "0c1de0e3-0000-4000-8000-000000000001", "name": "", "storage_type": "SAN",
                   "admin_host": "localhost", "extra_info": "path=" + self.path, "access_grps": []}

    def tearDown(self):
        for record in FileArray.list(self.ss):
            for device in record["path"]:
                subprocess.call(["losetup", "--detach", device])

    def lun(self, name="lun1", size=8 * MIB, group="gold", **more):
        return FileArray.create(self.ss, dict(more, name=name, size=size, vol_group_name=group))

    def names(self):
        return sorted(record["name"] for record in FileArray.list(self.ss))

    def quiet(self, record):
        """The element in the state in which this file system lets it be copied."""
        return record if self.live else FileArray.offline(self.ss, record)

    def split(self, record):
        record = FileArray.splitClone(self.ss, record)
        said = []
        while True:
            record = FileArray.getAsyncProgress(self.ss, record)
            if record["async_progress"] is None:
                return record, said
            said.append(record["async_progress"])

    def files(self):
        return sorted(name for group in ("gold", "small") for name in os.listdir(os.path.join(self.path, group)))

    def sound(self):
        """No leftovers: as many data files as elements, nothing staged once a change has swept."""
        with layout.changing(self.path):
            pass
        self.assertEqual(len(self.files()), len(FileArray.list(self.ss)))
        self.assertEqual(os.listdir(os.path.join(self.path, layout.STAGING)), [])

    # The array

    def test_validate_creates_nothing_and_names_what_is_no_array(self):
        empty = os.path.join(self.place, "empty%d" % self.number)
        os.mkdir(empty)
        for path in (empty, empty + "/missing", "/proc"):
            with self.assertRaises(InvalidStorageArrayEx) as said:
                FileArray.validate(dict(self.ss, extra_info="path=" + path))
            self.assertIn(path, str(said.exception))
        self.assertEqual(os.listdir(empty), [])
        for record, error in (({"extra_info": "", "admin_host": "array1"}, MissingKeyEx),
                              ({"extra_info": "path=relative"}, ValueFormatEx), ({"extra_info": "nonsense"}, ValueFormatEx),
                              ({"storage_type": "iSCSI"}, InvalidValueEx)):
            self.assertRaises(error, FileArray.validate, dict(self.ss, **record))
        by_host = dict(self.ss, extra_info=None, admin_host=self.path)
        self.assertEqual(FileArray.validate(by_host)["storage_server_id"], FileArray.validate(self.ss)["storage_server_id"])
        self.assertRaises(InvalidStorageArrayEx, FileArray.validate, dict(self.ss, storage_server_id="another"))

    def test_mkarray_changes_nothing_when_run_again(self):
        again = run(sys.executable, MKARRAY, self.path, "--vol-group", "gold=64MiB")
        self.assertIn("unchanged", again)
        self.lun(size=8 * MIB)
        with self.assertRaises(AssertionError):
            run(sys.executable, MKARRAY, self.path, "--vol-group", "gold=4MiB")
        with self.assertRaises(AssertionError):
            run(sys.executable, MKARRAY, self.place, "--vol-group", "gold=4MiB")

    def test_sizes_add_up(self):
        lun = self.quiet(self.lun(size=8 * MIB))
        write(lun, 0, os.urandom(MIB))
        FileArray.createSnap(self.ss, lun, "s")
        info = FileArray.getInfo(self.ss)
        gold = [group for group in info["vol_groups"] if group["vol_name"] == "gold"][0]
        self.assertEqual(gold["vol_total_sz"], 64 * MIB)
        self.assertEqual(gold["vol_alloc_sz"] + gold["vol_free_sz"], 64 * MIB)
        # The LUN in full, and the snapshot with what it holds.
        self.assertGreaterEqual(gold["vol_alloc_sz"], 9 * MIB)
        self.assertLess(gold["vol_alloc_sz"], 10 * MIB)
        self.assertGreaterEqual(gold["vol_used_sz"], 2 * MIB)
        self.assertLessEqual(gold["vol_used_sz"], gold["vol_alloc_sz"])
        self.assertEqual(info["total_sz"], 72 * MIB)
        self.assertEqual(info["status"], "OK")

    # Elements

    def test_records_have_the_types_of_the_specification(self):
        lun = self.lun(extra_info="mine", access_grp_names=[], name="\xc3\xa4 b" if sys.version_info[0] == 2 else u"\xe4 b")
        for key, kind in dict(se_type=str, ss_uuid=str, name=str, uuid=str, page83_id=str, id=str, vendor=str,
                              product_id=str, path=list, array_path=str, size=int, status=str, vol_group_name=str,
                              access_grp_names=list, qos=str, state=int, extra_info=str).items():
            self.assertIsInstance(lun[key], kind, key)
        self.assertTrue(lun["page83_id"].startswith("3600") and len(lun["page83_id"]) == 33)
        self.assertEqual(lun["extra_info"], "mine")
        self.assertEqual(FileArray.list(self.ss), [lun])
        self.assertEqual(FileArray.getInfo(self.ss, {"uuid": lun["uuid"]})["id"], lun["id"])
        self.assertEqual(FileArray.getInfo(self.ss, {"page83_id": lun["page83_id"]})["id"], lun["id"])
        renamed = FileArray.getInfo(self.ss, dict(lun, name="called otherwise"))
        self.assertEqual(renamed["name"], "called otherwise")

    def test_bad_names_and_sizes_change_nothing(self):
        self.lun("taken", MIB)
        for name in ("taken", "a/b", ".hidden", "x" * 65, "a\nb", " x"):
            self.assertRaises(InvalidValueEx, self.lun, name, MIB)
        for size, error in ((0, InvalidValueEx), (-1, InvalidValueEx), ("ten", ValueFormatEx), (None, MissingKeyEx),
                            (1 << 80, InvalidValueEx)):
            self.assertRaises(error, self.lun, "free", size)
        self.assertRaises(InvalidValueEx, self.lun, "free", MIB, "platinum")
        self.assertRaises(MissingKeyEx, self.lun, "free", MIB, "")
        self.assertRaises(InvalidValueEx, self.lun, "free", MIB, qos="best")
        self.assertRaises(InvalidValueEx, self.lun, "free", MIB, access_grp_names=["nobody"])
        self.assertEqual(self.lun("free", "1000001")["size"], 1003520)
        self.assertRaises(InvalidValueEx, FileArray.remove, self.ss, {"id": "nothing"})
        self.assertRaises(MissingKeyEx, FileArray.remove, self.ss, {"name": "taken"})
        self.sound()

    def test_a_full_volume_group_is_an_error_that_changes_nothing(self):
        lun = self.quiet(self.lun("a", 6 * MIB, "small"))
        write(lun, 0, os.urandom(3 * MIB))
        before = FileArray.getInfo(self.ss)["vol_groups"], self.files(), self.names()
        for error, call in ((OperationFailedEx, lambda: self.lun("b", 3 * MIB, "small")),
                            (OperationFailedEx, lambda: FileArray.resize(self.ss, lun, 9 * MIB)),
                            (CreateSnapFailedEx, lambda: FileArray.createSnap(self.ss, lun, "b")),
                            (CloneFailedEx, lambda: FileArray.clone(self.ss, lun, "b"))):
            with self.assertRaises(error) as said:
                call()
            self.assertIn("small is full", str(said.exception))
            self.assertEqual((FileArray.getInfo(self.ss)["vol_groups"], self.files(), self.names()), before)
        FileArray.resize(self.ss, lun, 8 * MIB)
        self.sound()

    def test_elements_grow_and_never_shrink(self):
        lun = self.lun(size=4 * MIB)
        self.assertEqual(FileArray.resize(self.ss, lun, 8 * MIB)["size"], 8 * MIB)
        self.assertEqual(os.path.getsize(lun["array_path"]), 8 * MIB)
        self.assertRaises(InvalidValueEx, FileArray.resize, self.ss, lun, 4 * MIB)
        self.assertEqual(FileArray.resize(self.ss, lun, 8 * MIB)["size"], 8 * MIB)

    # Snapshots and clones

    def test_a_snapshot_keeps_its_point_in_time_and_names_its_parent(self):
        lun = self.quiet(self.lun())
        write(lun, MIB, b"before" * 1000)
        old = content(lun)
        snap = FileArray.createSnap(self.ss, lun, "s1")
        write(lun, MIB, b"after" * 1000)
        self.assertEqual(content(snap), old)
        self.assertEqual((snap["se_type"], snap["name"], snap["size"]), ("Snap", "s1", lun["size"]))
        self.assertEqual(snap["extra_info"], "parent=%s,parent_uuid=%s" % (lun["id"], lun["uuid"]))
        self.assertEqual(FileArray.getCurrentSnaps(self.ss, lun), [snap])
        self.assertEqual(FileArray.getSnapLimits(self.ss, lun), {"max": copies.MAX_CHILDREN, "current": 1})
        self.assertFalse(FileArray.isSnapable(self.ss, snap))
        self.assertTrue(FileArray.isCloneable(self.ss, snap))
        self.assertRaises(InvalidValueEx, FileArray.createSnap, self.ss, snap, "s2")
        self.assertRaises(InvalidValueEx, FileArray.createSnap, self.ss, lun, "s1")
        self.assertRaises(InvalidValueEx, FileArray.createSnap, self.ss, lun, "")
        self.assertRaises(InvalidValueEx, FileArray.resize, self.ss, snap, 16 * MIB)
        self.assertRaises(StorageElementBusyEx, FileArray.remove, self.ss, lun)
        FileArray.snapRemove(self.ss, snap)
        FileArray.remove(self.ss, lun)
        self.assertEqual(self.files(), [])

    def test_restoring_brings_the_content_back(self):
        lun = self.quiet(self.lun(size=4 * MIB))
        write(lun, 0, b"first")
        old = content(lun)
        s1, s2 = FileArray.createSnap(self.ss, lun, "s1"), None
        write(lun, 0, b"second")
        s2 = FileArray.createSnap(self.ss, lun, "s2")
        newer = content(s2)
        self.assertTrue(FileArray.isRestorable(self.ss, lun, s1))
        lun = FileArray.resize(self.ss, lun, 8 * MIB)
        back = FileArray.snapRestore(self.ss, lun, s1)
        self.assertEqual(content(back, 4 * MIB), old)
        self.assertEqual((back["size"], back["id"]), (8 * MIB, lun["id"]))
        self.assertEqual(content(s2), newer)
        other = self.lun("other", MIB)
        self.assertRaises(InvalidValueEx, FileArray.snapRestore, self.ss, other, s1)
        FileArray.createAccessGroups(self.ss, [{"grp_name": "far", "grp_entries": ["another-host"]}])
        back = FileArray.startPresent(self.ss, FileArray.online(self.ss, back), ["far"])
        self.assertRaises(SnapRestoreNotSafeEx, FileArray.snapRestore, self.ss, back, s1)
        self.assertFalse(FileArray.isRestorable(self.ss, back, s1))
        self.sound()

    def test_clones_are_written_to_and_split_off(self):
        lun = self.quiet(self.lun(size=8 * MIB))
        write(lun, 0, os.urandom(4 * MIB))
        snap = FileArray.createSnap(self.ss, lun, "s")
        clone = FileArray.clone(self.ss, lun, "c")
        snapclone = FileArray.cloneFromSnap(self.ss, snap, "sc")
        self.assertEqual((clone["se_type"], snapclone["se_type"]), ("Clone", "SnapClone"))
        self.assertEqual([record["name"] for record in FileArray.getCurrentClones(self.ss, snap)], ["sc"])
        self.assertEqual(FileArray.getCloneLimits(self.ss, lun)["current"], 1)
        self.assertRaises(InvalidValueEx, FileArray.cloneFromSnap, self.ss, lun, "x")
        self.assertRaises(InvalidValueEx, FileArray.clone, self.ss, snap, "x")
        self.assertRaises(InvalidValueEx, FileArray.splitClone, self.ss, lun)
        write(clone, 0, b"own")
        self.assertNotEqual(content(clone), content(lun))
        self.assertRaises(StorageElementBusyEx, FileArray.snapRemove, self.ss, snap)
        if FileArray.getCapabilities(self.ss)["splitclone"] == ABILITY_TYPES.OFFLINE:
            self.assertRaises(StorageElementBusyEx, FileArray.splitClone, self.ss, snapclone)
            snapclone, clone = FileArray.offline(self.ss, snapclone), FileArray.offline(self.ss, clone)
        was = content(snapclone)
        whole, _ = self.split(snapclone)
        self.assertEqual((whole["se_type"], content(whole)), ("LUN", was))
        FileArray.snapRemove(self.ss, snap)
        self.split(clone)
        FileArray.remove(self.ss, lun)
        self.assertEqual(self.names(), ["c", "sc"])
        self.sound()

    def test_splitting_takes_apart_what_was_shared_and_tells_how_far_it_is(self):
        if not self.live:
            self.skipTest("nothing is shared on " + self.kind)
        lun = self.lun(size=8 * MIB)
        write(lun, 0, os.urandom(8 * MIB))
        clone = FileArray.offline(self.ss, FileArray.clone(self.ss, lun, "c"))
        self.assertEqual(shared_bytes(clone["array_path"]), 8 * MIB)
        was, slice_bytes = content(clone), copies.SLICE_BYTES
        copies.SLICE_BYTES = MIB
        try:
            record = FileArray.splitClone(self.ss, clone)
            self.assertEqual(record["state"], SE_STATES.BUSY_COPY)
            record = FileArray.getAsyncProgress(self.ss, record)
            first = record["async_progress"]
            self.assertTrue(0 < first < 100, first)
            for call in (FileArray.remove, FileArray.online, lambda ss, se: FileArray.createSnap(ss, se, "x")):
                self.assertRaises(StorageElementBusyEx, call, self.ss, record)
            listed = [each for each in FileArray.list(self.ss) if each["name"] == "c"][0]
            self.assertEqual(listed["state"], SE_STATES.BUSY_COPY)
            # Interrupted: nobody asks any more. Starting again goes on where it stopped.
            whole, said = self.split(listed)
        finally:
            copies.SLICE_BYTES = slice_bytes
        self.assertEqual(said, sorted(said))
        self.assertGreater(said[0], first)
        self.assertEqual((whole["se_type"], whole["state"], content(whole)), ("LUN", SE_STATES.OFFLINE, was))
        self.assertEqual(shared_bytes(clone["array_path"]), 0)

    def test_abilities_say_what_the_file_system_allows(self):
        able = FileArray.getCapabilities(self.ss)
        self.assertEqual(sorted(able), sorted(FileArray.abilities))
        wanted = ABILITY_TYPES.ONLINE if self.live else ABILITY_TYPES.OFFLINE
        self.assertEqual((able["snapshot"], able["clone"]), (wanted, wanted))
        if not self.live:
            lun = self.lun()
            self.assertRaises(StorageElementBusyEx, FileArray.createSnap, self.ss, lun, "s")
            self.assertFalse(FileArray.isSnapable(self.ss, lun))
            self.assertTrue(FileArray.isSnapable(self.ss, FileArray.offline(self.ss, lun)))
            self.sound()

    def test_several_snapshots_are_all_or_none(self):
        a, b = self.quiet(self.lun("a", MIB)), self.quiet(self.lun("b", MIB))
        snaps = FileArray.createMultiSnap(self.ss, [b, a], ["b1", "a1"])
        self.assertEqual([snap["name"] for snap in snaps], ["b1", "a1"])
        self.assertIn(b["id"], snaps[0]["extra_info"])
        for names, error in ((["x", "a1"], InvalidValueEx), (["x", "x"], InvalidValueEx), (["x"], InvalidValueEx)):
            self.assertRaises(error, FileArray.createMultiSnap, self.ss, [a, b], names)
        self.assertEqual(self.names(), ["a", "a1", "b", "b1"])
        self.sound()

    # Presenting

    def test_presenting_attaches_a_loop_device_and_says_which(self):
        lun = self.lun(size=4 * MIB)
        self.assertEqual(lun["path"], [])
        lun = FileArray.startPresent(self.ss, lun, [])
        device, = lun["path"]
        self.assertEqual(FileArray.startPresent(self.ss, lun, [])["path"], [device])
        self.assertEqual(FileArray.list(self.ss)[0]["path"], [device])
        self.assertEqual([group["grp_name"] for group in FileArray.getAccessGroups(self.ss, lun)], lun["access_grp_names"])
        write(device, 0, b"through the device")
        self.assertRaises(StorageElementBusyEx, FileArray.remove, self.ss, lun)
        self.assertRaises(StorageElementBusyEx, FileArray.offline, self.ss, lun)
        FileArray.resize(self.ss, lun, 8 * MIB)
        self.assertEqual(int(run("blockdev", "--getsize64", device)), 8 * MIB)
        with open(device, "rb"):
            pid = in_process(lambda: time.sleep(60))
        try:
            with self.assertRaises(StorageElementBusyEx) as said:
                FileArray.stopPresent(self.ss, lun, [])
            self.assertIn(str(pid), str(said.exception))
        finally:
            os.kill(pid, signal.SIGKILL)
            ended(pid)
        # The kernel knows, nobody remembers: detached behind our back is detached.
        run("losetup", "--detach", device)
        self.assertEqual(FileArray.list(self.ss)[0]["path"], [])
        FileArray.start(self.ss)
        self.assertEqual(len(FileArray.list(self.ss)[0]["path"]), 1)
        FileArray.stop(self.ss)
        self.assertEqual(FileArray.list(self.ss)[0]["path"], [])
        lun = FileArray.stopPresent(self.ss, lun, [])
        self.assertEqual((lun["path"], lun["access_grp_names"]), ([], []))
        self.assertEqual(FileArray.stopPresent(self.ss, lun, [])["path"], [])
        self.assertRaises(OperationPreReqNotMetEx, FileArray.startPresent, self.ss, FileArray.offline(self.ss, lun), [])
        FileArray.remove(self.ss, lun)

    def test_access_groups_decide_who_gets_an_element(self):
        groups = FileArray.createAccessGroups(self.ss, [{"grp_name": "far", "grp_entries": ["other1"]},
                                                        {"grp_name": "near", "grp_entries": [os.uname()[1], "other1"]}])
        self.assertEqual([group["grp_name"] for group in groups], ["far", "near"])
        self.assertRaises(InvalidValueEx, FileArray.createAccessGroups, self.ss, [{"grp_name": "far"}])
        lun = FileArray.startPresent(self.ss, self.lun(), ["far"])
        self.assertEqual((lun["path"], lun["access_grp_names"]), ([], ["far"]))
        lun = FileArray.startPresent(self.ss, lun, ["near"])
        self.assertEqual((len(lun["path"]), lun["access_grp_names"]), (1, ["far", "near"]))
        FileArray.renameAccessGroup(self.ss, "near", "here")
        self.assertEqual(FileArray.list(self.ss)[0]["access_grp_names"], ["far", "here"])
        self.assertRaises(StorageElementBusyEx, FileArray.removeAccessGroups, self.ss, [{"grp_name": "here"}])
        self.assertRaises(StorageElementBusyEx, FileArray.removeFromAccessGroup, self.ss, "here", [os.uname()[1]])
        FileArray.addToAccessGroup(self.ss, "far", ["other2"])
        self.assertEqual(FileArray.getAccessGroups(self.ss)[0]["grp_entries"], ["other1", "other2"])
        FileArray.removeFromAccessGroup(self.ss, "far", ["other1"])
        self.assertRaises(InvalidValueEx, FileArray.startPresent, self.ss, lun, ["unknown"])
        lun = FileArray.stopPresent(self.ss, lun, ["here"])
        self.assertEqual((lun["path"], lun["access_grp_names"]), ([], ["far"]))
        self.assertEqual([group["grp_name"] for group in FileArray.removeAccessGroups(self.ss, ["here"])], ["far"])

    def test_an_element_in_use_is_snapshotted_with_what_was_written_last(self):
        if not self.live:
            self.skipTest("elements in use cannot be copied on " + self.kind)
        need("mkfs.ext4")
        luns = [FileArray.startPresent(self.ss, self.lun(name, 8 * MIB), []) for name in ("a", "b")]
        places = [self.bench.place() for _ in luns]
        for lun, place in zip(luns, places):
            run("mkfs.ext4", "-q", lun["path"][0])
            run("mount", lun["path"][0], place)
            with open(os.path.join(place, "file"), "w") as text:
                text.write("not synced by anybody")
        try:
            snaps = FileArray.createMultiSnap(self.ss, luns, ["sa", "sb"])
            for snap in snaps:
                snap = FileArray.startPresent(self.ss, snap, [])
                with open("/sys/block/%s/ro" % os.path.basename(snap["path"][0])) as said:
                    self.assertEqual(said.read().strip(), "1")
                look = self.bench.place()
                run("mount", "-t", "ext4", "-o", "ro,noload", snap["path"][0], look)
                try:
                    with open(os.path.join(look, "file")) as text:
                        self.assertEqual(text.read(), "not synced by anybody")
                finally:
                    run("umount", look)
                FileArray.stopPresent(self.ss, snap, [])
            self.assertRaises(StorageElementBusyEx, FileArray.snapRestore, self.ss, luns[0], snaps[0])
            self.assertRaises(StorageElementBusyEx, FileArray.stopPresent, self.ss, luns[0], [])
        finally:
            for place in places:
                run("umount", place)

    def test_several_snapshots_under_writers_are_one_point_in_time_or_refused(self):
        if not self.live:
            self.skipTest("elements in use cannot be copied on " + self.kind)
        luns = [FileArray.startPresent(self.ss, self.lun(name, MIB), []) for name in ("a", "b")]

        def count():
            # The same number goes to a, then to b: at any instant a is equal to b or one ahead.
            fds = [os.open(lun["path"][0], os.O_RDWR | os.O_SYNC) for lun in luns]
            number = 0
            while True:
                number += 1
                for fd in fds:
                    os.lseek(fd, 0, os.SEEK_SET)
                    os.write(fd, (b"%08d" if sys.version_info[0] > 2 else "%08d") % number + b"\0" * 4088)
                time.sleep(0.001 if number % 20 else 0.05)
        writer = in_process(count)
        taken = 0
        try:
            for attempt in range(10):
                time.sleep(0.01)
                try:
                    snaps = FileArray.createMultiSnap(self.ss, luns, ["a%d" % attempt, "b%d" % attempt])
                except CreateSnapFailedEx as refused:
                    self.assertIn("point in time", str(refused))
                    continue
                numbers = []
                for snap in snaps:
                    with open(snap["array_path"], "rb") as data:
                        numbers.append(int(data.read(8).strip(b"\0") or b"0"))
                self.assertIn(numbers[0] - numbers[1], (0, 1))
                taken += 1
        finally:
            os.kill(writer, signal.SIGKILL)
            ended(writer)
        self.assertGreater(taken, 0)
        self.sound()

    # What goes wrong

    def test_a_missing_data_file_is_an_error_state_and_can_be_removed(self):
        lun = self.lun()
        os.unlink(lun["array_path"])
        record, = FileArray.list(self.ss)
        self.assertEqual(record["state"], SE_STATES.ERROR)
        self.assertRaises(OperationFailedEx, FileArray.startPresent, self.ss, lun, [])
        self.assertRaises(OperationFailedEx, FileArray.createSnap, self.ss, lun, "s")
        FileArray.remove(self.ss, lun)
        self.assertEqual(FileArray.list(self.ss), [])

    def test_a_kill_in_the_middle_leaves_nothing_half_made(self):
        lun = self.quiet(self.lun(size=4 * MIB))
        write(lun, 0, os.urandom(MIB))
        snap = FileArray.createSnap(self.ss, lun, "kept")
        held = content(lun)
        points = [(layout.Staged, "__init__"), (copies, "_reserve"), (copies, "_build"), (copies, "_publish"),
                  (blocks, "create"), (layout, "sync_dir"), (layout.Staged, "close")]
        work = [lambda: FileArray.createSnap(self.ss, lun, "half"), lambda: FileArray.clone(self.ss, lun, "half"),
                lambda: FileArray.create(self.ss, {"name": "half", "size": MIB, "vol_group_name": "gold"}),
                lambda: FileArray.snapRestore(self.ss, lun, snap)]
        for owner, name in points:
            for after in (False, True):
                for do in work:
                    def doomed():
                        real = getattr(owner, name)

                        def deadly(*arguments, **named):
                            if after:
                                real(*arguments, **named)
                            os.kill(os.getpid(), signal.SIGKILL)
                        setattr(owner, name, deadly)
                        do()
                    ended(in_process(doomed))
                    for record in FileArray.list(self.ss):
                        # Either it is not there or it is whole.
                        self.assertEqual(os.path.getsize(record["array_path"]), record["size"])
                        self.assertNotEqual(record["state"], SE_STATES.ERROR)
                        if record["name"] == "half":
                            FileArray.remove(self.ss, record)
                    self.assertEqual(content(FileArray.getInfo(self.ss, lun)), held)
                    self.sound()
        self.assertEqual(self.names(), ["kept", "lun1"])

    def test_processes_that_change_the_array_at_once_do_not_disturb_each_other(self):
        luns = [self.quiet(self.lun("lun%d" % number, MIB)) for number in range(4)]

        def busy(number):
            def work():
                lun = luns[number % 4]
                for turn in range(4):
                    name = "n%d-%d" % (number, turn)
                    snap = FileArray.createSnap(self.ss, lun, name)
                    clone = FileArray.cloneFromSnap(self.ss, snap, name + "-clone")
                    FileArray.remove(self.ss, clone)
                    if turn % 2:
                        FileArray.snapRemove(self.ss, snap)
            return work
        pids = [in_process(busy(number)) for number in range(8)]
        listed = 0
        statuses = []
        while pids:
            pid, status = os.waitpid(pids[0], os.WNOHANG)
            if pid:
                statuses.append(status)
                pids.pop(0)
            names = [record["name"] for record in FileArray.list(self.ss)]
            self.assertEqual(len(names), len(set(names)))
            listed += 1
        self.assertEqual(statuses, [0] * 8)
        self.assertGreater(listed, 0)
        self.assertEqual(len(FileArray.list(self.ss)), 4 + 8 * 2)
        self.sound()

    def test_one_of_two_that_want_the_same_name_gets_it(self):
        lun = self.quiet(self.lun(size=MIB))

        def want():
            FileArray.createSnap(self.ss, lun, "same")
        stderr = os.dup(2)
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        try:
            statuses = sorted(ended(pid) for pid in [in_process(want) for _ in range(6)])
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        self.assertEqual(statuses, [0] + [1] * 5)
        self.assertEqual(self.names(), ["lun1", "same"])


class OnXfs(Scenarios, unittest.TestCase):
    kind = "xfs"


class OnBtrfs(Scenarios, unittest.TestCase):
    kind = "btrfs"


class OnExt4(Scenarios, unittest.TestCase):
    kind, live = "ext4", False


class AFullFileSystem(unittest.TestCase):
    """The file system under the array has no room, whatever the volume group promises."""

    def setUp(self):
        need("mount")
        self.bench = Bench()
        self.addCleanup(self.bench.close)

    def filled(self, place):
        fd = os.open(os.path.join(place, "filler"), os.O_WRONLY | os.O_CREAT)
        try:
            for size in (MIB, 4096, 512, 1):
                try:
                    while True:
                        os.write(fd, b"x" * size)
                except OSError:
                    pass
        finally:
            os.close(fd)

    def scenario(self, place):
        path = os.path.join(place, "array")
        run(sys.executable, MKARRAY, path, "--vol-group", "big=1TiB")
        ss = {"uuid": "", "extra_info": "path=" + path}
        lun = FileArray.create(ss, {"name": "lun", "size": 8 * MIB})
        write(lun, 0, os.urandom(4 * MIB))
        lun = FileArray.offline(ss, lun)
        FileArray.create(ss, {"name": "huge", "size": 1 << 39})
        self.assertIn("overcommitted", FileArray.getInfo(ss)["status"])
        self.filled(place)
        before = FileArray.list(ss)
        files = sorted(os.listdir(os.path.join(path, "big")))
        failures = 0
        for number in range(20):
            for error, call in ((CreateSnapFailedEx, lambda: FileArray.createSnap(ss, lun, "s%d" % number)),
                                (OperationFailedEx, lambda: FileArray.create(ss, {"name": "l%d" % number, "size": MIB}))):
                known = FileArray.list(ss)
                try:
                    call()
                except error as said:
                    failures += 1
                    self.assertIn("no space left", str(said))
                    self.assertEqual(FileArray.list(ss), known)
        self.assertGreater(failures, 0)
        self.assertEqual(FileArray.list(ss)[:2], before)
        self.assertEqual(set(files) - set(os.listdir(os.path.join(path, "big"))), set())
        for record in reversed(FileArray.list(ss)):
            FileArray.remove(ss, record)
        self.assertEqual(FileArray.list(ss), [])
        os.unlink(os.path.join(place, "filler"))
        FileArray.create(ss, {"name": "again", "size": MIB})
        self.assertEqual(len(os.listdir(os.path.join(path, "big"))), 1)
        self.assertEqual(os.listdir(os.path.join(path, layout.STAGING)), [])

    def test_on_tmpfs(self):
        place = self.bench.place()
        run("mount", "-t", "tmpfs", "-o", "size=12M", "none", place)
        self.scenario(place)

    def test_on_ext4(self):
        self.scenario(self.bench.mounted("ext4", 24 * MIB))


def shared_bytes(path):
    """Bytes in extents that filefrag calls shared."""
    need("filefrag")
    total = 0
    for line in run("filefrag", "-v", "-b4096", path).splitlines():
        words = line.replace("..", " ").replace(":", " ").split()
        if words and words[0].isdigit() and "shared" in line:
            total += int(words[5]) * 4096
    return total


if __name__ == "__main__":
    unittest.main()
