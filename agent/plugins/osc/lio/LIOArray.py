"""`osc.lio.LIOArray.LIOArray`: a storage array that is a Linux box with LVM thin pools, exported over iSCSI by LIO.

Here or elsewhere, over SSH with a key. docs/STOCK_PLUGINS.md tells an administrator what everything means. Nothing is kept
outside the array: what it holds is in LVM's tags, and who may use it is what LIO exports.
"""

from OSCPlugin import (
    ABILITY_TYPES, CloneFailedEx, CreateSnapFailedEx, IPluginException, InvalidStorageArrayEx, InvalidValueEx,
    IStorageArrayPlugin, ListFailedEx, OperationFailedEx, RefreshFailedEx, StorageElementBusyEx)
from osc.filearray.checks import checked_name, checked_size

from . import access, copies, elements, here, lvm, steps, target
from .elements import CLONE, LUN, SNAP, SNAP_CLONE, changing, reading, record_of
from .shell import Place, native


class LIOArray(IStorageArrayPlugin):
    """Thin pools as volume groups, thin volumes as elements, LIO's node ACLs as access groups."""

    plugin_name = "LIOArray"
    plugin_desc = "A Linux box with LVM thin pools and LIO as an iSCSI storage array"
    vendor_name = "osc"
    plugin_version = "0.1.0"
    plugin_type = "isa"
    generic_plugin = False
    required_api_vers = ["1", "2", "7"]
    extended_api_version = ["1", "2", "9"]
    storage_types = [IStorageArrayPlugin.iSCSIStorage]
    sa_api_version = ["1", "2", "7"]
    ss_extra_info_help = (
        "pool=VG/POOL[;VG/POOL...], portals=ADDRESS[;ADDRESS...], target=IQN, overcommit=FACTOR, "
        "ssh_key=/path, ssh_port=PORT, ssh_known_hosts=/path; only pool is needed")
    se_extra_info_help = ("kept as given; the plug-in says parent=ID,parent_uuid=UUID of a snapshot, and "
                          "cloned_from=ID,cloned_from_uuid=UUID of a clone")
    abilities = {
        "snapshot": ABILITY_TYPES.ONLINE, "clone": ABILITY_TYPES.ONLINE, "snapclone": ABILITY_TYPES.ONLINE,
        "splitclone": ABILITY_TYPES.OFFLINE, "resize": ABILITY_TYPES.ONLINE,
        "snap_is_sync": ABILITY_TYPES.YES, "clone_is_sync": ABILITY_TYPES.YES, "snapclone_is_sync": ABILITY_TYPES.YES,
        "splitclone_is_sync": ABILITY_TYPES.NO, "resize_is_sync": ABILITY_TYPES.YES,
        "custom_snap_name": ABILITY_TYPES.YES, "custom_clone_name": ABILITY_TYPES.YES,
        "require_storage_name": ABILITY_TYPES.NO, "access_control": ABILITY_TYPES.YES,
    }

    # The array

    @staticmethod
    def validate(ss_record):
        wanted = ss_record.get("storage_type")
        if wanted and wanted != IStorageArrayPlugin.iSCSIStorage:
            raise InvalidValueEx("storage_type is %s: this plug-in serves %s" % (wanted, IStorageArrayPlugin.iSCSIStorage))
        place = Place(ss_record)
        target.portals_of(place, ss_record)
        target.chap_of(ss_record)
        lvm.overcommit(place)
        with reading(ss_record, "looking at the array on %s" % place.host, InvalidStorageArrayEx) as array:
            array.shell.run("for c in lvs lvcreate flock find dd; do command -v $c >/dev/null || { echo \"$c is not installed\" >&2; "
                            "exit 1; }; done; [ -d %s ] || modprobe -q target_core_mod || { echo 'the kernel has no LIO "
                            "(target_core_mod)' >&2; exit 1; }" % target.ROOT)
            known = ss_record.get("storage_server_id")
            if known and native(known) != array.state.home.vg_uuid:
                raise InvalidStorageArrayEx("%s on %s is volume group %s, and not %s, which was registered" % (
                    array.state.home.vg, place.host, array.state.home.vg_uuid, known))
            return steps.server_record(array)

    @staticmethod
    def getInfo(ss_record, se_record=None):
        with reading(ss_record, "reading the array") as array:
            if se_record is not None:
                return record_of(array, elements.find(array.state, se_record), se_record)
            return steps.server_record(array)

    @staticmethod
    def discover(ss_record):
        return LIOArray.getInfo(ss_record)

    @staticmethod
    def getStorageNames(ss_record):
        with reading(ss_record, "reading the array") as array:
            return [native(array.shell.run("uname -n").strip())]

    @staticmethod
    def getStatus(ss_record, record=None):
        return LIOArray.getInfo(ss_record, record)

    @staticmethod
    def start(ss_record):
        with changing(ss_record, "starting the array") as array:
            access.follow(array, whole=True)
            record = steps.server_record(array)
            invited = here.is_here(elements.initiators(array.state, sorted(array.state.groups)))
        # A host that is in no access group has nothing here, and would be turned away.
        return IStorageArrayPlugin.start(record) if invited else record

    @staticmethod
    def refresh(ss_record):
        with changing(ss_record, "refreshing the array", RefreshFailedEx) as array:
            # What is exported already is made whole again; a target that nobody started is left alone.
            access.follow(array, whole=array.lio.exists)
        if here.logged_in():
            IStorageArrayPlugin.refresh(ss_record)

    # Elements

    @staticmethod
    def list(ss_record):
        with reading(ss_record, "listing the elements of the array", ListFailedEx) as array:
            return [record_of(array, one) for one in array.state.elements]

    @staticmethod
    def updateSERecords(ss_record, se_records):
        with reading(ss_record, "reading elements of the array", ListFailedEx) as array:
            return [record_of(array, elements.find(array.state, record), record) for record in se_records]

    @staticmethod
    def create(ss_record, se_record):
        if (se_record.get("se_type") or LUN) != LUN:
            raise InvalidValueEx("only elements of type %s are created; snapshots and clones have methods of their own" % LUN)
        size = checked_size(se_record.get("size"))
        if se_record.get("qos"):
            raise InvalidValueEx("the array has no qualities of service")
        facts = elements.new_ids()
        name = checked_name(se_record.get("name") or "lun-" + facts["id"][-8:])
        with changing(ss_record, "creating %s of %d bytes" % (name, size)) as array:
            pool = elements.pool_for(array.state, se_record)
            elements.free_name(array.state, name)
            present_to = access.known(array.state, se_record.get("access_grp_names") or [])
            size = lvm.rounded(pool, size)
            lvm.reserve(array.place, pool, size, OperationFailedEx)
            place = None
            facts.update(name=name, type=LUN, used=0, info=native(se_record.get("extra_info") or ""))
            array.do("lvcreate -qq -y -an -ky -V %db --thinpool %s -n %s %s %s" % (
                size, pool.lv, elements.volume_name(facts["id"]), lvm.tag_words(lvm.fact_tags(facts)), pool.vg))
            volume = elements.find(array.state, facts)
            if present_to:
                try:
                    access.start_present(array, volume, present_to)
                except Exception:
                    array.do("lvremove -y -qq %s" % volume.full)
                    raise
                volume = elements.find(array.state, facts)
                place = steps.shown_here(array, volume)
            answer = record_of(array, volume, dict(se_record, id=volume.id))
        return dict(answer, path=here.attach(*place)) if place else answer

    @staticmethod
    def remove(ss_record, se_record):
        with changing(ss_record, "removing an element") as array:
            volume = elements.find(array.state, se_record)
            kin = array.state.children(volume)
            if kin:
                raise StorageElementBusyEx("%s cannot be removed: %d snapshots or clones depend on it (%s%s). Remove or split "
                                           "them first" % (volume.name, len(kin), ", ".join(child.name for child in kin[:3]),
                                                           ", ..." if kin[3:] else ""))
            if volume.to:
                raise StorageElementBusyEx("%s cannot be removed: it is presented to %s. Stop presenting it first"
                                           % (volume.name, ", ".join(volume.to)))
            if volume.phase == "splitting":
                raise StorageElementBusyEx("%s is being split from its parent: wait for that to end" % volume.name)
            array.shell.run("lvremove -y -qq %s" % volume.full)

    @staticmethod
    def resize(ss_record, se_record, new_size):
        size = checked_size(new_size, "new_size")
        with changing(ss_record, "resizing an element to %d bytes" % size) as array:
            volume = elements.find(array.state, se_record)
            size = lvm.rounded(volume.pool, size)
            if volume.type == SNAP:
                raise InvalidValueEx("%s is a snapshot: its size is that of its point in time" % volume.name)
            if volume.phase == "splitting":
                raise StorageElementBusyEx("%s is being split from its parent: wait for that to end" % volume.name)
            if size < volume.size:
                raise InvalidValueEx("%s is %d bytes large and cannot shrink to %d: elements only grow"
                                     % (volume.name, volume.size, size))
            if size > volume.size:
                lvm.reserve(array.place, volume.pool, size - volume.size, OperationFailedEx)
                array.do("lvextend -qq -L %db %s" % (size, volume.full))
            answer = record_of(array, elements.find(array.state, se_record), se_record)
        # This host's own devices take it on at once; of other hosts the array knows nothing.
        return dict(answer, path=here.grow(answer["page83_id"])) if answer["path"] else answer

    @staticmethod
    def online(ss_record, se_record):
        with changing(ss_record, "bringing an element online") as array:
            volume = elements.find(array.state, se_record)
            if volume.phase == "splitting":
                raise StorageElementBusyEx("%s is being split from its parent: splitClone again continues that" % volume.name)
            if volume.offline:
                array.do("lvchange -qq --deltag osc.offline=1 %s" % volume.full)
            return record_of(array, elements.find(array.state, se_record), se_record)

    @staticmethod
    def offline(ss_record, se_record):
        with changing(ss_record, "taking an element offline") as array:
            volume = elements.find(array.state, se_record)
            if volume.to:
                raise StorageElementBusyEx("%s is presented to %s: stop presenting it first" % (volume.name, ", ".join(volume.to)))
            if not volume.offline:
                array.do("lvchange -qq --addtag osc.offline=1 %s" % volume.full)
            return record_of(array, elements.find(array.state, se_record), se_record)

    # Snapshots and clones

    @staticmethod
    def isSnapable(ss_record, se_record):
        return steps.copyable(ss_record, se_record, (SNAP,))

    @staticmethod
    def isCloneable(ss_record, se_record):
        return steps.copyable(ss_record, se_record, (CLONE, SNAP_CLONE))

    @staticmethod
    def isRestorable(ss_record, se_record, snap_record):
        with reading(ss_record, "reading the array") as array:
            try:
                copies.check_restore(array, elements.find(array.state, se_record), elements.find(array.state, snap_record))
            except IPluginException:
                return False
        return True

    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        return steps.copied(ss_record, [se_record], [snap_name], SNAP, CreateSnapFailedEx)[0]

    @staticmethod
    def createMultiSnap(ss_record, se_records, snap_names):
        return steps.copied(ss_record, se_records, snap_names, SNAP, CreateSnapFailedEx)

    @staticmethod
    def clone(ss_record, se_record, clone_name):
        return steps.copied(ss_record, [se_record], [clone_name], CLONE, CloneFailedEx)[0]

    @staticmethod
    def cloneFromSnap(ss_record, snap_record, clone_name):
        return steps.copied(ss_record, [snap_record], [clone_name], SNAP_CLONE, CloneFailedEx)[0]

    @staticmethod
    def getCurrentSnaps(ss_record, se_record):
        return steps.children(ss_record, se_record, (SNAP,))

    @staticmethod
    def getCurrentClones(ss_record, se_record):
        return steps.children(ss_record, se_record, (CLONE, SNAP_CLONE))

    @staticmethod
    def getSnapLimits(ss_record, se_record):
        return steps.limits(ss_record, se_record, (SNAP,))

    @staticmethod
    def getCloneLimits(ss_record, se_record):
        return steps.limits(ss_record, se_record, (CLONE, SNAP_CLONE))

    @staticmethod
    def snapRestore(ss_record, se_record, snap_record):
        with changing(ss_record, "restoring an element") as array:
            copies.restore(array, elements.find(array.state, se_record), elements.find(array.state, snap_record))
            return record_of(array, elements.find(array.state, se_record), se_record)

    @staticmethod
    def snapRemove(ss_record, snap_record):
        with reading(ss_record, "removing a snapshot") as array:
            snap = elements.find(array.state, snap_record)
        if snap.type != SNAP:
            raise InvalidValueEx("%s is a %s, not a snapshot: use remove" % (snap.name, snap.type))
        LIOArray.remove(ss_record, snap_record)

    @staticmethod
    def splitClone(ss_record, se_record):
        with changing(ss_record, "splitting a clone") as array:
            volume = copies.start_split(array, se_record)
            record = record_of(array, volume, se_record)
        record["async_handle"] = copies.handle(volume, 0)
        return record

    @staticmethod
    def getAsyncProgress(ss_record, record):
        with reading(ss_record, "splitting a clone") as array:
            volume, at = copies.step_split(array, record)
            answer = record_of(array, volume, record)
        if at is not None and at >= volume.size:
            with changing(ss_record, "splitting a clone") as array:
                volume, at = copies.end_split(array, record), None
                answer = record_of(array, volume, record)
        answer["async_handle"] = None if at is None else copies.handle(volume, at)
        answer["async_progress"] = None if at is None else min(99, at * 100 // volume.size)
        return answer

    # Access

    @staticmethod
    def getAccessGroups(ss_record, record=None):
        with reading(ss_record, "listing the access groups") as array:
            groups = access.groups(array.state)
            if not record:
                return groups
            names = elements.find(array.state, record).to
            return [group for group in groups if group["grp_name"] in names]

    @staticmethod
    def createAccessGroups(ss_record, access_grps):
        return steps.regroup(ss_record, access.create, access_grps)

    @staticmethod
    def renameAccessGroup(ss_record, access_grp_name, new_access_grp_name):
        return steps.regroup(ss_record, access.rename, access_grp_name, new_access_grp_name)

    @staticmethod
    def removeAccessGroups(ss_record, access_grps):
        return steps.regroup(ss_record, access.remove, access_grps)

    @staticmethod
    def addToAccessGroup(ss_record, access_grp_name, grp_entries):
        return steps.regroup(ss_record, access.add_entries, access_grp_name, grp_entries)

    @staticmethod
    def removeFromAccessGroup(ss_record, access_grp_name, grp_entries):
        return steps.regroup(ss_record, access.remove_entries, access_grp_name, grp_entries)

    @staticmethod
    def startPresent(ss_record, record, access_grp_names):
        if not access_grp_names:
            here.check_attaches()
        with changing(ss_record, "presenting an element") as array:
            access.start_present(array, elements.find(array.state, record), access_grp_names)
            volume = elements.find(array.state, record)
            answer, place = record_of(array, volume, record), steps.shown_here(array, volume, always=not access_grp_names)
        return dict(answer, path=here.attach(*place)) if place else answer

    @staticmethod
    def stopPresent(ss_record, record, access_grp_names):
        with reading(ss_record, "unpresenting an element") as array:
            volume = elements.find(array.state, record)
            left = access.groups_left(array.state, volume, access_grp_names)
            leaves = here.is_here(elements.initiators(array.state, volume.to)) and not here.is_here(
                elements.initiators(array.state, left))
        if leaves:
            # Before the array takes it away: what is in use stays as it is.
            here.detach(elements.page83_of(volume.uuid))
        with changing(ss_record, "unpresenting an element") as array:
            access.stop_present(array, elements.find(array.state, record), access_grp_names)
            return record_of(array, elements.find(array.state, record), record)
