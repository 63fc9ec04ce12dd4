"""`osc.generic.SCSIPlugin.GenericPlugin`: any array over iSCSI or a SAN, found and used as it is.

It manages nothing on the array. What the array presents to this host becomes elements, and logging in, scanning,
removing devices and taking on sizes is what every array's base class does.
"""

from OSCPlugin import (
    ABILITY_TYPES, IPlugin, InvalidValueEx, IStorageArrayPlugin, MissingKeyEx, SE_STATES)


class GenericPlugin(IStorageArrayPlugin):
    """Any storage array: discovery and use, no management."""

    plugin_name = "Generic SCSI"
    plugin_desc = "Any storage array, used as it is found"
    vendor_name = "osc"
    plugin_version = "0.1.0"
    plugin_type = "isa"
    generic_plugin = True
    required_api_vers = ["1", "2", "7"]
    extended_api_version = ["1", "2", "9"]
    storage_types = [IStorageArrayPlugin.SANStorage, IStorageArrayPlugin.iSCSIStorage]
    sa_api_version = ["1", "2", "7"]
    ss_extra_info_help = "not used"
    se_extra_info_help = "not used"
    abilities = dict(
        [(key, ABILITY_TYPES.UNSUPPORTED) for key in (
            "snapshot", "clone", "snapclone", "splitclone", "resize", "snap_is_sync", "clone_is_sync",
            "snapclone_is_sync", "splitclone_is_sync", "resize_is_sync", "custom_snap_name", "custom_clone_name",
            "require_storage_name")],
        access_control=ABILITY_TYPES.NO)

    @staticmethod
    def validate(ss_record):
        wanted = ss_record.get("storage_type")
        if wanted and wanted not in GenericPlugin.storage_types:
            raise InvalidValueEx("storage_type is %s: this plug-in serves %s"
                                 % (wanted, " and ".join(GenericPlugin.storage_types)))
        if wanted == IStorageArrayPlugin.iSCSIStorage and not access_hosts(ss_record):
            raise MissingKeyEx("an iSCSI array needs access_host, the address of one of its portals", "access_host")
        return ss_record

    @staticmethod
    def getInfo(ss_record, se_record=None):
        if se_record is not None:
            return brought_up_to_date(se_record, units())
        visible = units()
        text = "%d logical units visible" % len(visible)
        if ss_record.get("storage_type") == IStorageArrayPlugin.iSCSIStorage:
            sessions = IPlugin.host.iscsi.sessions()
            working = [each for each in sessions if each["state"] == "LOGGED_IN"]
            text = "%d of %d sessions logged in, %s" % (len(working), len(sessions), text)
        # What it holds in all, nobody but the array knows.
        return dict(ss_record, status=text, total_sz=-1, used_sz=-1, free_sz=-1, alloc_sz=-1)

    @staticmethod
    def list(ss_record):
        return [element(ss_record, unit) for unit in units() if unit["page83_id"]]

    @staticmethod
    def updateSERecords(ss_record, se_records):
        visible = units()
        return [brought_up_to_date(se_record, visible) for se_record in se_records]

    @staticmethod
    def getStatus(ss_record, record=None):
        if record is None:
            return GenericPlugin.getInfo(ss_record)
        return brought_up_to_date(record, units())


def access_hosts(ss_record):
    """The hosts that either form of the access context names."""
    contexts = ss_record.get("access_descriptors")
    if contexts is None:
        contexts = [ss_record]
    return [context["access_host"] for context in contexts if context.get("access_host")]


def units():
    """The storage server's logical units on this host."""
    return IPlugin.host.scsi.units()


def element(ss_record, unit):
    """A logical unit as an se_record. Its identity is the only name that it has."""
    identity = unit["page83_id"]
    return dict(
        se_type=IStorageArrayPlugin.LUNType, ss_uuid=ss_record.get("uuid"), name=identity, page83_id=identity, id=identity,
        vendor=unit["vendor"], product_id=unit["product_id"], path=unit["path"], size=unit["size"],
        status="%d paths" % len(unit["paths"]), state=SE_STATES.ONLINE, access_grp_names=[])


def brought_up_to_date(se_record, visible):
    """The element as this host has it now."""
    for unit in visible:
        if unit["page83_id"] and unit["page83_id"] == se_record.get("page83_id"):
            return dict(se_record, path=unit["path"], size=unit["size"], status="%d paths" % len(unit["paths"]),
                        state=SE_STATES.ONLINE)
    return dict(se_record, path=[], status="not visible on this host", state=SE_STATES.OFFLINE)
