"""osc.filearray: the array, its elements, and who gets them."""

import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from filearrays import Array, MIB, write, on_every_file_system  # noqa: E402
from support import MKARRAY, ended, in_process, run  # noqa: E402

from OSCPlugin import (  # noqa: E402
    CloneFailedEx, CreateSnapFailedEx, InvalidStorageArrayEx, InvalidValueEx, MissingKeyEx, OperationFailedEx,
    OperationPreReqNotMetEx, StorageElementBusyEx, ValueFormatEx)
from osc.filearray.FileArray import FileArray  # noqa: E402


class Elements(Array):
    """What an array and its elements are."""

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


on_every_file_system(Elements, globals())


if __name__ == "__main__":
    unittest.main()
