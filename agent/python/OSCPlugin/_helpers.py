"""What `IPlugin` does for plug-ins: temporary files, block copies, required commands, key-value strings."""
import errno
import os
import stat
import tempfile

from . import _wire
from ._errors import OperationFailedEx, OperationPreReqNotMetEx, ValueFormatEx
from ._link import context

_BLOCK = 1024 * 1024
_SEEK_DATA, _SEEK_HOLE = 3, 4  # linux/fs.h; Python 2 has no names for them


def temporary_file(mode, bufsize, suffix, prefix, directory):
    """An open file without a name, gone when closed."""
    return tempfile.TemporaryFile(mode, bufsize, suffix=suffix, prefix=prefix, dir=directory or context.tmpdir)


def named_temporary_file(mode, bufsize, suffix, prefix, directory, delete):
    """An open file with a name, in the call's private directory unless told otherwise."""
    return tempfile.NamedTemporaryFile(
        mode, bufsize, suffix=suffix, prefix=prefix, dir=directory or context.tmpdir, delete=delete)


def check_required(commands):
    """Raises OperationPreReqNotMetEx naming every command that cannot be run from here."""
    wanted = []
    for command in commands:
        wanted.extend(command if isinstance(command, (list, tuple)) else [command])
    missing = [command for command in wanted if not _runnable(command)]
    if missing:
        raise OperationPreReqNotMetEx("not installed on this host: %s" % ", ".join(missing))


def _runnable(command):
    if os.sep in command:
        places = [command]
    else:
        places = [os.path.join(folder, command) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    return any(os.path.isfile(place) and os.access(place, os.X_OK) for place in places)


def copy(src, dst):
    """Copies a file or block device block by block and returns once the data is on stable storage.

    Holes stay holes where `dst` is a file; on a device they are written as zeros, because what is there already is not
    zero. A file that this call made is removed again when it fails. Raises OperationFailedEx.
    """
    made = not os.path.exists(dst)
    try:
        if not made and os.path.samefile(src, dst):
            raise OperationFailedEx("copying %s to itself" % src)
        _copy(src, dst)
        if made:
            _sync_folder(os.path.dirname(os.path.abspath(dst)))
    except EnvironmentError as error:
        if made:
            try:
                os.remove(dst)
            except OSError:
                pass  # it was never made, or is gone: the first error is the one to tell
        raise OperationFailedEx("copying %s to %s: %s" % (src, dst, error.strerror or error))


def _copy(src, dst):
    source = os.open(src, os.O_RDONLY)
    try:
        target = os.open(dst, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            sparse = stat.S_ISREG(os.fstat(target).st_mode)
            size = os.lseek(source, 0, os.SEEK_END)
            if sparse:
                os.ftruncate(target, 0)
                os.ftruncate(target, size)
            for start, end in _extents(source, size) if sparse else [(0, size)]:
                _copy_range(source, target, start, end, sparse)
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _extents(fd, size):
    """The ranges of a file that hold data; all of it where the file system cannot tell."""
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, _SEEK_DATA)
            end = os.lseek(fd, start, _SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # a hole up to the end of the file
            start, end = end, size
        yield start, min(end, size)


def _copy_range(source, target, start, end, sparse):
    os.lseek(source, start, os.SEEK_SET)
    while start < end:
        data = os.read(source, min(_BLOCK, end - start))
        if not data:
            raise IOError(errno.EIO, "it became shorter while it was copied")
        if not sparse or data.count(b"\0") != len(data):
            os.lseek(target, start, os.SEEK_SET)
            view = memoryview(data)
            while len(view):
                view = view[os.write(target, view):]
        start += len(data)


def _sync_folder(folder):
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def get_key_value_pairs(text):
    """`"a=b,c=d"` as a dict. None and "" are empty; spaces around words do not count; a value may contain "=".

    Raises ValueFormatEx naming the position of a word without "=", not the word: extra_info may hold a secret.
    """
    pairs = {}
    for place, word in enumerate((text or "").split(",")):
        if not word.strip():
            continue
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise ValueFormatEx("word %d of the key=value list is not of that form" % (place + 1), "extra_info")
        pairs[key.strip()] = value.strip()
    return pairs


def set_key_value_pairs(pairs):
    """A dict as `"a=b,c=d"`, sorted by key. Raises ValueFormatEx for what would not come back the same."""
    words = []
    for key in sorted(pairs):
        value = pairs[key]
        value = "" if value is None else value
        key, value = [word if isinstance(word, (str, _wire.TEXT)) else str(word) for word in (key, value)]
        if "," in key + value or "=" in key or not key.strip():
            raise ValueFormatEx("a comma, or a key with '=' or without letters, cannot be put in a key=value list", key)
        words.append(key + "=" + value)
    return ",".join(words)
