"""A file system plug-in with every method of the API."""

import uuid

from OSCPlugin import ABILITY_TYPES, BACKING_DEVICE_TYPES, FS_STATES, IFileSystemPlugin

from .Common import Common
from .Strings import play

NAMESPACE = uuid.UUID("7c1c2f3a-5d2e-4b71-8c5f-0f6f1a7d9e21")
DEVICES = [
    {"name": name, "total_sz": 4096, "free_sz": 4096, "value": "pool/" + name, "description": "A pool"}
    for name in ("fast", "slow")]
ABILITIES = dict(
    Common.abilities, splitclone_while_open=ABILITY_TYPES.YES, backing_device_type=BACKING_DEVICE_TYPES.PLUGIN_SINGLE)


def file_system(ss_record, name, **more):
    record = {
        "access_path": "filer:/%s" % name, "ss_uuid": ss_record["uuid"], "name": name, "mount_options": ["rw"],
        "export_opts": [], "array_path": "/pool/%s" % name, "uuid": str(uuid.uuid5(NAMESPACE, str(name))),
        "size": 1048576, "free_sz": 4096, "status": "OK", "state": FS_STATES.UNMOUNTED, "access_grp_names": ["hosts"],
        "qos": "gold", "extra_info": "y",
    }
    record.update(more)
    return record


def file_systems(ss_record):
    return [file_system(ss_record, name) for name in ("one", "two")]


def mounted(fs_record, mount_point):
    return {
        "uuid": str(uuid.uuid5(NAMESPACE, fs_record["name"] + str(mount_point))), "fs_uuid": fs_record["uuid"],
        "mount_point": mount_point, "options": ["rw"], "share_path": "", "status": "",
    }


def file(fs_record, path, **more):
    return dict({"fr_type": "File", "file_path": path, "file_sz": 4096, "fs_uuid": fs_record["uuid"]}, **more)


class Files(Common, IFileSystemPlugin):
    plugin_type = "ifs"
    filesys_type = IFileSystemPlugin.NetworkFileSystem
    filesys_name = "puppetfs"
    fs_api_version = ["1", "2", "7"]
    cluster_required = False
    fs_extra_info_help = ""
    file_extra_info_help = ""
    abilities = ABILITIES

    @staticmethod
    def getCapabilities(ss_record):
        return play(locals(), ABILITIES)

    @staticmethod
    def getStorageServerInfo(ss_record):
        return play(locals(), dict(ss_record, status="OK", storage_desc="A puppet"))

    @staticmethod
    def getFileSystemInfo(ss_record, fs_record):
        return play(locals(), fs_record)

    @staticmethod
    def getFileInfo(ss_record, fs_record, file_record, file_comp_record=None):
        return play(locals(), dict(file_record, file_sz=4096, shared_sz=0 if file_comp_record is None else 512))

    @staticmethod
    def listFileSystems(ss_record):
        return play(locals(), file_systems(ss_record))

    @staticmethod
    def getFileSystemBackingDevices(ss_record):
        return play(locals(), DEVICES)

    @staticmethod
    def createFileSystem(ss_record, fs_record):
        return play(locals(), file_system(ss_record, fs_record["name"]))

    @staticmethod
    def destroyFileSystem(ss_record, fs_record):
        return play(locals())

    @staticmethod
    def resizeFileSystem(ss_record, fs_record, new_size):
        return play(locals(), fs_record)

    @staticmethod
    def mount(ss_record, fs_record, mount_point, share_path, active, options):
        return play(locals(), mounted(fs_record, mount_point))

    @staticmethod
    def unmount(ss_record, fs_record, mount_point, active):
        return play(locals(), fs_record)

    @staticmethod
    def listMountPoints(ss_record, fs_record):
        return play(locals(), [mounted(fs_record, "/mnt/one")])

    @staticmethod
    def list(ss_record, fs_record, file_record):
        return play(locals(), [file(fs_record, "a"), file(fs_record, "b")])

    @staticmethod
    def create(ss_record, fs_record, file_path, file_type, size):
        return play(locals(), dict(file(fs_record, file_path), fr_type=file_type, file_sz=size))

    @staticmethod
    def destroy(ss_record, fs_record, file_record):
        return play(locals())

    @staticmethod
    def resize(ss_record, fs_record, file_record, new_size):
        return play(locals(), dict(file_record, file_sz=1))

    @staticmethod
    def createSnap(ss_record, fs_record, file_record, snap_name):
        return play(locals(), dict(file_record, fr_type="Snap", file_sz=1, snap_name=snap_name))

    @staticmethod
    def snapRestore(ss_record, fs_record, file_record, snap_record):
        return play(locals(), dict(file_record, file_sz=1))

    @staticmethod
    def snapRemove(ss_record, fs_record, snap_record):
        return play(locals())

    @staticmethod
    def getCurrentSnaps(ss_record, fs_record, file_record):
        return play(locals(), [file(fs_record, "s1", fr_type="Snap")])

    @staticmethod
    def clone(ss_record, fs_record, file_record, clone_name):
        return play(locals(), dict(file_record, file_path=clone_name, file_sz=1))

    @staticmethod
    def cloneFromSnap(ss_record, fs_record, snap_record, clone_name):
        return play(locals(), dict(snap_record, file_path=clone_name, file_sz=1, fr_type="File"))

    @staticmethod
    def splitClone(ss_record, fs_record, file_record):
        return play(locals(), dict(file_record, file_sz=1))

    @staticmethod
    def isSnapable(ss_record, fs_record, file_record):
        return play(locals(), True)

    @staticmethod
    def isCloneable(ss_record, fs_record, file_record):
        return play(locals(), True)

    @staticmethod
    def isRestorable(ss_record, fs_record, file_record, snap_record):
        return play(locals(), True)

    @staticmethod
    def getFileSystemSnapLimits(ss_record, fs_record):
        return play(locals(), {"max": 8, "current": 1})

    @staticmethod
    def getFileSystemCloneLimits(ss_record, fs_record):
        return play(locals(), {"max": 8, "current": 1})
