"""Arrays of osc.filearray on real file systems, for its tests."""

import hashlib
import os
import subprocess
import sys
import unittest

from support import Bench, MKARRAY, need, run

from osc.filearray import layout
from osc.filearray.FileArray import FileArray

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


class Array(object):
    """One on every kind of file system; `live` says whether elements in use can be copied."""

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


def shared_bytes(path):
    """Bytes in extents that filefrag calls shared."""
    need("filefrag")
    total = 0
    for line in run("filefrag", "-v", "-b4096", path).splitlines():
        words = line.replace("..", " ").replace(":", " ").split()
        if words and words[0].isdigit() and "shared" in line:
            total += int(words[5]) * 4096
    return total


def on_every_file_system(scenarios, names):
    """Test cases of the scenarios on XFS and btrfs, which share blocks, and on ext4, which does not; into `names`."""
    for kind, live in (("xfs", True), ("btrfs", True), ("ext4", False)):
        name = "On%s" % kind.capitalize()
        names[name] = type(name, (scenarios, unittest.TestCase), {
            "kind": kind, "live": live, "__module__": scenarios.__module__})
