"""What the suite asks of a D-Bus library, and the names that it asks for.

A client is made by `connect(kind, address)`. It has

    call(path, interface, member, signature="", *arguments)   the answer's values: none, one, or a tuple
    heard()                                                    the signals of the agent since the last time

and raises `Failure`. Values are plain Python, variants are replaced by what they hold.
"""
import collections
import importlib
import time

NAME = "org.storageconnect.Agent1"
ROOT = "/org/storageconnect/Agent1"
PROPERTIES = "org.freedesktop.DBus.Properties"
MANAGER = "org.freedesktop.DBus.ObjectManager"
INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"

Signal = collections.namedtuple("Signal", "path interface member arguments")


class Failure(Exception):
    """An error that the agent answered. `name` is None where the library does not tell it."""

    def __init__(self, name, message):
        Exception.__init__(self, "%s: %s" % (name, message))
        self.name = name
        self.message = message


def connect(kind, address):
    """A client by the name of its module: `libdbus`, `gdbus`, `sdbus`."""
    return importlib.import_module(kind).Client(address)


def own(interface):
    """The whole name of one of the agent's interfaces."""
    return NAME + "." + interface


def eventually(what, look, seconds=60):
    """Looks until there is something to see."""
    deadline = time.time() + seconds
    while time.time() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("waited %d s for %s" % (seconds, what))
