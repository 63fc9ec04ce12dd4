"""The plug-in of the author's guide, taken from the page and run as it stands there."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import unittest
import uuid

from reference_agent import SDK, Worker

DOCS = os.path.join(os.path.dirname(os.path.dirname(SDK)), "docs")
GUIDE = os.path.join(DOCS, "PLUGIN_AUTHORS.md")
TEMPLATE = os.path.join(DOCS, "plugin-template")
BLOCK = re.compile(r"(?:<!-- file: (\S+) -->\n)?```(\w*)\n(.*?)```\n", re.S)
IMPL = "acme.sample.Shelf.Shelf"


def read(path):
    with open(path, "rb") as source:
        return source.read().decode("utf-8")


def files():
    """The files that the page gives, by path; what it gives in pieces is put together."""
    found = {}
    for path, _, text in BLOCK.findall(read(GUIDE)):
        if path:
            found[path] = found[path] + "\n\n" + text if path in found else text
    return found


class Guide(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="osc-guide-test-")
        self.addCleanup(shutil.rmtree, self.folder)
        for path, text in files().items():
            place = os.path.join(self.folder, path)
            if not os.path.isdir(os.path.dirname(place)):
                os.makedirs(os.path.dirname(place))
            with open(place, "wb") as target:
                target.write(text.encode("utf-8"))

    def test_the_page_and_the_template_hold_one_plug_in(self):
        lines = dict((path, [line for line in text.splitlines() if line]) for path, text in files().items())
        modules = [path for path in lines if path.startswith("acme/")]
        self.assertEqual(sorted(modules), ["acme/sample/Shelf.py", "acme/sample/__init__.py"])
        for path in modules:
            self.assertEqual(lines[path], [line for line in read(os.path.join(TEMPLATE, path)).splitlines() if line])

    def test_every_piece_of_python_on_the_page_compiles(self):
        for path, language, text in BLOCK.findall(read(GUIDE)):
            if language == "python" and not path:
                compile(textwrap.dedent(text), GUIDE, "exec")

    def test_its_unit_test_passes_and_so_do_the_templates(self):
        open(os.path.join(self.folder, "acme", "__init__.py"), "w").close()
        shutil.copy(os.path.join(TEMPLATE, "tests", "test_shelf.py"), os.path.join(self.folder, "tests"))
        for test in ("test_first.py", "test_shelf.py"):
            environment = dict(os.environ, PYTHONPATH=os.pathsep.join([SDK, self.folder]), PYTHONDONTWRITEBYTECODE="1")
            process = subprocess.Popen([sys.executable, os.path.join(self.folder, "tests", test)], env=environment,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            said = process.communicate()[0].decode("utf-8", "replace")
            self.assertEqual(process.returncode, 0, said)

    def test_the_agent_finds_nothing_wrong_with_it_and_it_does_what_the_page_says(self):
        worker = Worker("acme.sample", plugin_dir=self.folder)
        self.addCleanup(worker.close)
        ready = worker.status["ready"]
        self.assertEqual([(cls["impl_name"], cls["problems"]) for cls in ready["classes"]], [(IMPL, [])])
        self.assertEqual(ready["broken"], [])
        shelf = os.path.join(self.folder, "shelf")
        os.mkdir(shelf)
        ss = {"uuid": str(uuid.uuid4()), "name": "demo", "storage_type": "SAN", "extra_info": "path=" + shelf}
        cache = {}

        def call(method, *args):
            outcome = worker.call(method, [["ss_record", ss]] + [list(arg) for arg in args], IMPL, cache)
            self.assertIsNone(outcome.error, method)
            return outcome

        self.assertEqual(call("validate").result["status"], "OK")
        data = call("create", ("se_record", {"name": "data", "size": 4096})).result
        snap = call("createSnap", ("se_record", data), ("snap_name", "s1")).result
        self.assertEqual(call("list").items, [data, snap])
        self.assertEqual(len(cache), 1)
        self.assertEqual(call("list").items, [data, snap])
        self.assertEqual(call("resize", ("se_record", data), ("new_size", 8192)).result["size"], 8192)
        restored = call("snapRestore", ("se_record", data), ("snap_record", snap)).result
        self.assertEqual((restored["uuid"], restored["size"]), (data["uuid"], 4096))
        refused = worker.call("remove", [["ss_record", ss], ["se_record", data]], IMPL, cache)
        self.assertEqual((refused.error["class"], refused.error["known"]), ("StorageElementBusyEx", True))
        call("snapRemove", ("snap_record", snap))
        call("remove", ("se_record", data))
        self.assertEqual((call("list").items, os.listdir(shelf)), ([], []))
        without = worker.call("clone", [["ss_record", ss], ["se_record", data], ["clone_name", "c"]], IMPL, cache)
        self.assertEqual(without.error["class"], "NoSuchOperationEx")


if __name__ == "__main__":
    unittest.main()
