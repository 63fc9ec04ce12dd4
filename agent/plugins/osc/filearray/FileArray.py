"""`osc.filearray.FileArray.FileArray`: a storage array that is a directory of this host, its elements sparse files.

Made with mkarray.py; docs/STOCK_PLUGINS.md tells an administrator what everything means. Nothing is kept outside the array:
what it holds is in its array.db, and who is attached is what the kernel says.
"""

import os

from OSCPlugin import (
    ABILITY_TYPES, CloneFailedEx, CreateSnapFailedEx, IPlugin, IPluginException, InvalidStorageArrayEx, InvalidValueEx,
    IStorageArrayPlugin, ListFailedEx, OperationFailedEx, RefreshFailedEx,
    SnapRestoreNotSafeEx, StorageElementBusyEx)

from . import access, blocks, copies, elements, layout, loopdev, steps
from .checks import checked_name, checked_size
from .elements import CLONE, LUN, SNAP, SNAP_CLONE, failing


class FileArray(IStorageArrayPlugin):
    """A directory as a storage array: volume groups, LUNs, snapshots, clones, access groups."""

    plugin_name = "FileArray"
    plugin_desc = "A directory of this host as a storage array"
    vendor_name = "osc"
    plugin_version = "0.1.0"
    plugin_type = "isa"
    generic_plugin = False
    required_api_vers = ["1", "2", "7"]
    storage_types = [IStorageArrayPlugin.SANStorage]
    sa_api_version = ["1", "2", "7"]
    ss_extra_info_help = "path=/absolute/directory of the array (made with mkarray.py); may be given as admin_host instead"
    se_extra_info_help = ("kept as given; the plug-in says parent=ID,parent_uuid=UUID of a snapshot, and "
                          "cloned_from=ID,cloned_from_uuid=UUID of a clone")
    # What an array on XFS can do. getCapabilities tells for each array what its file system leaves of it.
    abilities = {
        "snapshot": ABILITY_TYPES.ONLINE, "clone": ABILITY_TYPES.ONLINE, "snapclone": ABILITY_TYPES.ONLINE,
        "splitclone": ABILITY_TYPES.ONLINE, "resize": ABILITY_TYPES.ONLINE,
        "snap_is_sync": ABILITY_TYPES.YES, "clone_is_sync": ABILITY_TYPES.YES, "snapclone_is_sync": ABILITY_TYPES.YES,
        "splitclone_is_sync": ABILITY_TYPES.NO, "resize_is_sync": ABILITY_TYPES.YES,
        "custom_snap_name": ABILITY_TYPES.YES, "custom_clone_name": ABILITY_TYPES.YES,
        "require_storage_name": ABILITY_TYPES.NO, "access_control": ABILITY_TYPES.YES,
    }

    # The array

    @staticmethod
    def validate(ss_record):
        path = elements.array_path(ss_record)
        wanted = ss_record.get("storage_type")
        if wanted and wanted != IStorageArrayPlugin.SANStorage:
            raise InvalidValueEx("storage_type is %s: this plug-in serves %s" % (wanted, IStorageArrayPlugin.SANStorage))
        if not os.path.isdir(path):
            raise InvalidStorageArrayEx("%s is no directory: make the array with mkarray.py" % path)
        if not layout.is_array(path):
            raise InvalidStorageArrayEx("%s is no array (it has no %s): make it one with mkarray.py"
                                        % (path, layout.MARKER))
        with failing(InvalidStorageArrayEx, "reading the array %s" % path):
            facts = steps.facts(path)
        if facts.get("format") != layout.FORMAT:
            raise InvalidStorageArrayEx("the array %s has format %s; this plug-in knows format %s"
                                        % (path, facts.get("format"), layout.FORMAT))
        known = ss_record.get("storage_server_id")
        if known and known != facts["id"]:
            raise InvalidStorageArrayEx("%s holds the array %s, and not %s, which was registered: is the right file system "
                                        "mounted there?" % (path, facts["id"], known))
        IPlugin.checkRequired("losetup")
        return FileArray.getInfo(ss_record)

    @staticmethod
    def getCapabilities(ss_record):
        able = dict(FileArray.abilities)
        path = elements.array_of(ss_record)
        with failing(OperationFailedEx, "asking what the array %s can do" % path):
            with layout.reading(path) as db:
                groups = [row["name"] for row in db.execute("SELECT name FROM vol_group")]
            if not copies.shares_blocks(path, groups):
                able["snapshot"] = able["clone"] = ABILITY_TYPES.OFFLINE
            elif not all(blocks.unshares_in_place(os.path.join(path, group)) for group in groups):
                able["splitclone"] = ABILITY_TYPES.OFFLINE
        return able

    @staticmethod
    def getInfo(ss_record, se_record=None):
        path = elements.array_of(ss_record)
        if se_record is not None:
            return steps.fresh(path, ss_record, se_record)
        with failing(OperationFailedEx, "reading the array %s" % path):
            facts = steps.facts(path)
            groups = steps.vol_groups(path)
            real = os.statvfs(path)
        total, used, free, alloc = [sum(group[key] for group in groups)
                                    for key in ("vol_total_sz", "vol_used_sz", "vol_free_sz", "vol_alloc_sz")]
        lacking = alloc - used - real.f_bavail * real.f_frsize
        record = dict(ss_record)
        record.update(
            name=record.get("name") or facts["name"], storage_server_id=facts["id"], storage_id=[facts["id"]],
            storage_desc="FileArray %s in %s" % (facts["name"], path), total_sz=total, used_sz=used, free_sz=free,
            alloc_sz=alloc, vol_groups=groups,
            status="OK" if lacking <= 0 else
            "The file system of %s is overcommitted: it has less room than what is allocated may still need" % path)
        return record

    @staticmethod
    def discover(ss_record):
        return FileArray.getInfo(ss_record)

    @staticmethod
    def getStorageNames(ss_record):
        path = elements.array_of(ss_record)
        with failing(OperationFailedEx, "reading the array %s" % path):
            return [steps.facts(path)["name"]]

    @staticmethod
    def getStatus(ss_record, record=None):
        return FileArray.getInfo(ss_record, record)

    @staticmethod
    def start(ss_record):
        path = elements.array_of(ss_record)
        with failing(OperationFailedEx, "starting the array %s" % path):
            access.settle(path)
        return FileArray.getInfo(ss_record)

    @staticmethod
    def stop(ss_record):
        path = elements.array_of(ss_record)
        with failing(OperationFailedEx, "stopping the array %s" % path):
            with layout.reading(path) as db:
                rows = db.execute("SELECT * FROM element WHERE phase!='creating'").fetchall()
            known = loopdev.attached()
            for row in rows:
                if loopdev.devices_of(os.path.join(path, row["data"]), known):
                    with elements.held(path, row, missing_ok=True):
                        access.detach(path, row)
        return FileArray.getInfo(ss_record)

    @staticmethod
    def refresh(ss_record):
        path = elements.array_of(ss_record)
        with failing(RefreshFailedEx, "refreshing the array %s" % path):
            try:
                access.settle(path)
            except OperationFailedEx as wrong:
                raise RefreshFailedEx(str(wrong))
        return FileArray.getInfo(ss_record)

    # Elements

    @staticmethod
    def list(ss_record):
        path = elements.array_of(ss_record)
        with failing(ListFailedEx, "listing the elements of %s" % path):
            with layout.reading(path) as db:
                rows = db.execute("SELECT * FROM element WHERE phase!='creating' ORDER BY rowid").fetchall()
            view = elements.View(path, ss_record, everything=True)
            return [view.record(row) for row in rows]

    @staticmethod
    def updateSERecords(ss_record, se_records):
        path = elements.array_of(ss_record)
        with failing(ListFailedEx, "reading elements of %s" % path):
            with layout.reading(path) as db:
                rows = [elements.find(db, record) for record in se_records]
            view = elements.View(path, ss_record, everything=len(rows) > 100)
            return [view.record(row, given) for row, given in zip(rows, se_records)]

    @staticmethod
    def create(ss_record, se_record):
        path = elements.array_of(ss_record)
        if (se_record.get("se_type") or LUN) != LUN:
            raise InvalidValueEx("only elements of type %s are created; snapshots and clones have methods of their own" % LUN)
        size = checked_size(se_record.get("size"), block=layout.BLOCK)
        qos = steps.checked_qos(se_record.get("qos") or elements.DEFAULT_QOS)
        name = se_record.get("name")
        with failing(OperationFailedEx, "creating %s of %d bytes" % (name or "an element", size)):
            group = steps.vol_group_for(path, se_record)
            staged = layout.Staged(path, group)
            data, new_ids = os.path.join(path, staged.data), []
            try:
                with layout.changing(path) as db:
                    name = checked_name(name or "lun-" + staged.data[-12:-4])
                    elements.free_name(db, name)
                    elements.reserve(db, group, size, OperationFailedEx)
                    present_to = access.known(db, se_record.get("access_grp_names"))
                    os.close(blocks.create(data, size))
                    layout.sync_dir(os.path.dirname(data))
                    copies.insert(db, name=name, type=LUN, parent=None, vol_group=group, size=size, charge=size,
                                  data=staged.data, shared=0, qos=qos, new_ids=new_ids, phase="ready",
                                  extra_info=layout.native(se_record.get("extra_info") or ""))
            except BaseException:
                # The change was rolled back, and the name is nobody else's: it is ours to remove.
                if os.path.exists(data):
                    os.unlink(data)
                raise
            finally:
                staged.close()
        record = steps.fresh(path, ss_record, dict(se_record, id=new_ids[0]))
        return FileArray.startPresent(ss_record, record, present_to) if present_to else record

    @staticmethod
    def remove(ss_record, se_record):
        path = elements.array_of(ss_record)
        with failing(OperationFailedEx, "removing an element of %s" % path):
            with layout.reading(path) as db:
                row = elements.find(db, se_record)
            with elements.held(path, row, missing_ok=True):
                try:
                    steps.forget(path, row)
                except Exception as wrong:
                    if isinstance(wrong, IPluginException) or not steps.is_full(wrong):
                        raise
                    # Even the journal has no room: the spare MiB is there for this.
                    layout.drop_ballast(path)
                    steps.forget(path, row)
            try:
                os.unlink(os.path.join(path, row["data"]))
            except OSError:
                pass  # the next change sweeps it: the element is gone either way
            layout.fill_ballast(path)

    @staticmethod
    def resize(ss_record, se_record, new_size):
        path = elements.array_of(ss_record)
        size = checked_size(new_size, "new_size", block=layout.BLOCK)
        with failing(OperationFailedEx, "resizing an element of %s to %d bytes" % (path, size)):
            with layout.reading(path) as db:
                row = elements.find(db, se_record)
            with elements.held(path, row) as fd:
                with layout.changing(path) as db:
                    row = elements.same(db, row)
                    if row["type"] == SNAP:
                        raise InvalidValueEx("%s is a snapshot: its size is that of its point in time" % row["name"])
                    if row["phase"] != "ready":
                        raise StorageElementBusyEx("%s is being split from its parent: wait for that to end" % row["name"])
                    if size < row["size"]:
                        raise InvalidValueEx("%s is %d bytes large and cannot shrink to %d: elements only grow"
                                             % (row["name"], row["size"], size))
                    elements.reserve(db, row["vol_group"], size - row["size"], OperationFailedEx)
                    if size > row["size"]:
                        db.execute("UPDATE element SET size=?, charge=? WHERE id=?", (size, size, row["id"]))
                        os.ftruncate(fd, size)
                        os.fsync(fd)
                for device in loopdev.devices_of(os.path.join(path, row["data"])):
                    loopdev.take_size(device)
        return steps.fresh(path, ss_record, se_record)

    @staticmethod
    def online(ss_record, se_record):
        return steps.set_online(ss_record, se_record, True)

    @staticmethod
    def offline(ss_record, se_record):
        return steps.set_online(ss_record, se_record, False)

    @staticmethod
    def getQoSList(ss_record):
        return [dict(value) for value in elements.QOS]

    @staticmethod
    def setQoS(ss_record, record, qos):
        path, qos = elements.array_of(ss_record), steps.checked_qos(qos)
        with failing(OperationFailedEx, "setting the quality of service"):
            with layout.changing(path) as db:
                row = elements.find(db, record)
                db.execute("UPDATE element SET qos=? WHERE id=?", (qos, row["id"]))
        return steps.fresh(path, ss_record, record)

    # Snapshots and clones

    @staticmethod
    def isSnapable(ss_record, se_record):
        return steps.can_copy(ss_record, se_record, (SNAP,))

    @staticmethod
    def isCloneable(ss_record, se_record):
        return steps.can_copy(ss_record, se_record, (CLONE, SNAP_CLONE))

    @staticmethod
    def isRestorable(ss_record, se_record, snap_record):
        path = elements.array_of(ss_record)
        try:
            with failing(OperationFailedEx, "reading the array %s" % path):
                with layout.reading(path) as db:
                    steps.check_restore(db, path, elements.find(db, se_record), elements.find(db, snap_record))
        except (SnapRestoreNotSafeEx, StorageElementBusyEx, InvalidValueEx, OperationFailedEx):
            return False
        return True

    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        return steps.copied(ss_record, [se_record], [snap_name], SNAP, CreateSnapFailedEx)[0]

    @staticmethod
    def createMultiSnap(ss_record, se_records, snap_names):
        return steps.copied(ss_record, se_records, snap_names, SNAP, CreateSnapFailedEx)

    @staticmethod
    def getCurrentSnaps(ss_record, se_record):
        return steps.children(ss_record, se_record, (SNAP,))

    @staticmethod
    def getSnapLimits(ss_record, se_record):
        return steps.limits(ss_record, se_record, (SNAP,))

    @staticmethod
    def snapRestore(ss_record, se_record, snap_record):
        path = elements.array_of(ss_record)
        with failing(OperationFailedEx, "restoring an element of %s" % path):
            with layout.reading(path) as db:
                row, snap = elements.find(db, se_record), elements.find(db, snap_record)
                steps.check_restore(db, path, row, snap)
            copies.restore(path, row, snap)
        return steps.fresh(path, ss_record, se_record)

    @staticmethod
    def snapRemove(ss_record, snap_record):
        path = elements.array_of(ss_record)
        with failing(OperationFailedEx, "reading the array %s" % path):
            with layout.reading(path) as db:
                row = elements.find(db, snap_record)
        if row["type"] != SNAP:
            raise InvalidValueEx("%s is a %s, not a snapshot: use remove" % (row["name"], row["type"]))
        FileArray.remove(ss_record, snap_record)

    @staticmethod
    def clone(ss_record, se_record, clone_name):
        return steps.copied(ss_record, [se_record], [clone_name], CLONE, CloneFailedEx)[0]

    @staticmethod
    def cloneFromSnap(ss_record, snap_record, clone_name):
        return steps.copied(ss_record, [snap_record], [clone_name], SNAP_CLONE, CloneFailedEx)[0]

    @staticmethod
    def splitClone(ss_record, se_record):
        path = elements.array_of(ss_record)
        with failing(OperationFailedEx, "splitting a clone of %s" % path):
            row = copies.start_split(path, se_record)
            record = elements.View(path, ss_record).record(row, se_record)
        record["async_handle"] = "split:" + row["id"]
        return record

    @staticmethod
    def getAsyncProgress(ss_record, record):
        path = elements.array_of(ss_record)
        with failing(OperationFailedEx, "splitting a clone of %s" % path):
            row, percent = copies.step_split(path, record)
            answer = elements.View(path, ss_record).record(row, record)
        answer["async_handle"] = None if percent is None else "split:" + row["id"]
        answer["async_progress"] = percent
        return answer

    @staticmethod
    def getCurrentClones(ss_record, se_record):
        return steps.children(ss_record, se_record, (CLONE, SNAP_CLONE))

    @staticmethod
    def getCloneLimits(ss_record, se_record):
        return steps.limits(ss_record, se_record, (CLONE, SNAP_CLONE))

    # Access

    @staticmethod
    def getAccessGroups(ss_record, record=None):
        path = elements.array_of(ss_record)
        with failing(OperationFailedEx, "listing the access groups of %s" % path):
            with layout.reading(path) as db:
                groups = access.groups(db)
                if not record:
                    return groups
                names = elements.json_list(elements.find(db, record)["grps"])
                return [group for group in groups if group["grp_name"] in names]

    @staticmethod
    def createAccessGroups(ss_record, access_grps):
        return steps.change_groups(ss_record, lambda db, path: access.create(db, access_grps))

    @staticmethod
    def renameAccessGroup(ss_record, access_grp_name, new_access_grp_name):
        return steps.change_groups(ss_record, lambda db, path: access.rename(db, access_grp_name, new_access_grp_name))

    @staticmethod
    def removeAccessGroups(ss_record, access_grps):
        return steps.change_groups(ss_record, lambda db, path: access.remove(db, access_grps))

    @staticmethod
    def addToAccessGroup(ss_record, access_grp_name, grp_entries):
        return steps.change_groups(ss_record, lambda db, path: access.add_entries(db, access_grp_name, grp_entries))

    @staticmethod
    def removeFromAccessGroup(ss_record, access_grp_name, grp_entries):
        return steps.change_groups(ss_record, lambda db, path: access.remove_entries(db, path, access_grp_name, grp_entries))

    @staticmethod
    def startPresent(ss_record, record, access_grp_names):
        return steps.with_row(ss_record, record, "presenting", lambda path, row: access.start_present(path, row, access_grp_names))

    @staticmethod
    def stopPresent(ss_record, record, access_grp_names):
        return steps.with_row(ss_record, record, "unpresenting", lambda path, row: access.stop_present(path, row, access_grp_names))

    @staticmethod
    def deviceTeardown(ss_record, se_record):
        def teardown(path, row):
            with elements.held(path, row, missing_ok=True):
                access.detach(path, row)
        return steps.with_row(ss_record, se_record, "detaching", teardown)

    @staticmethod
    def deviceResize(ss_record, se_record):
        def take_size(path, row):
            for device in loopdev.devices_of(os.path.join(path, row["data"])):
                loopdev.take_size(device)
        return steps.with_row(ss_record, se_record, "resizing the device of", take_size)

    @staticmethod
    def deviceSizeRefresh(ss_record, se_record):
        return FileArray.deviceResize(ss_record, se_record)
