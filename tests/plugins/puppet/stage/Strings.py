"""What a puppet does: it writes down how it was called, and plays the script that a test has laid out for the method.

A storage server's `extra_info` is a directory. A call appends a line to `calls` in it, then runs `METHOD.py` from it if
that is there, in whose names the arguments are, and `answer`, which the script may change or replace.
"""

import json
import os
import sys

import OSCPlugin


def plain(value):
    """The value as JSON shows it; bytes that are no text as their hexadecimal digits."""
    if isinstance(value, dict):
        return dict((str(key), plain(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return {"hex": "".join("%02x" % byte for byte in bytearray(value))}
    return value


def note(home, told):
    descriptor = os.open(os.path.join(home, "calls"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (json.dumps(plain(told)) + "\n").encode("ascii"))
    os.close(descriptor)


def play(arguments, answer=None):
    """Called with its `locals()` by the method itself."""
    method = sys._getframe(1).f_code.co_name
    home = arguments["ss_record"]["extra_info"]
    note(home, {"method": method, "args": arguments, "answer": answer})
    script = os.path.join(home, method + ".py")
    if not os.path.exists(script):
        return answer
    names = dict(arguments, answer=answer, home=home, note=note, method=method, **vars(OSCPlugin))
    with open(script) as opened:
        exec(compile(opened.read(), script, "exec"), names)
    return names["answer"]
