"""The warm process: keeps one at hand for the next connection, forks one for each further, and cleans up after them.

It runs no plug-in code once it serves, so nothing that a call does, however badly, reaches the next one. The process
at hand is forked before its call is there and accepts the connection itself: a call need not wait for the fork, nor
for the copying of the pages that it writes to.
"""
import errno
import os
import select
import signal
import socket
import time

from . import call, faults, process

_ACCEPT_AGAIN = (errno.EAGAIN, errno.EINTR, errno.ECONNABORTED)
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

# Bytes on the pipe that wakes the warm process: signals write their number (Python 2: 0), spare processes their mark.
_MARKS = bytes(bytearray(range(128, 256)))


def _mark(number):
    return _MARKS[number % 128:][:1]


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
        self.spare = None
        self.spares = 0
        # What the module started while it was imported is its own business.
        self.kept = frozenset(process.children(self.pid))
        self.stopping = False
        # The spare process leaves when the warm one closes its end of the second pipe.
        self.woken, self.wake = os.pipe()
        self.dismissed, self.dismiss = os.pipe()
        for fd in (self.woken, self.wake, self.dismissed, self.dismiss):
            process.close_on_exec(fd)
            process.do_not_block(fd)

        signal.set_wakeup_fd(self.wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        watch_agent(agent_pid)

    def run(self):
        """Returns once it has been told to stop and the last call has ended."""
        self._fork_spare()
        while self.calls or self.spare or not self.stopping:
            woken = self._wait()
            if self.spare and _mark(self.spares) in woken:
                self.calls.add(self.spare)
                self.spare = None
            # Somebody waits for a connection to be accepted, and nobody for what has ended to be collected.
            if self.stopping:
                self._stop_accepting()
            elif self.spare is None:
                self._accept()
                self._fork_spare()
            if woken.translate(None, _MARKS):
                self._reap()

    def _stop(self, *_):
        self.stopping = True

    def _stop_accepting(self):
        if self.listener is not None:
            self.listener.close()
            self.listener = None
            os.close(self.dismiss)

    def _wait(self):
        """Returns when there is something to do, with the bytes that signals and the spare process have sent."""
        poll = select.poll()
        poll.register(self.woken, select.POLLIN)
        if not self.stopping and self.spare is None:
            poll.register(self.listener.fileno(), select.POLLIN)
        try:
            poll.poll()
            return os.read(self.woken, 4096)
        except (select.error, OSError) as error:
            if error.args[0] not in (errno.EINTR, errno.EAGAIN):
                raise
            return b""

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
            if pid == self.spare:
                self.spare = None  # the next one is made when a call has come, lest they die without end
                process.kill_group(pid)
            if pid in self.calls:
                self.calls.discard(pid)
                process.kill_group(pid)
        # Orphans of calls have become children of this process. Each one's end is a SIGCHLD and brings its own orphans.
        for pid in process.children(self.pid):
            if pid not in self.calls and pid not in self.kept and pid != self.spare:
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
            try:
                pid = os.fork()
            except OSError:
                self._refuse(connection)
                connection.close()
                return
            if pid == 0:
                self._live(lambda: connection)
            self.calls.add(pid)
            connection.close()

    def _fork_spare(self):
        self.spares += 1
        try:
            self.spare = os.fork()
        except OSError:
            self.spare = None  # calls get their processes when they come, or are told that there are none
            return
        if self.spare == 0:
            self._live(self._await_connection)

    def _refuse(self, connection):
        try:
            os.write(connection.fileno(), faults.error_line())
        except OSError:
            pass  # the agent went away: nobody is left to tell

    def _live(self, connect):
        """The forked process's life: serves the connection that `connect` returns, if any."""
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
            for fd in (self.woken, self.dismiss):
                os.close(fd)
            nothing = os.open(os.devnull, os.O_RDONLY)
            os.dup2(nothing, 0)
            os.close(nothing)
            connection = connect()
            if connection is not None:
                for fd in (self.listener.fileno(), self.wake, self.dismissed):
                    os.close(fd)
                process.close_on_exec(connection.fileno())
                call.serve(connection.fileno(), self.classes)
            status = 0
        finally:
            # Not sys.exit: threads that the plug-in left behind and its exit handlers have no say.
            os._exit(status)

    def _await_connection(self):
        """What the spare process does until there is a call for it. None when it is not needed any more."""
        poll = select.poll()
        poll.register(self.listener.fileno(), select.POLLIN)
        poll.register(self.dismissed, 0)
        if not poll.poll(0):
            call.rehearse()  # nobody waits
        while True:
            try:
                if any(fd == self.dismissed for fd, _ in poll.poll()):
                    return None
                connection, _ = self.listener.accept()
            except (select.error, OSError, IOError) as error:
                if error.args[0] not in _ACCEPT_AGAIN:
                    raise
                continue
            os.write(self.wake, _mark(self.spares))
            return connection


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
    call.rehearse()
    try:
        raise ValueError("warm-up")
    except ValueError:
        faults.error_line()
