# -*- coding: utf-8 -*-
"""What a plug-in may do, and what it should not. Each takes the storage server record and makes the call's result."""
import errno
import logging
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time

from OSCPlugin import (
    IPlugin, IStorageArrayPlugin, MissingKeyEx, OperationFailedEx, CreateSnapFailedEx, SE_STATES, ValueFormatEx)

SERVER = "0004fb00-0001-0000-aaaa-000000000001"
COUNTER = [0]
PY2 = sys.version_info[0] == 2


def echo(ss):
    return ss


def shown(ss):
    """The type of the value and what it is, in ASCII."""
    return "%s %r" % (type(ss["value"]).__name__, ss["value"])


def all_bytes(ss):
    return bytes(bytearray(range(256)))


def ascii_bytes(ss):
    return b"plain"


def surrogate(ss):
    return u"a\ud800b"


def shapes(ss):
    return [(1, 2), [x for x in set([3])], {"state": SE_STATES.ONLINE, "none": None, "yes": True, "f": 1.5, "big": 2 ** 63}]


def number(ss):
    return SE_STATES.BUSY_COPY


def pickled_state(ss):
    IPlugin.cache.set(SERVER, "state", pickle.dumps({"state": SE_STATES.ONLINE, "n": [1]}, 0))
    back = IPlugin.cache.get(SERVER, "state")
    return pickle.loads(back)


def generator(ss):
    return ({"n": n} for n in range(3))


def generator_that_breaks(ss):
    yield {"n": 1}
    raise OperationFailedEx("broke")


def bad_element(ss):
    return [{"n": 1}, {"n": object()}]


def huge(ss):
    return "x" * (12 * 1024 * 1024)


def set_handle(ss):
    return {"deep": [{"handle": open(os.devnull)}]}


def not_a_number(ss):
    return float("nan")


def too_big(ss):
    return 2 ** 64


def number_key(ss):
    return {1: 2}


def reserved_key(ss):
    return {"$bytes": "eA=="}


def cycle(ss):
    ring = []
    ring.append(ring)
    return ring


def count(ss):
    COUNTER[0] += 1
    time.sleep(ss.get("pause", 0))
    return COUNTER[0]


def logs(ss):
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(IPlugin.logger, level)("%s is %d", level, 1)
    return None


def logs_text(ss):
    IPlugin.logger.info(u"Gr\xf6\xdfe %s", u"\u20ac")
    IPlugin.logger.info(b"\xff\xfe raw")
    IPlugin.logger.info("%d does not fit", "this")
    try:
        1 / 0
    except ZeroDivisionError:
        IPlugin.logger.exception("caught")
    logging.getLogger("some.library").warning("library speaks")


def logs_reconfigured(ss):
    logger = IPlugin.logger
    logger.setLevel(logging.CRITICAL)
    logger.addHandler(logging.StreamHandler())
    for handler in logger.handlers:
        logger.removeHandler(handler)
    logger.handlers = []
    logger.propagate = False
    logger.disabled = True
    logger.level = 100
    logger.addFilter(logging.Filter("nothing"))
    logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr)
    logging.disable(logging.CRITICAL)
    logger.debug("still here")
    return logger is logging.getLogger("OSCPlugin")


def logs_secret(ss):
    IPlugin.logger.warning("logging in with %s", ss["admin_passwd"])
    raise OperationFailedEx("server said: bad password %s for %s" % (
        ss["admin_passwd"], ss["access_descriptors"][0]["passwd"]))


def cache_all(ss):
    cache = IPlugin.cache
    cache.set(SERVER.replace("-", "").upper(), "a", ss["value"])
    cache.set(SERVER, "b", "two", 7)
    cache.extend(SERVER, "b", 5)
    first = [cache.get(SERVER, "a"), cache.get(SERVER, "b"), cache.get(SERVER, "never")]
    cache.set(SERVER, "a", None)
    gone = cache.get(SERVER, "a")
    cache.set(SERVER, "c", "three")
    return {"first": first, "same": first[0] == ss["value"] and type(first[0]) is type(ss["value"]), "gone": gone}


def cache_clear(ss):
    IPlugin.cache.set(SERVER, "a", "1")
    IPlugin.cache.set(SERVER.replace("aaaa", "bbbb"), "a", "2")
    IPlugin.cache.clear(SERVER)
    return [IPlugin.cache.get(SERVER, "a"), IPlugin.cache.get(SERVER.replace("aaaa", "bbbb"), "a")]


def cache_number(ss):
    IPlugin.cache.set(SERVER, "a", 5)


def cache_threads(ss):
    wrong = []

    def work(name):
        for turn in range(50):
            IPlugin.cache.set(SERVER, name, "%s %d" % (name, turn))
            if IPlugin.cache.get(SERVER, name) != "%s %d" % (name, turn):
                wrong.append(name)
            IPlugin.logger.info("x" * 5000)

    threads = [threading.Thread(target=work, args=("t%d" % n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


def host(ss):
    return IPlugin.host.loop.attach(path="/x")


def host_refused(ss):
    return IPlugin.host.rocket.launch()


def files(ss):
    with IPlugin.getNamedTemporaryFile() as named, IPlugin.getTemporaryFile() as unnamed:
        unnamed.write(b"x")
        return {"name": named.name, "listed": os.listdir(ss["tmp"]), "own": tempfile.gettempdir(),
                "environment": os.environ["TMPDIR"]}


def descriptors():
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append("%s %s" % (fd, os.readlink("/proc/self/fd/" + fd)))
        except OSError:
            pass  # the directory that is being read
    return sorted(found)


def surroundings(ss):
    return {"environment": dict(os.environ), "stdin": sys.stdin.read(), "argv": sys.argv, "session": os.getsid(0),
            "pid": os.getpid(), "fds": descriptors(),
            "cmdline": open("/proc/self/cmdline").read()}


def inherited_fds(ss):
    shell = subprocess.Popen(["ls", "-l", "/proc/self/fd"], stdout=subprocess.PIPE, close_fds=False)
    return shell.communicate()[0].decode("ascii")


def limits(ss):
    import resource
    return [resource.getrlimit(number)[0] for number in (
        resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_CORE)]


def spin(ss):
    while True:
        pass


def prints(ss):
    print("to standard output")
    print(u"Gr\xf6\xdfe \u20ac")
    sys.stdout.write("no newline")
    sys.stderr.write("to standard error\n")
    return "printed"


def exits(ss):
    sys.exit("enough")


def exits_hard(ss):
    os._exit(7)


def kills_itself(ss):
    os.kill(os.getpid(), signal.SIGKILL)


def interrupts(ss):
    raise KeyboardInterrupt()


def recurses(ss):
    return recurses(ss)


def eats_memory(ss):
    hoard = []
    while True:
        hoard.append("x" * 16 * 1024 * 1024)


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


def raises_unprintable(ss):
    raise Unprintable("x")


def raises_raw_bytes(ss):
    raise CreateSnapFailedEx(b"\xff\xfe broken")


def raises_text(ss):
    raise ValueError(u"Gr\xf6\xdfe \u20ac")


def raises_sdk_text(ss):
    raise CreateSnapFailedEx(u"Gr\xf6\xdfe \u20ac")


class MyOwn(CreateSnapFailedEx):
    pass


def raises_own(ss):
    raise MyOwn("mine")


def raises_missing(ss):
    raise MissingKeyEx("the record has no uuid", "uuid")


def raises_swapped(ss):
    raise ValueFormatEx("size", "the size is not a number")


def raises_through_iplugin(ss):
    raise IPlugin.SnapRestoreNotSafeEx("not safe")


def raises_old_style(ss):
    if not PY2:
        raise ValueError("old")

    class Old:
        def __str__(self):
            return "old"

    raise Old()


def raises_os_error(ss):
    raise OSError(errno.ENOENT, "missing", "/x")


def raises_group(ss):
    try:
        {}["inner"]
    except KeyError:
        raise RuntimeError("outer")


def forks_and_returns(ss):
    os.fork()
    return "once"


def forks_and_talks(ss):
    pid = os.fork()
    if pid == 0:
        for _ in range(100):
            IPlugin.logger.info("from the other " + "y" * 3000)
            IPlugin.cache.set(SERVER, "x", "y")
        os._exit(0)
    for _ in range(100):
        IPlugin.logger.info("from the call " + "x" * 3000)
    os.waitpid(pid, 0)
    return IPlugin.cache.get(SERVER, "x")


def leaves_thread(ss):
    thread = threading.Thread(target=time.sleep, args=(3600,))
    thread.start()
    return "done"


def leaves_child(ss):
    return subprocess.Popen(["sleep", "3600"]).pid


def leaves_daemons(ss):
    """A daemon as the book has it (fork, setsid, fork), with a child of its own; their pids."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            child = subprocess.Popen(["setsid", "sleep", "3600"])
            os.write(write, ("%d %d\n" % (os.getpid(), child.pid)).encode("ascii"))
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(3600)
        os._exit(0)
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(read, 100)
    if ss.get("crash"):
        IPlugin.logger.info(line.decode("ascii").strip())
        os.kill(os.getpid(), signal.SIGKILL)
    if ss.get("hang"):
        IPlugin.logger.info(line.decode("ascii").strip())
        time.sleep(3600)
    return [int(word) for word in line.split()]


def closes_everything(ss):
    os.closerange(0, 256)
    return "unheard"


def closes_output(ss):
    sys.stdout.close()
    os.close(1)
    print("into the void")
    return "fine"


def draws(ss):
    import random
    return random.random()


def copies(ss):
    IPlugin.copy(ss["src"], ss["dst"])


def sleeps(ss):
    IPlugin.logger.info("asleep")
    time.sleep(ss["seconds"])
    return "awake"


def base_capabilities(ss):
    return IStorageArrayPlugin.getCapabilities(ss)
