"""Elements: from thin volumes to records of the API, and the checks that all changes share."""

import contextlib
import re
import uuid

from OSCPlugin import (
    IPlugin, IStorageArrayPlugin, InvalidValueEx, MissingKeyEx, OperationFailedEx, SE_STATES, ValueFormatEx)

from . import here, lvm, target
from .shell import Failed, Place, Shell, failing, native

VENDOR, PRODUCT = "LIO-ORG", "IBLOCK"
LUN, SNAP = IStorageArrayPlugin.LUNType, IStorageArrayPlugin.SnapType
CLONE, SNAP_CLONE = IStorageArrayPlugin.CloneType, IStorageArrayPlugin.SnapCloneType


class Array(object):
    """An array while one call works on it: its shell, and its state as last read."""

    def __init__(self, ss):
        self.ss = ss
        self.place = Place(ss)
        self.names = lvm.pool_names(self.place)
        self.shell = Shell(self.place)
        self.state = self.lio = self._devices = None

    def paths(self, page83):
        """The devices that an element is on this host."""
        if self._devices is None:
            self._devices = here.devices()
        return list(self._devices.get(page83, []))

    def read(self):
        """Reads everything in one go."""
        mark = "--osc-lio--"
        text = self.shell.run([lvm.reading(self.names), "echo %s" % mark, target.reading()])
        volumes, _, lio = text.partition(mark)
        self.state = lvm.State(self.names, volumes)
        self.lio = target.Lio(lio, target.iqn_of(self.place, self.state.home))
        self._devices = None
        return self

    def do(self, *lines):
        """Runs lines, and reads what came of it."""
        self.shell.run(list(lines))
        return self.read()


@contextlib.contextmanager
def reading(ss, doing, failed=OperationFailedEx):
    """The array as it is now. What its commands refuse is raised as `failed`."""
    array = Array(ss)
    with failing(failed, doing), array.shell:
        yield array.read()


@contextlib.contextmanager
def changing(ss, doing, failed=OperationFailedEx):
    """The array as it is now, with everybody else's changes kept out, and what a change that died left behind removed."""
    array = Array(ss)
    with failing(failed, doing), array.shell:
        array.shell.lock()
        array.read()
        if array.state.leftovers:
            try:
                array.shell.run("lvremove -y -qq %s" % " ".join(one.full for one in array.state.leftovers))
            except Failed as wrong:
                IPlugin.logger.warning("what an earlier change left behind stays for now: %s", wrong)
            array.read()
        yield array


def record_of(array, volume, given=None):
    """The se_record of a volume; `given` is the caller's own, whose name and opaque fields stay its own."""
    given = given or {}
    record = dict(given)
    state, status = state_of(array, volume)
    page83 = page83_of(volume.uuid)
    record.update(
        se_type=volume.type, ss_uuid=given.get("ss_uuid") or array.ss.get("uuid") or "", name=given.get("name") or volume.name,
        uuid=volume.uuid, page83_id=page83, id=volume.id, vendor=VENDOR, product_id=PRODUCT, path=array.paths(page83),
        array_path=volume.device, size=volume.size, status=status, vol_group_name=volume.pool.name,
        access_grp_names=list(volume.to), state=state, extra_info=given.get("extra_info") or info_of(array.state, volume))
    for transient in ("async_handle", "async_progress"):
        record.pop(transient, None)
    return record


def state_of(array, volume):
    health = volume.health or volume.pool.health
    if health:
        return SE_STATES.ERROR, "The %s is %s" % ("volume" if volume.health else "thin pool " + volume.pool.name, health)
    if volume.phase == "splitting":
        return SE_STATES.BUSY_COPY, "Being split from its parent; splitClone again continues an interrupted split"
    if volume.offline:
        return SE_STATES.OFFLINE, "Offline"
    lacking = [name for name in initiators(array.state, volume.to) if not array.lio.maps(volume, name)]
    if lacking:
        return SE_STATES.ONLINE, "Not exported to %s by LIO now: start or refresh the storage server" % ", ".join(lacking[:3])
    return SE_STATES.ONLINE, "Online"


def info_of(state, volume):
    if volume.info:
        return volume.info
    for fact in ("parent", "cloned_from"):
        of = getattr(volume, fact)
        if of:
            uuids = [one.uuid for one in state.elements if one.id == of]
            return "%s=%s" % (fact, of) + "".join(",%s_uuid=%s" % (fact, one) for one in uuids)
    return ""


def page83_of(element_uuid):
    """What the kernel's LIO makes of the serial number: NAA type 6, its own company number, 25 digits of the serial."""
    return "36001405" + element_uuid.replace("-", "")[:25]


def initiators(state, groups):
    """The initiators in the groups, each once. Other entries of groups are no names that LIO could let in."""
    names = []
    for group in groups:
        names += [entry for entry in state.groups.get(group, []) if is_initiator(entry) and entry not in names]
    return names


def is_initiator(entry):
    return re.match(r"^(iqn\.|eui\.|naa\.)[A-Za-z0-9.:_-]+$", entry) is not None


def find(state, record, key="se_record"):
    """The volume that the record names by id, uuid or page83_id. Raises MissingKeyEx, ValueFormatEx, InvalidValueEx."""
    if not isinstance(record, dict):
        raise MissingKeyEx("no storage element was given", key)
    wanted_id, wanted_uuid = native(record.get("id") or ""), native(record.get("uuid") or "")
    wanted_page = native(record.get("page83_id") or "").lower()
    if wanted_uuid and not wanted_id:
        try:
            wanted_uuid = str(uuid.UUID(wanted_uuid))
        except ValueError:
            raise ValueFormatEx("%r is not a UUID" % wanted_uuid, "uuid")
    if not (wanted_id or wanted_uuid or wanted_page):
        raise MissingKeyEx("the storage element has neither id nor uuid nor page83_id", "id")
    for one in state.elements:
        if one.id == wanted_id if wanted_id else one.uuid == wanted_uuid if wanted_uuid else page83_of(one.uuid) == wanted_page:
            return one
    raise InvalidValueEx("the array has no storage element %s: refresh the storage server"
                         % (wanted_id or wanted_uuid or wanted_page))


def pool_for(state, record):
    wanted = native(record.get("vol_group_name") or "")
    names = [pool.name for pool in state.pools]
    if wanted in names:
        return state.pools[names.index(wanted)]
    if wanted:
        raise InvalidValueEx("the array has no volume group %s, only %s" % (wanted, ", ".join(names)))
    if len(names) > 1:
        raise MissingKeyEx("the array has several volume groups, say which: %s" % ", ".join(names), "vol_group_name")
    return state.pools[0]


def free_name(state, name):
    if any(one.name == name for one in state.elements):
        raise InvalidValueEx("the array has a storage element named %s already: choose another name" % name)


def new_ids():
    """A new element's facts: id and uuid, of which its serial number is made."""
    element_uuid = uuid.uuid4()
    return {"id": element_uuid.hex[-12:], "uuid": str(element_uuid)}


def volume_name(element_id, gen=0):
    return "osc-%s" % element_id + ("-%d" % gen if gen else "")
