"""The one call that this process serves, and its connection to the agent.

Outside the agent, in an author's unit test or while a plug-in module is being imported, there is no connection: the
helpers then do their work locally. A process that the plug-in forks off has none either, or its frames would mix with
those of the call.
"""
import errno
import os
import threading

from . import _wire
from ._errors import EXCEPTIONS, OperationFailedEx

SECRET_KEYS = ("admin_passwd", "passwd")


class Link(object):
    """The agent's end is on file descriptor `fd`; frames of several threads never mix."""

    def __init__(self, fd):
        self.fd = fd
        self.pid = os.getpid()
        self.lock = threading.RLock()
        self._received = b""
        self._secrets = []

    def send(self, frame):
        """Sends an encoded frame."""
        self.send_bytes(_wire.line(frame))

    def send_bytes(self, data):
        with self.lock:
            view = memoryview(data)
            while len(view):
                try:
                    view = view[os.write(self.fd, view[:1048576]):]
                except OSError as error:
                    if error.errno != errno.EINTR:
                        raise

    def receive(self):
        """The next frame, not decoded, or None once the agent has closed its end."""
        parts = [self._received]
        while b"\n" not in parts[-1]:
            try:
                data = os.read(self.fd, 65536 if len(parts) < 4 else 1048576)
            except OSError as error:
                if error.errno == errno.EINTR:
                    continue
                raise
            if not data:
                return None
            parts.append(data)
        data, _, self._received = b"".join(parts).partition(b"\n")
        return _wire.parse(data)

    def request(self, frame):
        """Sends a frame and returns the decoded reply; what the agent refuses is raised as the class it names."""
        with self.lock:
            self.send(frame)
            answer = self.receive()
        if answer is None:
            raise OperationFailedEx("the agent closed the connection while it was asked for something")
        refused = answer.get("refused")
        if refused is not None:
            refused = _wire.decode(refused)
            raise EXCEPTIONS.get(refused.get("class"), OperationFailedEx)(refused.get("message", ""))
        return _wire.decode(answer.get("reply"))

    def keep_secret(self, value):
        """Remembers the secrets in a call's arguments, so that `redact` finds them."""
        if isinstance(value, dict):
            for key, item in value.items():
                if key in SECRET_KEYS and isinstance(item, (str, bytes, _wire.TEXT)):
                    # One or two letters would blacken half of every message and protect nothing.
                    if len(item) > 2:
                        self._secrets.append(_wire.to_text(item))
                else:
                    self.keep_secret(item)
        elif isinstance(value, list):
            for item in value:
                self.keep_secret(item)

    def redact(self, text):
        """`text` without the call's secrets."""
        for secret in self._secrets:
            text = text.replace(secret, u"[secret]")
        return text


class _Context(object):
    link = None
    plugin = None
    tmpdir = None


context = _Context()
"""What the worker sets for a call: `link`, the plug-in class `plugin` and its private `tmpdir`."""


def link():
    """The connection of this very process, or None."""
    current = context.link
    return current if current is not None and current.pid == os.getpid() else None
