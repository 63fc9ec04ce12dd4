# -*- coding: utf-8 -*-
"""The SDK as plug-in authors see it, without an agent."""
import copy
import io
import json
import logging
import os
import pickle
import re
import sys
import unittest

import reference_agent

import OSCPlugin
from OSCPlugin import (
    ABILITY_TYPES, API, FS_STATES, IFileSystemPlugin, IPlugin, IStorageArrayPlugin, MissingKeyEx, NoSuchOperationEx,
    OperationFailedEx, OperationPreReqNotMetEx, SE_STATES, ValueFormatEx)

SERVER = "0004fb00-0001-0000-aaaa-000000000001"


class Array(IStorageArrayPlugin):
    abilities = {"snapshot": ABILITY_TYPES.ONLINE}

    @staticmethod
    def getStatus(ss_record, record=None):
        return IStorageArrayPlugin.getPluginType()


class Names(unittest.TestCase):
    def test_every_exception_and_enumeration_of_the_specification_is_there_twice(self):
        names = """IPluginException NoSuchOperationEx OperationFailedEx MissingKeyEx ValueFormatEx
            StorageArrayLicenseEx TargetDiscoveryEx LoginFailedEx LogoutFailedEx RefreshFailedEx ListFailedEx
            CreateSnapFailedEx ListSnapFailedEx SnapRestoreNotSafeEx CloneFailedEx InvalidStorageArrayEx InvalidValueEx
            StorageElementBusyEx PermissionDeniedEx OperationPreReqNotMetEx StorageNameRequiredEx InvalidFSTypeEx
            FileSystemBusyEx FileSystemAlreadyMountedEx
            ABILITY_TYPES BACKING_DEVICE_TYPES SE_STATES FS_STATES""".split()
        for name in names:
            self.assertIs(getattr(OSCPlugin, name), getattr(IPlugin, name))
            self.assertIn(name, OSCPlugin.__all__)

    def test_importing_from_the_class_s_name_the_old_way_leaves_the_class_in_place(self):
        from OSCPlugin.IPlugin import IPlugin as old, MissingKeyEx as old_exception
        self.assertIs(old, OSCPlugin.IPlugin)
        self.assertIs(old_exception, MissingKeyEx)

    def test_the_method_table_is_the_agent_s(self):
        path = os.path.join(reference_agent.SDK, "..", "src", "plugin", "api.rs")
        if not os.path.exists(path):
            self.skipTest("the agent's source is not here")
        with io.open(path, encoding="utf-8") as source:
            text = source.read()

        def block(name):
            rows = text[re.search(r"\n    %s \{\n" % name, text).end():]
            return rows[: rows.index("\n    }\n")]

        for kind, name in (("isa", "StorageArray"), ("ifs", "FileSystem")):
            theirs = {}
            for method, params in re.findall(r"^ +(\w+)\(([^)]*)\) ->", block("Both") + "\n" + block(name), re.M):
                theirs[method] = [param.split(":")[0].strip() for param in params.split(",") if param.strip()]
            ours = dict((method, api.params) for method, api in API[kind].items())
            for local in ("getPluginInfo", "getPluginType"):
                self.assertEqual(ours.pop(local), [])
            self.assertEqual(dict((str(k), [str(p) for p in v]) for k, v in theirs.items()), ours)


class Enumerations(unittest.TestCase):
    def test_a_member_prints_compares_and_counts_as_its_number_and_knows_its_name(self):
        state = SE_STATES.ONLINE
        self.assertEqual((state, str(state), repr(state), "%s" % state, "%d" % state), (7, "7", "7", "7", "7"))
        self.assertEqual((state.name, state.value, SE_STATES(7).name, SE_STATES("ONLINE")), ("ONLINE", 7, "ONLINE", 7))
        self.assertEqual("{0}".format(state), "7")
        self.assertEqual([m.name for m in FS_STATES], ["UNKNOWN", "UNMOUNTED", "MOUNTED", "MOUNTED_READONLY", "ERROR"])
        self.assertEqual([int(m) for m in ABILITY_TYPES], [0, 1, 2, 3, 4, 5])
        self.assertIn(3, FS_STATES)
        self.assertNotIn(9, FS_STATES)
        self.assertRaises(ValueError, SE_STATES, 8)

    def test_records_with_members_survive_json_copying_and_every_pickle_protocol(self):
        record = {"state": SE_STATES.ERROR}
        self.assertEqual(json.dumps(record), '{"state": 6}')
        self.assertEqual(copy.deepcopy(record)["state"].name, "ERROR")
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            self.assertEqual(pickle.loads(pickle.dumps(record, protocol)), {"state": 6})

    def test_a_member_cannot_be_replaced(self):
        with self.assertRaises(AttributeError):
            SE_STATES.ONLINE = 3


class Exceptions(unittest.TestCase):
    def test_message_and_key_come_in_either_order(self):
        for error in (MissingKeyEx("there is no uuid", "uuid"), MissingKeyEx("uuid", "there is no uuid"),
                      MissingKeyEx(key="uuid", message="there is no uuid")):
            self.assertEqual((str(error), error.message, error.key), ("there is no uuid", "there is no uuid", "uuid"))
        self.assertEqual((str(ValueFormatEx("size")), ValueFormatEx("size").key), ("size", None))
        self.assertEqual(ValueFormatEx("bad", "size").key, "size")

    def test_they_survive_pickling_and_text_beyond_ascii(self):
        error = pickle.loads(pickle.dumps(MissingKeyEx("no uuid here", "uuid"), 2))
        self.assertEqual((str(error), error.key), ("no uuid here", "uuid"))
        self.assertTrue(str(OperationFailedEx(u"Gr\xf6\xdfe")))

    def test_all_derive_from_the_one_base(self):
        self.assertTrue(issubclass(MissingKeyEx, OSCPlugin.IPluginException))


class Classes(unittest.TestCase):
    def test_no_class_can_be_instantiated(self):
        for cls in (IPlugin, IStorageArrayPlugin, IFileSystemPlugin, Array):
            self.assertRaises(TypeError, cls)

    def test_what_a_plug_in_does_not_override_says_so(self):
        with self.assertRaises(NoSuchOperationEx) as caught:
            Array.createSnap({}, {}, "x")
        self.assertIn("createSnap", str(caught.exception))
        for kind, cls in (("isa", IStorageArrayPlugin), ("ifs", IFileSystemPlugin)):
            for name in API[kind]:
                self.assertTrue(callable(getattr(cls, name)), name)

    def test_inherited_answers_are_about_the_class_that_was_asked(self):
        self.assertEqual(Array.getCapabilities({}), {"snapshot": ABILITY_TYPES.ONLINE})
        self.assertEqual(Array.getPluginInfo()["abilities"], {"snapshot": 2})
        self.assertEqual(Array.getPluginType(), "isa")
        self.assertEqual(IFileSystemPlugin.getPluginType(), "ifs")
        self.assertEqual(Array.getAccessGroups({"access_grps": [1]}), [1])
        self.assertEqual(Array.getQoSList({}), [])
        self.assertEqual(IFileSystemPlugin.getStatus({"a": 1}, {"b": 2}), {"b": 2})


class Cache(unittest.TestCase):
    def tearDown(self):
        IPlugin.cache.clear(SERVER)

    def test_any_spelling_of_a_uuid_is_the_same_server(self):
        IPlugin.cache.set(SERVER.replace("-", "").upper(), "k", "v")
        self.assertEqual(IPlugin.cache.get(SERVER, "k"), "v")

    def test_none_removes_a_key_and_clear_all_of_a_server_s(self):
        IPlugin.cache.set(SERVER, "a", "1")
        IPlugin.cache.set(SERVER, "b", b"\xff")
        IPlugin.cache.set(SERVER, "a", None)
        self.assertIsNone(IPlugin.cache.get(SERVER, "a"))
        self.assertEqual(IPlugin.cache.get(SERVER, "b"), b"\xff")
        IPlugin.cache.clear(SERVER)
        self.assertIsNone(IPlugin.cache.get(SERVER, "b"))

    def test_an_expired_value_is_none_and_cannot_be_extended(self):
        IPlugin.cache.set(SERVER, "a", "1", 0)
        IPlugin.cache.extend(SERVER, "a", 60)
        self.assertIsNone(IPlugin.cache.get(SERVER, "a"))

    def test_keys_and_values_are_strings(self):
        self.assertRaises(ValueFormatEx, IPlugin.cache.set, SERVER, "a", 5)
        self.assertRaises(ValueFormatEx, IPlugin.cache.set, SERVER, 5, "a")
        self.assertRaises(ValueFormatEx, IPlugin.cache.get, "not a uuid", "a")
        self.assertRaises(ValueFormatEx, IPlugin.cache.set, SERVER, "a", "b", "soon")


class Helpers(unittest.TestCase):
    def test_key_value_pairs_go_both_ways(self):
        text = "a=1,b=x=y,c="
        pairs = {"a": "1", "b": "x=y", "c": ""}
        self.assertEqual(IPlugin.__get_key_value_pairs__(text), pairs)
        self.assertEqual(IPlugin.__set_key_value_pairs__(pairs), text)
        self.assertEqual(IPlugin.__get_key_value_pairs__(" a = 1 ,, b=2"), {"a": "1", "b": "2"})
        for empty in (None, ""):
            self.assertEqual(IPlugin.__get_key_value_pairs__(empty), {})

    def test_a_malformed_pair_is_refused_without_being_repeated(self):
        with self.assertRaises(ValueFormatEx) as caught:
            IPlugin.__get_key_value_pairs__("a=1,hunter2")
        self.assertNotIn("hunter2", str(caught.exception))
        for bad in ({"a": "1,2"}, {"a=b": "1"}, {"": "1"}):
            self.assertRaises(ValueFormatEx, IPlugin.__set_key_value_pairs__, bad)

    def test_plug_ins_can_call_the_pair_helpers_from_their_own_methods(self):
        class Caller(IStorageArrayPlugin):
            @staticmethod
            def list(ss_record):
                return IPlugin.__get_key_value_pairs__("a=b")
        self.assertEqual(Caller.list({}), {"a": "b"})

    def test_missing_commands_are_all_named(self):
        IPlugin.checkRequired("sh", "/bin/sh")
        with self.assertRaises(OperationPreReqNotMetEx) as caught:
            IPlugin.checkRequired("sh", "no-such-command", "/no/such/file")
        self.assertIn("no-such-command, /no/such/file", str(caught.exception))

    def test_a_named_temporary_file_can_be_handled_as_in_the_guide(self):
        temporary = IPlugin.getNamedTemporaryFile()
        temporary.write(b"data")
        temporary.close()
        self.assertFalse(os.path.exists(temporary.name))
        self.assertIn("tmpfil", temporary.name)


class Logging(unittest.TestCase):
    def test_without_an_agent_it_goes_to_standard_error_whatever_is_reconfigured(self):
        before, sys.stderr = sys.stderr, io.BytesIO() if sys.version_info[0] == 2 else io.StringIO()
        try:
            IPlugin.logger.setLevel(logging.CRITICAL)
            IPlugin.logger.handlers = []
            IPlugin.logger.debug(u"Gr\xf6\xdfe %d", 5)
            written = sys.stderr.getvalue()
        finally:
            sys.stderr = before
        self.assertIn("5", written)
        self.assertIs(IPlugin.logger, logging.getLogger("OSCPlugin"))


if __name__ == "__main__":
    unittest.main()
