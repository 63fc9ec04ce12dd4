"""A storage array with every method of the API."""

import uuid

from OSCPlugin import ABILITY_TYPES, SE_STATES, IStorageArrayPlugin

from .Strings import play

NAMESPACE = uuid.UUID("2a0e5bd0-0c39-4f70-93c2-6a1d9e0b7c55")
ABILITIES = dict(
    snapshot=ABILITY_TYPES.ONLINE, clone=ABILITY_TYPES.ONLINE, snapclone=ABILITY_TYPES.ONLINE,
    splitclone=ABILITY_TYPES.ONLINE, resize=ABILITY_TYPES.ONLINE, snap_is_sync=ABILITY_TYPES.YES,
    clone_is_sync=ABILITY_TYPES.YES, snapclone_is_sync=ABILITY_TYPES.YES, splitclone_is_sync=ABILITY_TYPES.YES,
    resize_is_sync=ABILITY_TYPES.YES, custom_snap_name=ABILITY_TYPES.YES, custom_clone_name=ABILITY_TYPES.YES,
    require_storage_name=ABILITY_TYPES.NO, access_control=ABILITY_TYPES.YES)


def element(ss_record, name, **more):
    own = str(uuid.uuid5(NAMESPACE, str(name)))
    record = {
        "se_type": "LUN", "ss_uuid": ss_record["uuid"], "name": name, "uuid": own, "page83_id": "36" + own[:8],
        "id": name, "vendor": "puppet", "product_id": "p", "path": ["/dev/none"], "array_path": "/a/%s" % name,
        "size": 1048576, "status": "OK", "vol_group_name": "vg", "access_grp_names": ["hosts"], "qos": "gold",
        "state": SE_STATES.ONLINE, "extra_info": "x=%s" % name,
    }
    record.update(more)
    return record


def elements(ss_record):
    kinds = [("lun", "LUN"), ("lun2", "LUN"), ("snap", "Snap"), ("clone", "Clone")]
    return [element(ss_record, name, se_type=kind) for name, kind in kinds]


def groups():
    return [{"grp_name": "hosts", "grp_entries": ["iqn.2010-01.org:a"], "grp_modes": ["rw"]}]


class Array(IStorageArrayPlugin):
    plugin_name = "Puppet"
    plugin_desc = "For tests"
    vendor_name = "puppet"
    plugin_version = "1.0.0"
    plugin_type = "isa"
    generic_plugin = False
    required_api_vers = ["1", "2", "7"]
    ss_extra_info_help = "a directory"
    storage_types = [IStorageArrayPlugin.SANStorage, IStorageArrayPlugin.iSCSIStorage]
    sa_api_version = ["1", "2", "7"]
    se_extra_info_help = ""
    abilities = ABILITIES

    @staticmethod
    def validate(ss_record):
        return play(locals(), ss_record)

    @staticmethod
    def getCapabilities(ss_record):
        return play(locals(), ABILITIES)

    @staticmethod
    def getStorageNames(ss_record):
        return play(locals(), ["left", "right"])

    @staticmethod
    def getAccessGroups(ss_record, record=None):
        return play(locals(), groups())

    @staticmethod
    def createAccessGroups(ss_record, access_grps):
        return play(locals(), groups())

    @staticmethod
    def renameAccessGroup(ss_record, access_grp_name, new_access_grp_name):
        return play(locals(), groups())

    @staticmethod
    def removeAccessGroups(ss_record, access_grps):
        return play(locals(), groups())

    @staticmethod
    def addToAccessGroup(ss_record, access_grp_name, grp_entries):
        return play(locals(), groups())

    @staticmethod
    def removeFromAccessGroup(ss_record, access_grp_name, grp_entries):
        return play(locals(), groups())

    @staticmethod
    def getStatus(ss_record, record=None):
        return play(locals(), ss_record if record is None else record)

    @staticmethod
    def getQoSList(ss_record):
        return play(locals(), [{"priority": 0, "value": "gold", "description": "Fast"}])

    @staticmethod
    def setQoS(ss_record, record, qos):
        return play(locals(), record)

    @staticmethod
    def start(ss_record):
        return play(locals(), ss_record)

    @staticmethod
    def stop(ss_record):
        return play(locals(), ss_record)

    @staticmethod
    def refresh(ss_record):
        return play(locals())

    @staticmethod
    def getAsyncProgress(ss_record, record):
        return play(locals(), record)

    @staticmethod
    def startPresent(ss_record, record, access_grp_names):
        return play(locals(), record)

    @staticmethod
    def stopPresent(ss_record, record, access_grp_names):
        return play(locals(), record)

    @staticmethod
    def getInfo(ss_record, se_record=None):
        return play(locals(), dict(ss_record, status="OK", storage_desc="A puppet") if se_record is None else se_record)

    @staticmethod
    def discover(ss_record):
        return play(locals(), ss_record)

    @staticmethod
    def list(ss_record):
        return play(locals(), elements(ss_record))

    @staticmethod
    def updateSERecords(ss_record, se_records):
        return play(locals(), se_records)

    @staticmethod
    def create(ss_record, se_record):
        return play(locals(), dict(element(ss_record, se_record["name"]), size=se_record["size"]))

    @staticmethod
    def remove(ss_record, se_record):
        return play(locals())

    @staticmethod
    def resize(ss_record, se_record, new_size):
        return play(locals(), se_record)

    @staticmethod
    def online(ss_record, se_record):
        return play(locals(), se_record)

    @staticmethod
    def offline(ss_record, se_record):
        return play(locals(), se_record)

    @staticmethod
    def isSnapable(ss_record, se_record):
        return play(locals(), True)

    @staticmethod
    def isCloneable(ss_record, se_record):
        return play(locals(), True)

    @staticmethod
    def isRestorable(ss_record, se_record, snap_record):
        return play(locals(), True)

    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        return play(locals(), element(ss_record, snap_name, se_type="Snap"))

    @staticmethod
    def createMultiSnap(ss_record, se_records, snap_names):
        return play(locals(), [element(ss_record, name, se_type="Snap") for name in snap_names])

    @staticmethod
    def getCurrentSnaps(ss_record, se_record):
        return play(locals(), [element(ss_record, "snap", se_type="Snap")])

    @staticmethod
    def getSnapLimits(ss_record, se_record):
        return play(locals(), {"max": 8, "current": 1})

    @staticmethod
    def snapRestore(ss_record, se_record, snap_record):
        return play(locals(), se_record)

    @staticmethod
    def snapRemove(ss_record, snap_record):
        return play(locals())

    @staticmethod
    def clone(ss_record, se_record, clone_name):
        return play(locals(), element(ss_record, clone_name, se_type="Clone"))

    @staticmethod
    def cloneFromSnap(ss_record, snap_record, clone_name):
        return play(locals(), element(ss_record, clone_name, se_type="SnapClone"))

    @staticmethod
    def splitClone(ss_record, se_record):
        return play(locals(), se_record)

    @staticmethod
    def getCurrentClones(ss_record, se_record):
        return play(locals(), [element(ss_record, "clone", se_type="Clone")])

    @staticmethod
    def getCloneLimits(ss_record, se_record):
        return play(locals(), {"max": 8, "current": 1})

    @staticmethod
    def deviceTeardown(ss_record, se_record):
        return play(locals(), se_record)

    @staticmethod
    def deviceResize(ss_record, se_record):
        return play(locals(), se_record)

    @staticmethod
    def deviceSizeRefresh(ss_record, se_record):
        return play(locals(), se_record)


class Portals(Array):
    """Reads Form 2 of the access context."""

    extended_api_version = ["1", "2", "9"]


class NewerPortals(Array):
    """The same, of a later version."""

    extended_api_version = ["1", "3", "0"]
