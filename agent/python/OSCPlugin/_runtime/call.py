"""One call, from its first frame to its last, in the process that was forked for it."""
import os
import random
import sys
import tempfile
import types

from .. import _wire
from .._api import API, declared, match
from .._errors import NoSuchOperationEx, OperationFailedEx
from .._link import Link, context
from .._array import IStorageArrayPlugin
from . import faults, process


def serve(fd, classes):
    """Takes a call from `fd`, runs it and answers it. `classes` holds (kind, class) by implementation name."""
    pid = os.getpid()
    link = Link(fd)
    context.link = link
    link.send({"hello": {"pid": pid}})
    frame = link.receive()
    if frame is None:
        return
    try:
        data = _answer(link, frame, classes)
    except:  # noqa: E722 - whatever it is: SystemExit, an old-style exception of Python 2
        data = faults.error_line(link.redact)
    if os.getpid() != pid:
        # The plug-in forked, and this is the copy that came back here: the answer is not its to give.
        os._exit(0)
    link.send_bytes(data)


class _Rehearsal(IStorageArrayPlugin):
    __module__ = "rehearsal"  # as a plug-in's: what is the SDK's own counts as inherited

    @staticmethod
    def validate(ss_record):
        return ss_record


def rehearse():
    """A call of nothing, without a connection: the memory that a call writes to is this process's own afterwards."""
    record = {"a": [1, u"\xe9", 1.5, None], "passwd": "secret"}
    frame = {"call": {"impl": "", "method": "validate", "args": [["ss_record", record]], "limits": {"as": None}}}
    link = Link(-1)
    context.link = link
    _answer(link, _wire.parse(_wire.line(frame)), {"": ("isa", _Rehearsal)})
    context.link = context.plugin = None


def _answer(link, frame, classes):
    call = frame.get("call")
    if not isinstance(call, dict):
        raise ValueError("the first frame of a connection is a call")
    arguments = [(str(name), _wire.decode(value)) for name, value in call["args"]]
    link.keep_secret([value for _, value in arguments])
    kind, cls = _find(classes, call["impl"])
    context.plugin = cls
    function, positional, keywords = _bind(kind, cls, str(call["method"]), arguments)
    _prepare(call)
    return _result_lines(function(*positional, **keywords))


def _find(classes, name):
    if name not in classes:
        raise LookupError("this worker has no plug-in class %s" % name)
    return classes[name]


def _bind(kind, cls, method, arguments):
    if method not in API[kind]:
        raise NoSuchOperationEx("the API has no method %s" % method)
    _, function, signature, _ = declared(cls, method)
    if function is None:
        raise TypeError("%s.%s cannot be called" % (cls.__name__, method))
    values = dict(arguments)
    try:
        positional, keywords = match(signature, [name for name, _ in arguments])
    except ValueError as error:
        raise TypeError("%s.%s %s" % (cls.__name__, method, error))
    return function, [values[name] for name in positional], dict((own, values[name]) for own, name in keywords)


def _prepare(call):
    tmpdir = call.get("tmpdir")
    if tmpdir:
        tmpdir = _wire.decode(tmpdir)
        context.tmpdir = tempfile.tempdir = os.environ["TMPDIR"] = tmpdir
    if sys.version_info < (3, 7):
        # Every call would otherwise draw the same numbers. Without an argument Python 2 takes 20,000 bits, and 0.2 ms.
        random.seed(os.urandom(16))
    process.limit(call.get("limits") or {}, _cpu_used_up)


def _cpu_used_up(seconds):
    raise OperationFailedEx("the call used up its %s s of processor time" % seconds)


def _result_lines(value):
    if isinstance(value, types.GeneratorType):
        value = list(value)
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, dict) for item in value):
        lines = []
        for place, item in enumerate(value):
            lines.append(_wire.line({"item": _wire.encode(item, "the result[%d]" % place)}))
        lines.append(_wire.line({"result_list": len(value)}))
        return b"".join(lines)
    return _wire.line({"result": _wire.encode(value)})
