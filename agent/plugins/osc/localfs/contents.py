"""The methods of the API on the files of a mounted local file system, their snapshots and their clones."""

import contextlib
import os

from OSCPlugin import (
    IFileSystemPlugin, InvalidValueEx, ListFailedEx, MissingKeyEx, NoSuchOperationEx, OperationFailedEx,
    OperationPreReqNotMetEx)

from . import devices, files, kernel, paths, snapshots
from .family import title
from .records import checked_size, failing

WITH_BLOCKS = (IFileSystemPlugin.FileType, IFileSystemPlugin.SnapType, IFileSystemPlugin.SnapCloneType)
UNCOUNTED = 1 << 48  # inodes of a file system that makes them as needed


def methods_of(family):
    """A class with these methods for the file systems of the family: as they are all static, they have it from here."""
    def within(ss, fs, what, for_writing=False, failed=OperationFailedEx):
        return mounted(family, ss, fs, failed, what, for_writing)

    class Contents(IFileSystemPlugin):
        @staticmethod
        def list(ss_record, fs_record, file_record):
            with within(ss_record, fs_record, "listing files", failed=ListFailedEx) as (root, path_of, fs_uuid):
                given = file_record or {}
                return files.listing(root, path_of(given), given.get("name_pattern"), fs_uuid)

        @staticmethod
        def getFileInfo(ss_record, fs_record, file_record, file_comp_record=None):
            with within(ss_record, fs_record, "looking at a file") as (root, path_of, fs_uuid):
                path = path_of(file_record)
                record = files.record(root, path, fs_uuid, file_record)
                if record["fr_type"] in WITH_BLOCKS:
                    with paths.opened(root, path) as fd:
                        if file_comp_record:
                            with paths.opened(root, path_of(file_comp_record)) as other:
                                record["shared_sz"] = kernel.shared_bytes(fd, other)
                        else:
                            record["shared_sz"] = kernel.shared_bytes(fd)
                return record

        @staticmethod
        def create(ss_record, fs_record, file_path, file_type, size):
            with within(ss_record, fs_record, "creating %s" % file_path, True) as (root, path_of, fs_uuid):
                path = path_of({"file_path": file_path})
                kind = file_type or IFileSystemPlugin.FileType
                files.create(root, path, kind, checked_size(size, "size", True) if kind == IFileSystemPlugin.FileType else 0)
                return files.record(root, path, fs_uuid)

        @staticmethod
        def destroy(ss_record, fs_record, file_record):
            with within(ss_record, fs_record, "removing a file", True) as (root, path_of, _):
                files.destroy(root, path_of(file_record))

        @staticmethod
        def resize(ss_record, fs_record, file_record, new_size):
            with within(ss_record, fs_record, "resizing a file", True) as (root, path_of, fs_uuid):
                path = path_of(file_record)
                files.resize(root, path, checked_size(new_size, "new_size", True))
                return files.record(root, path, fs_uuid, file_record)

        # Snapshots and clones of files

        @staticmethod
        def createSnap(ss_record, fs_record, file_record, snap_name):
            with within(ss_record, fs_record, "taking a snapshot", True) as (root, path_of, fs_uuid):
                path, name = paths.own(path_of(file_record)), paths.checked_name(snap_name)
                _shares_blocks(root)
                with paths.opened(root, path):
                    snap = "%s/%s" % (paths.snap_folder(path), name)
                snapshots.duplicate(root, path, snap, 0o444, make=True)
                return files.record(root, snap, fs_uuid)

        @staticmethod
        def getCurrentSnaps(ss_record, fs_record, file_record):
            with within(ss_record, fs_record, "listing snapshots") as (root, path_of, fs_uuid):
                path = path_of(file_record)
                return [files.record(root, "%s/%s" % (paths.snap_folder(path), name), fs_uuid)
                        for name in paths.snapshots(root, path)]

        @staticmethod
        def snapRestore(ss_record, fs_record, file_record, snap_record):
            with within(ss_record, fs_record, "restoring a file", True) as (root, path_of, fs_uuid):
                path = path_of(file_record)
                snapshots.restore(root, path, path_of(snap_record))
                return files.record(root, path, fs_uuid, file_record)

        @staticmethod
        def snapRemove(ss_record, fs_record, snap_record):
            with within(ss_record, fs_record, "removing a snapshot", True) as (root, path_of, _):
                snapshots.remove(root, path_of(snap_record))

        @staticmethod
        def clone(ss_record, fs_record, file_record, clone_name):
            with within(ss_record, fs_record, "cloning a file", True) as (root, path_of, fs_uuid):
                path = paths.own(path_of(file_record))
                _shares_blocks(root)
                target = _beside(path, path_of({"file_path": clone_name}), clone_name)
                snapshots.duplicate(root, path, target, None, "Clone")
                return files.record(root, target, fs_uuid)

        @staticmethod
        def cloneFromSnap(ss_record, fs_record, snap_record, clone_name):
            with within(ss_record, fs_record, "cloning a snapshot", True) as (root, path_of, fs_uuid):
                path = path_of(snap_record)
                parent = paths.snapshot_of(path)
                if parent is None:
                    raise InvalidValueEx("%s is not the path of a snapshot: use clone" % path)
                target = _beside(parent, path_of({"file_path": clone_name}), clone_name)
                snapshots.duplicate(root, path, target, 0o600, IFileSystemPlugin.SnapCloneType)
                return files.record(root, target, fs_uuid)

        @staticmethod
        def splitClone(ss_record, fs_record, file_record):
            raise NoSuchOperationEx("clones of files share blocks for as long as they live; there is nothing to be split from")

        @staticmethod
        def isSnapable(ss_record, fs_record, file_record):
            try:
                with within(ss_record, fs_record, "looking at a file", True) as (root, path_of, _):
                    _shares_blocks(root)
                    with paths.opened(root, paths.own(path_of(file_record))):
                        return True
            except (InvalidValueEx, NoSuchOperationEx, OperationPreReqNotMetEx):
                return False

        @staticmethod
        def isCloneable(ss_record, fs_record, file_record):
            try:
                with within(ss_record, fs_record, "looking at a file", True) as (root, path_of, _):
                    _shares_blocks(root)
                    with paths.opened(root, path_of(file_record)):
                        return True
            except (InvalidValueEx, NoSuchOperationEx, OperationPreReqNotMetEx):
                return False

        @staticmethod
        def isRestorable(ss_record, fs_record, file_record, snap_record):
            try:
                with within(ss_record, fs_record, "looking at a file", True) as (root, path_of, _):
                    path, snap = paths.own(path_of(file_record)), path_of(snap_record)
                    with paths.opened(root, snap):
                        with paths.opened(root, path) as fd:
                            return paths.snapshot_of(snap) == path and not kernel.in_use(fd)
            except (InvalidValueEx, OperationPreReqNotMetEx):
                return False

        @staticmethod
        def getFileSystemSnapLimits(ss_record, fs_record):
            return _limits(family, ss_record, fs_record, IFileSystemPlugin.SnapType)

        @staticmethod
        def getFileSystemCloneLimits(ss_record, fs_record):
            return _limits(family, ss_record, fs_record, IFileSystemPlugin.SnapCloneType)
    return Contents


@contextlib.contextmanager
def mounted(family, ss, fs, failed, what, for_writing=False):
    """(root directory, function from a file_record to its path below the root, the file system's uuid)."""
    with failing(failed, what):
        device, facts = family.find(ss, fs)
        mounts = [mount for mount in devices.mounts_of(device) if mount["root"] == "/"]
        usable = [mount for mount in mounts if not for_writing or "ro" not in mount["options"]]
        if not usable:
            raise OperationPreReqNotMetEx("%s is %s: mount it%s first" % (
                title(facts), "mounted read-only" if mounts else "not mounted", " for writing" if mounts else ""))

        def path_of(record):
            if not isinstance(record, dict) or record.get("file_path") is None:
                if isinstance(record, dict) and "name_pattern" in record or record == {}:
                    return ""
                raise MissingKeyEx("no file was given", "file_path")
            return paths.relative(record["file_path"], [mount["place"] for mount in mounts])
        yield usable[0]["place"], path_of, facts["UUID"]


def _beside(source, target, name):
    """Where a clone goes: beside its source for a bare name, else at the path given."""
    if not target:
        raise InvalidValueEx("a clone needs a name")
    if "/" in paths.native(name):
        return paths.own(target)
    above = source.rpartition("/")[0]
    return paths.own(above + "/" + target if above else target)


def _shares_blocks(root):
    """Raises NoSuchOperationEx where the file system has no reflinks."""
    if not kernel.can_share(root):
        raise NoSuchOperationEx("the file system on %s cannot share blocks between files (no reflink): it has no snapshots and "
                                "clones" % root)


def _limits(family, ss, fs, kind):
    with mounted(family, ss, fs, OperationFailedEx, "counting snapshots and clones") as (root, _, __):
        current = snapshots.count(root, kind)
        try:
            _shares_blocks(root)
        except NoSuchOperationEx:
            return {"max": 0, "current": current}
        real = os.statvfs(root)
        return {"max": current + (real.f_favail if real.f_files else UNCOUNTED), "current": current}
