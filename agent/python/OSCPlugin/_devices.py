"""What `IStorageArrayPlugin` does by default: the half of an array's work that happens on this host.

Everything is asked of the agent through `IPlugin.host`. In a process that does not run under one (an author's unit
test) there is no host half: what only makes devices appear does nothing then.
"""
from ._errors import MissingKeyEx, NoSuchOperationEx
from ._host import Host, served

ISCSI = "iscsi"
host = Host()


def is_iscsi(ss_record):
    """Whether the storage server is reached over iSCSI."""
    return ((ss_record or {}).get("storage_type") or "").lower() == ISCSI


def is_scsi(ss_record):
    """Whether its elements are SCSI devices of this host at all."""
    return ((ss_record or {}).get("storage_type") or "").lower() in (ISCSI, "san")


def discover(ss_record):
    """The record with the targets that the storage server's portals name in `storage_id`."""
    found = host.iscsi.discover()
    targets = []
    for each in found:
        if each["target"] not in targets:
            targets.append(each["target"])
    return dict(ss_record, storage_id=sorted(targets))


def start(ss_record, logger):
    """Logs in to every portal of every target, then looks for what they present to this host."""
    if not (is_scsi(ss_record) and served()):
        return ss_record
    if is_iscsi(ss_record):
        if not ss_record.get("storage_id"):
            ss_record = discover(ss_record)
        for failed in host.iscsi.login(targets=ss_record["storage_id"])["failed"]:
            logger.warning("not logged in: %s", failed["message"])
        host.scsi.scan(targets=ss_record["storage_id"])
    else:
        host.scsi.scan()
    return ss_record


def stop(ss_record):
    """Flushes maps, deletes devices and logs out; what is in use refuses all of it."""
    if is_iscsi(ss_record) and served():
        host.iscsi.logout()
    return ss_record


def refresh(ss_record):
    """Looks for what the storage server's targets present to this host now."""
    if is_scsi(ss_record) and served():
        host.scsi.scan()
    return ss_record


def teardown(ss_record, se_record):
    """The element without its devices on this host."""
    host.scsi.remove(page83_id=_identity(se_record, "deviceTeardown"))
    return dict(se_record, path=[])


def resize(ss_record, se_record, method):
    """The element as its devices are once their size has been read again."""
    unit = host.scsi.resize(page83_id=_identity(se_record, method))
    return dict(se_record, path=unit["path"], size=unit["size"])


def _identity(se_record, method):
    if not served():
        raise NoSuchOperationEx("%s is done by the agent, and this process does not run under it" % method)
    identity = (se_record or {}).get("page83_id")
    if not identity:
        raise MissingKeyEx("the storage element has no page83_id, so its devices cannot be told from others", "page83_id")
    return identity
