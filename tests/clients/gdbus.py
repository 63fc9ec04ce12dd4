"""GDBus, GLib's own implementation."""
from gi.repository import Gio, GLib

from remote import NAME, Failure, Signal


class Client(object):
    def __init__(self, address):
        self._loop = GLib.MainContext.default()
        flags = Gio.DBusConnectionFlags
        self._bus = Gio.DBusConnection.new_for_address_sync(
            address, flags.AUTHENTICATION_CLIENT | flags.MESSAGE_BUS_CONNECTION, None, None)
        self._signals = []
        self._bus.signal_subscribe(NAME, None, None, None, None, Gio.DBusSignalFlags.NONE, self._hear)
        # The bus has taken in the subscription once it answers what was asked after it.
        self._bus.call_sync("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", None,
                            None, Gio.DBusCallFlags.NONE, -1, None)

    def call(self, path, interface, member, signature="", *arguments):
        body = GLib.Variant("(%s)" % signature, arguments)
        try:
            answer = self._bus.call_sync(NAME, path, interface, member, body, None, Gio.DBusCallFlags.NONE, 120000, None)
        except GLib.Error as error:
            name = Gio.DBusError.get_remote_error(error)
            Gio.DBusError.strip_remote_error(error)
            raise Failure(name, error.message)
        values = answer.unpack()
        return values if len(values) > 1 else values[0] if values else None

    def heard(self):
        while self._loop.iteration(False):
            pass
        signals, self._signals = self._signals, []
        return signals

    def _hear(self, _bus, _sender, path, interface, member, arguments):
        self._signals.append(Signal(path, interface, member, arguments.unpack()))
