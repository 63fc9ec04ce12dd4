"""What IFileSystemPlugin does about mounts where a plug-in does not override it: the agent is asked, and told apart."""
import os
import sys
import unittest

from reference_agent import SDK

sys.path.insert(0, SDK)
from OSCPlugin import (  # noqa: E402
    FS_STATES, FileSystemBusyEx, IFileSystemPlugin, IPlugin, InvalidValueEx, NoSuchOperationEx)
from OSCPlugin._link import context  # noqa: E402


class Vendor(IFileSystemPlugin):
    pass


FS = {"uuid": "0004fb00-0005-0000-1e3c-9d6a2c5b7f30", "name": "x", "access_path": "nas:/x", "mount_options": ["vers=4"]}


class Agent(object):
    """The agent's end: answers `mount.*` as the kernel's mount table would have it."""

    def __init__(self):
        self.pid, self.mounts, self.asked, self.refuse, self.detached = os.getpid(), [], [], None, ""

    def request(self, frame):
        request = frame["host"]
        self.asked.append(request)
        if self.refuse:
            raise self.refuse
        return getattr(self, request["op"].replace("mount.", "do_"))(request)

    def at(self, place):
        return [mount for mount in self.mounts if mount["mount_point"] == place]

    def do_list(self, request):
        return self.mounts

    def do_mount(self, request):
        if self.at(request["mount_point"]):
            return None
        self.mounts.append({
            "uuid": "u", "fs_uuid": FS["uuid"], "mount_point": request["mount_point"], "options": request["options"],
            "share_path": request["share_path"], "status": "Mounted", "source": "nas:/x", "fstype": "nfs",
            "read_only": "ro" in request["options"]})
        return self.mounts[-1]

    def do_unmount(self, request):
        there = self.at(request["mount_point"])
        self.mounts = [mount for mount in self.mounts if mount not in there]
        state = "detached" if self.detached else "unmounted" if there else "not_mounted"
        return {"state": state, "message": self.detached}


class Mounts(unittest.TestCase):
    def setUp(self):
        self.agent = context.link = Agent()
        self.addCleanup(setattr, context, "link", None)

    def mount(self, place, options=()):
        return Vendor.mount({}, FS, place, None, True, list(options))

    def test_a_mount_is_the_agent_s_and_the_record_says_it(self):
        self.assertEqual(self.mount("/a"), dict(FS, state=FS_STATES.MOUNTED))
        self.assertEqual(self.agent.asked[0], {"op": "mount.mount", "mount_point": "/a", "share_path": "", "options": ["vers=4"]})
        self.assertIsNone(self.mount("/a"))
        listed, = Vendor.listMountPoints({}, FS)
        self.assertEqual(sorted(listed), ["fs_uuid", "mount_point", "options", "share_path", "status", "uuid"])

    def test_read_only_is_what_all_mounts_are(self):
        self.assertEqual(self.mount("/a", ["ro"])["state"], FS_STATES.MOUNTED_READONLY)
        self.assertEqual(self.mount("/b")["state"], FS_STATES.MOUNTED)
        self.assertEqual(Vendor.unmount({}, FS, "/b", True)["state"], FS_STATES.MOUNTED_READONLY)

    def test_the_only_mount_needs_no_name(self):
        self.mount("/a")
        self.assertEqual(Vendor.unmount({}, FS, "", True)["state"], FS_STATES.UNMOUNTED)
        self.assertEqual(Vendor.unmount({}, FS, None, True)["state"], FS_STATES.UNMOUNTED)
        self.mount("/a")
        self.mount("/b")
        self.assertRaises(InvalidValueEx, Vendor.unmount, {}, FS, "", True)

    def test_a_mount_that_was_detached_says_so(self):
        self.mount("/a")
        self.agent.detached = "nas did not answer"
        done = Vendor.unmount({}, FS, "/a", True)
        self.assertEqual((done["mount_point"], done["status"]), ("/a", "Detached: nas did not answer"))

    def test_what_the_agent_refuses_is_raised(self):
        self.agent.refuse = FileSystemBusyEx("in use by process 7 (dd)")
        self.assertRaises(FileSystemBusyEx, Vendor.unmount, {}, FS, "/a", True)

    def test_a_file_system_whose_mounts_nobody_can_tell_is_the_plug_in_s_own(self):
        for record in ({"uuid": "u"}, {"access_path": "pool/x"}, {"array_path": "/vol/x", "backing_device": ["vol"]}):
            self.assertRaises(NoSuchOperationEx, Vendor.listMountPoints, {}, record)
            self.assertRaises(NoSuchOperationEx, Vendor.mount, {}, record, "/a", "", True, [])
            self.assertRaises(NoSuchOperationEx, Vendor.unmount, {}, record, "/a", True)
        self.assertEqual(self.agent.asked, [])
        for record in ({"backing_device": "/dev/sdc"}, {"backing_device": ["/dev/sdc"]}, {"array_path": "/dev/sdc"}):
            self.assertEqual(Vendor.listMountPoints({}, record), [])

    def test_without_an_agent_nothing_is_mounted(self):
        context.link = None
        self.assertRaises(NoSuchOperationEx, self.mount, "/a")
        self.assertRaises(NoSuchOperationEx, IPlugin.host.mount.list)


if __name__ == "__main__":
    unittest.main()
