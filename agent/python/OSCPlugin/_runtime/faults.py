"""Turns whatever a plug-in raised into a frame. Nothing here may fail: the exception came from anywhere."""
import sys
import traceback

from .. import _wire
from .._errors import EXCEPTIONS

_SDK_CLASSES = frozenset(EXCEPTIONS.values())
_LAST_RESORT = b'{"error":{"class":"MemoryError","known":false,"message":"%s","key":null,"traceback":""}}\n'


def message_of(error):
    """The text of an exception, even of one whose str() raises or is not text."""
    if isinstance(error, SystemExit):
        return u"the plug-in called sys.exit(%s)" % _wire.to_text(repr(error.code))
    for form in (str, _wire.TEXT, repr):
        try:
            return _wire.to_text(form(error))
        except Exception:
            continue
    return u"an exception of class %s that has no readable message" % class_name(type(error))


def class_name(kind):
    """A class's own name."""
    return _wire.to_text(getattr(kind, "__name__", None) or str(kind))


def traceback_of(kind, error, trace):
    """The traceback as text, from the plug-in's first frame on."""
    try:
        while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("OSCPlugin._runtime"):
            trace = trace.tb_next
        return _wire.to_text("".join(_wire_lines(traceback.format_exception(kind, error, trace))), 16384)
    except Exception:
        return u""


def _wire_lines(lines):
    # Python 2 mixes bytes and text here, and joining those decodes as ASCII.
    if _wire.PY2:
        return [_wire.to_text(line).encode("utf-8") for line in lines]
    return lines


def nearest_sdk_class(kind):
    """The name of the SDK's exception class that `kind` is or derives from, or None."""
    for base in getattr(kind, "__mro__", ()):
        if base in _SDK_CLASSES:
            return base.__name__
    return None


def describe(info=None):
    """{"class", "message", "traceback"} of the exception being handled; Python 2's old-style ones too."""
    kind, error, trace = info or sys.exc_info()
    return {
        "class": class_name(kind),
        "message": message_of(error),
        "traceback": traceback_of(kind, error, trace),
    }


def error_line(redact=lambda text: text):
    """The error frame, as bytes, for the exception being handled."""
    try:
        kind, error, _ = info = sys.exc_info()
        body = describe(info)
        sdk_class = nearest_sdk_class(kind)
        body["known"] = sdk_class is not None
        if sdk_class is not None:
            body["class"], body["raised"] = sdk_class, body["class"]
        key = getattr(error, "key", None) if sdk_class else None
        body["key"] = None if key is None else _wire.to_text(key)
        for name in ("message", "traceback"):
            body[name] = redact(body[name])
        return _wire.line({"error": body})
    except MemoryError:
        return _LAST_RESORT.replace(b"%s", b"out of memory")
    except BaseException:
        return _LAST_RESORT.replace(b"MemoryError", b"Exception").replace(b"%s", b"an error that cannot be described")
