"""Elements, volume groups and access groups: from rows of array.db to records of the API, and the checks all changes share."""

import contextlib
import errno
import fcntl
import json
import os
import sqlite3
import time
import uuid

from OSCPlugin import (
    IPlugin, IStorageArrayPlugin, InvalidValueEx, MissingKeyEx, OperationFailedEx, PermissionDeniedEx, SE_STATES,
    StorageElementBusyEx, ValueFormatEx)

from . import layout, loopdev

VENDOR, PRODUCT = "OSC", "FILEARRAY"
LOCK_SECONDS = 10
QOS = (
    {"priority": 0, "value": "gold", "description": "Label for the most important elements; I/O is not throttled"},
    {"priority": 1, "value": "silver", "description": "Label for ordinary elements, the default; I/O is not throttled"},
    {"priority": 2, "value": "bronze", "description": "Label for the least important elements; I/O is not throttled"},
)
DEFAULT_QOS = "silver"
LUN, SNAP = IStorageArrayPlugin.LUNType, IStorageArrayPlugin.SnapType
CLONE, SNAP_CLONE = IStorageArrayPlugin.CloneType, IStorageArrayPlugin.SnapCloneType


@contextlib.contextmanager
def failing(as_class, what):
    """Turns what the host's file system or SQLite say into `as_class`, led by `what` was being done."""
    try:
        yield
    except (sqlite3.Error, IOError, OSError) as wrong:
        number = getattr(wrong, "errno", None)
        if number in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise PermissionDeniedEx("%s: %s" % (what, wrong))
        if number == errno.ENOSPC or isinstance(wrong, sqlite3.Error) and "full" in str(wrong):
            raise as_class("%s: no space left on the file system that holds the array; nothing was changed. Remove "
                           "elements or make that file system larger" % what)
        if isinstance(wrong, sqlite3.DatabaseError) and not isinstance(wrong, sqlite3.OperationalError):
            raise as_class("%s: the array's metadata cannot be used (%s); restore array.db from a backup" % (what, wrong))
        raise as_class("%s: %s" % (what, wrong))


def array_path(ss):
    """The array's directory: `path` in the storage server's extra_info, else an admin_host that is an absolute path."""
    pairs = IPlugin.__get_key_value_pairs__(ss.get("extra_info") or "")
    path = pairs.get("path") or ss.get("admin_host") or ""
    path = layout.native(path)
    if not pairs.get("path") and not path.startswith("/"):
        raise MissingKeyEx("which directory is the array? Give extra_info path=/absolute/directory, or the directory "
                           "as admin_host", "extra_info")
    if not path.startswith("/") or "\0" in path:
        raise ValueFormatEx("the array's directory has to be an absolute path, not %r" % path, "extra_info")
    return os.path.normpath(path)


def array_of(ss):
    """The directory of an array that is there. Raises OperationFailedEx where it is not, or not an array any more."""
    path = array_path(ss)
    if not layout.is_array(path):
        raise OperationFailedEx("%s holds no array (any more): is its file system mounted?" % path)
    return path


class View(object):
    """What records need besides their rows, looked up once: loop devices, and which data files are there."""

    def __init__(self, path, ss, everything=False):
        self.path = path
        self.ss_uuid = ss.get("uuid") or ""
        self.loops = loopdev.attached()
        self._listed = {} if everything else None

    def file_of(self, row):
        return os.path.join(self.path, row["data"])

    def devices(self, row):
        return loopdev.devices_of(self.file_of(row), self.loops)

    def present(self, row):
        if self._listed is None:
            return os.path.exists(self.file_of(row))
        group, _, name = row["data"].partition("/")
        if group not in self._listed:
            try:
                self._listed[group] = frozenset(os.listdir(os.path.join(self.path, group)))
            except OSError:
                self._listed[group] = frozenset()
        return name in self._listed[group]

    def record(self, row, given=None):
        """The se_record of a row; `given` is the caller's own, whose name and opaque fields stay its own."""
        given = given or {}
        record = dict(given)
        state, status = self._state(row)
        record.update(
            se_type=row["type"], ss_uuid=given.get("ss_uuid") or self.ss_uuid, name=given.get("name") or row["name"],
            uuid=row["uuid"], page83_id=page83(row["uuid"]), id=row["id"], vendor=VENDOR, product_id=PRODUCT,
            path=self.devices(row), array_path=self.file_of(row), size=row["size"], status=status,
            vol_group_name=row["vol_group"], access_grp_names=json_list(row["grps"]), qos=row["qos"], state=state,
            extra_info=given.get("extra_info") or row["extra_info"])
        for transient in ("async_handle", "async_progress"):
            record.pop(transient, None)
        return record

    def _state(self, row):
        if not self.present(row):
            return SE_STATES.ERROR, "The data file %s is missing" % row["data"]
        if row["phase"] == "splitting":
            return SE_STATES.BUSY_COPY, "Being split from its parent; splitClone again continues an interrupted split"
        if row["online"]:
            return SE_STATES.ONLINE, "Online"
        return SE_STATES.OFFLINE, "Offline"


def page83(element_uuid):
    """An NAA type 6 identifier out of the UUID, without a vendor's number: 3, then 32 hexadecimal digits."""
    return "36000000" + element_uuid.replace("-", "")[-25:]


def json_list(text):
    return [layout.native(word) for word in json.loads(text)]


def find(db, record, key="se_record"):
    """The row of the element that the record names by id, uuid or page83_id. Raises MissingKeyEx, InvalidValueEx."""
    if not isinstance(record, dict):
        raise MissingKeyEx("no storage element was given", key)
    element_id, element_uuid = record.get("id"), record.get("uuid")
    row = None
    if element_id:
        row = db.execute("SELECT * FROM element WHERE id=?", (layout.native(element_id),)).fetchone()
    elif element_uuid:
        try:
            element_uuid = str(uuid.UUID(layout.native(element_uuid)))
        except ValueError:
            raise ValueFormatEx("%r is not a UUID" % element_uuid, "uuid")
        row = db.execute("SELECT * FROM element WHERE uuid=?", (element_uuid,)).fetchone()
    elif record.get("page83_id"):
        tail = layout.native(record["page83_id"])[8:].lower()
        row = db.execute("SELECT * FROM element WHERE replace(uuid,'-','') LIKE ?", ("%" + tail,)).fetchone()
        row = row if row is not None and page83(row["uuid"]) == layout.native(record["page83_id"]).lower() else None
    else:
        raise MissingKeyEx("the storage element has neither id nor uuid nor page83_id", "id")
    if row is None or row["phase"] == "creating":
        raise InvalidValueEx("the array has no storage element %s: refresh the storage server"
                             % (element_id or element_uuid or record.get("page83_id")))
    return row


def children(db, row):
    return db.execute("SELECT * FROM element WHERE parent=? ORDER BY rowid", (row["id"],)).fetchall()


def free_name(db, name):
    """Raises InvalidValueEx where an element of that name exists, one that is being made included."""
    if db.execute("SELECT 1 FROM element WHERE name=?", (name,)).fetchone():
        raise InvalidValueEx("the array has a storage element named %s already: choose another name" % name)


def reserve(db, vol_group, more, failed):
    """Raises `failed` where the volume group has not `more` bytes left to promise. See docs/STOCK_PLUGINS.md, accounting."""
    group = db.execute("SELECT capacity FROM vol_group WHERE name=?", (vol_group,)).fetchone()
    if group is None:
        names = [row["name"] for row in db.execute("SELECT name FROM vol_group ORDER BY name")]
        raise InvalidValueEx("the array has no volume group %s, only %s" % (vol_group, ", ".join(names) or "none at all"))
    taken = db.execute("SELECT coalesce(sum(charge),0) FROM element WHERE vol_group=?", (vol_group,)).fetchone()[0]
    if more > 0 and taken + more > group["capacity"]:
        raise failed("volume group %s is full: %d bytes are needed and %d of %d are free; nothing was changed. Remove "
                     "elements, or enlarge the group with mkarray.py"
                     % (vol_group, more, max(0, group["capacity"] - taken), group["capacity"]))


@contextlib.contextmanager
def held(path, row, exclusive=True, missing_ok=False):
    """The element's data file, open and locked: shared by those who copy from it, exclusive to who changes the element.

    Raises StorageElementBusyEx where another operation keeps it for longer than ten seconds.
    """
    try:
        fd = os.open(os.path.join(path, row["data"]), os.O_RDWR)
    except (IOError, OSError) as wrong:
        if wrong.errno != errno.ENOENT:
            raise
        if not missing_ok:
            raise OperationFailedEx("the data file %s of %s is missing from the array" % (row["data"], row["name"]))
        yield None
        return
    try:
        deadline = time.time() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                break
            except (IOError, OSError):
                if time.time() >= deadline:
                    raise StorageElementBusyEx("another operation is using %s: try again when it has ended" % row["name"])
                time.sleep(0.02)
        yield fd
    finally:
        os.close(fd)


def same(db, row):
    """The row as it is now, provided it still has the data file that was locked. Raises StorageElementBusyEx."""
    now = db.execute("SELECT * FROM element WHERE id=?", (row["id"],)).fetchone()
    if now is None:
        raise InvalidValueEx("storage element %s was removed meanwhile" % row["name"])
    if now["data"] != row["data"]:
        raise StorageElementBusyEx("another operation has just changed %s: try again" % row["name"])
    return now
