"""libdbus, the reference implementation, by dbus-python."""
import dbus
import dbus.bus
import dbus.mainloop.glib
from gi.repository import GLib

from remote import NAME, Failure, Signal


class Client(object):
    def __init__(self, address):
        self._loop = GLib.MainContext.default()
        self._bus = dbus.bus.BusConnection(address, mainloop=dbus.mainloop.glib.DBusGMainLoop())
        self._signals = []
        self._bus.add_signal_receiver(
            self._hear, bus_name=NAME, path_keyword="path", interface_keyword="interface", member_keyword="member")

    def call(self, path, interface, member, signature="", *arguments):
        try:
            return _plain(self._bus.call_blocking(NAME, path, interface, member, signature, arguments, timeout=120))
        except dbus.DBusException as error:
            raise Failure(error.get_dbus_name(), error.get_dbus_message())

    def heard(self):
        while self._loop.iteration(False):
            pass
        signals, self._signals = self._signals, []
        return signals

    def _hear(self, *arguments, **about):
        arguments = tuple(_plain(value) for value in arguments)
        self._signals.append(Signal(str(about["path"]), str(about["interface"]), str(about["member"]), arguments))


def _plain(value):
    if isinstance(value, dbus.Boolean):
        return bool(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, dict):
        return dict((_plain(key), _plain(item)) for key, item in value.items())
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
