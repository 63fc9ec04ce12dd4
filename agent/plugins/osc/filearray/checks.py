"""What a request may say of an element: its name and its size. osc.lio holds its requests against the same."""

from OSCPlugin import InvalidValueEx, MissingKeyEx, ValueFormatEx

from .layout import native

NAME_BYTES = 64


def checked_name(name, what="a storage element"):
    """The name as it will be kept. Raises InvalidValueEx saying what is wrong with it."""
    try:
        name = native(name or "")
        text = name.decode("utf-8") if isinstance(name, bytes) else name
        length = len(text.encode("utf-8"))
    except UnicodeError:
        raise InvalidValueEx("the name of %s is not valid UTF-8" % what)
    if not text:
        raise InvalidValueEx("the name of %s is empty: give one of 1 to %d bytes" % (what, NAME_BYTES))
    if length > NAME_BYTES:
        raise InvalidValueEx("the name of %s is %d bytes long: at most %d are allowed" % (what, length, NAME_BYTES))
    if text[0] == "." or text != text.strip() or any(c == "/" or ord(c) < 32 or ord(c) == 127 for c in text):
        raise InvalidValueEx("%r cannot name %s: no '/', no control characters, no leading '.', no spaces around it"
                             % (name, what))
    return name


def checked_size(value, key="size", block=1):
    """A positive size in bytes, rounded up to whole blocks. Raises MissingKeyEx, ValueFormatEx, InvalidValueEx."""
    if value is None or value == "":
        raise MissingKeyEx("a size in bytes is needed", key)
    try:
        size = int(value)
    except (TypeError, ValueError):
        raise ValueFormatEx("%r is not a size in bytes" % (value,), key)
    if isinstance(value, float) and value != size:
        raise ValueFormatEx("%r is not a whole number of bytes" % (value,), key)
    if size <= 0 or size > 1 << 62:
        raise InvalidValueEx("%d bytes: a size has to be positive and below 4 EiB" % size)
    return -(-size // block) * block
