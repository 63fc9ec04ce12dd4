"""sd-bus, systemd's implementation, by busctl."""
import json
import subprocess
import threading

from remote import NAME, Failure, Signal


class Client(object):
    def __init__(self, address):
        self._busctl = ["busctl", "--address=" + address, "--json=short"]
        self._signals = []
        self._monitor = subprocess.Popen(
            self._busctl + ["--match=type='signal'", "monitor", NAME], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        # It says so when it listens.
        self._monitor.stderr.readline()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self):
        self._monitor.kill()
        self._monitor.wait()

    def call(self, path, interface, member, signature="", *arguments):
        words = ["--timeout=120", "call", NAME, path, interface, member]
        if signature:
            words += [signature] + _words(signature, arguments)
        ended = subprocess.run(self._busctl + words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if ended.returncode != 0:
            # busctl tells the message, not the name.
            raise Failure(None, ended.stderr.strip().replace("Call failed: ", "", 1))
        if not ended.stdout.strip():
            return None
        answer = json.loads(ended.stdout)
        values = _body(answer)
        return values if len(values) > 1 else values[0] if values else None

    def heard(self):
        signals, self._signals = self._signals, []
        return signals

    def _read(self):
        for line in self._monitor.stdout:
            message = json.loads(line)
            if message.get("type") == "signal":
                self._signals.append(
                    Signal(message["path"], message["interface"], message["member"], _body(message["payload"])))


def _words(signature, arguments):
    """busctl's way of writing arguments; the suite needs strings, numbers and lists of strings."""
    words = []
    for argument in arguments:
        if isinstance(argument, list):
            words.append(str(len(argument)))
        words += [str(item) for item in (argument if isinstance(argument, list) else [argument])]
    return words


def _body(message):
    signature, values = message["type"], []
    for value in message["data"]:
        one = _first(signature)
        signature = signature[len(one):]
        values.append(_plain(one, value))
    return tuple(values)


def _first(signature):
    """The first complete type of a signature."""
    if signature[0] == "a":
        return "a" + _first(signature[1:])
    if signature[0] not in "({":
        return signature[0]
    depth = 0
    for place, letter in enumerate(signature):
        depth += letter in "({"
        depth -= letter in ")}"
        if depth == 0:
            return signature[:place + 1]
    raise ValueError(signature)


def _plain(signature, value):
    if signature == "v":
        return _plain(value["type"], value["data"])
    if signature.startswith("a{"):
        return dict((key, _plain(signature[3:-1], item)) for key, item in value.items())
    if signature.startswith("a"):
        return [_plain(signature[1:], item) for item in value]
    return value
