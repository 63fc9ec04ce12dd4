"""What the agent is told about a plug-in class, and everything that is wrong with it, at load time.

A problem is `{"text", "fatal"}`; with a fatal one the class is of no use and is not served.
"""
from .. import _wire
from .._api import API, KINDS, REQUIRED, declared, match
from .._enums import ENUMS
from .._plugin import ABILITIES, ATTRIBUTES, abilities_of

_TYPES = {"text": (str, _wire.TEXT), "bool": (bool,), "list": (list, tuple), "any": (object,)}
_VALUES = {
    "storage_types": ("SAN", "iSCSI", "FileSys"),
    "filesys_type": ("NetworkFS", "LocalFS"),
}


def describe(impl_name, kind, cls):
    """The description of a class that the module lists as `kind`."""
    problems = []

    def problem(text, fatal=False):
        problems.append({"text": _wire.to_text("%s: %s" % (impl_name, text)), "fatal": fatal})

    if not issubclass(cls, KINDS[kind]):
        problem("is listed in osc_%s_plugins but does not derive from %s" % (kind, KINDS[kind].__name__), True)
    elif cls.plugin_type != kind:
        problem("plugin_type is %r but the class is listed in osc_%s_plugins" % (cls.plugin_type, kind), True)
    methods, defaults, inherited = _methods(kind, cls, problem)
    return {
        "impl_name": impl_name, "plugin_type": kind, "attrs": _attributes(kind, cls, problem),
        "abilities": _abilities(cls, problem), "methods": methods, "defaults": defaults,
        "inherited": inherited, "problems": problems,
    }


def _attributes(kind, cls, problem):
    attributes = {}
    for name, expected, needed in ATTRIBUTES["both"] + ATTRIBUTES[kind]:
        value = getattr(cls, name, None)
        try:
            attributes[name] = _wire.encode(value, name)
        except TypeError as error:
            problem("the class attribute %s" % error)
            attributes[name] = None
            continue
        if value is None:
            if needed:
                problem("the class attribute %s is missing" % name)
        elif not isinstance(value, _TYPES[expected]):
            problem("the class attribute %s is a %s instead of a %s" % (name, type(value).__name__, expected))
        else:
            for word in (value if expected == "list" else [value]) if name in _VALUES else ():
                if word not in _VALUES[name]:
                    problem("the class attribute %s holds %r, which is none of %s" % (
                        name, word, ", ".join(_VALUES[name])))
    return attributes


def _abilities(cls, problem):
    """Every ability by the name of its value; one that is left out or makes no sense is UNSUPPORTED."""
    for base in cls.__mro__:
        for attribute in ("abilities", "ability"):
            own = base.__dict__.get(attribute)
            if own is not None and not isinstance(own, dict):
                problem("%s is a %s instead of a dict" % (attribute, type(own).__name__), True)
    given = dict(abilities_of(cls))
    named = {}
    for key, enum, allowed in ABILITIES:
        value = given.pop(key, None)
        name = "UNSUPPORTED"
        if isinstance(value, bool) and "YES" in allowed:
            problem("the ability %s is %r instead of a member of %s" % (key, value, enum))
            name = "YES" if value else "NO"
        elif value is not None:
            try:
                name = ENUMS[enum](value).name
            except ValueError:
                problem("the ability %s is %r, which is not in %s" % (key, value, enum))
            if name not in allowed:
                problem("the ability %s is %s, but may only be one of %s" % (key, name, ", ".join(allowed)))
                name = "UNSUPPORTED"
        named[key] = name
    for key in sorted(given, key=str):
        problem("the API has no ability %s" % key)
    return named


def _methods(kind, cls, problem):
    methods, defaults, inherited = {}, {}, []
    for name, api in API[kind].items():
        needed = name in REQUIRED[kind]
        owner, function, signature, how = declared(cls, name)
        if owner is None or owner.__module__.partition(".")[0] == "OSCPlugin":
            inherited.append(name)
            if needed:
                problem("the required method %s is not overridden" % name, True)
        if function is None:
            # A class listed as the wrong kind, which has been told already, lacks methods altogether.
            if owner is not None:
                problem("%s is not a method" % name, needed)
            signature = api
        elif how == "plain":
            problem("the method %s is not a static method: decorate it with @staticmethod" % name)
        shown = signature or api
        methods[name] = list(shown.params)
        defaults[name] = shown.defaults
        try:
            match(signature, api.params)
        except ValueError as error:
            problem("the method %s %s" % (name, error), needed)
    return methods, defaults, sorted(inherited)
