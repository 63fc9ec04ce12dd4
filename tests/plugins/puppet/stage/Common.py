"""What both kinds of plug-in have, with every method that they share."""

from OSCPlugin import ABILITY_TYPES

from .Strings import play

ABILITIES = dict(
    snapshot=ABILITY_TYPES.ONLINE, clone=ABILITY_TYPES.ONLINE, snapclone=ABILITY_TYPES.ONLINE,
    splitclone=ABILITY_TYPES.ONLINE, resize=ABILITY_TYPES.ONLINE, snap_is_sync=ABILITY_TYPES.YES,
    clone_is_sync=ABILITY_TYPES.YES, snapclone_is_sync=ABILITY_TYPES.YES, splitclone_is_sync=ABILITY_TYPES.YES,
    resize_is_sync=ABILITY_TYPES.YES, custom_snap_name=ABILITY_TYPES.YES, custom_clone_name=ABILITY_TYPES.YES,
    require_storage_name=ABILITY_TYPES.NO, access_control=ABILITY_TYPES.YES)


def groups():
    return [{"grp_name": "hosts", "grp_entries": ["iqn.2010-01.org:a"], "grp_modes": ["rw"]}]


class Common(object):
    plugin_name = "Puppet"
    plugin_desc = "For tests"
    vendor_name = "puppet"
    plugin_version = "1.0.0"
    generic_plugin = False
    required_api_vers = ["1", "2", "7"]
    ss_extra_info_help = "a directory"
    abilities = ABILITIES

    @staticmethod
    def validate(ss_record):
        return play(locals(), ss_record)

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
