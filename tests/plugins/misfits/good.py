"""Does everything right: what each misfit derives from, and the plug-in that must be served throughout."""

import uuid

from OSCPlugin import IPlugin, IStorageArrayPlugin

NAMESPACE = uuid.UUID("0d9c3a52-4a51-4f25-8a4c-6e1f2b9d7c11")


def element(ss_record, name, **more):
    """A complete record of the element of that name."""
    own = str(uuid.uuid5(NAMESPACE, name))
    record = {
        "se_type": "LUN", "ss_uuid": ss_record["uuid"], "name": name, "uuid": own,
        "page83_id": "3600" + own.replace("-", "")[:29], "id": name, "size": 1048576, "status": "OK",
        "access_grp_names": [], "state": IPlugin.SE_STATES.ONLINE,
    }
    record.update(more)
    return record


class Good(IStorageArrayPlugin):
    """Two elements that never change."""

    plugin_name = "Misfit"
    plugin_desc = "For tests"
    vendor_name = "misfits"
    plugin_version = "1.0.0"
    plugin_type = "isa"
    generic_plugin = False
    required_api_vers = ["1", "2", "7"]
    storage_types = [IStorageArrayPlugin.SANStorage]
    sa_api_version = ["1", "2", "7"]
    ss_extra_info_help = ""
    se_extra_info_help = ""
    abilities = {
        "snapshot": IPlugin.ABILITY_TYPES.ONLINE,
        "clone": IPlugin.ABILITY_TYPES.UNSUPPORTED,
        "snapclone": IPlugin.ABILITY_TYPES.UNSUPPORTED,
        "splitclone": IPlugin.ABILITY_TYPES.UNSUPPORTED,
        "resize": IPlugin.ABILITY_TYPES.UNSUPPORTED,
        "snap_is_sync": IPlugin.ABILITY_TYPES.YES,
        "custom_snap_name": IPlugin.ABILITY_TYPES.YES,
        "require_storage_name": IPlugin.ABILITY_TYPES.NO,
        "access_control": IPlugin.ABILITY_TYPES.NO,
    }

    @staticmethod
    def validate(ss_record):
        return ss_record

    @staticmethod
    def getInfo(ss_record, se_record=None):
        if se_record is not None:
            return se_record
        ss_record.update(status="OK", storage_desc="For tests")
        return ss_record

    @staticmethod
    def list(ss_record):
        return [element(ss_record, "one"), element(ss_record, "two")]

    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        return element(ss_record, snap_name, se_type="Snap", parent_id=se_record["id"])
