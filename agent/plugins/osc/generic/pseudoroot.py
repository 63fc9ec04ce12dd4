"""What an NFS 4 server exports, found by walking its pseudo file system (RFC 7530, section 7.3).

NFS 4 has no list of exports: its root leads to them through directories that hold nothing else. Which directory is
an export and which only leads to one, nothing says outright. A directory is an export if it holds anything but
directories, or nothing, or if this host may write to it; and else, where what is in it lies on its own file system while
that is another one than the directory's above. Linux's own server may name one file system for all of them, but its file
handles show which directories are the roots of exports: those that only lead to others are, too.
"""

import time

from OSCPlugin import PermissionDeniedEx

from . import rpc

_ACCESS, _GETATTR, _LOOKUP, _PUTROOTFH, _READDIR = 3, 9, 15, 24, 26
_TYPE, _FSID, _ERROR, _HANDLE, _AVAIL, _TOTAL = 1, 8, 11, 19, 42, 44
_DIR = 2
_WRITES = 0x4 | 0x8 | 0x10  # ACCESS4_MODIFY, EXTEND, DELETE
_DELAY, _NOENT, _DENIED, _WRONGSEC, _MINOR = 10008, 2, (1, 13), 10016, 10021
# Bytes that name the file system in a file handle of Linux's server, by the handle's third byte (fs/nfsd/nfsfh.h, key_len).
_LINUX_KEYS = (8, 4, 12, 8, 8, 8, 16, 24)
MOST_DIRECTORIES, MOST_ENTRIES, DEEPEST, PATIENCE = 1000, 2000, 12, 30.0


class _Status(rpc.Unavailable):
    def __init__(self, number):
        rpc.Unavailable.__init__(self, "the NFS 4 server answers error %d" % number)
        self.number = number


class Root(object):
    """The pseudo file system of a server."""

    def __init__(self, host, port):
        self.host = host
        self.connection = rpc.Connection(host, port, rpc.NFS, 4, root=True)
        self.end = time.time() + PATIENCE
        self.seen = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.__exit__()

    def exports(self):
        """The paths of all exports, sorted."""
        try:
            return sorted(self._below([], None))
        except _Status as refused:
            if refused.number == _NOENT:
                return []  # without exports there is no root either
            raise

    def space(self, path):
        """(size, free) in bytes of the file system at `path`."""
        parts = [part for part in path.split("/") if part]
        answer = self._at(parts, 1, rpc.Writer().u32(_GETATTR).raw(_bits(_AVAIL, _TOTAL)))
        _result(answer, _GETATTR)
        found, values = _attributes(answer)
        free, size = [values.u64() if number in found else -1 for number in (_AVAIL, _TOTAL)]
        return size, free

    def _below(self, parts, above):
        """The exports at and below a directory; `above` is the file system of the one that it is in."""
        self.seen += 1
        if self.seen > MOST_DIRECTORIES or time.time() > self.end:
            raise rpc.Unavailable("%s: looking for exports was given up after %d directories; name NFS 3 (vers=3) if "
                                  "its mountd lists them" % (self.host, self.seen - 1))
        try:
            writable, own, entries, complete = self._directory(parts)
        except _Status as refused:
            # What leads nowhere for this host is not to be had.
            if parts and refused.number in _DENIED + (_NOENT, _WRONGSEC):
                return []
            raise
        directories = [(name, fsid, root) for name, kind, fsid, root in entries if kind == _DIR]
        crossings = [name for name, fsid, root in directories if (fsid != own if root is None else root)]
        inside = any(root is False for _, _, root in directories)
        plain = writable or inside or not complete or not entries or len(directories) < len(entries)
        if parts and not plain:
            plain = len(crossings) < len(directories) and own != above
        path = "/" + "/".join(parts)
        if plain and (parts or inside or len(directories) < len(entries) or writable):
            # Exports may lie in exports.
            further = crossings
            found = [path]
        else:
            further, found = [name for name, _, _ in directories], []
        if len(parts) < DEEPEST:
            for name in further:
                found += self._below(parts + [name], own)
        # What leads nowhere was an export after all.
        return found or ([path] if parts else [])

    def _directory(self, parts):
        """(whether it may be written to, its file system, [(name, type, file system, whether it is an export's root, or
        None)], whether that is all)."""
        entries, cookie, verifier, writable, own = [], 0, b"\0" * 8, False, None
        while len(entries) < MOST_ENTRIES:
            ops = rpc.Writer().u32(_ACCESS, _WRITES).u32(_GETATTR).raw(_bits(_FSID))
            ops.u32(_READDIR).u64(cookie).raw(verifier).u32(32768, 65536).raw(_bits(_TYPE, _FSID, _ERROR, _HANDLE))
            answer = self._at(parts, 3, ops)
            _result(answer, _ACCESS)
            answer.u32()
            writable = bool(answer.u32() & _WRITES)
            _result(answer, _GETATTR)
            own = _attributes(answer)[1].raw(16)
            _result(answer, _READDIR)
            verifier = answer.raw(8)
            while answer.u32():
                cookie, name = answer.u64(), answer.text()
                found, values = _attributes(answer)
                if _TYPE in found and _FSID in found:
                    kind, fsid = values.u32(), values.raw(16)
                    if _ERROR in found:
                        values.u32()  # none, where the others are there
                    entries.append((name, kind, fsid, _is_root(values.opaque()) if _HANDLE in found else None))
            if answer.u32():
                return writable, own, entries, True
        return writable, own, entries, False

    def _at(self, parts, count, ops):
        """The answer to a COMPOUND at the path, from the first of `ops` on."""
        arguments = rpc.Writer().opaque(b"").u32(0, 1 + len(parts) + count, _PUTROOTFH)
        for part in parts:
            arguments.u32(_LOOKUP).opaque(part)
        arguments.raw(ops.bytes())
        for pause in (0.1, 0.5, 1.0, 2.0, 4.0, None):
            answer = self.connection.call(1, arguments.bytes())
            status = answer.u32()
            answer.opaque()
            answer.u32()
            if status != _DELAY or pause is None:
                break
            time.sleep(pause)
        if status == _MINOR:
            raise rpc.Unavailable("%s does not speak NFS 4.0, in which its exports would be looked for" % self.host)
        if status == _WRONGSEC and not parts:
            raise PermissionDeniedEx("%s lets nobody in without Kerberos" % self.host)
        _result(answer, _PUTROOTFH)
        for _ in parts:
            _result(answer, _LOOKUP)
        return answer


def _is_root(handle):
    """Whether a file handle of Linux's server is the root of an export; None for another server's.

    It begins with its version, 1, and a zero; then come the kind of its file system's name and of its file's, a byte each
    (linux/include/uapi/linux/nfsd/nfsfh.h). The root is kind 0, and has no name of its own.
    """
    head = bytearray(handle[:4])
    if len(head) < 4 or head[0] != 1 or head[1] != 0 or head[2] >= len(_LINUX_KEYS):
        return None
    more = len(handle) - 4 - _LINUX_KEYS[head[2]]
    if more < 0 or (more == 0) != (head[3] == 0):
        return None
    return more == 0


def _result(answer, operation):
    answered, status = answer.u32(), answer.u32()
    if status:
        raise _Status(status)
    if answered != operation:
        raise rpc.Unavailable("the NFS 4 server's answer is not understood")


def _bits(*numbers):
    words = [0] * (max(numbers) // 32 + 1)
    for number in numbers:
        words[number // 32] |= 1 << number % 32
    return rpc.Writer().u32(len(words), *words).bytes()


def _attributes(answer):
    """(numbers of the attributes that are there, a Reader of their values)."""
    words = [answer.u32() for _ in range(min(answer.u32(), 8))]
    found = [32 * index + bit for index, word in enumerate(words) for bit in range(32) if word >> bit & 1]
    return found, rpc.Reader(answer.opaque())
