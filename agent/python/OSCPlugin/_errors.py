"""The exceptions of the plug-in API (specification, "Exceptions").

A plug-in has no failure returns: whatever goes wrong is one of these, with a message that says what happened and to
what. The agent turns the class into an errno, a D-Bus error and an exit status, and passes the message on unchanged.
"""
import re
import sys

if sys.version_info[0] == 2:
    _TEXT = unicode  # noqa: F821 - Python 2 only
else:
    _TEXT = str

_KEY = re.compile(r"^[A-Za-z_][A-Za-z0-9_.\[\]]*$")


class IPluginException(Exception):
    """Base of all the others; plug-ins raise one of the classes below, never this one."""

    def __init__(self, message="", *args):
        Exception.__init__(self, message, *args)
        self.message = message

    def __str__(self):
        if sys.version_info[0] == 2 and isinstance(self.message, _TEXT):
            return self.message.encode("utf-8")
        return str(self.message)

    def __unicode__(self):
        if isinstance(self.message, str):
            return self.message.decode("utf-8", "replace")
        return _TEXT(self.message)


class _KeyedException(IPluginException):
    """Takes a message and the name of the record's key that it is about: `(message, key)`.

    The order is forgiving, because plug-ins were written from documents that differ: given as `(key, message)` the two
    are swapped where only the first looks like a key (one word) and the second does not. Both also go by keyword, and
    the key may be left out.
    """

    def __init__(self, message="", key=None):
        if _is_key(message) and key is not None and not _is_key(key):
            message, key = key, message
        IPluginException.__init__(self, message)
        self.args = (message, key)
        self.key = key


def _is_key(text):
    try:
        return bool(_KEY.match(text))
    except TypeError:
        return False


class NoSuchOperationEx(IPluginException):
    """The plug-in or the storage server does not support the operation."""


class OperationFailedEx(IPluginException):
    """The last resort, where no other class fits: the message has to say it all."""


class MissingKeyEx(_KeyedException):
    """A record lacks a key that has to be there: `MissingKeyEx(message, key)`."""


class ValueFormatEx(_KeyedException):
    """The value of a record's key is malformed: `ValueFormatEx(message, key)`."""


class StorageArrayLicenseEx(IPluginException):
    """The storage server has no licence for the feature asked for."""


class TargetDiscoveryEx(IPluginException):
    """Discovering the targets of an iSCSI storage server failed."""


class LoginFailedEx(IPluginException):
    """Logging in to the targets of an iSCSI storage server failed."""


class LogoutFailedEx(IPluginException):
    """Logging out of the targets of an iSCSI storage server failed."""


class RefreshFailedEx(IPluginException):
    """The SCSI bus could not be refreshed for the storage server."""


class ListFailedEx(IPluginException):
    """Listing (`list`) or updating (`updateSERecords`) storage elements failed."""


class CreateSnapFailedEx(IPluginException):
    """The snapshot could not be created."""


class ListSnapFailedEx(IPluginException):
    """The snapshots on the storage server could not be listed."""


class SnapRestoreNotSafeEx(IPluginException):
    """Rolling back would affect other storage elements; nothing was rolled back."""


class CloneFailedEx(IPluginException):
    """The clone could not be created (`clone`, `cloneFromSnap`)."""


class InvalidStorageArrayEx(IPluginException):
    """The storage server record failed validation; for `validate` alone."""


class InvalidValueEx(IPluginException):
    """A value in a record, extra_info included, is invalid."""


class StorageElementBusyEx(IPluginException):
    """The storage server cannot do this while the storage element is online or mapped."""


class PermissionDeniedEx(IPluginException):
    """The storage server refused; the message carries its own words."""


class OperationPreReqNotMetEx(IPluginException):
    """Something that the operation needs beforehand is missing."""


class StorageNameRequiredEx(IPluginException):
    """`storage_name` has to be set in the storage server record; for `validate` alone."""


class InvalidFSTypeEx(IPluginException):
    """The file system type is not one of this plug-in; for `validate` alone."""


class FileSystemBusyEx(IPluginException):
    """The storage server cannot do this while the file system is online or mounted."""


class FileSystemAlreadyMountedEx(IPluginException):
    """The file system is mounted already."""


EXCEPTIONS = dict(
    (name, value)
    for name, value in list(globals().items())
    if isinstance(value, type) and issubclass(value, IPluginException) and not name.startswith("_")
)
"""Every public exception class by name."""

for _class in EXCEPTIONS.values():
    # Where plug-ins import it from, and what a traceback should show.
    _class.__module__ = "OSCPlugin"
