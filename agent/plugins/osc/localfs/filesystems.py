"""The methods of the API on a storage server of local file systems, and on these: the server is this host itself."""

import os
import uuid

from OSCPlugin import (
    FileSystemAlreadyMountedEx, FileSystemBusyEx, IFileSystemPlugin, InvalidValueEx, ListFailedEx, OperationFailedEx)

from . import devices, kernel
from .family import title
from .paths import native
from .records import checked_place, checked_size, checked_uuid, explain_busy, failing, record


def methods_of(family):
    """A class with these methods for the file systems of the family: as they are all static, they have it from here."""
    class FileSystems(IFileSystemPlugin):
        @staticmethod
        def validate(ss_record):
            wanted = ss_record.get("storage_type")
            if wanted and wanted not in (IFileSystemPlugin.BlockBasedFileSystem, "FileSys"):
                raise InvalidValueEx("storage_type is %s: this plug-in serves %s" % (
                    wanted, IFileSystemPlugin.BlockBasedFileSystem))
            family.check(ss_record)
            return _server(family, ss_record)

        @staticmethod
        def getCapabilities(ss_record):
            return family.able(ss_record)

        @staticmethod
        def getStorageServerInfo(ss_record):
            return _server(family, ss_record)

        @staticmethod
        def getStatus(ss_record, record=None):
            return _server(family, ss_record) if record is None else _file_system(family, ss_record, record)

        @staticmethod
        def getAccessGroups(ss_record, record=None):
            return []

        @staticmethod
        def getFileSystemBackingDevices(ss_record):
            found = []
            with failing(OperationFailedEx, "looking for unused block devices"):
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

        @staticmethod
        def listFileSystems(ss_record):
            with failing(ListFailedEx, "listing this host's file systems"):
                return [record(family, ss_record, device, facts) for device, facts in family.ours(ss_record)]

        @staticmethod
        def getFileSystemInfo(ss_record, fs_record):
            return _file_system(family, ss_record, fs_record)

        @staticmethod
        def createFileSystem(ss_record, fs_record):
            with failing(OperationFailedEx, "making a file system"):
                device = devices.checked_device(ss_record, fs_record.get("backing_device"))
                size = 0 if fs_record.get("size") in (None, "", 0, "0", -1) else checked_size(fs_record["size"], "size")
                size = size // 4096 * 4096
                kind = family.kind_for(ss_record, fs_record, size or devices.size_of(device))
                fs_uuid = checked_uuid(fs_record.get("uuid")) or str(uuid.uuid4())
                if fs_record.get("uuid") and any(facts["UUID"] == fs_uuid for _, facts in family.ours(ss_record)):
                    raise InvalidValueEx("there is a file system %s already" % fs_uuid)
                label = family.label_for(native(fs_record.get("name") or ""), fs_uuid, kind)
                family.make(ss_record, device, kind, fs_uuid, label, size)
                facts = devices.probe([device]).get(device)
                if not facts:
                    raise OperationFailedEx("the %s just made on %s cannot be found on it" % (kind, device))
                return record(family, ss_record, device, facts, fs_record)

        @staticmethod
        def destroyFileSystem(ss_record, fs_record):
            with failing(OperationFailedEx, "destroying file system %s" % fs_record.get("uuid")):
                device, facts = family.find(ss_record, fs_record)
                places = devices.mounts_of(device)
                if places:
                    raise FileSystemBusyEx("%s is mounted on %s: unmount it first" % (
                        title(facts), ", ".join(mount["place"] for mount in places)))
                family.refuse_used_elsewhere(device)
                devices.erase(device, facts["UUID"])

        @staticmethod
        def resizeFileSystem(ss_record, fs_record, new_size):
            with failing(OperationFailedEx, "resizing file system %s" % fs_record.get("uuid")):
                device, facts = family.find(ss_record, fs_record)
                room, now = devices.size_of(device), family.sizes(device, facts["TYPE"])[0]
                unit = family.unit(device, facts["TYPE"])
                size = checked_size(new_size, "new_size") // unit * unit
                if size > room:
                    raise InvalidValueEx("%s has %d bytes: the file system cannot grow to %d. Let the device grow first"
                                         % (device, room, size))
                if size < now:
                    raise InvalidValueEx("the file system has %d bytes and cannot shrink to %d: file systems only grow" % (now, size))
                if size > now:
                    family.grow(device, facts["TYPE"], size)
                return record(family, ss_record, device, facts, fs_record)

        @staticmethod
        def mount(ss_record, fs_record, mount_point, share_path, active, options):
            with failing(OperationFailedEx, "mounting file system %s" % fs_record.get("uuid")):
                if native(share_path or "").strip("/"):
                    raise InvalidValueEx("share_path is %s: a local file system is mounted from its root" % share_path)
                place = checked_place(mount_point)
                words = [native(word) for word in (options or fs_record.get("mount_options") or [])]
                if any(not word or "," in word or word.startswith("-") for word in words):
                    raise InvalidValueEx("%r: each mount option is one word" % (words,))
                device, facts = family.find(ss_record, fs_record)
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
                    family.mount(device, facts["TYPE"], place, words)
                except BaseException:
                    if made:
                        os.rmdir(place)
                    raise
                return record(family, ss_record, device, facts, fs_record)

        @staticmethod
        def unmount(ss_record, fs_record, mount_point, active):
            with failing(OperationFailedEx, "unmounting file system %s" % fs_record.get("uuid")):
                device, facts = family.find(ss_record, fs_record)
                wanted = checked_place(mount_point) if mount_point else None
                mounts = devices.mounts_of(device)
                if wanted is None and len(set(mount["place"] for mount in mounts)) > 1:
                    raise InvalidValueEx("%s is mounted on %s: say which to unmount" % (
                        title(facts), ", ".join(mount["place"] for mount in mounts)))
                for mount in reversed(mounts):
                    if wanted is not None and mount["place"] != wanted:
                        continue
                    try:
                        devices.run(["umount", "--", mount["place"]], "unmounting %s" % mount["place"])
                    except OperationFailedEx as refused:
                        explain_busy(mount, refused)
                return record(family, ss_record, device, facts, fs_record)

        @staticmethod
        def listMountPoints(ss_record, fs_record):
            with failing(OperationFailedEx, "listing the mounts of file system %s" % fs_record.get("uuid")):
                device, facts = family.find(ss_record, fs_record)
                return [{"uuid": str(uuid.uuid5(uuid.UUID(checked_uuid(facts["UUID"])), mount["place"])), "fs_uuid": facts["UUID"],
                         "mount_point": mount["place"], "options": mount["options"],
                         "share_path": "" if mount["root"] == "/" else mount["root"],
                         "status": "Read-Only Mounted" if "ro" in mount["options"] else "Mounted"}
                        for mount in devices.mounts_of(device)]
    return FileSystems


def _server(family, ss):
    with failing(OperationFailedEx, "looking at this host's file systems"):
        both = [family.sizes(device, facts["TYPE"]) for device, facts in family.ours(ss)]
    total, free = sum(size for size, _ in both), sum(left for _, left in both)
    result = dict(ss)
    result.update(name=result.get("name") or os.uname()[1], storage_server_id=_host_id(),
                  storage_desc="File systems on block devices of %s" % os.uname()[1], status="OK",
                  total_sz=total, free_sz=free, used_sz=total - free, alloc_sz=-1)
    return result


def _file_system(family, ss, fs):
    with failing(OperationFailedEx, "looking at file system %s" % fs.get("uuid")):
        device, facts = family.find(ss, fs)
        return record(family, ss, device, facts, fs)


def _host_id():
    try:
        with open("/etc/machine-id") as said:
            return said.read().strip() or os.uname()[1]
    except (IOError, OSError):
        return os.uname()[1]
