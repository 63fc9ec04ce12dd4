"""What several methods of the API share: the storage server's record, copies and their limits, access groups, this host's devices."""

from OSCPlugin import IPluginException, ListSnapFailedEx, OperationFailedEx

from . import access, copies, elements, here, lvm
from .elements import SNAP, changing, reading, record_of


def server_record(array):
    """The storage server's record brought up to date."""
    state, place = array.state, array.place
    factor = lvm.overcommit(place)
    groups = []
    for pool in state.pools:
        groups.append({
            "vol_name": pool.name, "vol_total_sz": pool.size, "vol_used_sz": pool.used, "vol_free_sz": lvm.free(pool, factor),
            "vol_alloc_sz": lvm.promised(pool),
            "vol_desc": "Thin pool %s%s" % (pool.name, ", overcommitted up to %g times" % factor if factor > 1 else "")})
    total, used, free, alloc = [sum(group[key] for group in groups)
                                for key in ("vol_total_sz", "vol_used_sz", "vol_free_sz", "vol_alloc_sz")]
    ill = ["thin pool %s is %s" % (pool.name, pool.health) for pool in state.pools if pool.health]
    ill += ["the metadata of thin pool %s is full by %.0f %%" % (pool.name, pool.metadata)
            for pool in state.pools if pool.metadata > 80]
    ill += ["thin pool %s has promised more than it has" % pool.name for pool in state.pools if lvm.promised(pool) > pool.size]
    record = dict(array.ss)
    record.update(
        name=record.get("name") or place.host, storage_server_id=state.home.vg_uuid, storage_id=[array.lio.iqn],
        storage_desc="LIO on %s, %s" % (place.host, ", ".join(pool.name for pool in state.pools)), total_sz=total,
        used_sz=used, free_sz=free, alloc_sz=alloc, vol_groups=groups,
        status="; ".join(ill) if ill else "OK" if array.lio.enabled else "OK, its target is not exported: start it")
    return record


def copyable(ss_record, se_record, kinds):
    with reading(ss_record, "reading the array") as array:
        volume = elements.find(array.state, se_record)
        for kind in kinds:
            try:
                copies.check_source(array.state, volume, kind)
                lvm.reserve(array.place, volume.pool, volume.mapped if kind == SNAP else volume.size, OperationFailedEx)
                return True
            except IPluginException:
                continue
    return False


def copied(ss_record, records, names, kind, failed):
    with changing(ss_record, "taking a %s" % ("snapshot" if kind == SNAP else "clone"), failed) as array:
        return [record_of(array, one) for one in copies.take(array, records, names, kind, failed)]


def children(ss_record, se_record, types):
    with reading(ss_record, "listing snapshots and clones", ListSnapFailedEx) as array:
        volume = elements.find(array.state, se_record)
        return [record_of(array, one) for one in array.state.children(volume) if one.type in types]


def limits(ss_record, se_record, types):
    """Snapshots and clones of an element share one limit: `max` is how many of these there can be beside the others."""
    with reading(ss_record, "counting snapshots and clones") as array:
        kin = array.state.children(elements.find(array.state, se_record))
    mine = len([one for one in kin if one.type in types])
    return {"max": copies.MAX_CHILDREN - len(kin) + mine, "current": mine}


def regroup(ss_record, change, *arguments):
    with changing(ss_record, "changing the access groups") as array:
        change(array, *arguments)
        return access.groups(array.state)


def shown_here(array, volume, always=False):
    """Where this host finds the element once the array is free again, for `here.attach`; None where it is to find nothing.

    A group with this host in it becomes devices here if it uses the array already.
    """
    invited = here.is_here(elements.initiators(array.state, volume.to))
    if always or invited and here.logged_in():
        return array.lio.iqn, array.lio.lun_of(volume), elements.page83_of(volume.uuid), volume.size
    return None
