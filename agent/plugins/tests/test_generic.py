"""The generic array, against an agent that shows it what a host would."""
import os
import unittest

import support  # noqa: F401 - makes the SDK and the stock plug-ins importable
from OSCPlugin import ABILITY_TYPES, InvalidValueEx, MissingKeyEx, SE_STATES
from OSCPlugin._link import context
from osc.generic.SCSIPlugin import GenericPlugin

ISCSI = {"name": "a", "uuid": "0004fb00-0005-0000-1e3c-9d6a2c5b7f30", "storage_type": "iSCSI", "access_host": "192.0.2.1"}
UNITS = [
    {"page83_id": "36001405a1b2c3d4e5f60718293a4b5c6", "path": ["/dev/mapper/x", "/dev/sda", "/dev/sdb"], "size": 1 << 26,
     "vendor": "LIO-ORG", "product_id": "disk0", "map": "x", "paths": [{}, {}]},
    {"page83_id": None, "path": ["/dev/sdz"], "size": 1, "vendor": "", "product_id": "", "map": None, "paths": [{}]},
]


class Agent(object):
    def __init__(self):
        self.pid = os.getpid()

    def request(self, frame):
        return {"scsi.units": UNITS, "iscsi.sessions": [{"state": "LOGGED_IN"}, {"state": "FAILED"}]}[frame["host"]["op"]]


class Generic(unittest.TestCase):
    def setUp(self):
        context.link = Agent()
        self.addCleanup(setattr, context, "link", None)

    def test_it_can_do_nothing_to_the_array(self):
        abilities = dict(GenericPlugin.getCapabilities(ISCSI))
        self.assertEqual(abilities.pop("access_control"), ABILITY_TYPES.NO)
        self.assertEqual(set(abilities.values()), set([ABILITY_TYPES.UNSUPPORTED]))
        self.assertEqual(len(abilities), 13)
        self.assertTrue(GenericPlugin.getPluginInfo()["generic_plugin"])
        self.assertEqual(GenericPlugin.getPluginInfo()["storage_types"], ["SAN", "iSCSI"])

    def test_what_is_visible_is_an_element_if_it_can_be_told_apart(self):
        found = GenericPlugin.list(ISCSI)
        self.assertEqual([each["page83_id"] for each in found], [UNITS[0]["page83_id"]])
        self.assertEqual((found[0]["path"], found[0]["size"], found[0]["ss_uuid"]),
                         (UNITS[0]["path"], 1 << 26, ISCSI["uuid"]))
        self.assertEqual(found[0]["state"], SE_STATES.ONLINE)

    def test_an_element_that_is_not_visible_is_offline_and_keeps_its_name(self):
        seen = {"name": "mine", "page83_id": UNITS[0]["page83_id"], "path": []}
        gone = {"name": "other", "page83_id": "36000", "path": ["/dev/sdq"]}
        one, two = GenericPlugin.updateSERecords(ISCSI, [seen, gone])
        self.assertEqual((one["name"], one["state"], one["path"]), ("mine", SE_STATES.ONLINE, UNITS[0]["path"]))
        self.assertEqual((two["name"], two["state"], two["path"]), ("other", SE_STATES.OFFLINE, []))

    def test_the_status_tells_of_the_sessions(self):
        self.assertEqual(GenericPlugin.getInfo(ISCSI)["status"], "1 of 2 sessions logged in, 2 logical units visible")
        self.assertEqual(GenericPlugin.getInfo(dict(ISCSI, storage_type="SAN"))["status"], "2 logical units visible")

    def test_an_iscsi_array_needs_a_portal_in_either_form(self):
        self.assertRaises(MissingKeyEx, GenericPlugin.validate, dict(ISCSI, access_host=""))
        self.assertRaises(MissingKeyEx, GenericPlugin.validate, dict(ISCSI, access_descriptors=[{}]))
        self.assertEqual(GenericPlugin.validate(dict(ISCSI, access_descriptors=[{"access_host": "h"}]))["name"], "a")
        self.assertRaises(InvalidValueEx, GenericPlugin.validate, dict(ISCSI, storage_type="LocalFS"))


if __name__ == "__main__":
    unittest.main()
