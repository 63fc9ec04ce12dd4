"""`IPlugin.cache`: raw data of a storage server, kept by the agent across calls (specification, "Caching").

All calls on this host share it. A value is a byte string or text and comes back as the type it was stored as; under
Python 2, where both are strings, `unicode` comes back as its UTF-8 `str`. Outside the agent a cache in this process
stands in.
"""
import time
import uuid

from . import _wire
from ._errors import ValueFormatEx
from ._link import link

DEFAULT_SECONDS = 30


class Cache(object):
    """The four calls of the specification; the parameters carry its names."""

    def __init__(self):
        self._local = {}

    def set(self, ss_uuid, cache_key, cache_value, expire_time=DEFAULT_SECONDS):
        """Keeps `cache_value` for `expire_time` seconds; None as the value removes the key.

        Raises ValueFormatEx for a key or value that is not a string (pickle.dumps(x, 0) makes one of any object).
        """
        place = _place(ss_uuid, cache_key)
        seconds = _seconds(DEFAULT_SECONDS if expire_time is None else expire_time, "expire_time")
        if cache_value is not None and not isinstance(cache_value, (str, bytes, _wire.TEXT)):
            raise ValueFormatEx(
                "the cache holds strings only, and the value for %r is a %s: pickle it with protocol 0"
                % (cache_key, type(cache_value).__name__), "cache_value")
        agent = link()
        if agent is not None:
            _ask(agent, "set", place, value=_wire.encode(cache_value), seconds=seconds)
        elif cache_value is None:
            self._local.pop(place, None)
        else:
            if _wire.PY2 and isinstance(cache_value, _wire.TEXT):
                cache_value = cache_value.encode("utf-8")
            self._local[place] = (cache_value, time.time() + seconds)

    def get(self, ss_uuid, cache_key):
        """The value stored last, or None where there is none or it has expired."""
        place = _place(ss_uuid, cache_key)
        agent = link()
        if agent is not None:
            return _ask(agent, "get", place)
        value, expires = self._local.get(place, (None, 0))
        return value if time.time() < expires else None

    def extend(self, ss_uuid, cache_key, extend_time):
        """Adds `extend_time` seconds to the life of a value that has not expired yet."""
        place = _place(ss_uuid, cache_key)
        seconds = _seconds(extend_time, "extend_time")
        agent = link()
        if agent is not None:
            _ask(agent, "extend", place, seconds=seconds)
        elif self.get(*place) is not None:
            value, expires = self._local[place]
            self._local[place] = (value, expires + seconds)

    def clear(self, ss_uuid):
        """Forgets everything kept for the storage server."""
        server = _server(ss_uuid)
        agent = link()
        if agent is not None:
            _ask(agent, "clear", (server, None))
        else:
            for place in [place for place in self._local if place[0] == server]:
                del self._local[place]


def _ask(agent, op, place, **more):
    request = {"op": op, "ss_uuid": _wire.encode(place[0])}
    if place[1] is not None:
        request["key"] = _wire.encode(place[1])
    request.update(more)
    return agent.request({"cache": request})


def _place(ss_uuid, cache_key):
    if not isinstance(cache_key, (str, _wire.TEXT)):
        raise ValueFormatEx("a cache key is a string, not a %s" % type(cache_key).__name__, "cache_key")
    return _server(ss_uuid), cache_key


def _server(ss_uuid):
    """The dashed lower-case form of any spelling of the uuid."""
    try:
        return str(uuid.UUID(str(ss_uuid)))
    except ValueError:
        raise ValueFormatEx("%r is not the uuid of a storage server" % (ss_uuid,), "ss_uuid")


def _seconds(value, key):
    try:
        return max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        raise ValueFormatEx("%r is not a number of seconds" % (value,), key)
