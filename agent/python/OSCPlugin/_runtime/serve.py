"""The warm process: accepts connections, forks a process for each, and cleans up after it.

It runs no plug-in code once it serves, so nothing that a call does, however badly, reaches the next one. A process
forked ahead of the next connection was tried: it saves a fifth when calls are far apart and costs as much when not.
"""
import errno
import os
import select
import signal
import socket
import time

from .. import _wire
from . import call, faults, process

_ACCEPT_AGAIN = (errno.EAGAIN, errno.EINTR, errno.ECONNABORTED)
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Server(object):
    """Serves calls on a listening socket until SIGTERM, or until the agent is gone."""

    def __init__(self, listening_fd, classes, agent_pid):
        self.listener = socket.fromfd(listening_fd, socket.AF_UNIX, socket.SOCK_STREAM)
        os.close(listening_fd)
        process.close_on_exec(self.listener.fileno())
        process.do_not_block(self.listener.fileno())
        self.classes = classes
        self.pid = os.getpid()
        self.calls = set()
        # What the module started while it was imported is its own business.
        self.kept = frozenset(process.children(self.pid))
        self.stopping = False
        self.woken, self.wake = os.pipe()
        for fd in (self.woken, self.wake):
            process.close_on_exec(fd)
            process.do_not_block(fd)

        signal.set_wakeup_fd(self.wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        watch_agent(agent_pid)

    def run(self):
        """Returns once it has been told to stop and the last call has ended."""
        while self.calls or not self.stopping:
            signalled = self._wait()
            # Somebody waits for a connection to be accepted, and nobody for what has ended to be collected.
            if not self.stopping:
                self._accept()
            elif self.listener is not None:
                self.listener.close()
                self.listener = None
            if signalled:
                self._reap()

    def _stop(self, *_):
        self.stopping = True

    def _wait(self):
        """Returns when there is something to do: whether a signal came, and so perhaps a process's end."""
        poll = select.poll()
        poll.register(self.woken, select.POLLIN)
        if not self.stopping:
            poll.register(self.listener.fileno(), select.POLLIN)
        try:
            poll.poll()
            return bool(os.read(self.woken, 4096))
        except (select.error, OSError) as error:
            if error.args[0] not in (errno.EINTR, errno.EAGAIN):
                raise
            return False

    def _reap(self):
        """Collects what has ended; with a call ends everything that it started, in its process group or not."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except OSError as error:
                if error.errno == errno.EINTR:
                    continue
                break  # ECHILD: no children
            if pid == 0:
                break
            if pid in self.calls:
                self.calls.discard(pid)
                process.kill_group(pid)
        # Orphans of calls have become children of this process. Each one's end is a SIGCHLD and brings its own orphans.
        for pid in process.children(self.pid):
            if pid not in self.calls and pid not in self.kept:
                process.kill(pid, signal.SIGKILL)

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except (OSError, IOError) as error:
                if error.errno in _OUT_OF_RESOURCES:
                    time.sleep(0.05)  # ends of calls free some; the connection waits in the backlog
                elif error.errno not in _ACCEPT_AGAIN:
                    raise
                return
            process.close_on_exec(connection.fileno())
            try:
                pid = os.fork()
            except OSError:
                self._refuse(connection)
                connection.close()
                return
            if pid == 0:
                self._become_call(connection)
            self.calls.add(pid)
            connection.close()

    def _refuse(self, connection):
        try:
            os.write(connection.fileno(), faults.error_line())
        except OSError:
            pass  # the agent went away: nobody is left to tell

    def _become_call(self, connection):
        """The rest of the forked process's life."""
        status = 1
        try:
            process.signal_on_parent_death(signal.SIGKILL)
            if os.getppid() != self.pid:
                os._exit(1)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.setsid()
            process.adopt_orphans()
            for fd in (self.listener.fileno(), self.woken, self.wake):
                os.close(fd)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.close(nothing)
            call.serve(connection.fileno(), self.classes)
            status = 0
        finally:
            # Not sys.exit: threads that the plug-in left behind and its exit handlers have no say.
            os._exit(status)


def watch_agent(agent_pid):
    """Ends this process and all its calls when the agent dies.

    The kernel's notice is about the thread that started this process, and the agent may end threads as it likes: only
    a new parent means that the agent is gone.
    """
    def parent_thread_ended(*_):
        if os.getppid() != agent_pid:
            process.kill_tree(os.getpid())
            os._exit(1)

    signal.signal(signal.SIGHUP, parent_thread_ended)
    process.signal_on_parent_death(signal.SIGHUP)
    parent_thread_ended()


def warm_up():
    """Touches what every call uses, so that it is in memory before the first fork."""
    _wire.parse(_wire.line({"item": _wire.encode({"a": [1, u"\xe9", 1.5, None]})}))
    try:
        raise ValueError("warm-up")
    except ValueError:
        faults.error_line()
