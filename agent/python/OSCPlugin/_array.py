"""`IStorageArrayPlugin`: the API of plug-ins for block storage, SAN or iSCSI."""
from . import _devices
from ._host import served
from ._plugin import IPlugin, unsupported


class IStorageArrayPlugin(IPlugin):
    """The base of storage array plug-ins. Required: validate, getInfo, list."""

    SANStorage = "SAN"
    iSCSIStorage = "iSCSI"

    LUNType = "LUN"
    GhostLUNType = "GhostLUN"
    SnapType = "Snap"
    SnapCloneType = "SnapClone"
    CloneType = "Clone"

    plugin_type = "isa"
    storage_types = None
    sa_api_version = ["1", "2", "7"]
    se_extra_info_help = ""

    @staticmethod
    def getInfo(ss_record, se_record=None):
        """The storage server's record brought up to date, or the element's where one is given."""
        raise unsupported("getInfo")

    @staticmethod
    def discover(ss_record):
        """The storage server's record with its targets in `storage_id`; by default those that its portals name."""
        if not (_devices.is_iscsi(ss_record) and served()):
            raise unsupported("discover")
        return _devices.discover(ss_record)

    @staticmethod
    def start(ss_record):
        """Makes the storage server usable on this host; by default logs in to its targets and looks for its devices."""
        return _devices.start(ss_record, IPlugin.logger)

    @staticmethod
    def stop(ss_record):
        """Undoes `start`; by default removes the devices and logs out. StorageElementBusyEx where one is in use."""
        return _devices.stop(ss_record)

    @staticmethod
    def refresh(ss_record):
        """Makes this host see what the storage server presents now; by default looks at its targets again."""
        return _devices.refresh(ss_record)

    @staticmethod
    def list(ss_record):
        """Every storage element, a list of se_record."""
        raise unsupported("list")

    @staticmethod
    def updateSERecords(ss_record, se_records):
        """The given elements brought up to date, a list of se_record."""
        raise unsupported("updateSERecords")

    @staticmethod
    def create(ss_record, se_record):
        """Creates the element that the record describes."""
        raise unsupported("create")

    @staticmethod
    def remove(ss_record, se_record):
        """Removes the element; returns nothing."""
        raise unsupported("remove")

    @staticmethod
    def resize(ss_record, se_record, new_size):
        """Resizes the element to `new_size` bytes."""
        raise unsupported("resize")

    @staticmethod
    def online(ss_record, se_record):
        """Brings the element online."""
        raise unsupported("online")

    @staticmethod
    def offline(ss_record, se_record):
        """Takes the element offline."""
        raise unsupported("offline")

    @staticmethod
    def isSnapable(ss_record, se_record):
        """Whether a snapshot of the element can be taken now, a bool."""
        raise unsupported("isSnapable")

    @staticmethod
    def isCloneable(ss_record, se_record):
        """Whether the element can be cloned now, a bool."""
        raise unsupported("isCloneable")

    @staticmethod
    def isRestorable(ss_record, se_record, snap_record):
        """Whether the element can be rolled back to the snapshot now, a bool."""
        raise unsupported("isRestorable")

    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        """Takes a snapshot; returns its se_record."""
        raise unsupported("createSnap")

    @staticmethod
    def createMultiSnap(ss_record, se_records, snap_names):
        """Takes snapshots of several elements at one consistent point in time; returns their se_records."""
        raise unsupported("createMultiSnap")

    @staticmethod
    def getCurrentSnaps(ss_record, se_record):
        """The element's snapshots, a list of se_record."""
        raise unsupported("getCurrentSnaps")

    @staticmethod
    def getSnapLimits(ss_record, se_record):
        """`{"max": n, "current": n}` for snapshots of the element."""
        raise unsupported("getSnapLimits")

    @staticmethod
    def snapRestore(ss_record, se_record, snap_record):
        """Rolls the element back to the snapshot; SnapRestoreNotSafeEx where others would suffer."""
        raise unsupported("snapRestore")

    @staticmethod
    def snapRemove(ss_record, snap_record):
        """Removes the snapshot; returns nothing."""
        raise unsupported("snapRemove")

    @staticmethod
    def clone(ss_record, se_record, clone_name):
        """Clones the element; returns the clone's se_record."""
        raise unsupported("clone")

    @staticmethod
    def cloneFromSnap(ss_record, snap_record, clone_name):
        """Clones the snapshot; returns the clone's se_record."""
        raise unsupported("cloneFromSnap")

    @staticmethod
    def splitClone(ss_record, se_record):
        """Makes the clone an element of its own, without a parent."""
        raise unsupported("splitClone")

    @staticmethod
    def getCurrentClones(ss_record, se_record):
        """The element's clones, a list of se_record."""
        raise unsupported("getCurrentClones")

    @staticmethod
    def getCloneLimits(ss_record, se_record):
        """`{"max": n, "current": n}` for clones of the element."""
        raise unsupported("getCloneLimits")

    @staticmethod
    def deviceTeardown(ss_record, se_record):
        """Removes this host's devices of the element, before it is unmapped; by default by its `page83_id`."""
        return _devices.teardown(ss_record, se_record)

    @staticmethod
    def deviceResize(ss_record, se_record):
        """Makes this host's devices of the element take on its new size; by default by its `page83_id`."""
        return _devices.resize(ss_record, se_record, "deviceResize")

    @staticmethod
    def deviceSizeRefresh(ss_record, se_record):
        """Makes this host read the size of the element's devices again; by default by its `page83_id`."""
        return _devices.resize(ss_record, se_record, "deviceSizeRefresh")
