"""The stub for type checkers names what the SDK has: no more, no less, with the same parameters."""
import ast
import os
import sys
import unittest

from reference_agent import SDK

sys.path.insert(0, SDK)
import OSCPlugin  # noqa: E402
from OSCPlugin._api import signature_of  # noqa: E402
from OSCPlugin._cache import Cache  # noqa: E402

CLASSES = ("IPlugin", "IStorageArrayPlugin", "IFileSystemPlugin")


@unittest.skipIf(sys.version_info[0] == 2, "Python 2 cannot read a stub")
class Stub(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(os.path.join(SDK, "OSCPlugin", "__init__.pyi")) as source:
            tree = ast.parse(source.read())
        cls.classes = dict((node.name, node) for node in tree.body if isinstance(node, ast.ClassDef))

    def functions(self, name):
        return dict((node.name, node) for node in self.classes[name].body if isinstance(node, ast.FunctionDef))

    def names(self, name):
        """What a class of the stub assigns or declares."""
        found = set()
        for node in self.classes[name].body:
            if isinstance(node, ast.AnnAssign):
                found.add(node.target.id)
            elif isinstance(node, ast.Assign):
                found.update(target.id for target in node.targets)
        return found

    def assert_same_parameters(self, function, signature, name):
        given = function.args
        params = [arg.arg for arg in given.args if arg.arg != "self"]
        self.assertEqual((params, len(given.defaults), bool(given.vararg)),
                         (signature.params, signature.defaults, signature.varargs), name)

    def test_every_public_name_is_in_the_stub(self):
        public = set(name for name in self.classes if not name.startswith("_"))
        self.assertEqual(public, set(OSCPlugin.__all__))

    def test_methods_and_their_parameters_are_the_same(self):
        for name in CLASSES:
            cls, stub = getattr(OSCPlugin, name), self.functions(name)
            real = dict((key, raw) for key, raw in vars(cls).items() if isinstance(raw, staticmethod) and key != "__new__")
            self.assertEqual(set(stub), set(real), name)
            for key, raw in real.items():
                of_class = getattr(raw, "function", None)
                signature = signature_of(of_class or raw.__func__, 1 if of_class else 0)
                self.assert_same_parameters(stub[key], signature, "%s.%s" % (name, key))

    def test_class_attributes_are_the_same(self):
        for name in CLASSES:
            cls = getattr(OSCPlugin, name)
            real = set(key for key, value in vars(cls).items()
                       if not key.startswith("__") and not isinstance(value, staticmethod))
            real.discard("_of_class")
            if name != "IPlugin":
                real.discard("plugin_type")  # declared by IPlugin
            self.assertEqual(self.names(name), real, name)

    def test_enumerations_have_the_same_members(self):
        for name in ("ABILITY_TYPES", "BACKING_DEVICE_TYPES", "SE_STATES", "FS_STATES"):
            self.assertEqual(self.names(name), set(member.name for member in getattr(OSCPlugin, name)), name)

    def test_exceptions_have_the_same_bases(self):
        for name in OSCPlugin.__all__:
            if name.endswith("Ex"):
                base = self.classes[name].bases[0].id
                self.assertEqual(base, getattr(OSCPlugin, name).__mro__[1].__name__, name)

    def test_the_cache_has_the_same_calls(self):
        stub = self.functions("_Cache")
        self.assertEqual(set(stub), set(name for name in vars(Cache) if not name.startswith("_")))
        for name, function in stub.items():
            self.assert_same_parameters(function, signature_of(vars(Cache)[name], 1), name)


if __name__ == "__main__":
    unittest.main()
