"""How Python values travel between the agent and a plug-in: one JSON object per line.

JSON has neither byte strings nor lone surrogates, and a plug-in's answer may hold both: `{"$bytes": base64}` and
`{"$str": base64 of UTF-8 with surrogates}` stand for them, so that every value comes back byte for byte as it left.
"""
import base64
import json
import re
import sys

PY2 = sys.version_info[0] == 2
if PY2:
    TEXT, INTEGERS = unicode, (int, long)  # noqa: F821 - Python 2 only
else:
    TEXT, INTEGERS = str, (int,)

MAX_DEPTH = 100
"""Nesting beyond this is refused: the other side's parser stops at 128, and a cycle never ends."""

# In UTF-8 a byte ED is followed by 80-9F; with A0-BF it encodes a surrogate, which Python 2 lets pass both ways.
_SURROGATE_BYTES = re.compile(b"\xed[\xa0-\xbf]")
_SURROGATES = re.compile(u"[\ud800-\udfff]")
_RESERVED = ("$bytes", "$str")


class Unencodable(TypeError):
    """A value that cannot be passed to the agent; `path` says where in the whole it sits, outermost first."""

    def __init__(self, reason):
        TypeError.__init__(self, reason)
        self.reason = reason
        self.path = []


def encode(value, whole="the result"):
    """The JSON-able form of `value`. TypeError, naming the place within `whole`, for anything that has none."""
    try:
        return _encode(value, 0)
    except Unencodable as error:
        raise TypeError("%s%s %s" % (whole, "".join(error.path), error.reason))


def _encode(value, depth):
    if value is None or value is True or value is False:
        return value
    kind = type(value)
    if kind is str:
        return _encode_native(value)
    if isinstance(value, INTEGERS):
        number = int(value)
        if not -0x8000000000000000 <= number <= 0xFFFFFFFFFFFFFFFF:
            raise Unencodable("is an integer of more than 64 bits")
        return number
    if depth > MAX_DEPTH:
        error = Unencodable("is nested more than %d levels deep, or contains itself" % MAX_DEPTH)
        error.deep = True
        raise error
    if isinstance(value, dict):
        return _encode_dict(value, depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _encode_list(value, depth)
    if isinstance(value, str):
        return _encode_native(value)
    if isinstance(value, TEXT):
        return _encode_text(value)
    if isinstance(value, (bytes, bytearray)):
        return _wrapped("$bytes", bytes(value))
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise Unencodable("is %r, which JSON has no number for" % value)
        return float(value)
    raise Unencodable("is a %s, which cannot be passed to the agent" % kind.__name__)


def _encode_list(items, depth):
    out = []
    try:
        for item in items:
            out.append(_encode(item, depth + 1))
    except Unencodable as error:
        raise _at(error, "[%d]" % len(out))
    return out


def _encode_dict(pairs, depth):
    out = {}
    for key, item in pairs.items():
        name = _encode(key, depth) if isinstance(key, (str, TEXT)) else None
        if not isinstance(name, (str, TEXT)):
            raise Unencodable("has the key %.80r, which is not text" % (key,))
        try:
            out[name] = _encode(item, depth + 1)
        except Unencodable as error:
            raise _at(error, "[%.80r]" % (key,))
    if len(out) == 1 and list(out)[0] in _RESERVED:
        raise Unencodable("has the reserved key %s" % list(out)[0])
    return out


def _at(error, place):
    # A hundred levels of the same cycle tell nobody anything.
    if not hasattr(error, "deep") or len(error.path) < 3:
        error.path.insert(0, place)
    else:
        error.path[0] = place + "..."
    return error


def _encode_text(text):
    if PY2:
        data = text.encode("utf-8")
        return text if not _SURROGATE_BYTES.search(data) else _wrapped("$str", data)
    return text if not _SURROGATES.search(text) else _wrapped("$str", text.encode("utf-8", "surrogatepass"))


def _encode_native(value):
    if not PY2:
        return _encode_text(value)
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return _wrapped("$bytes", value)
    return text if not _SURROGATE_BYTES.search(value) else _wrapped("$bytes", value)


def _wrapped(key, data):
    return {key: base64.b64encode(data).decode("ascii")}


def decode(value):
    """What `encode` made, as the plug-in's Python has it: JSON strings are `str` (Python 2: UTF-8 bytes)."""
    if isinstance(value, TEXT):
        return value.encode("utf-8") if PY2 else value
    if isinstance(value, list):
        return [decode(item) for item in value]
    if isinstance(value, dict):
        if len(value) == 1:
            ((key, item),) = value.items()
            if key == "$bytes":
                return base64.b64decode(item)
            if key == "$str":
                data = base64.b64decode(item)
                return data if PY2 else data.decode("utf-8", "surrogatepass")
        return dict((decode(key), decode(item)) for key, item in value.items())
    return value


def line(frame):
    """One frame (already encoded) as the bytes of its line."""
    return json.dumps(frame, separators=(",", ":")).encode("ascii") + b"\n"


def parse(data):
    """The frame of one line, not yet decoded. ValueError if it is none."""
    frame = json.loads(data.decode("utf-8"))
    if not isinstance(frame, dict):
        raise ValueError("a frame is a JSON object")
    return frame


def to_text(value, limit=65536):
    """Any string, of any bytes, as text that JSON can carry; for messages, where readable beats exact."""
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace")
    elif isinstance(value, TEXT):
        text = value
    else:
        text = TEXT(value)
    text = text.encode("utf-8", "replace" if PY2 else "backslashreplace").decode("utf-8", "replace")
    if len(text) > limit:
        text = text[: limit // 2] + u"\n... shortened ...\n" + text[-(limit // 2):]
    return text
