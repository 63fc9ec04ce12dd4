"""Brings in a plug-in module: compiles all of it, imports it and finds the classes that it names."""
import importlib
import os
import sys
import traceback
import types
import warnings

from .. import _wire
from .._api import KINDS
from . import describe, faults

_LISTS = (("isa", "osc_isa_plugins"), ("ifs", "osc_ifs_plugins"))


class LoadFailed(Exception):
    """The module as a whole cannot be had; `report` is what the agent is told."""

    def __init__(self, stage, **report):
        Exception.__init__(self, stage)
        self.report = dict(report, stage=stage)


def load(module_name, plugin_dir):
    """({impl_name: (kind, class)}, descriptions of the classes, descriptions of the broken ones).

    Raises LoadFailed.
    """
    vendor, _, name = module_name.partition(".")
    vendor_dir = os.path.join(plugin_dir, vendor)
    compile_all(os.path.join(vendor_dir, *name.split(".")))
    make_vendor(vendor, vendor_dir)
    try:
        module = importlib.import_module(module_name)
    except:  # noqa: E722 - a module may raise anything, SystemExit too
        raise _import_failed(vendor_dir)
    named = list(_named(module))
    if not named:
        raise LoadFailed("import", **{
            "class": "ImportError", "file": getattr(module, "__file__", None), "line": None, "traceback": "",
            "message": "%s names no plug-in classes: set osc_isa_plugins or osc_ifs_plugins" % module_name})
    classes, described, broken = {}, [], []
    for kind, impl_name in named:
        try:
            cls = _class_of(impl_name, module_name)
            described.append(describe.describe(impl_name, kind, cls))
        except:  # noqa: E722 - one class that cannot be had does not take the others along
            broken.append(dict(faults.describe(), impl_name=impl_name, plugin_type=kind))
        else:
            classes[impl_name] = (kind, cls)
    return classes, described, broken


def compile_all(folder):
    """Compiles every .py below the folder with this interpreter; writes nothing. Raises LoadFailed for the first bad one."""
    if not os.path.isdir(folder):
        raise LoadFailed("import", **{
            "class": "ImportError", "message": "there is no plug-in module directory %s" % folder, "file": folder,
            "line": None, "traceback": ""})
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if name.endswith(".py"):
                _compile(os.path.join(parent, name))


def _compile(path):
    try:
        with open(path, "rb") as source:
            text = source.read()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(text, path, "exec", 0, True)
    except Exception as error:
        report = faults.describe()
        # SyntaxError's own text repeats the file and line, which are told apart here.
        message = _wire.to_text(error.msg) if isinstance(error, SyntaxError) else report["message"]
        raise LoadFailed("compile", **dict(
            report, message=message, file=_wire.to_text(path), line=getattr(error, "lineno", None)))


def make_vendor(vendor, vendor_dir):
    """A package for the vendor that holds its modules and runs none of its code."""
    if vendor in sys.modules:
        raise LoadFailed("import", **{
            "class": "ImportError", "file": vendor_dir, "line": None, "traceback": "",
            "message": "the vendor directory %s has the name of a Python module; rename it" % vendor})
    package = types.ModuleType(vendor)
    package.__path__ = [vendor_dir]
    package.__package__ = vendor
    sys.modules[vendor] = package


def _import_failed(vendor_dir):
    error, trace = sys.exc_info()[1:]
    file, line = getattr(error, "filename", None), getattr(error, "lineno", None)
    if not isinstance(error, SyntaxError):
        file = line = None
        for frame in traceback.extract_tb(trace):
            # The last line of the vendor's own says more than where some library gave up.
            if frame[0].startswith(vendor_dir):
                file, line = frame[0], frame[1]
    return LoadFailed("import", file=file and _wire.to_text(file), line=line, **faults.describe())


def _named(module):
    seen = set()
    for kind, variable in _LISTS:
        names = getattr(module, variable, None) or ()
        for name in [names] if isinstance(names, (str, _wire.TEXT)) else names:
            name = str(name)
            if name not in seen:
                seen.add(name)
                yield kind, name


def _class_of(impl_name, module_name):
    file_name, _, class_name = impl_name.rpartition(".")
    if not (file_name + ".").startswith(module_name + "."):
        raise ImportError("%s is not below %s, whose __init__.py names it" % (impl_name, module_name))
    cls = getattr(importlib.import_module(file_name), class_name)
    if not isinstance(cls, type) or not issubclass(cls, tuple(KINDS.values())):
        raise TypeError("%s is not a class derived from IStorageArrayPlugin or IFileSystemPlugin" % impl_name)
    return cls
