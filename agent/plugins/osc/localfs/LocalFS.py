"""`osc.localfs.LocalFS.LocalFS`: XFS, btrfs and ext4 on block devices of this host, and the files in them.

The storage server is the host itself. Nothing is remembered: labels on the devices say what is ours, the kernel says what is
mounted. docs/STOCK_PLUGINS.md tells an administrator what everything means.
"""

import contextlib
import errno
import os
import uuid

from OSCPlugin import (
    ABILITY_TYPES, BACKING_DEVICE_TYPES, FS_STATES, FileSystemAlreadyMountedEx, FileSystemBusyEx, IFileSystemPlugin, IPlugin,
    InvalidFSTypeEx, InvalidValueEx, ListFailedEx, MissingKeyEx, NoSuchOperationEx, OperationFailedEx,
    OperationPreReqNotMetEx, PermissionDeniedEx, ValueFormatEx)

from . import devices, files, kernel

UNCOUNTED = 1 << 48  # inodes of a file system that makes them as needed


class LocalFS(IFileSystemPlugin):
    """File systems on this host's block devices."""

    plugin_name = "LocalFS"
    plugin_desc = "XFS, btrfs and ext4 on block devices of this host"
    vendor_name = "osc"
    plugin_version = "0.1.0"
    plugin_type = "ifs"
    generic_plugin = False
    required_api_vers = ["1", "2", "7"]
    filesys_type = IFileSystemPlugin.BlockBasedFileSystem
    filesys_name = "localfs"
    fs_api_version = ["1", "2", "7"]
    cluster_required = False
    ss_extra_info_help = ("devices=GLOB;GLOB limits which block devices may be touched (default: any that is named); "
                          "fstype=xfs|btrfs|ext4 fixes the kind of file system (default: the best that fits)")
    fs_extra_info_help = "fstype=xfs|btrfs|ext4 for this file system"
    file_extra_info_help = "the plug-in says parent=PATH of a snapshot"
    # What XFS and btrfs can do; getCapabilities says UNSUPPORTED where a storage server is bound to ext4.
    abilities = {
        "snapshot": ABILITY_TYPES.ONLINE, "clone": ABILITY_TYPES.ONLINE, "snapclone": ABILITY_TYPES.ONLINE,
        "splitclone": ABILITY_TYPES.UNSUPPORTED, "resize": ABILITY_TYPES.ONLINE,
        "snap_is_sync": ABILITY_TYPES.YES, "clone_is_sync": ABILITY_TYPES.YES, "snapclone_is_sync": ABILITY_TYPES.YES,
        "splitclone_is_sync": ABILITY_TYPES.UNSUPPORTED, "resize_is_sync": ABILITY_TYPES.YES,
        "custom_snap_name": ABILITY_TYPES.YES, "custom_clone_name": ABILITY_TYPES.YES,
        "require_storage_name": ABILITY_TYPES.NO, "access_control": ABILITY_TYPES.NO,
        "splitclone_while_open": ABILITY_TYPES.UNSUPPORTED, "backing_device_type": BACKING_DEVICE_TYPES.DEVICE_SINGLE,
    }

    # The storage server

    @staticmethod
    def validate(ss_record):
        wanted = ss_record.get("storage_type")
        if wanted and wanted not in (IFileSystemPlugin.BlockBasedFileSystem, "FileSys"):
            raise InvalidValueEx("storage_type is %s: this plug-in serves %s" % (wanted, LocalFS.filesys_type))
        kind = devices.settings(ss_record)["fstype"]
        if kind and kind not in devices.KINDS:
            raise InvalidFSTypeEx("fstype=%s: this plug-in knows %s" % (kind, ", ".join(devices.BEST_FIRST)))
        IPlugin.checkRequired("blkid", "wipefs", "mount", "umount")
        if kind:
            devices.require(kind, devices.KINDS[kind]["mkfs"][0])
        elif not any(devices.have(kind) for kind in devices.BEST_FIRST):
            raise OperationPreReqNotMetEx("this host can make none of %s: install xfsprogs, btrfs-progs or e2fsprogs"
                                          % ", ".join(devices.BEST_FIRST))
        return LocalFS.getStorageServerInfo(ss_record)

    @staticmethod
    def getCapabilities(ss_record):
        able = dict(LocalFS.abilities)
        kind = devices.settings(ss_record)["fstype"]
        kinds = [kind] if kind else [known for known in devices.BEST_FIRST if devices.have(known)]
        if not any(devices.KINDS[known]["reflink"] for known in kinds if known in devices.KINDS):
            for key in ("snapshot", "clone", "snapclone", "snap_is_sync", "clone_is_sync", "snapclone_is_sync",
                        "custom_snap_name", "custom_clone_name"):
                able[key] = ABILITY_TYPES.UNSUPPORTED
        return able

    @staticmethod
    def getStorageServerInfo(ss_record):
        with _failing(OperationFailedEx, "looking at this host's file systems"):
            both = [devices.sizes(device, facts["TYPE"]) for device, facts in devices.ours(ss_record)]
        total, free = sum(size for size, _ in both), sum(left for _, left in both)
        record = dict(ss_record)
        record.update(name=record.get("name") or os.uname()[1], storage_server_id=_host_id(),
                      storage_desc="File systems on block devices of %s" % os.uname()[1], status="OK",
                      total_sz=total, free_sz=free, used_sz=total - free, alloc_sz=-1)
        return record

    @staticmethod
    def getStatus(ss_record, record=None):
        return LocalFS.getStorageServerInfo(ss_record) if record is None else LocalFS.getFileSystemInfo(ss_record, record)

    @staticmethod
    def getAccessGroups(ss_record, record=None):
        return []

    @staticmethod
    def getFileSystemBackingDevices(ss_record):
        found = []
        with _failing(OperationFailedEx, "looking for unused block devices"):
            for device in devices.candidates(ss_record):
                try:
                    blank = not devices.why_not_blank(device)
                except OperationFailedEx:
                    continue  # it cannot be read: nothing could be made on it
                if blank:
                    size = devices.size_of(device)
                    found.append({"name": os.path.basename(device), "total_sz": size, "free_sz": size, "value": device,
                                  "description": "Unused block device %s" % device})
        return found

    # File systems

    @staticmethod
    def listFileSystems(ss_record):
        with _failing(ListFailedEx, "listing this host's file systems"):
            return [_record(ss_record, device, facts) for device, facts in devices.ours(ss_record)]

    @staticmethod
    def getFileSystemInfo(ss_record, fs_record):
        with _failing(OperationFailedEx, "looking at file system %s" % fs_record.get("uuid")):
            device, facts = devices.find(ss_record, fs_record)
            return _record(ss_record, device, facts, fs_record)

    @staticmethod
    def createFileSystem(ss_record, fs_record):
        with _failing(OperationFailedEx, "making a file system"):
            device = devices.checked_device(ss_record, fs_record.get("backing_device"))
            size = _size(fs_record["size"], "size") // 4096 * 4096 if fs_record.get("size") not in (None, "", 0, "0", -1) else 0
            kind = _kind(ss_record, fs_record, size or devices.size_of(device))
            fs_uuid = _uuid(fs_record.get("uuid")) or str(uuid.uuid4())
            if fs_record.get("uuid") and any(facts["UUID"] == fs_uuid for _, facts in devices.ours(ss_record)):
                raise InvalidValueEx("there is a file system %s already" % fs_uuid)
            devices.make(device, kind, fs_uuid, devices.label_for(files.native(fs_record.get("name") or ""), fs_uuid, kind), size)
            facts = devices.probe([device]).get(device)
            if not facts:
                raise OperationFailedEx("the %s just made on %s cannot be found on it" % (kind, device))
            return _record(ss_record, device, facts, fs_record)

    @staticmethod
    def destroyFileSystem(ss_record, fs_record):
        with _failing(OperationFailedEx, "destroying file system %s" % fs_record.get("uuid")):
            device, facts = devices.find(ss_record, fs_record)
            places = devices.mounts_of(device)
            if places:
                raise FileSystemBusyEx("%s is mounted on %s: unmount it first" % (
                    _label(facts), ", ".join(mount["place"] for mount in places)))
            devices.erase(device, facts["UUID"])

    @staticmethod
    def resizeFileSystem(ss_record, fs_record, new_size):
        with _failing(OperationFailedEx, "resizing file system %s" % fs_record.get("uuid")):
            device, facts = devices.find(ss_record, fs_record)
            room, now = devices.size_of(device), devices.sizes(device, facts["TYPE"])[0]
            size = _size(new_size, "new_size") // 4096 * 4096
            if size > room:
                raise InvalidValueEx("%s has %d bytes: the file system cannot grow to %d. Let the device grow first"
                                     % (device, room, size))
            if size < now:
                raise InvalidValueEx("the file system has %d bytes and cannot shrink to %d: file systems only grow" % (now, size))
            if size > now:
                devices.grow(device, facts["TYPE"], size)
            return _record(ss_record, device, facts, fs_record)

    @staticmethod
    def mount(ss_record, fs_record, mount_point, share_path, active, options):
        with _failing(OperationFailedEx, "mounting file system %s" % fs_record.get("uuid")):
            if files.native(share_path or "").strip("/"):
                raise InvalidValueEx("share_path is %s: a local file system is mounted from its root" % share_path)
            place = _place(mount_point)
            words = [files.native(word) for word in (options or fs_record.get("mount_options") or [])]
            if any(not word or "," in word or word.startswith("-") for word in words):
                raise InvalidValueEx("%r: each mount option is one word" % (words,))
            device, facts = devices.find(ss_record, fs_record)
            over = [mount for mount in kernel.mounts() if mount["place"] == place]
            if over and over[-1] in devices.mounts_of(device):
                return None
            if over:
                raise FileSystemAlreadyMountedEx("%s is taken: %s from %s is mounted there"
                                                 % (place, over[-1]["kind"], over[-1]["source"]))
            made = not os.path.isdir(place)
            if made:
                os.makedirs(place, 0o755)
            try:
                devices.run(["mount", "-t", facts["TYPE"]] + (["-o", ",".join(words)] if words else [])
                            + ["--", device, place], "mounting %s on %s" % (device, place))
            except BaseException:
                if made:
                    os.rmdir(place)
                raise
            return _record(ss_record, device, facts, fs_record)

    @staticmethod
    def unmount(ss_record, fs_record, mount_point, active):
        with _failing(OperationFailedEx, "unmounting file system %s" % fs_record.get("uuid")):
            device, facts = devices.find(ss_record, fs_record)
            wanted = _place(mount_point) if mount_point else None
            mounts = devices.mounts_of(device)
            if wanted is None and len(set(mount["place"] for mount in mounts)) > 1:
                raise InvalidValueEx("%s is mounted on %s: say which to unmount" % (
                    _label(facts), ", ".join(mount["place"] for mount in mounts)))
            for mount in reversed(mounts):
                if wanted is not None and mount["place"] != wanted:
                    continue
                try:
                    devices.run(["umount", "--", mount["place"]], "unmounting %s" % mount["place"])
                except OperationFailedEx as refused:
                    _explain_busy(mount, refused)
            return _record(ss_record, device, facts, fs_record)

    @staticmethod
    def listMountPoints(ss_record, fs_record):
        with _failing(OperationFailedEx, "listing the mounts of file system %s" % fs_record.get("uuid")):
            device, facts = devices.find(ss_record, fs_record)
            return [{"uuid": str(uuid.uuid5(uuid.UUID(_uuid(facts["UUID"])), mount["place"])), "fs_uuid": facts["UUID"],
                     "mount_point": mount["place"], "options": mount["options"],
                     "share_path": "" if mount["root"] == "/" else mount["root"],
                     "status": "Read-Only Mounted" if "ro" in mount["options"] else "Mounted"}
                    for mount in devices.mounts_of(device)]

    # Files

    @staticmethod
    def list(ss_record, fs_record, file_record):
        with _mounted(ss_record, fs_record, ListFailedEx, "listing files") as (root, path_of, fs_uuid):
            given = file_record or {}
            return files.listing(root, path_of(given), given.get("name_pattern"), fs_uuid)

    @staticmethod
    def getFileInfo(ss_record, fs_record, file_record, file_comp_record=None):
        with _mounted(ss_record, fs_record, OperationFailedEx, "looking at a file") as (root, path_of, fs_uuid):
            path = path_of(file_record)
            record = files.record(root, path, fs_uuid, file_record)
            if record["fr_type"] in (IFileSystemPlugin.FileType, IFileSystemPlugin.SnapType, IFileSystemPlugin.SnapCloneType):
                with files.opened(root, path) as fd:
                    if file_comp_record:
                        with files.opened(root, path_of(file_comp_record)) as other:
                            record["shared_sz"] = kernel.shared_bytes(fd, other)
                    else:
                        record["shared_sz"] = kernel.shared_bytes(fd)
            return record

    @staticmethod
    def create(ss_record, fs_record, file_path, file_type, size):
        with _mounted(ss_record, fs_record, OperationFailedEx, "creating %s" % file_path, True) as (root, path_of, fs_uuid):
            path = path_of({"file_path": file_path})
            kind = file_type or IFileSystemPlugin.FileType
            files.create(root, path, kind, _size(size, "size", True) if kind == IFileSystemPlugin.FileType else 0)
            return files.record(root, path, fs_uuid)

    @staticmethod
    def destroy(ss_record, fs_record, file_record):
        with _mounted(ss_record, fs_record, OperationFailedEx, "removing a file", True) as (root, path_of, _):
            files.destroy(root, path_of(file_record))

    @staticmethod
    def resize(ss_record, fs_record, file_record, new_size):
        with _mounted(ss_record, fs_record, OperationFailedEx, "resizing a file", True) as (root, path_of, fs_uuid):
            path = path_of(file_record)
            files.resize(root, path, _size(new_size, "new_size", True))
            return files.record(root, path, fs_uuid, file_record)

    # Snapshots and clones of files

    @staticmethod
    def createSnap(ss_record, fs_record, file_record, snap_name):
        with _mounted(ss_record, fs_record, OperationFailedEx, "taking a snapshot", True) as (root, path_of, fs_uuid):
            path, name = files.own(path_of(file_record)), files.checked_name(snap_name)
            _shares_blocks(root)
            with files.opened(root, path):
                snap = "%s/%s" % (files.snap_folder(path), name)
            files.duplicate(root, path, snap, 0o444, make=True)
            return files.record(root, snap, fs_uuid)

    @staticmethod
    def getCurrentSnaps(ss_record, fs_record, file_record):
        with _mounted(ss_record, fs_record, OperationFailedEx, "listing snapshots") as (root, path_of, fs_uuid):
            path = path_of(file_record)
            return [files.record(root, "%s/%s" % (files.snap_folder(path), name), fs_uuid)
                    for name in files.snapshots(root, path)]

    @staticmethod
    def snapRestore(ss_record, fs_record, file_record, snap_record):
        with _mounted(ss_record, fs_record, OperationFailedEx, "restoring a file", True) as (root, path_of, fs_uuid):
            path = path_of(file_record)
            files.restore(root, path, path_of(snap_record))
            return files.record(root, path, fs_uuid, file_record)

    @staticmethod
    def snapRemove(ss_record, fs_record, snap_record):
        with _mounted(ss_record, fs_record, OperationFailedEx, "removing a snapshot", True) as (root, path_of, _):
            files.remove_snapshot(root, path_of(snap_record))

    @staticmethod
    def clone(ss_record, fs_record, file_record, clone_name):
        with _mounted(ss_record, fs_record, OperationFailedEx, "cloning a file", True) as (root, path_of, fs_uuid):
            path = files.own(path_of(file_record))
            _shares_blocks(root)
            target = _beside(path, path_of({"file_path": clone_name}), clone_name)
            files.duplicate(root, path, target, None, "Clone")
            return files.record(root, target, fs_uuid)

    @staticmethod
    def cloneFromSnap(ss_record, fs_record, snap_record, clone_name):
        with _mounted(ss_record, fs_record, OperationFailedEx, "cloning a snapshot", True) as (root, path_of, fs_uuid):
            path = path_of(snap_record)
            parent = files.snapshot_of(path)
            if parent is None:
                raise InvalidValueEx("%s is not the path of a snapshot: use clone" % path)
            target = _beside(parent, path_of({"file_path": clone_name}), clone_name)
            files.duplicate(root, path, target, 0o600, IFileSystemPlugin.SnapCloneType)
            return files.record(root, target, fs_uuid)

    @staticmethod
    def splitClone(ss_record, fs_record, file_record):
        raise NoSuchOperationEx("clones of files share blocks for as long as they live; there is nothing to be split from")

    @staticmethod
    def isSnapable(ss_record, fs_record, file_record):
        try:
            with _mounted(ss_record, fs_record, OperationFailedEx, "looking at a file", True) as (root, path_of, _):
                _shares_blocks(root)
                with files.opened(root, files.own(path_of(file_record))):
                    return True
        except (InvalidValueEx, NoSuchOperationEx, OperationPreReqNotMetEx):
            return False

    @staticmethod
    def isCloneable(ss_record, fs_record, file_record):
        try:
            with _mounted(ss_record, fs_record, OperationFailedEx, "looking at a file", True) as (root, path_of, _):
                _shares_blocks(root)
                with files.opened(root, path_of(file_record)):
                    return True
        except (InvalidValueEx, NoSuchOperationEx, OperationPreReqNotMetEx):
            return False

    @staticmethod
    def isRestorable(ss_record, fs_record, file_record, snap_record):
        try:
            with _mounted(ss_record, fs_record, OperationFailedEx, "looking at a file", True) as (root, path_of, _):
                path, snap = files.own(path_of(file_record)), path_of(snap_record)
                with files.opened(root, snap):
                    with files.opened(root, path) as fd:
                        return files.snapshot_of(snap) == path and not kernel.in_use(fd)
        except (InvalidValueEx, OperationPreReqNotMetEx):
            return False

    @staticmethod
    def getFileSystemSnapLimits(ss_record, fs_record):
        return _limits(ss_record, fs_record, IFileSystemPlugin.SnapType)

    @staticmethod
    def getFileSystemCloneLimits(ss_record, fs_record):
        return _limits(ss_record, fs_record, IFileSystemPlugin.SnapCloneType)


@contextlib.contextmanager
def _failing(as_class, what):
    try:
        yield
    except (IOError, OSError) as wrong:
        if wrong.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise PermissionDeniedEx("%s: %s" % (what, wrong))
        if wrong.errno in (errno.ENOSPC, errno.EDQUOT):
            raise as_class("%s: no space left in the file system; nothing was changed" % what)
        raise as_class("%s: %s" % (what, wrong))


@contextlib.contextmanager
def _mounted(ss, fs, failed, what, for_writing=False):
    """(root directory, function from a file_record to its path below the root, the file system's uuid)."""
    with _failing(failed, what):
        device, facts = devices.find(ss, fs)
        mounts = [mount for mount in devices.mounts_of(device) if mount["root"] == "/"]
        usable = [mount for mount in mounts if not for_writing or "ro" not in mount["options"]]
        if not usable:
            raise OperationPreReqNotMetEx("%s is %s: mount it%s first" % (
                _label(facts), "mounted read-only" if mounts else "not mounted", " for writing" if mounts else ""))

        def path_of(record):
            if not isinstance(record, dict) or record.get("file_path") is None:
                if isinstance(record, dict) and "name_pattern" in record or record == {}:
                    return ""
                raise MissingKeyEx("no file was given", "file_path")
            return files.relative(record["file_path"], [mount["place"] for mount in mounts])
        yield usable[0]["place"], path_of, facts["UUID"]


def _label(facts):
    """The name that a file system was made under, as far as its label holds it."""
    return facts["LABEL"][len(devices.PREFIX):] or facts["UUID"]


def _record(ss, device, facts, given=None):
    given = given or {}
    mounts = devices.mounts_of(device)
    size, free = devices.sizes(device, facts["TYPE"])
    if not mounts:
        state, status = FS_STATES.UNMOUNTED, "Not mounted"
    elif all("ro" in mount["options"] for mount in mounts):
        state, status = FS_STATES.MOUNTED_READONLY, "Mounted read-only"
    else:
        state, status = FS_STATES.MOUNTED, "Mounted"
    record = dict(given)
    record.update(
        ss_uuid=given.get("ss_uuid") or ss.get("uuid") or "",
        mount_options=given.get("mount_options") or [], export_opts=[], access_grp_names=[], array_path=device,
        uuid=facts["UUID"], size=size, free_sz=free, status=status, state=state)
    # Both are the administrator's: a name that the label does not hold whole is left for the agent to remember.
    name = given.get("name") or devices.name_in(facts["LABEL"])
    if name:
        record["name"] = name
    for transient in ("async_handle", "async_progress"):
        record.pop(transient, None)
    return record


def _kind(ss, fs, room):
    bound = devices.settings(ss)["fstype"]
    pairs = IPlugin.__get_key_value_pairs__(fs.get("extra_info") or "")
    kind = (pairs.get("fstype") or bound).lower()
    if kind and kind not in devices.KINDS:
        raise InvalidValueEx("fstype=%s: choose %s" % (kind, ", ".join(devices.BEST_FIRST)))
    if bound and kind != bound:
        raise InvalidValueEx("fstype=%s: this storage server is bound to %s" % (kind, bound))
    if kind:
        return kind
    fitting = [known for known in devices.BEST_FIRST if devices.have(known) and room >= devices.KINDS[known]["least"]]
    if not fitting:
        raise OperationPreReqNotMetEx("no file system for a device of %d bytes: install xfsprogs, btrfs-progs or e2fsprogs, "
                                      "or take a larger device" % room)
    return fitting[0]


def _size(value, key, zero=False):
    if value is None or value == "":
        if zero:
            return 0
        raise MissingKeyEx("a size in bytes is needed", key)
    try:
        size = int(value)
    except (TypeError, ValueError):
        raise ValueFormatEx("%r is not a size in bytes" % (value,), key)
    if size < 0 or (size == 0 and not zero) or size >= 1 << 63:
        raise InvalidValueEx("%d bytes: no such size is possible" % size)
    return size


def _uuid(value):
    if not value:
        return ""
    try:
        return str(uuid.UUID(files.native(value)))
    except ValueError:
        raise ValueFormatEx("%r is not a UUID" % (value,), "uuid")


def _place(mount_point):
    place = files.native(mount_point or "")
    if not place.startswith("/") or "\0" in place or ".." in place.split("/"):
        raise InvalidValueEx("the mount point has to be an absolute path without '..', not %r" % place)
    place = os.path.realpath(place)
    if place == "/" or (os.path.exists(place) and not os.path.isdir(place)):
        raise InvalidValueEx("nothing can be mounted on %s" % place)
    return place


def _beside(source, target, name):
    """Where a clone goes: beside its source for a bare name, else at the path given."""
    if not target:
        raise InvalidValueEx("a clone needs a name")
    if "/" in files.native(name):
        return files.own(target)
    above = source.rpartition("/")[0]
    return files.own(above + "/" + target if above else target)


def _shares_blocks(root):
    """Raises NoSuchOperationEx where the file system has no reflinks: two nameless files tell."""
    fds = []
    try:
        for _ in range(2):
            fds.append(os.open(root, kernel.O_TMPFILE | os.O_RDWR, 0o600))
        if kernel.reflink(fds[0], fds[1]):
            return
    except OSError as wrong:
        if wrong.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
    finally:
        for fd in fds:
            os.close(fd)
    raise NoSuchOperationEx("the file system on %s cannot share blocks between files (no reflink): it has no snapshots and "
                            "clones" % root)


def _limits(ss, fs, kind):
    with _mounted(ss, fs, OperationFailedEx, "counting snapshots and clones") as (root, _, __):
        current = files.count(root, kind)
        try:
            _shares_blocks(root)
        except NoSuchOperationEx:
            return {"max": 0, "current": current}
        real = os.statvfs(root)
        return {"max": current + (real.f_favail if real.f_files else UNCOUNTED), "current": current}


def _explain_busy(mount, refused):
    facts = os.stat(mount["place"])
    pids = kernel.users_below(facts.st_dev, mount["place"])
    below = [other["place"] for other in kernel.mounts() if other["place"].startswith(mount["place"].rstrip("/") + "/")]
    reasons = (["processes %s" % ", ".join(str(pid) for pid in pids)] if pids else []) + (
        ["mounts on %s" % ", ".join(below)] if below else [])
    if not reasons and "busy" not in str(refused):
        raise refused
    raise FileSystemBusyEx("%s cannot be unmounted, it is in use%s" % (
        mount["place"], " by " + " and by ".join(reasons) if reasons else ": " + str(refused)))


def _host_id():
    try:
        with open("/etc/machine-id") as said:
            return said.read().strip() or os.uname()[1]
    except (IOError, OSError):
        return os.uname()[1]
