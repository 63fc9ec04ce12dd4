"""The agent's D-Bus interface, as clients meet that share no code with it: `suite.py CLIENT ADDRESS RECORD`.

CLIENT is `libdbus`, `gdbus` or `sdbus`; RECORD registers a file-backed array of the suite's own, as JSON.
"""
import json
import sys
import unittest
import xml.etree.ElementTree as ElementTree

import remote
from remote import INTROSPECTABLE, MANAGER, NAME, PROPERTIES, ROOT, Failure, eventually, own

ARRAY = "osc.filearray.FileArray.FileArray"
DOC = "org.gtk.GDBus.DocString"
ERROR = NAME + ".Error."
DBUS_ERROR = "org.freedesktop.DBus.Error."


class Suite(unittest.TestCase):
    kind = address = record = None

    @classmethod
    def setUpClass(cls):
        cls.client = remote.connect(cls.kind, cls.address)
        eventually("the array's plug-in", lambda: any(
            properties[own("Plugin")]["Usable"] and properties[own("Plugin")]["ImplName"] == ARRAY
            for properties in cls.objects(ROOT).values() if own("Plugin") in properties))
        result = cls.done(cls.client.call(ROOT, own("Manager"), "Register", "ss", ARRAY, json.dumps(cls.record)))
        cls.uuid = result["uuid"]
        cls.server = "%s/server/%s" % (ROOT, cls.uuid.replace("-", "_"))

    @classmethod
    def tearDownClass(cls):
        cls.done(cls.client.call(cls.server, own("StorageServer"), "Unregister"))
        cls.wait_for_signal("InterfacesRemoved", lambda signal: signal.arguments[0] == cls.server)
        getattr(cls.client, "close", lambda: None)()

    @classmethod
    def objects(cls, path):
        return cls.client.call(path, MANAGER, "GetManagedObjects")

    @classmethod
    def done(cls, operation):
        """What an operation came to."""
        return json.loads(cls.client.call(operation, own("Operation"), "Wait", "t", 60000))

    @classmethod
    def wait_for_signal(cls, member, which=lambda _: True, seen=None):
        seen = [] if seen is None else seen

        def look():
            seen.extend(cls.client.heard())
            return [signal for signal in seen if signal.member == member and which(signal)]

        return eventually(member, look)[0]

    def property(self, path, interface, name):
        return self.client.call(path, PROPERTIES, "Get", "ss", own(interface), name)

    def create(self, name, size=1 << 20):
        """The path and the properties of a new element."""
        record = {"name": name, "size": size, "vol_group_name": "vg0", "se_type": "LUN"}
        self.done(self.client.call(self.server, own("StorageServer"), "Create", "s", json.dumps(record)))
        return self.named(name)

    def named(self, name):
        for path, interfaces in self.objects(self.server).items():
            properties = interfaces.get(own("StorageElement"), {})
            if properties.get("Name") == name:
                return path, properties
        self.fail("there is no element " + name)

    def fails(self, name, text, *call):
        with self.assertRaises(Failure) as caught:
            self.client.call(*call)
        self.assertIn(caught.exception.name, (None, name))
        self.assertIn(text, caught.exception.message)

    def test_every_object_describes_itself_and_is_found_from_the_root(self):
        lun, _ = self.create("described")
        found, todo = set(), ["/"]
        while todo:
            path = todo.pop()
            node = ElementTree.fromstring(self.client.call(path, INTROSPECTABLE, "Introspect"))
            for item in node.iter():
                if item.tag in ("interface", "method", "signal", "property"):
                    texts = [a.get("value") for a in item.findall("annotation") if a.get("name") == DOC]
                    self.assertTrue(texts and texts[0], "%s %s has no text" % (path, item.get("name")))
            found.add(path)
            todo += [path.rstrip("/") + "/" + child.get("name") for child in node.findall("node")]
        self.assertLessEqual({ROOT, self.server, lun}, found)
        self.assertLessEqual(set(self.objects(ROOT)) | set(self.objects(self.server)), found)

    def test_properties_have_the_types_that_introspection_promises(self):
        path, _ = self.create("typed", 3 << 20)
        node = ElementTree.fromstring(self.client.call(path, INTROSPECTABLE, "Introspect"))
        promised = dict((item.get("name"), item.get("type")) for interface in node.findall("interface")
                        if interface.get("name") == own("StorageElement") for item in interface.findall("property"))
        values = self.client.call(path, PROPERTIES, "GetAll", "s", own("StorageElement"))
        self.assertEqual(set(values), set(promised))
        kinds = {"s": str, "o": str, "t": int, "x": int, "u": int, "i": int, "n": int, "b": bool, "as": list}
        for name, signature in promised.items():
            kind = kinds.get(signature, dict if signature.startswith("a{") else list)
            self.assertIsInstance(values[name], kind, "%s %s" % (name, signature))
        self.assertEqual(values["Size"], 3 << 20)
        self.assertEqual(self.property(path, "StorageElement", "Size"), 3 << 20)
        self.assertEqual(json.loads(values["Record"])["name"], "typed")

    def test_one_call_brings_everything_and_the_number_of_its_last_event(self):
        path, properties = self.create("known")
        seq, objects = self.client.call(ROOT, own("Manager"), "GetState")
        self.assertEqual(objects[path], {own("StorageElement"): properties})
        both = dict(self.objects(ROOT), **self.objects(self.server))
        self.assertLessEqual(set(both), set(objects))
        self.assertLessEqual(seq, self.property(ROOT, "Manager", "Seq"))

    def test_a_snapshot_is_an_operation_and_a_new_object(self):
        path, properties = self.create("parent")
        self.client.heard()
        operation = self.client.call(path, own("StorageElement"), "Snapshot", "s", "evening")
        self.assertTrue(operation.startswith(ROOT + "/op/"), operation)
        self.assertEqual(self.done(operation)["name"], "evening")
        self.assertEqual(self.property(operation, "Operation", "State"), "succeeded")
        self.assertEqual(self.property(operation, "Operation", "Target"), path)
        seen = []
        added = self.wait_for_signal(
            "InterfacesAdded", lambda signal: own("StorageElement") in signal.arguments[1], seen)
        self.assertEqual(added.path, self.server)
        told = added.arguments[1][own("StorageElement")]
        self.assertEqual(told["Name"], "evening")
        self.assertIn(properties["Uuid"], told["Record"])
        self.assertEqual(self.objects(self.server)[added.arguments[0]][own("StorageElement")], told)
        self.done(self.client.call(added.arguments[0], own("StorageElement"), "Remove"))
        removed = self.wait_for_signal("InterfacesRemoved", lambda signal: signal.path == self.server, seen)
        self.assertEqual(removed.arguments, (added.arguments[0], [own("StorageElement")]))

    def test_a_change_is_told_once_with_its_new_value(self):
        path, _ = self.create("growing")
        self.client.heard()
        self.done(self.client.call(path, own("StorageElement"), "Resize", "t", 2 << 20))
        seen = []
        self.wait_for_signal("PropertiesChanged", lambda signal: signal.path == path, seen)
        # What comes after all of its signals.
        self.create("after")
        self.wait_for_signal("InterfacesAdded", lambda signal: "after" in str(signal.arguments), seen)
        sizes = [signal.arguments[1]["Size"] for signal in seen
                 if signal.path == path and "Size" in signal.arguments[1]]
        self.assertEqual(sizes, [2 << 20])

    def test_events_are_numbered_without_a_gap_and_can_be_read_again(self):
        self.client.heard()
        before = self.property(ROOT, "Manager", "Seq")
        self.create("counted")
        after = self.property(ROOT, "Manager", "Seq")
        self.assertGreater(after, before)
        seen = []
        self.wait_for_signal("Event", lambda signal: signal.arguments[0] >= after, seen)
        told = [signal.arguments for signal in seen if signal.member == "Event"]
        numbers = [arguments[0] for arguments in told]
        self.assertEqual(numbers, list(range(numbers[0], numbers[-1] + 1)))
        kept = self.client.call(ROOT, own("Manager"), "GetEvents", "t", numbers[0] - 1)
        self.assertEqual([json.loads(line)["seq"] for line in kept][:len(numbers)], numbers)
        self.assertEqual(json.loads(told[0][3])["seq"], numbers[0])

    def test_errors_have_the_names_of_the_table_and_say_what_to_do(self):
        path, _ = self.create("once")
        self.done(self.client.call(path, own("StorageElement"), "Snapshot", "s", "taken"))
        again = self.client.call(path, own("StorageElement"), "Snapshot", "s", "taken")
        self.fails(ERROR + "InvalidValue", "choose another name", again, own("Operation"), "Wait", "t", 60000)
        self.assertEqual(self.property(again, "Operation", "ErrorName"), ERROR + "InvalidValue")
        self.fails(ERROR + "InvalidValue", "size", path, own("StorageElement"), "Resize", "t", 1 << 63)
        self.fails(DBUS_ERROR + "UnknownObject", "/nothing", ROOT + "/nothing", PROPERTIES, "GetAll", "s", NAME)
        self.fails(DBUS_ERROR + "UnknownMethod", "Paint", path, own("StorageElement"), "Paint")
        self.fails(DBUS_ERROR + "InvalidArgs", "", path, own("StorageElement"), "Snapshot", "t", 1)
        self.fails(DBUS_ERROR + "UnknownProperty", "Colour", path, PROPERTIES, "Get", "ss", own("StorageElement"),
                   "Colour")

    def test_what_was_not_understood_changed_nothing(self):
        before = set(self.objects(self.server))
        for record in ("", "{", "[]", '{"name": 7'):
            self.fails(ERROR + "InvalidValue", "", self.server, own("StorageServer"), "Create", "s", record)
        self.assertEqual(set(self.objects(self.server)), before)

    def test_names_in_any_script_arrive_as_they_are(self):
        name = u"h\xf6he \u5c71 \U0001f4be"
        path, properties = self.create(name)
        self.assertEqual(properties["Name"], name)
        self.assertEqual(json.loads(properties["Record"])["name"], name)
        self.assertEqual(self.property(path, "StorageElement", "Name"), name)

    def test_a_secret_is_nowhere(self):
        self.assertNotIn("hunter2", repr(self.client.call(ROOT, own("Manager"), "GetState")))
        self.assertNotIn("hunter2", repr(self.client.call(ROOT, own("Manager"), "GetEvents", "t", 0)))


if __name__ == "__main__":
    Suite.kind, Suite.address = sys.argv[1:3]
    Suite.record = json.loads(sys.argv[3])
    unittest.main(argv=sys.argv[:1], verbosity=2)
