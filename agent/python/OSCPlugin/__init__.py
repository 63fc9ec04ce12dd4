"""The SDK for storage plug-ins: `from OSCPlugin import IStorageArrayPlugin, MissingKeyEx, SE_STATES`.

One source for Python 2.7 and 3.6 upwards. A plug-in module lives in `<plugin-dir>/<vendor>/<module>/`, names its
classes in `osc_isa_plugins` or `osc_ifs_plugins`, and each class inherits from `IStorageArrayPlugin` or
`IFileSystemPlugin` and overrides static methods. Under the agent every call runs in a process of its own, forked from
one that has imported the module; without the agent, in an author's tests, everything works locally.

The exceptions and enumerations are also attributes of `IPlugin`. An author's test that imports
`from OSCPlugin.IPlugin import IPlugin` the old way finds the same names there.
"""
import sys as _sys
import types as _types

from ._array import IStorageArrayPlugin
from ._enums import ABILITY_TYPES, BACKING_DEVICE_TYPES, ENUMS as _ENUMS, FS_STATES, SE_STATES
from ._errors import EXCEPTIONS as _EXCEPTIONS
from ._filesys import IFileSystemPlugin
from ._plugin import IPlugin

globals().update(_EXCEPTIONS)

__all__ = (["IPlugin", "IStorageArrayPlugin", "IFileSystemPlugin"] + sorted(_ENUMS) + sorted(_EXCEPTIONS))
# Python 2 takes only byte strings here, and these are; Python 3 only text, and these are.

from ._api import API, REQUIRED  # noqa: E402,F401 - needs the classes above


def _old_style_modules():
    # `OSCPlugin.IPlugin` is the class. Only the import system, which looks here first, sees a module of that name.
    for cls in (IPlugin, IStorageArrayPlugin, IFileSystemPlugin):
        module = _types.ModuleType("OSCPlugin." + cls.__name__, cls.__doc__)
        module.__dict__.update((name, globals()[name]) for name in __all__)
        module.__all__ = list(__all__)
        _sys.modules[module.__name__] = module


_old_style_modules()
