"""A storage array with every method of the API."""

import uuid

from OSCPlugin import SE_STATES, IStorageArrayPlugin

from .Common import ABILITIES, Common
from .Strings import play

NAMESPACE = uuid.UUID("2a0e5bd0-0c39-4f70-93c2-6a1d9e0b7c55")


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


class Array(Common, IStorageArrayPlugin):
    plugin_type = "isa"
    storage_types = [IStorageArrayPlugin.SANStorage, IStorageArrayPlugin.iSCSIStorage]
    sa_api_version = ["1", "2", "7"]
    se_extra_info_help = ""

    @staticmethod
    def getCapabilities(ss_record):
        return play(locals(), ABILITIES)

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
