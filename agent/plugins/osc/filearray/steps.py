"""The steps that FileArray's methods have in common: reading facts, changing one element, refusing what is not safe."""

import os

from OSCPlugin import (
    InvalidValueEx, ListSnapFailedEx, OperationFailedEx, SnapRestoreNotSafeEx, StorageElementBusyEx)

from . import access, blocks, copies, elements, layout, loopdev
from .elements import SNAP, failing


def facts(path):
    with layout.reading(path) as db:
        return dict((row["key"], row["value"]) for row in db.execute("SELECT * FROM array"))


def vol_groups(path):
    with layout.reading(path) as db:
        groups = db.execute("SELECT * FROM vol_group ORDER BY name").fetchall()
        alloc = dict((row[0], row[1]) for row in db.execute("SELECT vol_group, sum(charge) FROM element GROUP BY vol_group"))
        rows = db.execute("SELECT vol_group, data FROM element WHERE phase!='creating'").fetchall()
    used = {}
    for row in rows:
        try:
            used[row["vol_group"]] = used.get(row["vol_group"], 0) + blocks.allocated(os.path.join(path, row["data"]))
        except OSError:
            continue  # missing: the element says so itself
    return [{"vol_name": group["name"], "vol_total_sz": group["capacity"],
             "vol_used_sz": used.get(group["name"], 0),
             "vol_free_sz": max(0, group["capacity"] - alloc.get(group["name"], 0)),
             "vol_alloc_sz": alloc.get(group["name"], 0),
             "vol_desc": group["description"] or "Directory %s" % os.path.join(path, group["name"])} for group in groups]


def vol_group_for(path, record):
    wanted = layout.native(record.get("vol_group_name") or "")
    with layout.reading(path) as db:
        names = [row["name"] for row in db.execute("SELECT name FROM vol_group ORDER BY name")]
    if wanted in names:
        return wanted
    if not wanted and len(names) == 1:
        return names[0]
    if wanted or not names:
        raise InvalidValueEx("the array has no volume group %s, only %s" % (wanted, ", ".join(names) or "none at all"))
    raise elements.MissingKeyEx("the array has several volume groups, say which: %s" % ", ".join(names), "vol_group_name")


def fresh(path, ss_record, record):
    with failing(OperationFailedEx, "reading the array %s" % path):
        with layout.reading(path) as db:
            row = elements.find(db, record)
        return elements.View(path, ss_record).record(row, record)


def with_row(ss_record, record, doing, change):
    path = elements.array_of(ss_record)
    with failing(OperationFailedEx, "%s an element of %s" % (doing, path)):
        with layout.reading(path) as db:
            row = elements.find(db, record)
        change(path, row)
    return fresh(path, ss_record, record)


def set_online(ss_record, record, online):
    def change(path, row):
        with elements.held(path, row, missing_ok=True):
            with layout.changing(path) as db:
                row = elements.same(db, row)
                devices = loopdev.devices_of(os.path.join(path, row["data"]))
                if not online and devices:
                    raise StorageElementBusyEx("%s is attached to this host as %s: stop presenting it first"
                                               % (row["name"], ", ".join(devices)))
                if online and row["phase"] == "splitting":
                    raise StorageElementBusyEx("%s is being split from its parent: splitClone again continues that"
                                               % row["name"])
                db.execute("UPDATE element SET online=? WHERE id=?", (1 if online else 0, row["id"]))
    return with_row(ss_record, record, "switching", change)


def forget(path, row):
    with layout.changing(path) as db:
        row = elements.same(db, row)
        kin = elements.children(db, row)
        if kin:
            raise StorageElementBusyEx("%s cannot be removed: %d snapshots or clones depend on it (%s%s). Remove or split "
                                       "them first" % (row["name"], len(kin), ", ".join(child["name"] for child in kin[:3]),
                                                       ", ..." if kin[3:] else ""))
        groups = elements.json_list(row["grps"])
        devices = loopdev.devices_of(os.path.join(path, row["data"]))
        if groups or devices:
            raise StorageElementBusyEx("%s cannot be removed: it is presented to %s. Stop presenting it first"
                                       % (row["name"], ", ".join(groups + devices)))
        if row["phase"] == "splitting":
            raise StorageElementBusyEx("%s is being split from its parent: wait for that to end" % row["name"])
        db.execute("DELETE FROM element WHERE id=?", (row["id"],))
        db.execute("INSERT INTO garbage VALUES(?)", (row["data"],))


def is_full(wrong):
    return getattr(wrong, "errno", None) == elements.errno.ENOSPC or (
        isinstance(wrong, elements.sqlite3.Error) and "full" in str(wrong))


def copied(ss_record, records, names, kind, failed):
    path = elements.array_of(ss_record)
    what = "taking %s of %d elements" % ("snapshots" if kind == SNAP else "clones", len(records))
    with failing(failed, what if len(records) != 1 else "taking %s" % ("a snapshot" if kind == SNAP else "a clone")):
        rows = copies.take(path, ss_record, records, names, kind, failed)
        view = elements.View(path, ss_record)
        return [view.record(row) for row in rows]


def can_copy(ss_record, record, kinds):
    path = elements.array_of(ss_record)
    with failing(OperationFailedEx, "reading the array %s" % path):
        with layout.reading(path) as db:
            row = elements.find(db, record)
            for kind in kinds:
                try:
                    copies.check_source(db, path, row, kind, copies.shares_blocks(path, [row["vol_group"]]))
                    return os.path.exists(os.path.join(path, row["data"]))
                except (InvalidValueEx, StorageElementBusyEx, OperationFailedEx):
                    continue
    return False


def children(ss_record, record, types):
    path = elements.array_of(ss_record)
    with failing(ListSnapFailedEx, "listing snapshots and clones in %s" % path):
        with layout.reading(path) as db:
            rows = [row for row in elements.children(db, elements.find(db, record))
                    if row["type"] in types and row["phase"] != "creating"]
        view = elements.View(path, ss_record)
        return [view.record(row) for row in rows]


def limits(ss_record, record, types):
    """Snapshots and clones of an element share one limit: `max` is how many of these there can be beside the others."""
    path = elements.array_of(ss_record)
    with failing(OperationFailedEx, "counting snapshots and clones in %s" % path):
        with layout.reading(path) as db:
            kin = elements.children(db, elements.find(db, record))
    mine = len([row for row in kin if row["type"] in types])
    return {"max": copies.MAX_CHILDREN - len(kin) + mine, "current": mine}


def check_restore(db, path, row, snap):
    if snap["type"] != SNAP or snap["parent"] != row["id"]:
        raise InvalidValueEx("%s is not a snapshot of %s" % (snap["name"], row["name"]))
    if row["phase"] != "ready":
        raise StorageElementBusyEx("%s is being split from its parent: wait for that to end" % row["name"])
    devices = loopdev.devices_of(os.path.join(path, row["data"]))
    if devices:
        raise StorageElementBusyEx("%s is attached to this host as %s: stop presenting it before restoring"
                                   % (row["name"], ", ".join(devices)))
    groups = elements.json_list(row["grps"])
    if groups and row["online"]:
        raise SnapRestoreNotSafeEx("%s is online and presented to %s, whose hosts may be using it: take it offline, or stop "
                                   "presenting it, before restoring" % (row["name"], ", ".join(groups)))


def change_groups(ss_record, change):
    path = elements.array_of(ss_record)
    with failing(OperationFailedEx, "changing the access groups of %s" % path):
        with layout.changing(path) as db:
            change(db, path)
            return access.groups(db)


def checked_qos(value):
    value = layout.native(value or "")
    if value not in [known["value"] for known in elements.QOS]:
        raise InvalidValueEx("%r is no quality of service of this array: choose %s"
                             % (value, ", ".join(known["value"] for known in elements.QOS)))
    return value
