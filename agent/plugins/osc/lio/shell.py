"""The one way to the array: a shell on it for the length of a call, started here or over SSH.

Everything that is done to device-mapper and LIO is text on that shell's standard input. Nothing is on a command line but
ssh's own options, and the array needs nothing beyond sh, LVM, flock and find.
"""

import contextlib
import os
import re
import subprocess
import uuid

from OSCPlugin import (
    IPlugin, MissingKeyEx, OperationFailedEx, OperationPreReqNotMetEx, PermissionDeniedEx, StorageElementBusyEx,
    ValueFormatEx)

try:
    from shlex import quote
except ImportError:
    from pipes import quote

LOCK = "/run/lock/osc-lio"
LOCK_SECONDS = 120
PROLOGUE = (
    "unset ENV CDPATH; umask 077; export LC_ALL=C LVM_SUPPRESS_FD_WARNINGS=1 PATH=\"$PATH:/usr/local/sbin:/usr/sbin:/sbin\"\n"
    "exec 3>&1\n")

__all__ = ["Failed", "Place", "Shell", "failing", "quote"]


# A step on the array that did not succeed; its text is what the array's commands said. `failing` makes it one of the API's.
Failed = EnvironmentError


@contextlib.contextmanager
def failing(as_class, what):
    """Turns a step that failed on the array into `as_class`, led by `what` was being done."""
    try:
        yield
    except Failed as wrong:
        text = "%s: %s" % (what, wrong)
        if re.search(r"permission denied|a password is required|operation not permitted", text, re.I):
            raise PermissionDeniedEx(text)
        raise as_class(text)


def native(text):
    """The text as this Python's `str`."""
    if isinstance(text, str):
        return text
    return text.encode("utf-8") if str is bytes else text.decode("utf-8", "replace")


class Place(object):
    """Where the array is and how its shell is started, read from the storage server's record."""

    def __init__(self, ss):
        self.options = IPlugin.__get_key_value_pairs__(ss.get("extra_info") or "")
        self.host = native(ss.get("admin_host") or "")
        if not self.host:
            raise MissingKeyEx("which box is the array? Give its name or address, or localhost, as admin_host", "admin_host")
        if not re.match(r"^[A-Za-z0-9_.:%\[\]][A-Za-z0-9_.:%\[\]-]*$", self.host):
            raise ValueFormatEx("%r is no name or address of a host" % self.host, "admin_host")
        self.user = native(ss.get("admin_user") or "root")
        if not re.match(r"^[A-Za-z0-9_][A-Za-z0-9_.@-]*$", self.user):
            raise ValueFormatEx("%r is no name of a user" % self.user, "admin_user")
        self.local = is_here(self.host)

    def words(self):
        """The command that is the shell. Raises ValueFormatEx for options that cannot be."""
        if self.local:
            return ["sh", "-s"]
        words = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-o", "ServerAliveInterval=10",
                 "-o", "ServerAliveCountMax=3", "-o", "ClearAllForwardings=yes", "-o", "LogLevel=ERROR", "-l", self.user]
        port = self.options.get("ssh_port")
        if port:
            if not port.isdigit() or not 0 < int(port) < 65536:
                raise ValueFormatEx("ssh_port=%s is no port" % port, "extra_info")
            words += ["-p", port]
        for option, key in (("IdentityFile", "ssh_key"), ("UserKnownHostsFile", "ssh_known_hosts")):
            path = self.options.get(key)
            if path:
                if not path.startswith("/") or re.search(r"[\"\s%]", path):
                    raise ValueFormatEx("%s has to be the absolute path of a file, without spaces" % key, "extra_info")
                words += ["-o", "%s=%s" % (option, path)]
        if self.options.get("ssh_key"):
            words += ["-o", "IdentitiesOnly=yes"]
        return words + ["--", self.host.strip("[]"), "exec sh -s" if self.user == "root" else "exec sudo -n sh -s"]


def is_here(host):
    """Whether the name means this host."""
    node = os.uname()[1].lower()
    return host.lower() in ("localhost", "127.0.0.1", "::1", "[::1]", node, node.partition(".")[0])


class Shell(object):
    """A shell on the array; `with` ends it, and what it had locked is free again, also when this process dies."""

    def __init__(self, place):
        self.place = place
        self._mark = uuid.uuid4().hex
        self._process = None

    def __enter__(self):
        words = self.place.words()
        IPlugin.checkRequired(words[0])
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                         close_fds=True)
        self._send(PROLOGUE)
        return self

    def __exit__(self, *error):
        self._end()
        return False

    def _end(self):
        """Ends the shell, and returns its status and what it, or ssh, complained of."""
        process, self._process = self._process, None
        if process is None:
            return None, ""
        _close(process.stdin)
        said = native(process.stderr.read()).strip()
        for stream in (process.stdout, process.stderr):
            _close(stream)
        return process.wait(), said

    def lock(self):
        """Keeps every other change of this array out until the shell ends. Raises StorageElementBusyEx after two minutes."""
        self._send("exec 9>%s && flock -w %d 9 </dev/null\nprintf '%%s %%d\\n%%s\\n' %s $? %s\n"
                   % (LOCK, LOCK_SECONDS, self._mark, self._mark))
        _, status, _ = self._answer()
        if status == 1:
            raise StorageElementBusyEx("another change of the array on %s has been going on for %d s: try again later"
                                       % (self.place.host, LOCK_SECONDS))
        if status:
            raise Failed("%s cannot be locked on %s (status %d): is flock installed?" % (LOCK, self.place.host, status))

    def run(self, script):
        """Runs the lines up to the first that fails; returns what they printed. Raises Failed."""
        if not isinstance(script, str):
            script = "\n".join(script)
        self._send("e=$( ( set -e\n%s\n) </dev/null 2>&1 >&3 3>&- 9>&- )\nprintf '%%s %%d\\n%%s\\n%%s\\n' %s $? \"$e\" %s\n"
                   % (script, self._mark, self._mark))
        out, status, said = self._answer()
        if status:
            raise Failed(said.strip() or "a command on %s ended with status %d" % (self.place.host, status))
        return out

    def _send(self, text):
        if not isinstance(text, bytes):
            text = text.encode("utf-8", "surrogateescape")
        try:
            self._process.stdin.write(text)
            self._process.stdin.flush()
        except (IOError, OSError):
            self._gone()

    def _answer(self):
        """What was printed, the status, what was complained of: the last two stand between two marks."""
        mark = self._mark.encode("ascii")
        out, status, said = [], None, []
        while True:
            line = self._process.stdout.readline()
            if not line:
                self._gone()
            if status is None:
                before, found, after = line.rpartition(mark + b" ")
                if not found:
                    out.append(line)
                    continue
                out.append(before)
                status = int(after)
            elif line == mark + b"\n":
                return native(b"".join(out)), status, native(b"".join(said))
            else:
                said.append(line)

    def _gone(self):
        status, text = self._end()
        lines = "; ".join(line.strip() for line in text.splitlines()[-3:])
        if self.place.local:
            raise Failed("the shell ended with status %d: %s" % (status, lines))
        if "Host key verification failed" in text:
            raise OperationPreReqNotMetEx("ssh does not know the host key of %s: add it to known_hosts first (%s)"
                                          % (self.place.host, lines))
        if "ermission denied" in text:
            raise PermissionDeniedEx("%s does not let %s in with the key of this host: %s"
                                     % (self.place.host, self.place.user, lines))
        raise OperationFailedEx("%s cannot be reached over SSH (status %d): %s"
                                % (self.place.host, status, lines or "the connection ended"))


def _close(stream):
    try:
        stream.close()
    except (IOError, OSError):
        pass  # what was left to write has nobody to read it
