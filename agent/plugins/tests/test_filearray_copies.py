"""osc.filearray: snapshots, clones, and what they hold."""

import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from filearrays import Array, MIB, content, shared_bytes, write, on_every_file_system  # noqa: E402
from support import ended, in_process, need, run  # noqa: E402

from OSCPlugin import (  # noqa: E402
    ABILITY_TYPES, CreateSnapFailedEx, InvalidValueEx, SE_STATES, SnapRestoreNotSafeEx, StorageElementBusyEx)
from osc.filearray import copies  # noqa: E402
from osc.filearray.FileArray import FileArray  # noqa: E402


class Copies(Array):
    """Whatever shares blocks, or would."""

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


on_every_file_system(Copies, globals())


if __name__ == "__main__":
    unittest.main()
