"""The rig's classes: a storage array that shows any behaviour, and a small file system plug-in."""
from OSCPlugin import ABILITY_TYPES, BACKING_DEVICE_TYPES, IFileSystemPlugin, IStorageArrayPlugin

from acme.rig import behaviours


class Rig(IStorageArrayPlugin):
    plugin_name = "Rig"
    plugin_desc = "Shows behaviours"
    vendor_name = "ACME"
    plugin_version = "1.1.0"
    required_api_vers = ["1", "2", "7"]
    extended_api_version = ["1", "2", "9"]
    storage_types = [IStorageArrayPlugin.iSCSIStorage]
    abilities = {
        "snapshot": ABILITY_TYPES.ONLINE,
        "snap_is_sync": ABILITY_TYPES.YES,
        "resize": ABILITY_TYPES.OFFLINE,
        "access_control": ABILITY_TYPES.NO,
    }

    @staticmethod
    def validate(ss_record):
        return ss_record

    @staticmethod
    def getInfo(ss_record, se_record=None):
        return getattr(behaviours, ss_record["do"])(ss_record)

    @staticmethod
    def list(ss_record):
        return [{"name": "lun%d" % number} for number in range(ss_record["count"])]

    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        return {"ss": ss_record, "se": se_record, "name": snap_name}


class Files(IFileSystemPlugin):
    plugin_name = "Files"
    plugin_desc = "Files of the rig"
    vendor_name = "ACME"
    plugin_version = "1.1.0"
    required_api_vers = ["1", "2", "7"]
    filesys_type = IFileSystemPlugin.BlockBasedFileSystem
    filesys_name = "rigfs"
    ability = {"backing_device_type": BACKING_DEVICE_TYPES.DEVICE_SINGLE, "clone": ABILITY_TYPES.ONLINE}

    @staticmethod
    def validate(ss_record):
        return ss_record

    @staticmethod
    def getStorageServerInfo(ss_record):
        return ss_record

    @staticmethod
    def listFileSystems(ss_record):
        return []

    @staticmethod
    def getFileSystemInfo(ss_record, fs_record):
        return fs_record
