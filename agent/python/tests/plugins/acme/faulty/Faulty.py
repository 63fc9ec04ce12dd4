"""Everything that can be wrong with a class."""
from OSCPlugin import ABILITY_TYPES, IFileSystemPlugin, IStorageArrayPlugin


class Faulty(IStorageArrayPlugin):
    plugin_name = 5
    plugin_desc = object()
    plugin_type = "ifs"
    storage_types = ["SAN", "tape"]
    abilities = {"snapshot": True, "clone": ABILITY_TYPES.YES, "snap_is_sync": True, "resize": 42, "teleport": 1,
                 "splitclone": ABILITY_TYPES.INVALID}

    @staticmethod
    def validate(one, two, three):
        return None

    getInfo = "a string"

    def createSnap(self, ss_record, se_record, snap_name):
        return None


class Listed(IFileSystemPlugin):
    plugin_name = "Listed under the wrong kind"
