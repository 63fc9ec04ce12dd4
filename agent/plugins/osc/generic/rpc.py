"""As much of ONC RPC (RFC 5531) as asking a file server takes: who is there, and what it exports.

Every question has a deadline: a server that is gone costs that long and no more.
"""

import errno
import os
import socket
import struct
import time

from OSCPlugin import PermissionDeniedEx

PORTMAP_PORT, NFS_PORT = 111, 2049
PORTMAP, NFS, MOUNTD = 100000, 100003, 100005
PATIENCE = 5.0          # seconds for one question
MOST_BYTES = 16 << 20   # of an answer
_TCP = 6


class Unavailable(Exception):
    """The server does not answer, or has not got what was asked for. The plug-in's methods raise what the API has for it."""


class Mismatch(Unavailable):
    """The program is there in other versions."""


class Writer(object):
    """XDR (RFC 4506), out."""

    def __init__(self):
        self.parts = []

    def u32(self, *numbers):
        self.parts.extend(struct.pack(">I", number) for number in numbers)
        return self

    def u64(self, number):
        self.parts.append(struct.pack(">Q", number))
        return self

    def opaque(self, data):
        data = data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape")
        self.parts.append(struct.pack(">I", len(data)) + data + b"\0" * (-len(data) % 4))
        return self

    def raw(self, data):
        self.parts.append(data)
        return self

    def bytes(self):
        return b"".join(self.parts)


class Reader(object):
    """XDR, in. What is not there raises Unavailable."""

    def __init__(self, data):
        self.data, self.place = data, 0

    def raw(self, length):
        end = self.place + length
        if end > len(self.data):
            raise Unavailable("the file server's answer is not understood: it ends too early")
        data, self.place = self.data[self.place:end], end
        return data

    def u32(self):
        return struct.unpack(">I", self.raw(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.raw(8))[0]

    def opaque(self):
        length = self.u32()
        data = self.raw(length)
        self.raw(-length % 4)
        return data

    def text(self):
        """A string as this Python's own `str`."""
        data = self.opaque()
        return data if str is bytes else os.fsdecode(data)


class Connection(object):
    """One program of a server. `root` asks as root from a privileged port, as exports want that are `secure`."""

    def __init__(self, host, port, program, version, root=False):
        self.what, self.program, self.version, self.root = "%s port %d" % (host, port), program, version, root
        self.xid = struct.unpack(">I", os.urandom(4))[0]
        self.socket = _connected(host, port, root)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def call(self, procedure, arguments=b""):
        """A Reader of what the procedure answers."""
        self.xid = (self.xid + 1) & 0xFFFFFFFF
        asked = Writer().u32(self.xid, 0, 2, self.program, self.version, procedure)
        if self.root:
            # AUTH_SYS: stamp, host, user, group, no further groups.
            asked.u32(1).opaque(Writer().u32(0).opaque(os.uname()[1]).u32(0, 0, 0).bytes())
        else:
            asked.u32(0, 0)
        message = asked.u32(0, 0).raw(arguments).bytes()
        end = time.time() + PATIENCE
        try:
            self.socket.sendall(struct.pack(">I", 0x80000000 | len(message)) + message)
            while True:
                answer = Reader(self._record(end))
                if answer.u32() == self.xid:
                    return self._accepted(answer)
        except (socket.error, socket.timeout) as wrong:
            raise Unavailable("%s does not answer: %s" % (self.what, wrong))

    def _record(self, end):
        parts, size, last = [], 0, False
        while not last:
            head = struct.unpack(">I", self._exactly(4, end))[0]
            last, length = bool(head & 0x80000000), head & 0x7FFFFFFF
            size += length
            if size > MOST_BYTES:
                raise Unavailable("%s: its answer is longer than %d bytes" % (self.what, MOST_BYTES))
            parts.append(self._exactly(length, end))
        return b"".join(parts)

    def _exactly(self, length, end):
        parts = []
        while length:
            left = end - time.time()
            if left <= 0:
                raise socket.timeout("no answer within %g s" % PATIENCE)
            self.socket.settimeout(left)
            data = self.socket.recv(min(length, 1 << 20))
            if not data:
                raise socket.error(errno.ECONNRESET, "the connection was closed")
            parts.append(data)
            length -= len(data)
        return b"".join(parts)

    def _accepted(self, answer):
        if answer.u32() != 1:
            raise Unavailable("%s: what it sent is no reply" % self.what)
        if answer.u32() != 0:
            raise PermissionDeniedEx("%s denies this host" % self.what)
        answer.u32()
        answer.opaque()
        status = answer.u32()
        if status == 2:
            lowest, highest = answer.u32(), answer.u32()
            raise Mismatch("%s speaks versions %d to %d of program %d, not %d" % (
                self.what, lowest, highest, self.program, self.version))
        if status != 0:
            raise Unavailable("%s has not got what was asked for (program %d, status %d)" % (
                self.what, self.program, status))
        return answer


def _connected(host, port, root):
    sources = [("", number) for number in range(1023, 664, -1)] if root and os.geteuid() == 0 else []
    for source in sources + [None]:
        try:
            return socket.create_connection((host, port), PATIENCE, source)
        except socket.gaierror as wrong:
            raise Unavailable("%s is no host that is known here: %s" % (host, wrong))
        except (socket.error, socket.timeout) as wrong:
            taken = getattr(wrong, "errno", None) in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)
            if source is None or not taken:
                raise Unavailable("%s port %d does not answer: %s" % (host, port, wrong))
    raise AssertionError("the last source is any port")


def port_of(host, program, version):
    """The TCP port of a program, from the server's port mapper."""
    with Connection(host, PORTMAP_PORT, PORTMAP, 2) as mapper:
        port = mapper.call(3, Writer().u32(program, version, _TCP, 0).bytes()).u32()
    if not port:
        raise Unavailable("%s has no program %d, version %d" % (host, program, version))
    return port


def versions(host, port):
    """The major versions of NFS that the server speaks, highest first. Raises Unavailable where it does not answer."""
    found = []
    for version in (4, 3):
        try:
            with Connection(host, port, NFS, version) as server:
                server.call(0)
            found.append(version)
        except Mismatch:
            continue
    return found


def exports(host):
    """(path, [clients]) of everything that mountd exports (RFC 1813, appendix I: MOUNTPROC3_EXPORT)."""
    with Connection(host, port_of(host, MOUNTD, 3), MOUNTD, 3) as mountd:
        answer = mountd.call(5)
    found = []
    while answer.u32():
        path, clients = answer.text(), []
        while answer.u32():
            clients.append(answer.text())
        found.append((path, clients))
    return found
