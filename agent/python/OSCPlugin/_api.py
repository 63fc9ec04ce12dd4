"""The methods of the API as a table, read off the base classes, and how a plug-in's own parameters are matched to it.

The base classes are the one place that says what a method takes; the worker checks a plug-in against this table when
it is loaded, so that a mistake is reported then and not in the middle of an operation.
"""
import inspect
import sys

from ._array import IStorageArrayPlugin
from ._filesys import IFileSystemPlugin
from ._plugin import IPlugin

KINDS = {"isa": IStorageArrayPlugin, "ifs": IFileSystemPlugin}
"""The base class of each kind of plug-in."""

REQUIRED = {
    "isa": ("validate", "getInfo", "list"),
    "ifs": ("validate", "getStorageServerInfo", "listFileSystems", "getFileSystemInfo"),
}
"""What a plug-in has to override to be of any use; without one of these its class is not served."""

_HELPERS = ("getTemporaryFile", "getNamedTemporaryFile", "copy", "checkRequired",
            "__get_key_value_pairs__", "__set_key_value_pairs__")

ALIASES = {
    "ss": "ss_record", "se": "se_record", "fs": "fs_record", "file": "file_record", "snap": "snap_record",
    "snap_se_record": "snap_record", "snap_file_record": "snap_record", "se_record_list": "se_records",
    "grp_name": "access_grp_name", "new_grp_name": "new_access_grp_name", "size": "new_size",
}
"""Other names under which plug-ins declare a parameter; they count where the API has no parameter of that name."""


class Signature(object):
    """What a function takes: `params` in order (the last `defaults` of them optional), and whether it takes more."""

    def __init__(self, params, defaults=0, varargs=False, keyword_only=(), keywords=False):
        self.params = params
        self.defaults = defaults
        self.varargs = varargs
        self.keyword_only = keyword_only
        self.keywords = keywords

    @property
    def required(self):
        return self.params[: len(self.params) - self.defaults]


def signature_of(function, skip=0):
    """The Signature of a function, without its first `skip` parameters; None where Python cannot tell."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    try:
        if sys.version_info[0] == 2:
            spec = inspect.getargspec(function)
            return Signature(list(spec.args)[skip:], len(spec.defaults or ()), bool(spec.varargs), (),
                             bool(spec.keywords))
        spec = inspect.getfullargspec(function)
        needed = [name for name in spec.kwonlyargs if name not in (spec.kwonlydefaults or {})]
        return Signature(list(spec.args)[skip:], len(spec.defaults or ()), bool(spec.varargs),
                         tuple((name, name in needed) for name in spec.kwonlyargs), bool(spec.varkw))
    except TypeError:
        return None


def declared(cls, name):
    """(the class that declares it, its callable or None, its Signature or None, "static", "class", "plain" or "other")."""
    for base in cls.__mro__:
        if name not in base.__dict__:
            continue
        raw = base.__dict__[name]
        if base.__module__.partition(".")[0] == "OSCPlugin":
            return base, getattr(cls, name), API_BY_CLASS[base].get(name), "static"
        if isinstance(raw, staticmethod):
            function = raw.__get__(None, cls)
            return base, function, signature_of(function), "static"
        if isinstance(raw, classmethod):
            return base, raw.__get__(None, cls), signature_of(raw.__func__, 1), "class"
        if inspect.isfunction(raw):
            return base, raw, signature_of(raw), "plain"
        return base, raw if callable(raw) else None, signature_of(raw), "other"
    return None, None, None, "other"


def match(signature, names):
    """How a function is called with the API's parameters `names`: (positional, keyword), each a list.

    `positional` holds API names, `keyword` pairs of (the function's name, the API's name). What the function does not
    declare is dropped. Raises ValueError with the reason where it cannot be called at all.
    """
    if signature is None:
        return list(names), []
    known = dict((name, name) for name in names)
    for alias, name in ALIASES.items():
        if name in known:
            known.setdefault(alias, name)
    params, required = signature.params, signature.required
    keyword_only = _keyword_only(signature, known)
    if signature.varargs and not params:
        return list(names), keyword_only
    if all(param in known for param in params) and len(set(known[param] for param in params)) == len(params):
        positional = [known[param] for param in params]
        if signature.varargs and positional == list(names)[: len(positional)]:
            positional = list(names)
        used = set(positional) | set(name for _, name in keyword_only)
        if signature.keywords:
            keyword_only = keyword_only + [(name, name) for name in names if name not in used]
        return positional, keyword_only
    if len(required) <= len(names) <= len(params):
        return list(names), keyword_only
    if signature.varargs and len(params) <= len(names):
        return list(names), keyword_only
    strangers = [param for param in required if param not in known]
    if strangers:
        raise ValueError(
            "takes (%s) where the API passes (%s): nothing is known to pass as %s"
            % (", ".join(params), ", ".join(names), ", ".join(strangers)))
    # The rest have defaults: pass what is known by name and leave those alone.
    positional = [known[param] for param in required]
    return positional, keyword_only + [
        (param, known[param]) for param in params[len(required):] if param in known and known[param] not in positional]


def _keyword_only(signature, known):
    pairs = []
    for name, needed in signature.keyword_only:
        if name in known:
            pairs.append((name, known[name]))
        elif needed:
            raise ValueError("takes the keyword-only parameter %s, which the API does not pass" % name)
    return pairs


def _methods(cls):
    table = {}
    for name, raw in cls.__dict__.items():
        if isinstance(raw, staticmethod) and name not in _HELPERS and name != "__new__":
            of_class = getattr(raw, "function", None)
            table[name] = signature_of(of_class or raw.__get__(None, cls), 1 if of_class else 0)
    return table


API_BY_CLASS = dict((cls, _methods(cls)) for cls in (IPlugin, IStorageArrayPlugin, IFileSystemPlugin))

API = dict((kind, dict(API_BY_CLASS[IPlugin], **API_BY_CLASS[cls])) for kind, cls in KINDS.items())
"""The Signature of every method, by kind and then by name."""
