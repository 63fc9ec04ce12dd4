"""`IPlugin.copy`, on real files and, where this process may have one, a real block device."""
import os
import shutil
import subprocess
import tempfile
import unittest

import reference_agent  # noqa: F401 - finds the SDK

from OSCPlugin import IPlugin, OperationFailedEx

MIB = 1024 * 1024


class Copy(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.src, self.dst = os.path.join(self.folder, "src"), os.path.join(self.folder, "dst")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def read(self, path):
        with open(path, "rb") as file:
            return file.read()

    def test_the_copy_is_the_same_and_its_holes_are_holes(self):
        with open(self.src, "wb") as file:
            file.write(b"head")
            file.seek(20 * MIB)
            file.write(b"middle" * 1000)
            file.truncate(40 * MIB + 123)
        with open(self.dst, "wb") as file:
            file.write(b"\xff" * 50 * MIB)
        IPlugin.copy(self.src, self.dst)
        self.assertEqual(self.read(self.src), self.read(self.dst))
        self.assertLess(os.stat(self.dst).st_blocks * 512, 2 * MIB)

    def test_written_zeros_become_holes(self):
        with open(self.src, "wb") as file:
            file.write(b"\0" * 8 * MIB + b"x")
        IPlugin.copy(self.src, self.dst)
        self.assertEqual(self.read(self.src), self.read(self.dst))
        self.assertLess(os.stat(self.dst).st_blocks * 512, MIB)

    def test_an_empty_file_is_copied(self):
        open(self.src, "wb").close()
        IPlugin.copy(self.src, self.dst)
        self.assertEqual(self.read(self.dst), b"")

    def test_a_failed_copy_says_why_and_leaves_nothing_behind(self):
        with self.assertRaises(OperationFailedEx) as caught:
            IPlugin.copy(self.src, self.dst)
        self.assertIn("No such file", str(caught.exception))
        self.assertFalse(os.path.exists(self.dst))
        with open(self.src, "wb") as file:
            file.write(b"x")
        self.assertRaises(OperationFailedEx, IPlugin.copy, self.src, self.src)
        self.assertEqual(self.read(self.src), b"x")

    def test_what_was_on_a_device_shows_through_no_hole(self):
        backing = os.path.join(self.folder, "backing")
        with open(backing, "wb") as file:
            file.write(b"\xff" * 2 * MIB)
        try:
            device = subprocess.check_output(
                ["losetup", "--find", "--show", backing], stderr=subprocess.STDOUT).decode().strip()
        except (OSError, subprocess.CalledProcessError):
            self.skipTest("no loop device to be had")
        try:
            with open(self.src, "wb") as file:
                file.truncate(2 * MIB)
                file.write(b"head")
            IPlugin.copy(self.src, device)
            self.assertEqual(self.read(device), self.read(self.src))
            IPlugin.copy(device, self.dst)
            self.assertEqual(self.read(self.dst), self.read(self.src))
            with open(self.src, "ab") as file:
                file.write(b"one byte too many" * 100)
            with self.assertRaises(OperationFailedEx) as caught:
                IPlugin.copy(self.src, device)
            self.assertIn("No space", str(caught.exception))
        finally:
            subprocess.check_call(["losetup", "--detach", device])


if __name__ == "__main__":
    unittest.main()
