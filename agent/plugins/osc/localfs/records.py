"""What local file systems are told in: their records, checked arguments, and errors in the words of the API."""

import contextlib
import errno
import os
import uuid

from OSCPlugin import (
    FS_STATES, FileSystemBusyEx, InvalidValueEx, MissingKeyEx, PermissionDeniedEx, ValueFormatEx)

from . import devices, kernel
from .family import name_in
from .paths import native


@contextlib.contextmanager
def failing(as_class, what):
    try:
        yield
    except (IOError, OSError) as wrong:
        if wrong.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise PermissionDeniedEx("%s: %s" % (what, wrong))
        if wrong.errno in (errno.ENOSPC, errno.EDQUOT):
            raise as_class("%s: no space left in the file system; nothing was changed" % what)
        raise as_class("%s: %s" % (what, wrong))


def record(family, ss, device, facts, given=None):
    """The fs_record of the file system on the device; what the plug-in does not know is kept as `given`."""
    given = given or {}
    mounts = devices.mounts_of(device)
    size, free = family.sizes(device, facts["TYPE"])
    if not mounts:
        state, status = FS_STATES.UNMOUNTED, "Not mounted"
    elif all("ro" in mount["options"] for mount in mounts):
        state, status = FS_STATES.MOUNTED_READONLY, "Mounted read-only"
    else:
        state, status = FS_STATES.MOUNTED, "Mounted"
    result = dict(given)
    result.update(
        ss_uuid=given.get("ss_uuid") or ss.get("uuid") or "",
        mount_options=given.get("mount_options") or [], export_opts=[], access_grp_names=[], array_path=device,
        uuid=facts["UUID"], size=size, free_sz=free, status=status, state=state)
    # Both are the administrator's: a name that the label does not hold whole is left for the agent to remember.
    name = given.get("name") or name_in(facts["LABEL"])
    if name:
        result["name"] = name
    for transient in ("async_handle", "async_progress"):
        result.pop(transient, None)
    return result


def checked_size(value, key, zero=False):
    """A size in bytes, however it was sent; nothing is 0 where `zero` may be."""
    if value is None or value == "":
        if zero:
            return 0
        raise MissingKeyEx("a size in bytes is needed", key)
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise ValueFormatEx("%r is not a size in bytes" % (value,), key)
    if number < 0 or (number == 0 and not zero) or number >= 1 << 63:
        raise InvalidValueEx("%d bytes: no such size is possible" % number)
    return number


def checked_uuid(value):
    """The UUID in dashed lower case, "" for none."""
    if not value:
        return ""
    try:
        return str(uuid.UUID(native(value)))
    except ValueError:
        raise ValueFormatEx("%r is not a UUID" % (value,), "uuid")


def checked_place(mount_point):
    """The mount point with links resolved. Raises InvalidValueEx for what cannot be one."""
    place = native(mount_point or "")
    if not place.startswith("/") or "\0" in place or ".." in place.split("/"):
        raise InvalidValueEx("the mount point has to be an absolute path without '..', not %r" % place)
    place = os.path.realpath(place)
    if place == "/" or (os.path.exists(place) and not os.path.isdir(place)):
        raise InvalidValueEx("nothing can be mounted on %s" % place)
    return place


def explain_busy(mount, refused):
    """Raises FileSystemBusyEx naming who is in the way of unmounting, or what `umount` said."""
    facts = os.stat(mount["place"])
    pids = kernel.users_below(facts.st_dev, mount["place"])
    below = [other["place"] for other in kernel.mounts() if other["place"].startswith(mount["place"].rstrip("/") + "/")]
    reasons = (["processes %s" % ", ".join(str(pid) for pid in pids)] if pids else []) + (
        ["mounts on %s" % ", ".join(below)] if below else [])
    if not reasons and "busy" not in str(refused):
        raise refused
    raise FileSystemBusyEx("%s cannot be unmounted, it is in use%s" % (
        mount["place"], " by " + " and by ".join(reasons) if reasons else ": " + str(refused)))
