"""What `osc_check.py` finds in modules that break the guide, under the interpreter that runs this test."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

SDK = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GOOD = os.path.join(os.path.dirname(os.path.dirname(SDK)), "tests", "plugins", "misfits", "good.py")


class Checking(unittest.TestCase):
    def check(self, text):
        """({check: [reasons]}, the last line) of a module whose class file begins with the text."""
        folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, folder)
        module = os.path.join(folder, "acme", "mod")
        os.makedirs(module)
        with open(os.path.join(module, "__init__.py"), "w") as out:
            out.write("osc_isa_plugins = ['acme.mod.Misfit.Misfit']\n")
        shutil.copy(GOOD, os.path.join(module, "Good.py"))
        with open(os.path.join(module, "Misfit.py"), "w") as out:
            out.write("from .Good import Good\n\n\nclass Misfit(Good):\n    pass\n\n\n" + text)
        child = subprocess.Popen(
            [sys.executable, "-E", "-s", "-B", "-u", os.path.join(SDK, "osc_check.py"), "--module", "acme.mod",
             "--dir", folder, "--sdk", SDK], stdout=subprocess.PIPE)
        lines = [json.loads(line.decode("utf-8")) for line in child.communicate()[0].splitlines()]
        found = {}
        for line in lines[:-1]:
            found.setdefault(line["check"], []).append(line["outcome"] + " " + line["reason"])
        return found, lines[-1]

    def test_a_good_module_has_no_findings(self):
        found, last = self.check("def f():\n    import sys\n    sys.stderr.write('x')\n    return open('/dev/null')\n")
        self.assertEqual((found, last["failed"]), ({}, None))
        self.assertEqual([cls["impl_name"] for cls in last["classes"]], ["acme.mod.Misfit.Misfit"])
        self.assertIn("stdout", last["ran"])

    def test_each_fault_is_found_by_name_and_line(self):
        for text, check, outcome in (
                ("def f():\n    print('x')\n", "stdout", "FAIL"),
                ("import sys\ndef f():\n    sys.stdout.write('x')\n", "stdout", "FAIL"),
                ("import os\ndef f():\n    os.write(1, b'x')\n", "stdout", "FAIL"),
                ("import sys\ndef f():\n    return sys.stdin\n", "stdin", "FAIL"),
                ("import tempfile\ndef f():\n    return tempfile.mkstemp()\n", "files", "WARN"),
                ("def f():\n    return open('/tmp/x', 'w')\n", "files", "WARN"),
                ("class Odd(Exception):\n    pass\n", "exceptions", "FAIL"),
                ("class Base(ValueError):\n    pass\nclass Odd(Base):\n    pass\n", "exceptions", "FAIL"),
                ("from OSCPlugin import IPluginException\ndef f():\n    raise IPluginException('x')\n", "exceptions", "FAIL"),
                ("X = 1\ndef f():\n    global X\n    X = 2\n", "state", "WARN"),
                ("import logging\ndef f():\n    logging.basicConfig()\n", "logger", "FAIL"),
                ("def f():\n    Good.logger.setLevel(1)\n", "logger", "FAIL"),
                ("def f():\n\treturn 1\n", "indentation", "FAIL")):
            found, last = self.check(text)
            self.assertEqual(list(found), [check], text)
            self.assertTrue(all(reason.startswith(outcome + " Misfit.py:") for reason in found[check]), found)

    def test_what_is_printed_while_it_is_imported_is_caught_however_it_is_written(self):
        found, _ = self.check("import os\nwrite = os.write\nwrite(1, b'sly')\n")
        self.assertEqual(len(found["stdout"]), 1)
        self.assertIn("sly", found["stdout"][0])

    def test_a_program_beside_the_plug_in_may_print(self):
        text = "\nif __name__ == '__main__':\n    print('x')\n"
        self.assertEqual(list(self.check(text)[0]), ["stdout"], "the plug-in imports it, so it is none")

    def test_a_module_that_does_not_compile_is_told_with_file_and_line(self):
        found, last = self.check("def (:\n")
        self.assertEqual((last["failed"]["stage"], last["failed"]["line"]), ("compile", 8))
        self.assertNotIn("stdout", last["ran"])


if __name__ == "__main__":
    unittest.main()
