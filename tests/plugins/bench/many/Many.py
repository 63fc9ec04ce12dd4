"""Lists `count` made-up elements of about 1 KiB; `changes` names a file with lines of a version and how many elements have it; later lines count.

`hang` names a file: while it exists, listing never ends. A snapshot takes `snap_seconds`.
"""

import os
import time
import uuid

from OSCPlugin import IPlugin, IStorageArrayPlugin

NAMESPACE = uuid.UUID("8c9f2e2c-8d3b-4c55-9a53-0a4f3f1c7d10")


def settings(ss_record):
    return IPlugin.__get_key_value_pairs__(ss_record.get("extra_info") or "")


class Many(IStorageArrayPlugin):
    """See the module."""

    plugin_name = "Made-up elements"
    plugin_desc = "Lists elements that do not exist, for measuring"
    vendor_name = "bench"
    plugin_version = "1.0.0"
    plugin_type = "isa"
    generic_plugin = False
    required_api_vers = ["1", "2", "7"]
    storage_types = [IStorageArrayPlugin.SANStorage]
    sa_api_version = ["1", "2", "7"]
    ss_extra_info_help = "count=<elements>,changes=<file>,hang=<file>,snap_seconds=<seconds>"
    se_extra_info_help = ""
    abilities = {
        "snapshot": IPlugin.ABILITY_TYPES.ONLINE,
        "clone": IPlugin.ABILITY_TYPES.UNSUPPORTED,
        "snapclone": IPlugin.ABILITY_TYPES.UNSUPPORTED,
        "splitclone": IPlugin.ABILITY_TYPES.UNSUPPORTED,
        "resize": IPlugin.ABILITY_TYPES.UNSUPPORTED,
        "snap_is_sync": IPlugin.ABILITY_TYPES.YES,
        "custom_snap_name": IPlugin.ABILITY_TYPES.YES,
        "custom_clone_name": IPlugin.ABILITY_TYPES.NO,
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
        ss_record["status"] = "OK"
        ss_record["storage_desc"] = "Made-up elements"
        return ss_record

    @staticmethod
    def list(ss_record):
        told = settings(ss_record)
        while told.get("hang") and os.path.exists(told["hang"]):
            time.sleep(0.1)
        versions = [0] * int(told["count"])
        if told.get("changes") and os.path.exists(told["changes"]):
            with open(told["changes"]) as file:
                for line in file:
                    version, changed = [int(word) for word in line.split()]
                    versions[:changed] = [version] * changed
        return [Many.element(ss_record, index, version) for index, version in enumerate(versions)]

    @staticmethod
    def element(ss_record, index, version):
        """Element `index`, whose size says its version."""
        name = "element-%05d" % index
        own = str(uuid.uuid5(NAMESPACE, name))
        return {
            "se_type": "LUN", "ss_uuid": ss_record["uuid"], "name": name, "uuid": own,
            "page83_id": "3600" + own.replace("-", "")[:29], "id": str(index), "vendor": "BENCH", "product_id": "MANY",
            "path": [], "array_path": "/vol/bench/" + name, "size": 1073741824 + 512 * version, "status": "OK",
            "vol_group_name": "bench", "access_grp_names": [], "qos": "", "state": IPlugin.SE_STATES.ONLINE,
            "extra_info": "made-up=" + "x" * 560,
        }

    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        time.sleep(float(settings(ss_record).get("snap_seconds", 0)))
        snap = dict(se_record)
        snap.update(name=snap_name, uuid=str(uuid.uuid5(NAMESPACE, "%s@%s" % (se_record["name"], snap_name))),
                    se_type="Snap", id="%s@%s" % (se_record["id"], snap_name))
        snap["page83_id"] = "3600" + snap["uuid"].replace("-", "")[:29]
        return snap
