"""A storage array that is a directory: an element is a sparse file in it, a snapshot a copy named `<element>@<snapshot>`.

Small, but complete and stateless: every call finds all it needs in its arguments and in the directory.
"""
import json
import os
import re
import subprocess
import uuid

from OSCPlugin import (
    ABILITY_TYPES, CreateSnapFailedEx, InvalidStorageArrayEx, InvalidValueEx, IPlugin, IStorageArrayPlugin, ListFailedEx,
    MissingKeyEx, OperationFailedEx, SE_STATES, StorageElementBusyEx, ValueFormatEx)

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(@[A-Za-z0-9][A-Za-z0-9._-]{0,63})?\Z")
NAMESPACE = uuid.UUID("6a1de4a3-40fb-4b5b-8a4f-3c9a51d2f0b7")


class Shelf(IStorageArrayPlugin):
    plugin_name = "Shelf"
    plugin_desc = "A directory of this host as a storage array"
    vendor_name = "acme"
    plugin_version = "1.0.0"  # the version of the package, always
    plugin_type = "isa"
    generic_plugin = False
    required_api_vers = ["1", "2", "7"]
    storage_types = [IStorageArrayPlugin.SANStorage]
    sa_api_version = ["1", "2", "7"]
    ss_extra_info_help = "path=/absolute/directory"
    se_extra_info_help = ""
    abilities = {
        "snapshot": ABILITY_TYPES.ONLINE, "snap_is_sync": ABILITY_TYPES.YES, "custom_snap_name": ABILITY_TYPES.YES,
        "resize": ABILITY_TYPES.ONLINE, "resize_is_sync": ABILITY_TYPES.YES,
        "clone": ABILITY_TYPES.UNSUPPORTED, "snapclone": ABILITY_TYPES.UNSUPPORTED,
        "splitclone": ABILITY_TYPES.UNSUPPORTED,
        "require_storage_name": ABILITY_TYPES.NO, "access_control": ABILITY_TYPES.NO,
    }

    @staticmethod
    def validate(ss_record):
        path = _path(ss_record)
        if not os.path.isdir(path):
            raise InvalidStorageArrayEx("%s is not a directory: make it first" % path)
        return Shelf.getInfo(ss_record)

    @staticmethod
    def getInfo(ss_record, se_record=None):
        path = _path(ss_record)
        if se_record is not None:
            return _record(ss_record, se_record, _file_of(ss_record, se_record))
        room = os.statvfs(path)
        record = dict(ss_record)
        record.update(
            status="OK", storage_desc="Shelf in %s" % path, storage_id=[path],
            total_sz=room.f_blocks * room.f_frsize, free_sz=room.f_bavail * room.f_frsize,
            used_sz=(room.f_blocks - room.f_bfree) * room.f_frsize)
        return record

    @staticmethod
    def refresh(ss_record):
        # Whoever asks for this wants to see what is there now.
        IPlugin.cache.clear(ss_record["uuid"])
        return ss_record

    @staticmethod
    def list(ss_record):
        return [_record(ss_record, {}, name, size) for name, size in _scan(ss_record)]

    @staticmethod
    def create(ss_record, se_record):
        name, size = _new_name(se_record.get("name"), "name"), _size(se_record.get("size"), "size")
        file = os.path.join(_path(ss_record), name)
        try:
            fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise OperationFailedEx("creating %s: %s" % (name, error.strerror))
        try:
            os.ftruncate(fd, size)
        except OSError as error:
            os.unlink(file)
            raise OperationFailedEx("creating %s with %d bytes: %s" % (name, size, error.strerror))
        finally:
            os.close(fd)
        IPlugin.logger.info("created %s, %d bytes", file, size)
        return _changed(ss_record, se_record, name)

    @staticmethod
    def resize(ss_record, se_record, new_size):
        name, size = _file_of(ss_record, se_record), _size(new_size, "new_size")
        file = os.path.join(_path(ss_record), name)
        if size < os.path.getsize(file):
            raise InvalidValueEx("%s has %d bytes: an element of a Shelf can only grow" % (name, os.path.getsize(file)))
        with open(file, "r+b") as element:
            element.truncate(size)
        return _changed(ss_record, se_record, name)

    @staticmethod
    def remove(ss_record, se_record):
        name = _file_of(ss_record, se_record)
        # What destroys something does not decide by what is cached.
        snaps = _snaps(ss_record, name, afresh=True)
        if snaps:
            raise StorageElementBusyEx("%s has snapshots: remove %s first" % (name, ", ".join(snaps)))
        _unlink(ss_record, name)

    @staticmethod
    def isSnapable(ss_record, se_record):
        return "@" not in _file_of(ss_record, se_record)

    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        # With a split package `cp` comes from the osc-requirer package, and this host may not have that one.
        IPlugin.checkRequired("cp")
        name = _file_of(ss_record, se_record)
        if "@" in name:
            raise CreateSnapFailedEx("%s is a snapshot itself" % name)
        snap = "%s@%s" % (name, _new_name(snap_name, "snap_name"))
        path = _path(ss_record)
        if os.path.exists(os.path.join(path, snap)):
            raise CreateSnapFailedEx("%s has a snapshot %s already" % (name, snap_name))
        # Whatever interrupts the copying, a snapshot is there as a whole or not at all.
        copy = subprocess.Popen(
            ["cp", "--reflink=auto", "--sparse=always", "--", name, ".copying-" + snap], cwd=path,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = copy.communicate()[0].decode("utf-8", "replace").strip()
        if copy.returncode != 0:
            raise CreateSnapFailedEx("copying %s: %s" % (name, said))
        os.rename(os.path.join(path, ".copying-" + snap), os.path.join(path, snap))
        return _changed(ss_record, {}, snap)

    @staticmethod
    def getCurrentSnaps(ss_record, se_record):
        return [_record(ss_record, {}, snap) for snap in _snaps(ss_record, _file_of(ss_record, se_record))]

    @staticmethod
    def snapRestore(ss_record, se_record, snap_record):
        path, name, snap = _path(ss_record), _file_of(ss_record, se_record), _file_of(ss_record, snap_record)
        if snap.partition("@")[0] != name:
            raise InvalidValueEx("%s is not a snapshot of %s" % (snap, name))
        IPlugin.copy(os.path.join(path, snap), os.path.join(path, ".copying-" + name))
        os.rename(os.path.join(path, ".copying-" + name), os.path.join(path, name))
        return _changed(ss_record, se_record, name)

    @staticmethod
    def snapRemove(ss_record, snap_record):
        _unlink(ss_record, _file_of(ss_record, snap_record))


def _path(ss_record):
    path = IPlugin.__get_key_value_pairs__(ss_record.get("extra_info")).get("path")
    if not path:
        raise MissingKeyEx("which directory is it? Give extra_info path=/absolute/directory", "extra_info")
    if not path.startswith("/"):
        raise ValueFormatEx("path has to be absolute, and %s is not" % path, "extra_info")
    return path


def _scan(ss_record, afresh=False):
    """Names and sizes of everything there is, read in one go and kept for the calls that follow."""
    known = None if afresh else IPlugin.cache.get(ss_record["uuid"], "scan")
    if known is not None:
        return [(str(name), size) for name, size in json.loads(known)]
    path = _path(ss_record)
    try:
        names = sorted(name for name in os.listdir(path) if ID.match(name))
        found = [(name, os.path.getsize(os.path.join(path, name))) for name in names]
    except OSError as error:
        raise ListFailedEx("listing %s: %s" % (path, error.strerror))
    IPlugin.cache.set(ss_record["uuid"], "scan", json.dumps(found), 30)
    return found


def _snaps(ss_record, name, afresh=False):
    return [snap for snap, _ in _scan(ss_record, afresh) if snap.startswith(name + "@")]


def _file_of(ss_record, se_record):
    """The file's name of an element that is there."""
    name = se_record.get("id")
    if not name:
        raise MissingKeyEx("the element has no id", "id")
    # It comes from outside: never let it name a file elsewhere.
    if not ID.match(name):
        raise ValueFormatEx("%r is not an id that this plug-in gives" % name, "id")
    if not os.path.isfile(os.path.join(_path(ss_record), name)):
        raise OperationFailedEx("%s is not in %s (any more)" % (name, _path(ss_record)))
    return name


def _record(ss_record, se_record, name, size=None):
    """The whole record of an element: what was given, with all that the array knows better."""
    file = os.path.join(_path(ss_record), name)
    own = uuid.uuid5(NAMESPACE, str(file))
    parent, at, snap = name.partition("@")
    record = dict(se_record)
    record.update(
        se_type=IStorageArrayPlugin.SnapType if at else IStorageArrayPlugin.LUNType,
        ss_uuid=ss_record["uuid"], name=se_record.get("name") or snap or parent, id=name, uuid=str(own),
        page83_id="3" + own.hex, size=os.path.getsize(file) if size is None else size, status="OK",
        state=SE_STATES.ONLINE, access_grp_names=se_record.get("access_grp_names") or [])
    return record


def _changed(ss_record, se_record, name):
    """The record of what was just changed; what is cached says something else now."""
    IPlugin.cache.set(ss_record["uuid"], "scan", None)
    return _record(ss_record, se_record, name)


def _unlink(ss_record, name):
    try:
        os.unlink(os.path.join(_path(ss_record), name))
    except OSError as error:
        raise OperationFailedEx("removing %s: %s" % (name, error.strerror))
    IPlugin.cache.set(ss_record["uuid"], "scan", None)


def _new_name(name, key):
    if not NAME.match(name or ""):
        raise ValueFormatEx("a name has up to 64 letters, digits, '.', '_' and '-', unlike %r" % (name,), key)
    return name


def _size(size, key):
    if not isinstance(size, int) and not str(size).isdigit() or int(size) <= 0:
        raise ValueFormatEx("%r is not a size in bytes" % (size,), key)
    return int(size)
