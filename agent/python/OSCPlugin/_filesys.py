"""`IFileSystemPlugin`: the API of plug-ins for file systems, networked or on block devices."""
from ._enums import FS_STATES
from ._errors import InvalidValueEx
from ._plugin import IPlugin, unsupported

_MOUNT_KEYS = ("uuid", "fs_uuid", "mount_point", "options", "share_path", "status")


def _has_source(fs_record):
    """Whether the record says what of this host's mounts are the file system's: `host:/path`, or a device."""
    backing = fs_record.get("backing_device") or []
    devices = [fs_record.get("array_path")] + (list(backing) if isinstance(backing, (list, tuple)) else [backing])
    return ":/" in (fs_record.get("access_path") or "") or any((device or "").startswith("/dev/") for device in devices)


def _with_state(fs_record):
    """The record with the `state` that this host's mounts of it make."""
    mounts = IPlugin.host.mount.list()
    record = dict(fs_record)
    if not mounts:
        record["state"] = FS_STATES.UNMOUNTED
    elif all(mount["read_only"] for mount in mounts):
        record["state"] = FS_STATES.MOUNTED_READONLY
    else:
        record["state"] = FS_STATES.MOUNTED
    return record


class IFileSystemPlugin(IPlugin):
    """The base of file system plug-ins. Required: validate, getStorageServerInfo, listFileSystems, getFileSystemInfo."""

    NetworkFileSystem = "NetworkFS"
    BlockBasedFileSystem = "LocalFS"

    FileType = "File"
    DirType = "Directory"
    SymLinkType = "SymLink"
    CharDevType = "CharDev"
    BlkDevType = "BlkDev"
    FifoType = "Fifo"
    SockFileType = "SockFile"
    SnapType = "Snap"
    SnapCloneType = "SnapClone"

    plugin_type = "ifs"
    filesys_type = None
    filesys_name = None
    fs_api_version = ["1", "2", "7"]
    cluster_required = False
    fs_extra_info_help = ""
    file_extra_info_help = ""

    @staticmethod
    def getStorageServerInfo(ss_record):
        """The storage server's record brought up to date."""
        raise unsupported("getStorageServerInfo")

    @staticmethod
    def getFileSystemInfo(ss_record, fs_record):
        """The file system's record brought up to date."""
        raise unsupported("getFileSystemInfo")

    @staticmethod
    def getFileInfo(ss_record, fs_record, file_record, file_comp_record=None):
        """The file's record brought up to date, with `shared_sz` where a file to compare with is given."""
        raise unsupported("getFileInfo")

    @staticmethod
    def listFileSystems(ss_record):
        """Every file system, a list of fs_record."""
        raise unsupported("listFileSystems")

    @staticmethod
    def getFileSystemBackingDevices(ss_record):
        """What a file system can be created on, a list of backing_device dicts."""
        raise unsupported("getFileSystemBackingDevices")

    @staticmethod
    def createFileSystem(ss_record, fs_record):
        """Creates the file system that the record describes."""
        raise unsupported("createFileSystem")

    @staticmethod
    def destroyFileSystem(ss_record, fs_record):
        """Destroys the file system; returns nothing."""
        raise unsupported("destroyFileSystem")

    @staticmethod
    def resizeFileSystem(ss_record, fs_record, new_size):
        """Resizes the file system to `new_size` bytes."""
        raise unsupported("resizeFileSystem")

    @staticmethod
    def mount(ss_record, fs_record, mount_point, share_path, active, options):
        """Mounts the file system; returns its record or a mount_record, None where it was mounted already.

        By default the agent mounts what the record's `access_path` and `share_path`, or its device, name, and takes
        `mount_options` where no options are given.
        """
        if not _has_source(fs_record):
            raise unsupported("mount")
        done = IPlugin.host.mount.mount(
            mount_point=mount_point, share_path=share_path or "", options=options or fs_record.get("mount_options") or [])
        return None if done is None else _with_state(fs_record)

    @staticmethod
    def unmount(ss_record, fs_record, mount_point, active):
        """Unmounts the file system; where no mount point is given, from the only one it has.

        By default the agent does it. Of a mount that was detached because its server did not answer, a mount_record is
        returned whose `status` says so.
        """
        if not _has_source(fs_record):
            raise unsupported("unmount")
        if not mount_point:
            places = sorted(set(mount["mount_point"] for mount in IPlugin.host.mount.list()))
            if len(places) > 1:
                raise InvalidValueEx("the file system is mounted on %s: say which to unmount" % ", ".join(places))
            if not places:
                return _with_state(fs_record)
            mount_point = places[0]
        done = IPlugin.host.mount.unmount(mount_point=mount_point)
        if done["state"] == "detached":
            return {"fs_uuid": fs_record.get("uuid"), "mount_point": mount_point, "options": [],
                    "status": "Detached: " + done["message"]}
        return _with_state(fs_record)

    @staticmethod
    def listMountPoints(ss_record, fs_record):
        """Where this host has the file system mounted, a list of mount_record; by default, what the kernel shows."""
        if not _has_source(fs_record):
            raise unsupported("listMountPoints")
        return [dict((key, mount[key]) for key in _MOUNT_KEYS) for mount in IPlugin.host.mount.list()]

    @staticmethod
    def list(ss_record, fs_record, file_record):
        """The files below a directory, a list of file_record; honours `name_pattern`."""
        raise unsupported("list")

    @staticmethod
    def create(ss_record, fs_record, file_path, file_type, size):
        """Creates a file of `size` bytes; returns its file_record."""
        raise unsupported("create")

    @staticmethod
    def destroy(ss_record, fs_record, file_record):
        """Removes the file; returns nothing."""
        raise unsupported("destroy")

    @staticmethod
    def resize(ss_record, fs_record, file_record, new_size):
        """Resizes the file to `new_size` bytes."""
        raise unsupported("resize")

    @staticmethod
    def createSnap(ss_record, fs_record, file_record, snap_name):
        """Takes a snapshot of the file; returns its file_record."""
        raise unsupported("createSnap")

    @staticmethod
    def snapRestore(ss_record, fs_record, file_record, snap_record):
        """Rolls the file back to the snapshot."""
        raise unsupported("snapRestore")

    @staticmethod
    def snapRemove(ss_record, fs_record, snap_record):
        """Removes the snapshot; returns nothing."""
        raise unsupported("snapRemove")

    @staticmethod
    def getCurrentSnaps(ss_record, fs_record, file_record):
        """The file's snapshots, a list of file_record."""
        raise unsupported("getCurrentSnaps")

    @staticmethod
    def clone(ss_record, fs_record, file_record, clone_name):
        """Clones the file; returns the clone's file_record."""
        raise unsupported("clone")

    @staticmethod
    def cloneFromSnap(ss_record, fs_record, snap_record, clone_name):
        """Clones the snapshot; returns the clone's file_record."""
        raise unsupported("cloneFromSnap")

    @staticmethod
    def splitClone(ss_record, fs_record, file_record):
        """Makes the clone a file of its own that shares nothing."""
        raise unsupported("splitClone")

    @staticmethod
    def isSnapable(ss_record, fs_record, file_record):
        """Whether a snapshot of the file can be taken now, a bool."""
        raise unsupported("isSnapable")

    @staticmethod
    def isCloneable(ss_record, fs_record, file_record):
        """Whether the file can be cloned now, a bool."""
        raise unsupported("isCloneable")

    @staticmethod
    def isRestorable(ss_record, fs_record, file_record, snap_record):
        """Whether the file can be rolled back to the snapshot now, a bool."""
        raise unsupported("isRestorable")

    @staticmethod
    def getFileSystemSnapLimits(ss_record, fs_record):
        """`{"max": n, "current": n}` for snapshots in the file system."""
        raise unsupported("getFileSystemSnapLimits")

    @staticmethod
    def getFileSystemCloneLimits(ss_record, fs_record):
        """`{"max": n, "current": n}` for clones in the file system."""
        raise unsupported("getFileSystemCloneLimits")
