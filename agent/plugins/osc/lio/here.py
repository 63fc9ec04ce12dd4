"""This host as an initiator: its name, and the devices that elements are here, as the kernel says now."""

import glob
import os

from OSCPlugin import IPlugin, NoSuchOperationEx, OperationPreReqNotMetEx

SYS = "/sys"
INITIATOR = "/etc/iscsi/initiatorname.iscsi"


def initiator():
    """This host's initiator name. Raises OperationPreReqNotMetEx where it has none."""
    try:
        with open(INITIATOR) as lines:
            for line in lines:
                key, equals, value = line.partition("=")
                if key.strip() == "InitiatorName" and equals and value.strip():
                    return value.strip()
    except (IOError, OSError):
        pass
    raise OperationPreReqNotMetEx("this host is no iSCSI initiator: %s names none (is open-iscsi installed?)" % INITIATOR)


def is_here(entries):
    """Whether the initiators include this host."""
    try:
        return initiator() in entries
    except OperationPreReqNotMetEx:
        return False


def node():
    """This host's node name."""
    return os.uname()[1].partition(".")[0]


def devices():
    """Lists of device paths by page-83 identity: its multipath map, then its SCSI disks."""
    found = {}
    for place in glob.glob(SYS + "/block/dm-*/dm/uuid"):
        kind, _, page83 = _said(place).partition("-")
        name = _said(os.path.join(os.path.dirname(place), "name"))
        if kind == "mpath" and name:
            found.setdefault(page83, []).append("/dev/mapper/" + name)
    for place in sorted(glob.glob(SYS + "/block/sd*/device/wwid")):
        kind, _, digits = _said(place).partition(".")
        if kind == "naa":
            found.setdefault("3" + digits, []).append("/dev/" + place.split("/")[-3])
    return found


def _said(place):
    try:
        with open(place) as text:
            return text.read().strip()
    except (IOError, OSError):
        return ""  # it has gone meanwhile


def logged_in():
    """Whether this host has a session with the array's targets; False too in a process that no agent serves."""
    try:
        return bool(IPlugin.host.iscsi.sessions())
    except NoSuchOperationEx:
        return False


def check_attaches():
    """Raises OperationPreReqNotMetEx where nothing that is presented to this host becomes a device by itself."""
    initiator()
    try:
        IPlugin.host.iscsi.sessions()
    except NoSuchOperationEx:
        raise OperationPreReqNotMetEx("only an agent attaches iSCSI disks to this host: present to an access group, and log in "
                                      "with iscsiadm")


def attach(iqn, lun, page83, size):
    """Logs in where this host has not, finds the logical unit, and returns its paths."""
    IPlugin.host.iscsi.login(targets=[iqn])
    IPlugin.host.scsi.scan(targets=[iqn], lun=lun)
    return IPlugin.host.scsi.wait(page83_id=page83, size=size)["path"]


def grow(page83):
    """Has this host's devices of the logical unit take its size on, and returns their paths."""
    try:
        return IPlugin.host.scsi.resize(page83_id=page83)["path"]
    except NoSuchOperationEx:
        return devices().get(page83, [])  # no agent: whoever runs this looks after the devices


def detach(page83):
    """Takes this host's devices of the logical unit away. Raises StorageElementBusyEx naming who uses them."""
    try:
        IPlugin.host.scsi.remove(page83_id=page83)
    except NoSuchOperationEx:
        pass  # no agent: whoever runs this looks after the devices
