# -*- coding: utf-8 -*-
"""What a worker tells when it has loaded a module, and how it matches methods to the API."""
import os
import sys
import unittest

from reference_agent import PLUGINS, Worker, alive, gone

PY2 = sys.version_info[0] == 2


class Loading(unittest.TestCase):
    def load(self, module, **kwargs):
        worker = Worker(module, **kwargs)
        self.addCleanup(worker.close)
        return worker

    def failed(self, module):
        worker = self.load(module)
        self.assertEqual(os.WEXITSTATUS(worker.wait()), 1)
        return worker.status["failed"]

    def classes(self, worker):
        return dict((cls["impl_name"], cls) for cls in worker.status["ready"]["classes"])

    def test_a_ready_worker_tells_in_one_line_all_about_its_classes(self):
        worker = self.load("acme.rig")
        self.assertEqual(worker.status_line.count(b"\n"), 1)
        ready = worker.status["ready"]
        self.assertEqual(ready["python"], "%d.%d.%d" % sys.version_info[:3])
        self.assertEqual(ready["broken"], [])
        classes = self.classes(worker)
        rig, files = classes["acme.rig.Rig.Rig"], classes["acme.rig.Rig.Files"]
        self.assertEqual((rig["plugin_type"], files["plugin_type"]), ("isa", "ifs"))
        self.assertEqual((rig["problems"], files["problems"]), ([], []))
        self.assertEqual(rig["attrs"]["storage_types"], ["iSCSI"])
        self.assertEqual(rig["attrs"]["extended_api_version"], ["1", "2", "9"])
        self.assertIsNone(files["attrs"]["extended_api_version"])
        self.assertEqual(files["attrs"]["filesys_type"], "LocalFS")
        self.assertEqual(rig["abilities"]["snapshot"], "ONLINE")
        self.assertEqual(rig["abilities"]["clone"], "UNSUPPORTED")
        self.assertEqual(files["abilities"]["backing_device_type"], "DEVICE_SINGLE")
        self.assertEqual(rig["methods"]["createSnap"], ["ss_record", "se_record", "snap_name"])
        self.assertEqual(rig["defaults"]["getInfo"], 1)
        self.assertIn("resize", rig["inherited"])
        self.assertNotIn("createSnap", rig["inherited"])

    def test_any_file_that_does_not_compile_fails_the_module_by_file_and_line(self):
        failed = self.failed("acme.badsyntax")
        self.assertEqual((failed["stage"], failed["class"], failed["line"]), ("compile", "SyntaxError", 5))
        self.assertEqual(failed["file"], os.path.join(PLUGINS, "acme", "badsyntax", "below", "worse.py"))
        self.assertTrue(failed["message"])

    def test_a_module_that_raises_fails_with_the_line_of_its_own_that_did(self):
        failed = self.failed("acme.raises")
        self.assertEqual((failed["stage"], failed["line"]), ("import", 4))
        self.assertEqual(failed["file"], os.path.join(PLUGINS, "acme", "raises", "__init__.py"))
        self.assertIn("json.loads", failed["traceback"])

    def test_a_module_that_exits_while_it_is_imported_fails_and_says_so(self):
        failed = self.failed("acme.exits")
        self.assertEqual((failed["stage"], failed["class"]), ("import", "SystemExit"))
        self.assertIn("sys.exit(3)", failed["message"])

    def test_a_module_without_classes_or_without_a_directory_fails(self):
        self.assertIn("osc_isa_plugins", self.failed("acme.nothing")["message"])
        self.assertIn("acme/absent", self.failed("acme.absent")["message"])

    def test_a_vendor_named_like_a_python_module_is_refused(self):
        worker = self.load("json.rig", plugin_dir=PLUGINS)
        self.assertIn("failed", worker.status)

    def test_one_class_that_cannot_be_had_leaves_the_others_in_service(self):
        worker = self.load("acme.partly")
        broken = dict((cls["impl_name"], cls) for cls in worker.status["ready"]["broken"])
        self.assertEqual(sorted(broken), [
            "acme.partly.Absent.Class", "acme.partly.Bad.Bad", "acme.partly.Good.Missing",
            "acme.partly.Good.not_a_plugin", "acme.rig.Rig.Rig"])
        self.assertEqual(broken["acme.partly.Bad.Bad"]["message"], u"Gr\xf6\xdfe")
        self.assertEqual(broken["acme.partly.Good.Missing"]["class"], "AttributeError")
        self.assertIn("Absent", broken["acme.partly.Absent.Class"]["message"])
        self.assertEqual(worker.call("validate", [["ss_record", {}]], "acme.partly.Good.Good").result, "good")

    def test_everything_that_is_wrong_with_a_class_is_reported_at_once(self):
        classes = self.classes(self.load("acme.faulty"))
        problems = classes["acme.faulty.Faulty.Faulty"]["problems"]
        fatal = [problem["text"] for problem in problems if problem["fatal"]]
        mild = [problem["text"] for problem in problems if not problem["fatal"]]
        for words in ("plugin_type is 'ifs'", "validate takes (one, two, three)", "getInfo is not a method",
                      "required method list"):
            self.assertEqual(len([text for text in fatal if words in text]), 1, words)
        self.assertEqual(len(fatal), 4)
        for words in ("plugin_name is a int", "plugin_desc is a object", "vendor_name is missing", "'tape'",
                      "ability snapshot", "ability clone is YES", "ability snap_is_sync is True", "ability resize is 42",
                      "no ability teleport", "createSnap is not a static method", "createSnap takes (self",
                      "ability splitclone is INVALID", "required_api_vers is missing"):
            self.assertEqual(len([text for text in mild if words in text]), 1, words)
        abilities = classes["acme.faulty.Faulty.Faulty"]["abilities"]
        self.assertEqual((abilities["clone"], abilities["snap_is_sync"]), ("UNSUPPORTED", "YES"))
        wrong_kind = classes["acme.faulty.Faulty.Listed"]["problems"]
        self.assertTrue(any(p["fatal"] and "does not derive from IStorageArrayPlugin" in p["text"] for p in wrong_kind))

    def test_what_a_module_starts_while_it_is_imported_lives_as_long_as_the_worker(self):
        worker = self.load("acme.loud")
        self.assertIn("ready", worker.status)
        outcomes = [worker.call("list", [["ss_record", {}]], "acme.loud.Loud.Loud") for _ in range(3)]
        self.assertTrue(alive(outcomes[-1].result))
        worker.close()
        self.assertTrue(gone(outcomes[-1].result))
        self.assertIn(b"loud import", worker.output[0])
        self.assertIn(b"logged during import", worker.output[1])

    def test_a_module_that_forks_while_it_is_imported_is_ready_once(self):
        worker = self.load("acme.forks")
        self.assertEqual(worker.status_line.count(b"ready"), 1)

    def test_nothing_is_written_into_the_plug_in_directory(self):
        self.load("acme.rig").do("echo")
        for _, folders, files in os.walk(PLUGINS):
            self.assertNotIn("__pycache__", folders)
            self.assertFalse([name for name in files if name.endswith((".pyc", ".pyo"))])

    def test_a_plug_in_of_old_runs_under_python_2_and_is_a_compile_failure_elsewhere(self):
        if not PY2:
            failed = self.failed("acme.legacy")
            self.assertEqual((failed["stage"], os.path.basename(failed["file"])), ("compile", "Legacy.py"))
            return
        worker = self.load("acme.legacy")
        outcome = worker.call("list", [["ss_record", {}]], "acme.legacy.Legacy.Legacy")
        self.assertEqual(outcome.result, "sibling says: none today")


class Matching(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.worker = Worker("acme.shapes")

    @classmethod
    def tearDownClass(cls):
        cls.worker.close()

    def call(self, method, *args):
        return self.worker.call(method, [list(arg) for arg in args], "acme.shapes.Shapes.Shapes")

    def test_parameters_of_other_names_are_passed_by_position(self):
        self.assertEqual(self.call("validate", ("ss_record", 1)).result, 1)
        three = ("ss_record", 1), ("se_record", 2), ("new_size", 3)
        self.assertEqual(self.call("resize", *three).result, [1, 2, 3, False])
        names = ("ss_record", 1), ("snap_record", 2), ("clone_name", 3)
        self.assertEqual(self.call("cloneFromSnap", *names).result, [1, 2, 3])

    def test_fewer_parameters_are_matched_by_name_and_the_rest_dropped(self):
        self.assertEqual(self.call("getInfo", ("ss_record", 1), ("se_record", 2)).result, 1)
        snap = ("ss_record", 1), ("se_record", 2), ("snap_name", "s")
        self.assertEqual(self.call("createSnap", *snap).result, ["s", 2])
        self.assertEqual(self.call("start", ("ss_record", 1)).result, "started")

    def test_more_parameters_keep_their_defaults(self):
        self.assertEqual(self.call("online", ("ss_record", 1), ("se_record", 2)).result, [1, 2, True])

    def test_star_arguments_take_everything(self):
        many = ("ss_record", 1), ("se_records", [2]), ("snap_names", ["s"])
        self.assertEqual(self.call("createMultiSnap", *many).result, [1, [2], ["s"]])
        clone = ("ss_record", 1), ("se_record", 2), ("clone_name", "c")
        self.assertEqual(self.call("clone", *clone).result, [1, [["clone_name", "c"], ["se_record", 2]]])

    def test_class_methods_plain_functions_and_decorated_ones_are_called_too(self):
        self.assertEqual(self.call("list", ("ss_record", 1)).result, "Shapes")
        self.assertEqual(self.call("stop", ("ss_record", 1)).result, ["stopped", 1])
        self.assertEqual(self.call("remove", ("ss_record", 1), ("se_record", 2)).result, ["wrapped", [1, 2]])

    def test_what_cannot_be_matched_is_told_at_load_time_and_fails_the_call(self):
        problems = [p["text"] for p in self.worker.status["ready"]["classes"][0]["problems"]]
        self.assertTrue([p for p in problems if "snapRestore takes (what, ever)" in p])
        three = ("ss_record", 1), ("se_record", 2), ("snap_record", 3)
        error = self.call("snapRestore", *three).error
        self.assertEqual((error["class"], error["known"]), ("TypeError", False))
        self.assertIn("what, ever", error["message"])


if __name__ == "__main__":
    unittest.main()
