"""`osc.generic.NFSPlugin.GenericNFSPlugin`: the exports of any NFS 3 or 4 server, and the files in them.

The server is asked over its own protocol, the kernel what is mounted, and nothing is remembered but whether an export
shares blocks. docs/STOCK_PLUGINS.md tells an administrator what everything means.
"""

import contextlib
import os
import uuid

from OSCPlugin import (
    ABILITY_TYPES, BACKING_DEVICE_TYPES, CloneFailedEx, FS_STATES, IFileSystemPlugin, IPlugin, InvalidValueEx, ListFailedEx,
    MissingKeyEx, NoSuchOperationEx, OperationFailedEx, OperationPreReqNotMetEx, PermissionDeniedEx, ValueFormatEx)
from osc.localfs import files
from osc.localfs.records import failing

from . import copies, pseudoroot, rpc

VERSIONS = ("3", "4", "4.0", "4.1", "4.2")
KNOWN_FOR = 24 * 3600  # seconds that it is remembered whether an export shares blocks


class GenericNFSPlugin(IFileSystemPlugin):
    """The exports of an NFS server."""

    plugin_name = "Generic NFS"
    plugin_desc = "The exports of any NFS 3 or 4 server"
    vendor_name = "osc"
    plugin_version = "0.1.0"
    plugin_type = "ifs"
    generic_plugin = True
    required_api_vers = ["1", "2", "7"]
    filesys_type = IFileSystemPlugin.NetworkFileSystem
    filesys_name = "NFS"
    fs_api_version = ["1", "2", "7"]
    cluster_required = False
    ss_extra_info_help = ("vers=3|4|4.0|4.1|4.2 mounts with that version of NFS, and with 4 looks for exports in the pseudo "
                          "file system and not at mountd (default: whatever both ends speak best)")
    fs_extra_info_help = ""
    file_extra_info_help = ""
    # getCapabilities says what a mount of a storage server can do besides.
    abilities = dict(
        [(key, ABILITY_TYPES.UNSUPPORTED) for key in (
            "snapshot", "clone", "snapclone", "splitclone", "resize", "snap_is_sync", "clone_is_sync", "snapclone_is_sync",
            "splitclone_is_sync", "resize_is_sync", "custom_snap_name", "custom_clone_name", "require_storage_name",
            "splitclone_while_open")],
        access_control=ABILITY_TYPES.NO, backing_device_type=BACKING_DEVICE_TYPES.UNSUPPORTED)

    # The storage server

    @staticmethod
    def validate(ss_record):
        wanted = ss_record.get("storage_type")
        if wanted and wanted not in (IFileSystemPlugin.NetworkFileSystem, "FileSys"):
            raise InvalidValueEx("storage_type is %s: this plug-in serves %s" % (wanted, GenericNFSPlugin.filesys_type))
        IPlugin.checkRequired("mount.nfs")
        with _failing(OperationFailedEx, "looking for exports of %s" % _host(ss_record)):
            _exports(ss_record)
        return GenericNFSPlugin.getStorageServerInfo(ss_record)

    @staticmethod
    def getCapabilities(ss_record):
        able = dict(GenericNFSPlugin.abilities)
        known = [IPlugin.cache.get(ss_record["uuid"], _sharing_key(mount["source"]))
                 for mount in IPlugin.host.mount.list() if _copies(mount)] if ss_record.get("uuid") else []
        if known:
            able.update(
                # A copy is of one moment only where blocks are shared: else the file has to be left alone meanwhile.
                clone=ABILITY_TYPES.ONLINE if all(word == "yes" for word in known) else ABILITY_TYPES.OFFLINE,
                clone_is_sync=ABILITY_TYPES.YES, custom_clone_name=ABILITY_TYPES.YES)
        return able

    @staticmethod
    def getStorageServerInfo(ss_record):
        host, port = _host(ss_record), _port(ss_record)
        with _failing(OperationFailedEx, "looking at the NFS server"):
            spoken = rpc.versions(host, port)
        record = dict(ss_record)
        record.update(
            name=record.get("name") or host, storage_server_id=host, status="OK",
            storage_desc="NFS server %s (NFS %s)" % (host, " and ".join(str(version) for version in sorted(spoken)) or "2"),
            total_sz=-1, free_sz=-1, used_sz=-1, alloc_sz=-1)
        return record

    @staticmethod
    def getStatus(ss_record, record=None):
        if record is None:
            return GenericNFSPlugin.getStorageServerInfo(ss_record)
        return GenericNFSPlugin.getFileSystemInfo(ss_record, record)

    @staticmethod
    def getAccessGroups(ss_record, record=None):
        return []

    # File systems

    @staticmethod
    def listFileSystems(ss_record):
        with _failing(ListFailedEx, "listing the exports of %s" % _host(ss_record)):
            found = _exports(ss_record)
            mounts = IPlugin.host.mount.list()
            with _spaces(ss_record) as spaces:
                return [_record(ss_record, path, clients, mounts, spaces) for path, clients in found]

    @staticmethod
    def getFileSystemInfo(ss_record, fs_record):
        with _failing(OperationFailedEx, "looking at %s" % fs_record.get("access_path")):
            path = _path(ss_record, fs_record)
            clients = dict(_exports(ss_record)).get(path)
            mounts = IPlugin.host.mount.list()
            if clients is None and not mounts:
                raise InvalidValueEx("%s does not export %s" % (_host(ss_record), path))
            with _spaces(ss_record) as spaces:
                return _record(ss_record, path, clients or [], mounts, spaces, fs_record)

    @staticmethod
    def mount(ss_record, fs_record, mount_point, share_path, active, options):
        _path(ss_record, fs_record)
        words = [files.native(word) for word in (options or fs_record.get("mount_options") or [])]
        given = set(word.split("=")[0] for word in words)
        vers = _settings(ss_record)
        if vers and not given & {"vers", "nfsvers"}:
            words.append("vers=" + vers)
        if ss_record.get("access_port") and "port" not in given:
            words.append("port=%d" % _port(ss_record))
        # A server that does not answer is found out in seconds, and not by mount.nfs in minutes.
        with _failing(OperationFailedEx, "mounting %s" % fs_record.get("access_path")):
            rpc.versions(_host(ss_record), _port(ss_record))
        done = IPlugin.host.mount.mount(
            mount_point=files.native(mount_point or ""), share_path=files.native(share_path or ""), fstype="nfs", options=words)
        if done is None:
            return None
        if _copies(done):
            _learn(ss_record, done)
        record = GenericNFSPlugin.getFileSystemInfo(ss_record, fs_record)
        record["mount_options"] = fs_record.get("mount_options") or []
        return record

    @staticmethod
    def unmount(ss_record, fs_record, mount_point, active):
        # The server is not asked: it may be gone.
        done = IFileSystemPlugin.unmount(ss_record, fs_record, files.native(mount_point or ""), active)
        if "mount_point" not in done:
            done["status"] = _STATUS[done["state"]]
        return done

    # Files

    @staticmethod
    def list(ss_record, fs_record, file_record):
        with _mounted(ss_record, fs_record, ListFailedEx, "listing files") as place:
            given = file_record or {}
            return files.listing(place.root, place.path(given), given.get("name_pattern"), fs_record.get("uuid"))

    @staticmethod
    def getFileInfo(ss_record, fs_record, file_record, file_comp_record=None):
        with _mounted(ss_record, fs_record, OperationFailedEx, "looking at a file") as place:
            return files.record(place.root, place.path(file_record), fs_record.get("uuid"), file_record)

    @staticmethod
    def create(ss_record, fs_record, file_path, file_type, size):
        with _mounted(ss_record, fs_record, OperationFailedEx, "creating %s" % file_path, True) as place:
            path = place.path({"file_path": file_path})
            kind = file_type or IFileSystemPlugin.FileType
            files.create(place.root, path, kind, _size(size, "size") if kind == IFileSystemPlugin.FileType else 0)
            return files.record(place.root, path, fs_record.get("uuid"))

    @staticmethod
    def destroy(ss_record, fs_record, file_record):
        with _mounted(ss_record, fs_record, OperationFailedEx, "removing a file", True) as place:
            copies.remove(place.root, place.path(file_record), place.places)

    @staticmethod
    def resize(ss_record, fs_record, file_record, new_size):
        with _mounted(ss_record, fs_record, OperationFailedEx, "resizing a file", True) as place:
            path = place.path(file_record)
            files.resize(place.root, path, _size(new_size, "new_size"))
            return files.record(place.root, path, fs_record.get("uuid"), file_record)

    @staticmethod
    def clone(ss_record, fs_record, file_record, clone_name):
        with _mounted(ss_record, fs_record, CloneFailedEx, "cloning a file", True) as place:
            source = place.path(file_record)
            name = files.native(clone_name or "")
            if not name.strip("/"):
                raise InvalidValueEx("a clone needs a name")
            target = place.path({"file_path": name})
            if "/" not in name and "/" in source:
                target = source.rpartition("/")[0] + "/" + target
            place.need_copies()
            shared = copies.clone(place.root, source, files.own(target))
            _remember(ss_record, place.mount, shared)
            return files.record(place.root, target, fs_record.get("uuid"))

    @staticmethod
    def isCloneable(ss_record, fs_record, file_record):
        try:
            with _mounted(ss_record, fs_record, OperationFailedEx, "looking at a file", True) as place:
                place.need_copies()
                with files.opened(place.root, place.path(file_record)):
                    return True
        except (InvalidValueEx, NoSuchOperationEx, OperationPreReqNotMetEx):
            return False

    @staticmethod
    def isSnapable(ss_record, fs_record, file_record):
        return False

    @staticmethod
    def getFileSystemSnapLimits(ss_record, fs_record):
        return {"max": 0, "current": 0}


_STATUS = {FS_STATES.UNMOUNTED: "Not mounted", FS_STATES.MOUNTED: "Mounted", FS_STATES.MOUNTED_READONLY: "Mounted read-only"}


class _Place(object):
    """A mount of the file system that serves a call: its directory, and how paths lead into it."""

    def __init__(self, mount, mounts):
        self.mount, self.root = mount, files.native(mount["mount_point"])
        same = [other for other in mounts if other["share_path"] == mount["share_path"]]
        self.places = [files.native(other["mount_point"]) for other in same]

    def path(self, record):
        if not isinstance(record, dict) or record.get("file_path") is None:
            if isinstance(record, dict) and ("name_pattern" in record or record == {}):
                return ""
            raise MissingKeyEx("no file was given", "file_path")
        return files.relative(record["file_path"], self.places)

    def need_copies(self):
        if not _copies(self.mount):
            raise NoSuchOperationEx("%s is mounted as %s: only NFS 4.2 lets the server clone a file" % (
                self.root, ", ".join(word for word in self.mount["options"] if word.startswith("vers=")) or "NFS"))


@contextlib.contextmanager
def _mounted(ss, fs, failed, what, for_writing=False):
    """The _Place to work in, on a server that answers."""
    with _failing(failed, what):
        name = _path(ss, fs)
        mounts = IPlugin.host.mount.list()
        usable = [mount for mount in mounts if not for_writing or not mount["read_only"]]
        if not usable:
            raise OperationPreReqNotMetEx("%s is %s: mount it%s first" % (
                name, "mounted read-only" if mounts else "not mounted", " for writing" if mounts else ""))
        # All of it rather than a share, and what can do more rather than less.
        usable.sort(key=lambda mount: (bool(mount["share_path"]), not _copies(mount)))
        # A file on a server that is gone would be waited for, for ever.
        rpc.versions(_host(ss), _port(ss))
        yield _Place(usable[0], mounts)


@contextlib.contextmanager
def _failing(as_class, what):
    try:
        with failing(as_class, what):
            yield
    except rpc.Unavailable as wrong:
        raise as_class("%s: %s" % (what, wrong))


def _host(ss):
    host = files.native(ss.get("access_host") or "").strip().strip("[]")
    if not host:
        raise MissingKeyEx("which NFS server is it? Its host name or address is needed", "access_host")
    return host


def _port(ss):
    try:
        return int(ss.get("access_port") or rpc.NFS_PORT)
    except (TypeError, ValueError):
        raise ValueFormatEx("%r is no port" % (ss.get("access_port"),), "access_port")


def _settings(ss):
    """The version of NFS that the storage server is bound to, "" for none."""
    vers = IPlugin.__get_key_value_pairs__(files.native(ss.get("extra_info") or "")).get("vers", "")
    if vers and vers not in VERSIONS:
        raise InvalidValueEx("vers=%s: choose %s" % (vers, ", ".join(VERSIONS)))
    return vers


def _exports(ss):
    """[(path, clients)] of the storage server, by path."""
    host, port, vers = _host(ss), _port(ss), _settings(ss)
    if not vers.startswith("4"):
        try:
            return sorted(rpc.exports(host))
        except rpc.Unavailable:
            # A server of NFS 4 alone needs no mountd.
            if vers or 4 not in rpc.versions(host, port):
                raise
    with pseudoroot.Root(host, port) as root:
        return [(path, []) for path in root.exports()]


def _source(ss, path):
    host = _host(ss)
    return "%s:%s" % ("[%s]" % host if ":" in host else host, path)


def _path(ss, fs):
    """The exported path of a file system's record. Raises MissingKeyEx, InvalidValueEx."""
    access = files.native(fs.get("access_path") or "")
    if not access:
        raise MissingKeyEx("which export is it?", "access_path")
    host, colon, path = access.rpartition(":/")
    if not colon or host.strip("[]").lower() != _host(ss).lower():
        raise InvalidValueEx("%s is no export of %s" % (access, _host(ss)))
    return "/" + path


def _record(ss, path, clients, mounts, spaces, given=None):
    source = _source(ss, path)
    mine = [mount for mount in mounts if given is not None or _is_below(mount["source"], source)]
    if not mine:
        state = FS_STATES.UNMOUNTED
    elif all(mount["read_only"] for mount in mine):
        state = FS_STATES.MOUNTED_READONLY
    else:
        state = FS_STATES.MOUNTED
    size, free = spaces(path, mine)
    record = dict(given or {})
    record.update(
        access_path=source, ss_uuid=(given or {}).get("ss_uuid") or ss.get("uuid") or "", array_path=path,
        uuid=(given or {}).get("uuid") or str(uuid.uuid5(uuid.NAMESPACE_URL, "nfs://" + _plain(_host(ss).lower() + path))),
        name=(given or {}).get("name") or "nfs:" + path, mount_options=(given or {}).get("mount_options") or [],
        export_opts=["client=" + client for client in clients], access_grp_names=[], size=size, free_sz=free,
        status=_STATUS[state], state=state)
    for transient in ("async_handle", "async_progress"):
        record.pop(transient, None)
    return record


def _plain(text):
    """What uuid5 takes in either Python: bytes in 2, text without lone surrogates in 3."""
    return text if str is bytes else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _is_below(source, export):
    return source == export or source.startswith(export.rstrip("/") + "/")


@contextlib.contextmanager
def _spaces(ss):
    """A function from a path and its mounts to (size, free), -1 where nobody tells."""
    host, port = _host(ss), _port(ss)
    root = None
    try:
        if 4 in rpc.versions(host, port):
            root = pseudoroot.Root(host, port)
    except rpc.Unavailable:
        pass

    def space(path, mounts):
        if root:
            try:
                return root.space(path)
            except (rpc.Unavailable, PermissionDeniedEx):
                pass  # it may be another path in NFS 4
        whole = [mount for mount in mounts if not mount["share_path"]]
        if not whole:
            return -1, -1
        try:
            rpc.versions(host, port)
            real = os.statvfs(files.native(whole[0]["mount_point"]))
        except (rpc.Unavailable, OSError):
            return -1, -1  # it has gone this moment
        return real.f_blocks * real.f_frsize, real.f_bavail * real.f_frsize
    try:
        yield space
    finally:
        if root:
            root.__exit__()


def _copies(mount):
    """Whether the server can be asked to clone files of the mount."""
    return "vers=4.2" in mount["options"] and not mount["read_only"]


def _sharing_key(source):
    return "shares:" + source


def _remember(ss, mount, shared):
    if ss.get("uuid"):
        IPlugin.cache.set(ss["uuid"], _sharing_key(mount["source"]), "yes" if shared else "no", KNOWN_FOR)


def _learn(ss, mount):
    """Finds out whether the export shares blocks between files."""
    try:
        _remember(ss, mount, copies.can_share(files.native(mount["mount_point"])))
    except (IOError, OSError) as refused:
        IPlugin.logger.info("whether %s shares blocks is not known: %s", mount["source"], refused)


def _size(value, key):
    try:
        size = int(value or 0)
    except (TypeError, ValueError):
        raise ValueFormatEx("%r is not a size in bytes" % (value,), key)
    if size < 0 or size >= 1 << 63:
        raise InvalidValueEx("%d bytes: no such size is possible" % size)
    return size
