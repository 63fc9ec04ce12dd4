"""What IStorageArrayPlugin does about devices where a plug-in does not override it: what the agent is asked for, in order."""
import os
import sys
import unittest

from reference_agent import SDK

sys.path.insert(0, SDK)
from OSCPlugin import (  # noqa: E402
    IStorageArrayPlugin, LoginFailedEx, MissingKeyEx, NoSuchOperationEx, StorageElementBusyEx)
from OSCPlugin._link import context  # noqa: E402


class Vendor(IStorageArrayPlugin):
    pass


ARRAY = {"name": "a", "uuid": "0004fb00-0005-0000-1e3c-9d6a2c5b7f30", "storage_type": "iSCSI", "access_host": "192.0.2.1"}
LUN = {"name": "lun", "page83_id": "36001405a1b2c3d4e5f60718293a4b5c6", "size": 1, "path": ["/dev/sda"]}
UNIT = {"path": ["/dev/mapper/x", "/dev/sda"], "size": 2}


class Agent(object):
    """The agent's end, with an answer for each operation."""

    def __init__(self, **refuse):
        self.pid, self.asked, self.refuse = os.getpid(), [], refuse

    def request(self, frame):
        request = dict(frame["host"])
        op = request.pop("op")
        self.asked.append((op, request))
        if op.partition(".")[2] in self.refuse:
            raise self.refuse[op.partition(".")[2]]
        return {
            "iscsi.discover": [{"target": "iqn.b"}, {"target": "iqn.a"}, {"target": "iqn.b"}],
            "iscsi.login": {"sessions": [{}], "failed": []}, "scsi.resize": UNIT, "scsi.remove": True,
        }.get(op, [])

    def ops(self):
        return [op for op, _ in self.asked]


class Devices(unittest.TestCase):
    def served(self, **refuse):
        context.link = Agent(**refuse)
        self.addCleanup(setattr, context, "link", None)
        return context.link

    def test_starting_logs_in_before_it_scans(self):
        agent = self.served()
        self.assertEqual(Vendor.start(dict(ARRAY, storage_id=["iqn.x"]))["storage_id"], ["iqn.x"])
        self.assertEqual(agent.asked, [
            ("iscsi.login", {"targets": ["iqn.x"]}), ("scsi.scan", {"targets": ["iqn.x"]})])

    def test_an_array_without_targets_is_asked_for_them(self):
        agent = self.served()
        self.assertEqual(Vendor.start(ARRAY)["storage_id"], ["iqn.a", "iqn.b"])
        self.assertEqual(agent.ops(), ["iscsi.discover", "iscsi.login", "scsi.scan"])
        self.assertEqual(Vendor.discover(ARRAY)["storage_id"], ["iqn.a", "iqn.b"])

    def test_a_login_that_fails_is_not_scanned_for(self):
        agent = self.served(login=LoginFailedEx("no"))
        self.assertRaises(LoginFailedEx, Vendor.start, dict(ARRAY, storage_id=["iqn.x"]))
        self.assertEqual(agent.ops(), ["iscsi.login"])

    def test_a_san_has_nothing_to_log_in_to(self):
        agent = self.served()
        san = dict(ARRAY, storage_type="SAN")
        self.assertEqual((Vendor.start(san), Vendor.refresh(san), Vendor.stop(san)), (san, san, san))
        self.assertEqual(agent.ops(), ["scsi.scan", "scsi.scan"])

    def test_stopping_logs_out_unless_something_is_in_use(self):
        agent = self.served()
        Vendor.stop(ARRAY)
        self.assertEqual(agent.ops(), ["iscsi.logout"])
        self.served(logout=StorageElementBusyEx("mounted"))
        self.assertRaises(StorageElementBusyEx, Vendor.stop, ARRAY)

    def test_devices_are_chosen_by_identity_and_by_nothing_else(self):
        agent = self.served()
        self.assertEqual(Vendor.deviceTeardown(ARRAY, LUN)["path"], [])
        for method in (Vendor.deviceResize, Vendor.deviceSizeRefresh):
            self.assertEqual(method(ARRAY, LUN), dict(LUN, path=UNIT["path"], size=2))
        identity = {"page83_id": LUN["page83_id"]}
        self.assertEqual(agent.asked, [("scsi.remove", identity), ("scsi.resize", identity), ("scsi.resize", identity)])
        self.assertRaises(MissingKeyEx, Vendor.deviceTeardown, ARRAY, {"path": ["/dev/sda"]})

    def test_without_an_agent_there_is_no_host_half(self):
        for method in (Vendor.start, Vendor.stop, Vendor.refresh):
            self.assertEqual(method(ARRAY), ARRAY)
        for method in (Vendor.deviceTeardown, Vendor.deviceResize, Vendor.deviceSizeRefresh):
            self.assertRaises(NoSuchOperationEx, method, ARRAY, LUN)
        self.assertRaises(NoSuchOperationEx, Vendor.discover, ARRAY)


if __name__ == "__main__":
    unittest.main()
