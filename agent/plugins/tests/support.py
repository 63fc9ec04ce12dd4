"""What the scenarios stand on: the plug-ins imported as the agent imports them, and real file systems on loop devices.

Everything mounted or attached is recorded when it is made and undone in reverse, whatever happens.
"""

from __future__ import print_function

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
import types
import unittest

sys.dont_write_bytecode = True
PLUGINS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SDK = os.path.join(os.path.dirname(PLUGINS), "python")
MKARRAY = os.path.join(PLUGINS, "osc", "filearray", "mkarray.py")
sys.path.insert(0, SDK)
if "osc" not in sys.modules:
    # As the worker does it: the vendor is an empty package with a path.
    vendor = types.ModuleType("osc")
    vendor.__path__ = [os.path.join(PLUGINS, "osc")]
    sys.modules["osc"] = vendor


def run(*words):
    """Output of a command that has to succeed."""
    with open(os.devnull, "rb") as nothing:
        process = subprocess.Popen(words, stdin=nothing, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, close_fds=True)
        out = process.communicate()[0].decode("utf-8", "replace")
    if process.returncode != 0:
        raise AssertionError("%s: status %d: %s" % (" ".join(words), process.returncode, out))
    return out


def have(command):
    return any(os.access(os.path.join(folder, command), os.X_OK) for folder in
               os.environ.get("PATH", "").split(":") + ["/sbin", "/usr/sbin"])


def need(*commands):
    for command in commands:
        if not have(command):
            raise unittest.SkipTest("%s is not installed" % command)
    if os.geteuid() != 0:
        raise unittest.SkipTest("needs root")
    if not os.path.exists("/dev/loop-control"):
        raise unittest.SkipTest("the kernel has no loop devices")


class Bench(object):
    """A temporary directory with loop devices and mounts in it."""

    def __init__(self):
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="osc-stock-"))
        self.count = 0
        atexit.register(self.close)

    def file(self, size):
        self.count += 1
        path = os.path.join(self.root, "disk%d" % self.count)
        with open(path, "wb") as disk:
            disk.truncate(size)
        return path

    def device(self, size):
        """A fresh loop device."""
        return run("losetup", "--find", "--show", self.file(size)).strip()

    def mounted(self, kind, size=400 << 20):
        """A fresh file system, mounted; skips where kernel or tools do not have it."""
        need("mkfs." + kind, "losetup")
        words = {"xfs": ["mkfs.xfs", "-q", "-m", "reflink=1"], "btrfs": ["mkfs.btrfs", "-q"],
                 "ext4": ["mkfs.ext4", "-q", "-m", "0"]}[kind]
        device = self.device(size)
        run(*(words + [device]))
        self.count += 1
        place = os.path.join(self.root, "mnt%d" % self.count)
        os.mkdir(place)
        try:
            run("mount", "-t", kind, device, place)
        except AssertionError as wrong:
            raise unittest.SkipTest("this kernel does not mount %s: %s" % (kind, wrong))
        return place

    def place(self):
        self.count += 1
        path = os.path.join(self.root, "dir%d" % self.count)
        os.mkdir(path)
        return path

    def close(self):
        """Undoes everything below the directory: mounts from the inside out, then loop devices, then files."""
        if self.root is None:
            return
        for _ in range(50):
            busy = False
            with open("/proc/self/mountinfo") as lines:
                places = [line.split(" ")[4] for line in lines]
            ours = self._devices()
            for place in reversed([place for place in places if place.startswith(self.root + "/")]):
                busy |= subprocess.call(["umount", place], stderr=subprocess.PIPE) != 0
            for device in ours:
                subprocess.call(["losetup", "--detach", device], stderr=subprocess.PIPE)
            if not busy and not self._devices():
                break
            time.sleep(0.1)
        shutil.rmtree(self.root, ignore_errors=True)
        self.root = None

    def _devices(self):
        found = []
        for name in os.listdir("/sys/block"):
            try:
                with open("/sys/block/%s/loop/backing_file" % name) as said:
                    if said.read().startswith(self.root + "/"):
                        found.append("/dev/" + name)
            except (IOError, OSError):
                continue
        return found


def in_process(function):
    """Runs `function` in a forked child; returns its pid. The child ends with status 0, or 1 after an exception."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        function()
        status = 0
    except BaseException as wrong:
        print("child: %s: %s" % (type(wrong).__name__, wrong), file=sys.stderr)
    finally:
        os._exit(status)


def ended(pid):
    """The exit status of a child, negative for a signal."""
    status = os.waitpid(pid, 0)[1]
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
