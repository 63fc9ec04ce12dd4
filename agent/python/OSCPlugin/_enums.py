"""The enumerations of the plug-in API (specification, "Enum definitions").

A member is an integer, counted from 0 in the order of the specification's tables: it prints, compares, pickles and
turns into JSON as its number, as plug-ins of old expect, and knows its `name` besides.
"""


class _EnumType(type):
    """Makes a class whose `identifiers` become members; iterates, contains and indexes like the list of them."""

    def __new__(mcs, name, bases, body):
        cls = type.__new__(mcs, name, bases, body)
        cls._members = []
        for number, identifier in enumerate(body.get("identifiers", ())):
            member = int.__new__(cls, number)
            member.name = identifier
            type.__setattr__(cls, identifier, member)
            cls._members.append(member)
        return cls

    def __setattr__(cls, name, value):
        if not name.startswith("_"):
            raise AttributeError("%s is fixed: %s cannot be set" % (cls.__name__, name))
        type.__setattr__(cls, name, value)

    def __call__(cls, value):
        """The member of that number or name; ValueError if there is none."""
        for member in cls._members:
            if member.name == value or (not isinstance(value, bool) and member == value):
                return member
        raise ValueError("%r is not one of %s" % (value, cls.__name__))

    def __getitem__(cls, name):
        for member in cls._members:
            if member.name == name:
                return member
        raise KeyError(name)

    def __iter__(cls):
        return iter(cls._members)

    def __len__(cls):
        return len(cls._members)

    def __contains__(cls, value):
        return any(member == value for member in cls._members)


def _pickled(member):
    return int, (int(member),)


# Called by name, because the two Pythons spell a metaclass differently.
_Enum = _EnumType(
    "_Enum",
    (int,),
    {
        "__str__": lambda self: "%d" % int(self),
        "__repr__": lambda self: "%d" % int(self),
        "__reduce__": _pickled,
        "__reduce_ex__": lambda self, protocol: _pickled(self),
        "__copy__": lambda self: self,
        "__deepcopy__": lambda self, memo: self,
        "value": property(int),
    },
)


def _enum(name, doc, *identifiers):
    return _EnumType(name, (_Enum,), {"__doc__": doc, "__module__": "OSCPlugin", "identifiers": identifiers})


ABILITY_TYPES = _enum(
    "ABILITY_TYPES",
    "What a plug-in or a storage server can do, the values of the ability dict.",
    "UNSUPPORTED", "OFFLINE", "ONLINE", "NO", "YES", "INVALID",
)

BACKING_DEVICE_TYPES = _enum(
    "BACKING_DEVICE_TYPES",
    "What a file system of this plug-in is created on, the value of the ability backing_device_type.",
    "UNSUPPORTED", "DEVICE_SINGLE", "DEVICE_MULTI", "PLUGIN_SINGLE", "PLUGIN_MULTI", "INVALID",
)

SE_STATES = _enum(
    "SE_STATES",
    "The state of a storage element; ONLINE is the normal one.",
    "UNKNOWN", "OFFLINE", "BUSY_CREATE", "BUSY_CLONE", "BUSY_COPY", "BUSY_CHILDREN", "ERROR", "ONLINE",
)

FS_STATES = _enum(
    "FS_STATES",
    "The state of a file system; MOUNTED is the normal one.",
    "UNKNOWN", "UNMOUNTED", "MOUNTED", "MOUNTED_READONLY", "ERROR",
)

ENUMS = dict((enum.__name__, enum) for enum in (ABILITY_TYPES, BACKING_DEVICE_TYPES, SE_STATES, FS_STATES))
"""Every enumeration by name."""
