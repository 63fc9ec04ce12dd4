"""A small agent that drives a real worker over the real socket, for the tests; it answers cache and host requests."""
import base64
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SDK = os.path.dirname(HERE)
PLUGINS = os.path.join(HERE, "plugins")
PATIENCE = 60
"""Seconds after which a test has failed; no test waits for them when all is well."""


class Worker(object):
    """One warm process, with what it told on its status pipe in `status`."""

    def __init__(self, module, python=sys.executable, plugin_dir=PLUGINS):
        self.folder = tempfile.mkdtemp(prefix="osc-worker-test-")
        self.path = os.path.join(self.folder, "socket")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.path)
        listener.listen(64)
        pipes = [os.pipe() for _ in range(3)]
        self.pid = os.fork()
        if self.pid == 0:
            _become_worker(listener, [write for _, write in pipes], python, module, plugin_dir)
        self.exit_status = None
        listener.close()
        for _, write in pipes:
            os.close(write)
        self.output = [b"", b""]
        self.drains = [
            threading.Thread(target=self._drain, args=(place, pipes[place][0])) for place in (0, 1)]
        for drain in self.drains:
            drain.daemon = True
            drain.start()
        with os.fdopen(pipes[2][0], "rb") as status:
            line = status.read()
        self.status_line = line
        self.status = json.loads(line.decode("utf-8")) if line else None

    def _drain(self, place, fd):
        for data in iter(lambda: os.read(fd, 65536), b""):
            self.output[place] += data
        os.close(fd)

    def connect(self):
        return Connection(self.path)

    def call(self, method, args, impl="acme.rig.Rig.Rig", cache=None, **more):
        """Makes a call and waits for its end."""
        connection = self.connect()
        connection.call(method, args, impl, **more)
        return connection.finish({} if cache is None else cache)

    def do(self, behaviour, more=None, **kwargs):
        """Has the rig plug-in show one of its behaviours."""
        return self.call("getInfo", [["ss_record", dict(more or {}, do=behaviour)], ["se_record", None]], **kwargs)

    def wait(self):
        """The worker's exit status as of waitpid."""
        deadline = time.time() + PATIENCE
        while self.exit_status is None and time.time() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_status = status
            else:
                time.sleep(0.005)
        return self.exit_status

    def close(self):
        """Stops the worker; more than once is fine."""
        if not os.path.exists(self.folder):
            return
        if self.exit_status is None:
            os.kill(self.pid, signal.SIGTERM)
            if self.wait() is None:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        for drain in self.drains:
            drain.join(PATIENCE)
        shutil.rmtree(self.folder)


def _become_worker(listener, writes, python, module, plugin_dir):
    """As the agent starts one: clean environment, descriptors 0 to 4, nothing else."""
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        wanted = [nothing, writes[0], writes[1], listener.fileno(), writes[2]]
        spare = [_dup_above(fd) for fd in wanted]
        for number, fd in enumerate(spare):
            os.dup2(fd, number)
        os.closerange(5, 256)
        os.umask(0o77)
        os.execve(python, [python, "-E", "-s", "-B", "-u", os.path.join(SDK, "osc_worker.py"), "--module", module,
                           "--dir", plugin_dir, "--sdk", SDK],
                  {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"})
    finally:
        os._exit(127)


def _dup_above(fd):
    import fcntl
    return fcntl.fcntl(fd, fcntl.F_DUPFD, 100)


class Outcome(object):
    """Everything that came of one call."""

    def __init__(self):
        self.pid = None
        self.frames = []
        self.logs = []
        self.items = []
        self.result = self.result_list = self.error = None

    @property
    def ended(self):
        """How many frames claim to be the end."""
        return len([frame for frame in self.frames if set(frame) & set(["result", "result_list", "error"])])


class Connection(object):
    """The agent's end of one call."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)
        self.reader = self.socket.makefile("rb")

    def send(self, frame):
        self.socket.sendall(json.dumps(frame, ensure_ascii=False).encode("utf-8") + b"\n")

    def call(self, method, args, impl="acme.rig.Rig.Rig", tmpdir=None, limits=None):
        self.send({"call": {"id": "1", "impl": impl, "method": method, "args": args, "tmpdir": tmpdir,
                            "limits": limits or {"as": None, "cpu": None, "nofile": None}}})

    def read(self):
        """The next frame, None at the end."""
        try:
            line = self.reader.readline()
        except socket.error:
            return None
        return json.loads(line.decode("utf-8")) if line.endswith(b"\n") else None

    def finish(self, cache):
        """Reads to the end of the connection, and answers what is asked meanwhile."""
        outcome = Outcome()
        for frame in iter(self.read, None):
            outcome.frames.append(frame)
            if "hello" in frame:
                outcome.pid = frame["hello"]["pid"]
            elif "log" in frame:
                outcome.logs.append((frame["log"]["level"], frame["log"]["message"]))
            elif "cache" in frame:
                self.send({"reply": _cached(cache, frame["cache"])})
            elif "host" in frame:
                self.send(_hosted(frame["host"]))
            elif "item" in frame:
                outcome.items.append(frame["item"])
            else:
                for name in ("result", "result_list", "error"):
                    if name in frame:
                        setattr(outcome, name, frame[name])
        self.reader.close()
        self.socket.close()
        return outcome


def _cached(cache, request):
    place = (request["ss_uuid"], request.get("key"))
    if request["op"] == "get":
        return cache.get(place, (None,))[0]
    if request["op"] == "set":
        cache[place] = (request["value"], request["seconds"])
    elif request["op"] == "extend" and place in cache:
        cache[place] = (cache[place][0], cache[place][1] + request["seconds"])
    elif request["op"] == "clear":
        for known in [known for known in cache if known[0] == request["ss_uuid"]]:
            del cache[known]
    return None


def _hosted(request):
    if request["op"] == "loop.attach":
        return {"reply": {"device": "/dev/loop7", "path": request["path"]}}
    return {"refused": {"class": "OperationPreReqNotMetEx", "message": "no %s here" % request["op"]}}


def in_bytes(data):
    """Bytes as a frame carries them."""
    return {"$bytes": base64.b64encode(data).decode("ascii")}


def alive(pid):
    """Whether a process is there and not a zombie."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except (IOError, OSError):
        return False


def gone(pid):
    """Waits for the end of a process; whether it came."""
    deadline = time.time() + PATIENCE
    while alive(pid) and time.time() < deadline:
        time.sleep(0.005)
    return not alive(pid)


if SDK not in sys.path:
    sys.path.insert(0, SDK)
