"""osc.filearray: what goes wrong, and what stays whole."""

import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from filearrays import Array, MIB, content, write, on_every_file_system  # noqa: E402
from support import Bench, MKARRAY, ended, in_process, need, run  # noqa: E402

from OSCPlugin import CreateSnapFailedEx, OperationFailedEx, SE_STATES  # noqa: E402
from osc.filearray import blocks, copies, layout  # noqa: E402
from osc.filearray.FileArray import FileArray  # noqa: E402


class Failures(Array):
    """Whatever is lost, killed or done at once."""

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


on_every_file_system(Failures, globals())


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


if __name__ == "__main__":
    unittest.main()
