"""`IPlugin`: what storage array and file system plug-ins have in common.

Every method of the API is here or in one of the two classes below it, with its parameters under their own names; what
a plug-in does not override says so with NoSuchOperationEx, unless there is an answer that is right for everybody.
Records are dicts; a method returns the whole updated record unless its first line says otherwise.
"""
from . import _enums, _errors, _helpers
from ._cache import Cache
from ._errors import NoSuchOperationEx
from ._host import Host
from ._link import context
from ._log import make_logger


class of_class(staticmethod):
    """A static method that is told which class it was called on; that class is no parameter of the API's."""

    def __init__(self, function):
        staticmethod.__init__(self, function)
        self.function = function

    def __get__(self, instance, owner=None):
        function = self.function

        def bound(*args, **kwargs):
            # A plug-in that asks its base class means itself: only the call knows which class that is.
            asked = owner if owner.__module__.partition(".")[0] != "OSCPlugin" else context.plugin or owner
            return function(asked, *args, **kwargs)

        bound.__name__ = function.__name__
        bound.__doc__ = function.__doc__
        return bound


def unsupported(method):
    """The exception for a method that the plug-in has not got."""
    return NoSuchOperationEx("the plug-in does not implement %s" % method)


ABILITIES = (
    # key, its enumeration, the values it may take
    ("snapshot", "ABILITY_TYPES", ("UNSUPPORTED", "OFFLINE", "ONLINE")),
    ("clone", "ABILITY_TYPES", ("UNSUPPORTED", "OFFLINE", "ONLINE")),
    ("snapclone", "ABILITY_TYPES", ("UNSUPPORTED", "OFFLINE", "ONLINE")),
    ("splitclone", "ABILITY_TYPES", ("UNSUPPORTED", "OFFLINE", "ONLINE")),
    ("resize", "ABILITY_TYPES", ("UNSUPPORTED", "OFFLINE", "ONLINE")),
    ("snap_is_sync", "ABILITY_TYPES", ("YES", "NO", "UNSUPPORTED")),
    ("clone_is_sync", "ABILITY_TYPES", ("YES", "NO", "UNSUPPORTED")),
    ("snapclone_is_sync", "ABILITY_TYPES", ("YES", "NO", "UNSUPPORTED")),
    ("splitclone_is_sync", "ABILITY_TYPES", ("YES", "NO", "UNSUPPORTED")),
    ("resize_is_sync", "ABILITY_TYPES", ("YES", "NO", "UNSUPPORTED")),
    ("custom_snap_name", "ABILITY_TYPES", ("YES", "NO", "UNSUPPORTED")),
    ("custom_clone_name", "ABILITY_TYPES", ("YES", "NO", "UNSUPPORTED")),
    ("require_storage_name", "ABILITY_TYPES", ("YES", "NO", "UNSUPPORTED")),
    ("access_control", "ABILITY_TYPES", ("YES", "NO", "UNSUPPORTED")),
    ("splitclone_while_open", "ABILITY_TYPES", ("YES", "NO", "UNSUPPORTED")),
    ("backing_device_type", "BACKING_DEVICE_TYPES",
     ("UNSUPPORTED", "DEVICE_SINGLE", "DEVICE_MULTI", "PLUGIN_SINGLE", "PLUGIN_MULTI")),
)
"""Every key of the ability dict; one that a plug-in leaves out is UNSUPPORTED."""


def abilities_of(cls):
    """The class's ability dict, under whichever of its two names the class nearest to it declares."""
    for base in cls.__mro__:
        for name in ("abilities", "ability"):
            if isinstance(base.__dict__.get(name), dict):
                return base.__dict__[name]
    return {}


ATTRIBUTES = {
    # name, expected type, whether a plug-in has to set it
    "both": (
        ("plugin_name", "text", True), ("plugin_desc", "text", True), ("vendor_name", "text", True),
        ("plugin_version", "text", True), ("plugin_type", "text", True), ("generic_plugin", "bool", False),
        ("plugin_api_version", "list", False), ("required_api_vers", "list", True),
        ("extended_api_version", "list", False), ("ss_extra_info_help", "text", False),
    ),
    "isa": (
        ("storage_types", "list", True), ("sa_api_version", "any", False), ("se_extra_info_help", "text", False),
    ),
    "ifs": (
        ("filesys_type", "text", True), ("filesys_name", "text", True), ("fs_api_version", "any", False),
        ("cluster_required", "bool", False), ("fs_extra_info_help", "text", False),
        ("file_extra_info_help", "text", False),
    ),
}
"""The class attributes by kind of plug-in."""


class IPlugin(object):
    """The base of every plug-in; inherit from IStorageArrayPlugin or IFileSystemPlugin instead."""

    plugin_api_version = ["1", "2", "7"]
    plugin_name = None
    plugin_desc = None
    vendor_name = None
    plugin_version = None
    plugin_type = None
    generic_plugin = False
    required_api_vers = None
    # Unset means that the plug-in takes Form 1 of the access context alone ("Access context", Form 2).
    extended_api_version = None
    ss_extra_info_help = ""
    abilities = None
    ability = None

    logger = make_logger()
    cache = Cache()
    host = Host()

    def __new__(cls, *args, **kwargs):
        raise TypeError("%s is never instantiated: call its static methods on the class" % cls.__name__)

    # Helpers

    @staticmethod
    def getTemporaryFile(mode="w+b", bufsize=-1, suffix="", prefix="tmpfil", directory=None):
        """An open file without a name in the call's private directory; it is gone when closed."""
        return _helpers.temporary_file(mode, bufsize, suffix, prefix, directory)

    @staticmethod
    def getNamedTemporaryFile(mode="w+b", bufsize=-1, suffix="", prefix="tmpfil", directory=None, delete=True):
        """An open file with a `name` in the call's private directory, which goes away when the call ends."""
        return _helpers.named_temporary_file(mode, bufsize, suffix, prefix, directory, delete)

    @staticmethod
    def copy(src, dst):
        """Copies a file or block device and syncs it; holes stay holes. Raises OperationFailedEx."""
        _helpers.copy(src, dst)

    @staticmethod
    def checkRequired(*commands):
        """Raises OperationPreReqNotMetEx naming every one of `commands` that this host has not got."""
        _helpers.check_required(commands)

    @staticmethod
    def __get_key_value_pairs__(pairs):
        """`"a=b,c=d"` as a dict. Raises ValueFormatEx."""
        return _helpers.get_key_value_pairs(pairs)

    @staticmethod
    def __set_key_value_pairs__(pairs):
        """A dict as `"a=b,c=d"`, sorted by key. Raises ValueFormatEx."""
        return _helpers.set_key_value_pairs(pairs)

    # About the plug-in

    @of_class
    def getPluginInfo(cls):
        """The class attributes and abilities, as a dict."""
        names = [name for name, _, _ in ATTRIBUTES["both"] + ATTRIBUTES.get(cls.plugin_type, ())]
        info = dict((name, getattr(cls, name, None)) for name in names)
        info["abilities"] = dict(abilities_of(cls))
        return info

    @of_class
    def getPluginType(cls):
        """"isa" or "ifs"."""
        return cls.plugin_type

    @of_class
    def getCapabilities(cls, ss_record):
        """The ability dict for one storage server; it overrides the class's."""
        return dict(abilities_of(cls))

    # The storage server

    @staticmethod
    def validate(ss_record):
        """Checks the record, if need be against the storage server, and returns it completed."""
        raise unsupported("validate")

    @staticmethod
    def getStorageNames(ss_record):
        """The storage names to choose from, a list of strings."""
        return []

    @staticmethod
    def getStatus(ss_record, record=None):
        """The given record, or the storage server's, with its `status` and `state` brought up to date."""
        return ss_record if record is None else record

    @staticmethod
    def start(ss_record):
        """Makes the storage server usable on this host (logs in, starts services)."""
        return ss_record

    @staticmethod
    def stop(ss_record):
        """Undoes `start`."""
        return ss_record

    @staticmethod
    def refresh(ss_record):
        """Makes this host see what the storage server presents now."""
        return ss_record

    @staticmethod
    def getAsyncProgress(ss_record, record):
        """The record with `async_progress`: -1 unknown, 0 to 100, None once the operation has completed."""
        raise unsupported("getAsyncProgress")

    # Access groups

    @staticmethod
    def getAccessGroups(ss_record, record=None):
        """The access_grp dicts of the storage server, or those of one element or file system."""
        return (ss_record or {}).get("access_grps") or []

    @staticmethod
    def createAccessGroups(ss_record, access_grps):
        """Creates access groups; returns the list of all access_grp dicts."""
        raise unsupported("createAccessGroups")

    @staticmethod
    def renameAccessGroup(ss_record, access_grp_name, new_access_grp_name):
        """Renames an access group; returns the list of all access_grp dicts."""
        raise unsupported("renameAccessGroup")

    @staticmethod
    def removeAccessGroups(ss_record, access_grps):
        """Removes access groups; returns the list of those that remain."""
        raise unsupported("removeAccessGroups")

    @staticmethod
    def addToAccessGroup(ss_record, access_grp_name, grp_entries):
        """Adds initiators, port WWNs or hosts to an access group; returns the list of all access_grp dicts."""
        raise unsupported("addToAccessGroup")

    @staticmethod
    def removeFromAccessGroup(ss_record, access_grp_name, grp_entries):
        """Removes entries from an access group; returns the list of all access_grp dicts."""
        raise unsupported("removeFromAccessGroup")

    @staticmethod
    def startPresent(ss_record, record, access_grp_names):
        """Presents an element or file system to the access groups."""
        raise unsupported("startPresent")

    @staticmethod
    def stopPresent(ss_record, record, access_grp_names):
        """Stops presenting an element or file system to the access groups."""
        raise unsupported("stopPresent")

    # Quality of service

    @staticmethod
    def getQoSList(ss_record):
        """The qos_vals dicts that the storage server offers, a list."""
        return []

    @staticmethod
    def setQoS(ss_record, record, qos):
        """Sets the quality of service of an element or file system."""
        raise unsupported("setQoS")


for _name, _value in list(_errors.EXCEPTIONS.items()) + list(_enums.ENUMS.items()):
    setattr(IPlugin, _name, _value)
