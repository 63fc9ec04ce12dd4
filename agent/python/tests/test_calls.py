# -*- coding: utf-8 -*-
"""One call over the wire: values, logs, the cache, results and errors."""
import base64
import json
import os
import re
import shutil
import sys
import tempfile
import unittest

from reference_agent import Worker, in_bytes

PY2 = sys.version_info[0] == 2
SERVER = "0004fb00-0001-0000-aaaa-000000000001"
ALL_BYTES = bytes(bytearray(range(256)))


class Rig(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.worker = Worker("acme.rig")

    @classmethod
    def tearDownClass(cls):
        cls.worker.close()

    def do(self, behaviour, more=None, **kwargs):
        outcome = self.worker.do(behaviour, more, **kwargs)
        self.assertEqual(list(outcome.frames[0]), ["hello"])
        self.assertEqual(outcome.ended, 1, outcome.frames)
        return outcome

    def error(self, behaviour, more=None, **kwargs):
        error = self.do(behaviour, more, **kwargs).error
        self.assertIsNotNone(error, behaviour)
        return error


class Values(Rig):
    def test_every_value_comes_back_as_it_went(self):
        value = {"text": u"Gr\xf6\xdfe \u20ac \U0001f600 \u0000\n", "list": [1, -1, 2 ** 63 - 1, 2 ** 64 - 1, -2 ** 63],
                 "float": 0.1, "none": None, "yes": True, "no": False, "empty": {}, u"k\xe9y": [[]]}
        self.assertEqual(self.do("echo", {"value": value}).result["value"], value)

    def test_all_256_byte_values_come_back_as_they_went(self):
        value = in_bytes(ALL_BYTES)
        self.assertEqual(self.do("echo", {"value": value}).result["value"], value)
        self.assertEqual(self.do("all_bytes").result, value)

    def test_bytes_that_are_text_are_text_to_python_2_alone(self):
        self.assertEqual(self.do("ascii_bytes").result, "plain" if PY2 else in_bytes(b"plain"))

    def test_lone_surrogates_come_back_as_they_went(self):
        data = u"a\ud800b".encode("utf-8", "strict" if PY2 else "surrogatepass")
        value = {"$str": base64.b64encode(data).decode("ascii")}
        self.assertEqual(self.do("surrogate").result, value)
        # Python 2 has bytes in place of such a text, and they go back as bytes.
        self.assertEqual(self.do("echo", {"value": value}).result["value"], in_bytes(data) if PY2 else value)

    def test_text_arrives_as_the_str_of_that_python(self):
        self.assertEqual(self.do("shown", {"value": u"\xe9"}).result, "str '\\xc3\\xa9'" if PY2 else u"str '\xe9'")
        self.assertEqual(self.do("shown", {"value": in_bytes(b"\xff")}).result[:3], "str" if PY2 else "byt")

    def test_tuples_and_sets_are_lists_and_enumerations_numbers(self):
        self.assertEqual(self.do("shapes").result, [
            [1, 2], [3], {"state": 7, "none": None, "yes": True, "f": 1.5, "big": 2 ** 63}])
        self.assertEqual(self.do("number").result, 4)

    def test_a_list_of_records_comes_one_by_one(self):
        outcome = self.worker.call("list", [["ss_record", {"count": 3}]])
        self.assertEqual((outcome.items, outcome.result_list), ([{"name": "lun%d" % n} for n in range(3)], 3))
        self.assertEqual(self.worker.call("list", [["ss_record", {"count": 0}]]).result, [])

    def test_a_generator_is_a_list_and_a_broken_one_only_an_error(self):
        self.assertEqual(self.do("generator").items, [{"n": 0}, {"n": 1}, {"n": 2}])
        outcome = self.do("generator_that_breaks")
        self.assertEqual((outcome.items, outcome.error["class"]), ([], "OperationFailedEx"))

    def test_a_result_of_twelve_megabytes_arrives_whole(self):
        self.assertEqual(len(self.do("huge").result), 12 * 1024 * 1024)

    def test_thousands_of_records_arrive_whole(self):
        self.assertEqual(self.worker.call("list", [["ss_record", {"count": 20000}]]).result_list, 20000)

    def test_what_cannot_be_passed_is_an_error_that_names_the_place(self):
        for behaviour, words in (
                ("set_handle", r"the result\['deep'\]\[0\]\['handle'\] is a (file|TextIOWrapper)"),
                ("not_a_number", "the result is nan"), ("too_big", "more than 64 bits"), ("number_key", "has the key 1"),
                ("reserved_key", "reserved"), ("cycle", "nested"), ("bad_element", r"the result\[1\]\['n'\] is a object")):
            outcome = self.do(behaviour)
            self.assertEqual((outcome.error["class"], outcome.error["known"], outcome.items), ("TypeError", False, []))
            self.assertTrue(re.search(words, outcome.error["message"]), outcome.error["message"])


class Errors(Rig):
    def test_an_exception_of_the_sdk_is_known_with_its_message_and_key(self):
        error = self.error("raises_missing")
        self.assertEqual((error["class"], error["known"], error["message"], error["key"]),
                         ("MissingKeyEx", True, "the record has no uuid", "uuid"))
        self.assertIn("in raises_missing", error["traceback"])
        self.assertNotIn("_runtime", error["traceback"])
        self.assertEqual(self.error("raises_swapped")["key"], "size")
        self.assertEqual(self.error("raises_through_iplugin")["class"], "SnapRestoreNotSafeEx")

    def test_a_class_of_the_plug_in_s_own_is_told_as_the_one_it_derives_from(self):
        error = self.error("raises_own")
        self.assertEqual((error["class"], error["raised"], error["known"]), ("CreateSnapFailedEx", "MyOwn", True))

    def test_any_other_exception_is_unknown_and_told_by_its_name(self):
        for behaviour, name, words in (
                ("raises_os_error", "OSError" if PY2 else "FileNotFoundError", "missing"),
                ("raises_group", "RuntimeError", "outer"), ("interrupts", "KeyboardInterrupt", ""),
                ("raises_old_style", "Old" if PY2 else "ValueError", "old"), ("no_such_behaviour", "AttributeError", ""),
                ("recurses", "RuntimeError" if PY2 else "RecursionError", "recursion"),
                ("raises_unprintable", "Unprintable", "no readable message")):
            error = self.error(behaviour)
            self.assertEqual((error["class"], error["known"]), (name, False))
            self.assertIn(words, error["message"])

    def test_leaving_with_sys_exit_is_an_error_and_not_silence(self):
        error = self.error("exits")
        self.assertEqual((error["class"], error["known"]), ("SystemExit", False))
        self.assertIn("enough", error["message"])

    def test_messages_of_any_encoding_arrive_readable(self):
        self.assertEqual(self.error("raises_text")["message"], u"Gr\xf6\xdfe \u20ac")
        self.assertEqual(self.error("raises_sdk_text")["message"], u"Gr\xf6\xdfe \u20ac")
        self.assertIn("broken", self.error("raises_raw_bytes")["message"])

    def test_running_out_of_memory_is_an_error(self):
        error = self.error("eats_memory", limits={"as": 512 * 1024 * 1024, "cpu": None, "nofile": None})
        self.assertEqual(error["class"], "MemoryError")

    def test_running_out_of_processor_time_is_an_error(self):
        error = self.error("spin", limits={"as": None, "cpu": 1, "nofile": None})
        self.assertEqual(error["class"], "OperationFailedEx")
        self.assertIn("1 s of processor time", error["message"])

    def test_a_method_or_class_that_is_not_there_is_an_error(self):
        self.assertEqual(self.worker.call("cache", []).error["class"], "NoSuchOperationEx")
        self.assertEqual(self.worker.call("list", [], "acme.rig.Rig.Other").error["class"], "LookupError")
        self.assertEqual(self.worker.call("offline", [["ss_record", {}], ["se_record", {}]]).error["class"],
                         "NoSuchOperationEx")

    def test_a_malformed_first_frame_is_an_error(self):
        connection = self.worker.connect()
        connection.send({"nonsense": 1})
        self.assertEqual(connection.finish({}).error["class"], "ValueError")

    def test_secrets_of_the_arguments_are_in_no_message(self):
        record = {"admin_passwd": "s3cr3t!", "access_descriptors": [{"passwd": u"gehe\xefm"}]}
        outcome = self.do("logs_secret", record)
        told = json.dumps(outcome.frames)
        self.assertIn("[secret]", told)
        for secret in ("s3cr3t!", "gehe"):
            self.assertNotIn(secret, told)


class Services(Rig):
    def test_every_level_of_the_logger_is_a_frame(self):
        levels = ["debug", "info", "warning", "error", "critical"]
        self.assertEqual(self.do("logs").logs, [(level, "%s is 1" % level) for level in levels])

    def test_no_message_is_lost_to_encodings_or_formats(self):
        logs = self.do("logs_text").logs
        self.assertEqual(logs[0], ("info", u"Gr\xf6\xdfe \u20ac"))
        self.assertIn("raw", logs[1][1])
        self.assertIn("does not fit", logs[2][1])
        self.assertIn("ZeroDivisionError", logs[3][1])
        self.assertEqual(logs[4], ("warning", "library speaks"))

    def test_reconfiguring_the_logger_has_no_effect(self):
        outcome = self.do("logs_reconfigured")
        self.assertEqual((outcome.logs, outcome.result), ([("debug", "still here")], True))

    def test_the_cache_is_the_agent_s_and_gives_back_what_it_was_given(self):
        for value in (in_bytes(ALL_BYTES), "text", u"Gr\xf6\xdfe", ""):
            cache = {}
            result = self.do("cache_all", {"value": value}, cache=cache).result
            self.assertTrue(result["same"])
            self.assertEqual(result["first"], [value, "two", None])
            self.assertIsNone(result["gone"])
            self.assertEqual(cache[(SERVER, "c")], ("three", 30))
            self.assertEqual(cache[(SERVER, "b")], ("two", 12))
            self.assertEqual(cache[(SERVER, "a")][0], None)

    def test_clearing_a_server_s_cache_leaves_the_others(self):
        self.assertEqual(self.do("cache_clear").result, [None, "2"])

    def test_records_pickled_with_protocol_0_come_back_from_the_cache(self):
        self.assertEqual(self.do("pickled_state").result, {"state": 7, "n": [1]})

    def test_only_strings_can_be_cached(self):
        error = self.error("cache_number")
        self.assertEqual((error["class"], error["key"]), ("ValueFormatEx", "cache_value"))

    def test_threads_share_the_connection(self):
        outcome = self.do("cache_threads")
        self.assertEqual((outcome.result, len(outcome.logs)), ([], 200))

    def test_the_host_s_services_answer_or_refuse(self):
        self.assertEqual(self.do("host").result, {"device": "/dev/loop7", "path": "/x"})
        error = self.error("host_refused")
        self.assertEqual((error["class"], error["message"]), ("OperationPreReqNotMetEx", "no rocket.launch here"))

    def test_temporary_files_are_in_the_call_s_directory(self):
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        result = self.do("files", {"tmp": folder}, tmpdir=folder).result
        self.assertEqual(os.path.dirname(result["name"]), folder)
        self.assertIn(os.path.basename(result["name"]), result["listed"])
        self.assertEqual((result["own"], result["environment"]), (folder, folder))
        self.assertEqual(os.listdir(folder), [])

    def test_limits_are_applied(self):
        limits = {"as": 2 ** 32, "cpu": 100, "nofile": 64}
        self.assertEqual(self.do("limits", limits=limits).result, [2 ** 32, 100, 64, 0])

    def test_a_call_s_surroundings_are_clean(self):
        outcome = self.do("surroundings", {"admin_passwd": "s3cr3t!"})
        result = outcome.result
        self.assertEqual(result["environment"].get("HOME"), "/")
        # Python 3.7 and later may add LC_CTYPE; the rest is what the agent gave.
        self.assertLessEqual(set(result["environment"]), set(["PATH", "LANG", "HOME", "LC_CTYPE"]))
        self.assertEqual(result["stdin"], "")
        self.assertEqual(len(result["argv"]), 1)
        self.assertEqual(result["session"], result["pid"])
        self.assertEqual(result["pid"], outcome.pid)
        # 0, 1, 2 and the connection; Python 2 keeps its source of random numbers open.
        fds = [fd for fd in result["fds"] if not fd.endswith("urandom")]
        self.assertEqual(len(fds), 4, fds)
        self.assertNotIn("s3cr3t!", result["cmdline"])

    def test_commands_inherit_no_descriptor_of_the_worker_s(self):
        self.assertNotIn("socket", self.do("inherited_fds").result)

    def test_printing_is_harmless(self):
        self.assertEqual(self.do("prints").result, "printed")
        self.assertEqual(self.do("closes_output").result, "fine")

    def test_capabilities_of_the_base_class_are_the_plug_in_s(self):
        self.assertEqual(self.do("base_capabilities").result["snapshot"], 2)
        call = self.worker.call("getCapabilities", [["ss_record", {}]], "acme.rig.Rig.Files")
        self.assertEqual(call.result, {"backing_device_type": 1, "clone": 2})
        info = self.worker.call("getPluginInfo", []).result
        self.assertEqual((info["plugin_name"], info["abilities"]["snapshot"]), ("Rig", 2))


if __name__ == "__main__":
    unittest.main()
