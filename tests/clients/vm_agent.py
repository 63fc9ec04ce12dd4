"""What a VM agent needs to know of this host's storage: `vm_agent.py [ADDRESS]` prints it, and what happens to it.

It takes the whole state in one call, then lives on signals alone. It asks again where it must: when the storage agent
was started anew, when an event's number shows that others were missed, and when the storage agent says so (resync).
"""
import json
import sys

from gi.repository import Gio, GLib

NAME = "org.storageconnect.Agent1"
ROOT = "/org/storageconnect/Agent1"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"


class VmAgent(object):
    """Knows every object of the storage agent: `objects` holds the properties by path and interface."""

    def __init__(self, bus, tell=lambda what, path: None):
        self.objects = {}
        self.seq = 0  # of the last event that `objects` shows
        self.there = False  # whether the storage agent runs; what was known stays known while it does not
        self.loads = 0
        self._bus = bus
        self._tell = tell
        # Subscribed before anything is asked: a change is in the answer, or its signal comes after it.
        bus.signal_subscribe(NAME, None, None, None, None, Gio.DBusSignalFlags.NONE, self._hear)
        Gio.bus_watch_name_on_connection(
            bus, NAME, Gio.BusNameWatcherFlags.NONE, lambda *_: self.load(), lambda *_: self._lost())

    def load(self):
        """Asks for everything."""
        try:
            self.seq, self.objects = self._call(ROOT, NAME + ".Manager", "GetState", None)
        except GLib.Error as error:
            # It is ending or starting: its name comes back, and so does this call.
            self._tell("cannot be asked: " + error.message, ROOT)
            return
        self.there = True
        self.loads += 1
        self._tell("%d objects at event %d" % (len(self.objects), self.seq), ROOT)

    def value(self, path, interface, name):
        """A property: the one known, or a large one that changed since it was read."""
        properties = self.objects[path][interface]
        if name not in properties:
            asked = GLib.Variant("(ss)", (interface, name))
            properties[name] = self._call(path, PROPERTIES, "Get", asked)[0]
        return properties[name]

    def _call(self, path, interface, method, arguments):
        flags = Gio.DBusCallFlags.NONE
        return self._bus.call_sync(NAME, path, interface, method, arguments, None, flags, 60000, None).unpack()

    def _lost(self):
        self.there = False
        self._tell("gone", ROOT)

    def _hear(self, _bus, _sender, path, interface, member, arguments):
        handler = self._HANDLERS.get((interface, member))
        if handler and self.there:
            handler(self, path, *arguments.unpack())

    def _added(self, _manager, path, interfaces):
        self.objects[path] = interfaces
        self._tell("appeared", path)

    def _removed(self, _manager, path, _interfaces):
        # With a storage server goes everything in it.
        for known in [known for known in self.objects if known == path or known.startswith(path + "/")]:
            del self.objects[known]
        self._tell("disappeared", path)

    def _changed(self, path, interface, changed, invalidated):
        properties = self.objects.get(path, {}).get(interface)
        if properties is not None:
            properties.update(changed)
            for name in invalidated:
                properties.pop(name, None)
            self._tell("changed", path)

    def _event(self, _path, seq, kind, _object, _json):
        missed = seq > self.seq + 1
        if missed or kind == "resync":
            self.load()
        self.seq = max(self.seq, seq)

    _HANDLERS = {
        (OBJECT_MANAGER, "InterfacesAdded"): _added,
        (OBJECT_MANAGER, "InterfacesRemoved"): _removed,
        (PROPERTIES, "PropertiesChanged"): _changed,
        (NAME + ".Manager", "Event"): _event,
    }


def connect(address=None):
    """The system bus, or the one at that address."""
    if address is None:
        return Gio.bus_get_sync(Gio.BusType.SYSTEM, None)
    flags = Gio.DBusConnectionFlags
    return Gio.DBusConnection.new_for_address_sync(
        address, flags.AUTHENTICATION_CLIENT | flags.MESSAGE_BUS_CONNECTION, None, None)


def main(address=None):
    agent = VmAgent(connect(address), lambda what, path: print(json.dumps({"path": path, "what": what}), flush=True))
    GLib.MainLoop().run()
    return agent


if __name__ == "__main__":
    main(*sys.argv[1:])
