"""Access groups, and presenting elements to them: a group that names this host means a loop device here."""

import json
import os

from OSCPlugin import (
    InvalidValueEx, MissingKeyEx, OperationFailedEx, OperationPreReqNotMetEx, StorageElementBusyEx)

from . import blocks, elements, layout, loopdev
from .checks import checked_name
from .elements import SNAP


def host_names():
    """The names by which a group's entry means this host: its node name, the first part of it, and localhost."""
    node = os.uname()[1].lower()
    return frozenset([node, node.partition(".")[0], "localhost"])


def is_this_host(entries):
    return any(entry.lower() in host_names() for entry in entries)


def groups(db):
    """Every access_grp dict, by name."""
    return [{"grp_name": row["name"], "grp_entries": elements.json_list(row["entries"]),
             "grp_modes": elements.json_list(row["modes"])}
            for row in db.execute("SELECT * FROM access_grp ORDER BY name")]


def here(db):
    """The names of the groups that include this host."""
    return frozenset(group["grp_name"] for group in groups(db) if is_this_host(group["grp_entries"]))


def create(db, wanted):
    for group in wanted or []:
        if not isinstance(group, dict) or not group.get("grp_name"):
            raise MissingKeyEx("an access group needs a name", "grp_name")
        name = checked_name(group["grp_name"], "an access group")
        if _get(db, name) is not None:
            raise InvalidValueEx("the array has an access group %s already" % name)
        db.execute("INSERT INTO access_grp VALUES(?,?,?)", (
            name, json.dumps(_entries(group.get("grp_entries"))), json.dumps(_entries(group.get("grp_modes")))))


def rename(db, old, new):
    old, new = layout.native(old), checked_name(new, "an access group")
    _need(db, old)
    if old == new:
        return
    if _get(db, new) is not None:
        raise InvalidValueEx("the array has an access group %s already" % new)
    db.execute("UPDATE access_grp SET name=? WHERE name=?", (new, old))
    for row in _presented_to(db, old):
        names = [new if name == old else name for name in elements.json_list(row["grps"])]
        db.execute("UPDATE element SET grps=? WHERE id=?", (json.dumps(names), row["id"]))


def remove(db, wanted):
    for group in wanted or []:
        name = layout.native(group["grp_name"] if isinstance(group, dict) else group)
        _need(db, name)
        users = _presented_to(db, name)
        if users:
            raise StorageElementBusyEx("access group %s cannot be removed: %s %s presented to it"
                                       % (name, users[0]["name"], "and %d others are" % (len(users) - 1) if users[1:] else "is"))
        db.execute("DELETE FROM access_grp WHERE name=?", (name,))


def add_entries(db, name, entries):
    group = _need(db, layout.native(name))
    now = elements.json_list(group["entries"])
    now += [entry for entry in _entries(entries) if entry not in now]
    db.execute("UPDATE access_grp SET entries=? WHERE name=?", (json.dumps(now), group["name"]))


def remove_entries(db, path, name, entries):
    group = _need(db, layout.native(name))
    now, gone = elements.json_list(group["entries"]), _entries(entries)
    left = [entry for entry in now if entry not in gone]
    if is_this_host(now) and not is_this_host(left):
        still = here(db) - set([group["name"]])
        for row in _presented_to(db, group["name"]):
            if not still & set(elements.json_list(row["grps"])) and loopdev.devices_of(os.path.join(path, row["data"])):
                raise StorageElementBusyEx("%s is attached to this host through access group %s: stop presenting it first"
                                           % (row["name"], group["name"]))
    db.execute("UPDATE access_grp SET entries=? WHERE name=?", (json.dumps(left), group["name"]))


def start_present(path, row, names):
    """Presents the element to the groups, to this host where none is named. Repeating it does no harm."""
    with elements.held(path, row):
        with layout.changing(path) as db:
            row = elements.same(db, row)
            names = known(db, names) or [_own_group(db)]
            local = bool(here(db) & set(names))
            if local:
                _may_attach(path, row)
            before = elements.json_list(row["grps"])
            after = before + [name for name in names if name not in before]
            db.execute("UPDATE element SET grps=? WHERE id=?", (json.dumps(after), row["id"]))
        if not local:
            return
        try:
            attach(path, row)
        except (IOError, OSError):
            with layout.changing(path) as db:
                db.execute("UPDATE element SET grps=? WHERE id=?", (json.dumps(before), row["id"]))
            raise


def stop_present(path, row, names):
    """Stops presenting to the groups, to every group with this host in it where none is named."""
    with elements.held(path, row, missing_ok=True):
        with layout.changing(path) as db:
            row = elements.same(db, row)
            local = here(db)
            before = elements.json_list(row["grps"])
            gone = known(db, names) or [name for name in before if name in local]
            after = [name for name in before if name not in gone]
            if not local & set(after):
                # Inside the change: a refusal leaves the groups as they were.
                detach(path, row)
            db.execute("UPDATE element SET grps=? WHERE id=?", (json.dumps(after), row["id"]))


def attach(path, row):
    """Gives the element its loop device, of the right size; nothing to do where it has it."""
    data = os.path.join(path, row["data"])
    devices = loopdev.devices_of(data)
    if not devices:
        if row["type"] != SNAP and os.stat(data).st_size != row["size"]:
            _truncate(data, row["size"])
        loopdev.attach(data, read_only=row["type"] == SNAP)
        return
    for device in devices:
        if loop_size(device) != row["size"]:
            loopdev.take_size(device)


def detach(path, row):
    """Takes the element's loop devices away. Raises StorageElementBusyEx naming who uses them."""
    devices = loopdev.devices_of(os.path.join(path, row["data"]))
    for device in devices:
        reasons = loopdev.users_of(device)
        if reasons:
            raise StorageElementBusyEx("%s is in use on this host: %s is %s" % (row["name"], device, "; ".join(reasons)))
    for device in devices:
        loopdev.detach(device)


def loop_size(device):
    with open("%s/%s/size" % (loopdev.SYS_BLOCK, os.path.basename(device))) as said:
        return int(said.read()) * 512


def settle(path):
    """Attaches everything that is presented to this host, as after a reboot. Raises OperationFailedEx naming what failed."""
    with layout.reading(path) as db:
        local = here(db)
        rows = [row for row in db.execute("SELECT * FROM element WHERE phase!='creating' AND grps!='[]'").fetchall()
                if local & set(elements.json_list(row["grps"]))]
    failures = []
    for row in rows:
        try:
            with elements.held(path, row):
                with layout.reading(path) as db:
                    row = elements.same(db, row)
                _may_attach(path, row)
                attach(path, row)
        except (IOError, OSError, OperationFailedEx, OperationPreReqNotMetEx, StorageElementBusyEx) as wrong:
            failures.append("%s: %s" % (row["name"], wrong))
    if failures:
        raise OperationFailedEx("not everything could be attached: " + "; ".join(failures))


def known(db, names):
    """The names as a list of groups that there are. Raises InvalidValueEx for others."""
    if names in (None, ""):
        return []
    names = [layout.native(name) for name in ([names] if not isinstance(names, (list, tuple)) else names) if name]
    for name in names:
        _need(db, name)
    return names


def _may_attach(path, row):
    if row["phase"] == "splitting" and row["shared"] and not blocks.unshares_in_place(os.path.join(path, row["vol_group"])):
        raise StorageElementBusyEx("%s is being split from its parent: present it when that has ended" % row["name"])
    if not row["online"]:
        raise OperationPreReqNotMetEx("%s is offline: bring it online before presenting it to this host" % row["name"])


def _own_group(db):
    for group in groups(db):
        if group["grp_entries"] and all(is_this_host([entry]) for entry in group["grp_entries"]):
            return group["grp_name"]
    node = os.uname()[1]
    name, number = node, 1
    while _get(db, name) is not None:
        name, number = "%s-%d" % (node, number), number + 1
    db.execute("INSERT INTO access_grp VALUES(?,?,?)", (name, json.dumps([node]), "[]"))
    return name


def _get(db, name):
    return db.execute("SELECT * FROM access_grp WHERE name=?", (name,)).fetchone()


def _need(db, name):
    row = _get(db, name)
    if row is None:
        raise InvalidValueEx("the array has no access group %s: create it first" % name)
    return row


def _presented_to(db, name):
    return [row for row in db.execute("SELECT * FROM element WHERE grps!='[]'").fetchall()
            if name in elements.json_list(row["grps"])]


def _entries(words):
    if words in (None, ""):
        return []
    return [layout.native(word) for word in ([words] if not isinstance(words, (list, tuple)) else words)]


def _truncate(path, size):
    with open(path, "r+b") as data:
        data.truncate(size)
