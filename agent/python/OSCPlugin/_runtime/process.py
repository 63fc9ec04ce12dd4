"""What the worker asks of the Linux kernel: process control, children, descriptors, limits."""
import ctypes
import errno
import fcntl
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 4, 15, 36  # linux/prctl.h

try:
    _prctl = ctypes.CDLL(None, use_errno=True).prctl
except (OSError, AttributeError):
    _prctl = None


def _control(option, value):
    """prctl(2), best effort: without it fewer leftovers are found, but calls work."""
    if _prctl is not None:
        _prctl(option, value, 0, 0, 0)


def signal_on_parent_death(number):
    """Has the kernel send this process a signal when the thread that started it ends."""
    _control(_PR_SET_PDEATHSIG, number)


def adopt_orphans():
    """Makes descendants whose parent has died children of this process."""
    _control(_PR_SET_CHILD_SUBREAPER, 1)


def leave_no_core():
    """No core dump of this process or its children: their memory holds passwords."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A core_pattern that is a pipe ignores the limit.
    _control(_PR_SET_DUMPABLE, 0)


def show_as(name):
    """The name that ps and top show, 15 bytes of it."""
    if _prctl is not None:
        _prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode("utf-8")[:15]), 0, 0, 0)


def close_on_exec(fd):
    """Keeps a descriptor from the commands that plug-ins run."""
    fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.fcntl(fd, fcntl.F_GETFD) | fcntl.FD_CLOEXEC)


def do_not_block(fd):
    """Makes reads and writes of a descriptor return EAGAIN where they would wait."""
    fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)


def children(pid):
    """The process ids of the children of a process, zombies included."""
    found = []
    try:
        for thread in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, thread)) as listing:
                found.extend(int(word) for word in listing.read().split())
    except EnvironmentError as error:
        if os.path.exists("/proc/%d" % pid) and error.errno == errno.ENOENT:
            return _children_by_scan(pid)  # a kernel without CONFIG_PROC_CHILDREN
    return found


def _children_by_scan(parent):
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, "rb") as stat:
                    # The command's name, in brackets, may hold anything, brackets too.
                    fields = stat.read().rpartition(b")")[2].split()
            except EnvironmentError:
                continue  # it ended meanwhile
            if int(fields[1]) == parent:
                found.append(int(name))
    return found


def kill_tree(pid):
    """SIGKILL for every descendant of a process, not for itself."""
    for child in children(pid):
        kill(child, signal.SIGSTOP)  # or it could go on forking while its children are looked up
        kill_tree(child)
        kill(child, signal.SIGKILL)


def kill(pid, number):
    """kill(2) of a process that may be gone."""
    try:
        os.kill(pid, number)
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.EPERM):
            raise


def kill_group(group):
    """SIGKILL for a process group that may be empty."""
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.EPERM):
            raise


_LIMITS = {"as": resource.RLIMIT_AS, "nofile": resource.RLIMIT_NOFILE}


def limit(limits, on_cpu_used_up):
    """Applies a call's limits: "as" bytes of address space, "cpu" seconds, "nofile" open files; null is no limit.

    When the CPU time is used up, `on_cpu_used_up` is called with the seconds; two seconds later the kernel kills.
    """
    for name, number in _LIMITS.items():
        if limits.get(name) is not None:
            _lower(number, limits[name], limits[name])
    seconds = limits.get("cpu")
    if seconds is not None:
        signal.signal(signal.SIGXCPU, lambda *_: on_cpu_used_up(seconds))
        _lower(resource.RLIMIT_CPU, seconds, seconds + 2)


def _lower(number, soft, hard):
    ceiling = resource.getrlimit(number)[1]
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(number, (soft, hard))


class HarmlessStream(object):
    """Standard output or error that no `print` can fail on: any text, unbuffered, and nobody need be listening."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text):
        data = text
        if not isinstance(data, bytes):
            data = data.encode("utf-8", "replace" if sys.version_info[0] == 2 else "backslashreplace")
        try:
            while data:
                data = data[os.write(self._stream.fileno(), data):]
        except (OSError, ValueError):
            pass  # the reader is gone or the plug-in closed it: what it prints was never part of its answer
        return len(text)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        """Nothing is held back."""
