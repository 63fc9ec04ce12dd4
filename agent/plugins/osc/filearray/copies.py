"""Snapshots, clones, restoring and splitting: everything that makes or unmakes a shared data file.

A copy is made in three steps: its row is reserved (name and space are taken, nobody sees it), the data file is built, the row is
published. Whoever dies in between leaves only what the next change sweeps.
"""

import os
import uuid

from OSCPlugin import InvalidValueEx, OperationFailedEx, StorageElementBusyEx

from . import blocks, elements, layout, loopdev
from .checks import checked_name
from .elements import CLONE, LUN, SNAP, SNAP_CLONE

MAX_CHILDREN = 4096
ROUNDS = 50
SLICE_BYTES, SLICE_SECONDS = 256 << 20, 1.0


def check_source(db, path, row, kind, reflink):
    """Raises where no copy of that kind can be taken of the element now."""
    if row["phase"] != "ready":
        raise StorageElementBusyEx("%s is being split from its parent: wait for that to end" % row["name"])
    if kind == SNAP_CLONE and row["type"] != SNAP:
        raise InvalidValueEx("%s is no snapshot but a %s: use clone" % (row["name"], row["type"]))
    if kind != SNAP_CLONE and row["type"] == SNAP:
        raise InvalidValueEx("%s is a snapshot: %s" % (
            row["name"], "use cloneFromSnap" if kind == CLONE else "it cannot have snapshots of its own"))
    if len(elements.children(db, row)) >= MAX_CHILDREN:
        raise OperationFailedEx("%s has %d snapshots and clones, which is the most" % (row["name"], MAX_CHILDREN))
    attached = loopdev.devices_of(os.path.join(path, row["data"]))
    if row["type"] != SNAP and not reflink and (row["online"] or attached):
        raise StorageElementBusyEx(
            "the array's file system cannot share blocks (no reflink), so that copying %s takes a while: take it offline first"
            % row["name"])


def take(path, ss, records, names, kind, failed):
    """Copies of the elements under those names, all at one point in time, all or none. Returns their rows."""
    if len(records) != len(names) or not records:
        raise InvalidValueEx("%d names were given for %d elements" % (len(names), len(records)))
    names = [checked_name(name, "a snapshot" if kind == SNAP else "a clone") for name in names]
    with _Exits() as stack:
        with layout.reading(path) as db:
            rows = [elements.find(db, record) for record in records]
        reflink = shares_blocks(path, [row["vol_group"] for row in rows])
        # One order for everybody, so that two who take several at once cannot wait for each other.
        fds = {}
        for row in sorted(rows, key=lambda row: row["id"]):
            if row["id"] not in fds:
                fds[row["id"]] = stack.enter_context(elements.held(path, row, exclusive=False))
        for row in rows:
            for device in loopdev.devices_of(os.path.join(path, row["data"])):
                loopdev.flush(device)
        copies = []
        for row in rows:
            staged = layout.Staged(path, row["vol_group"])
            stack.callback(staged.close)
            copies.append(staged)
        new_ids = _reserve(path, rows, names, kind, fds, copies, reflink, failed)
        try:
            targets = _build(path, rows, fds, copies, reflink, stack, failed)
            if kind == SNAP:
                for target in targets:
                    os.fchmod(target, 0o400)
            _publish(path, rows, new_ids, targets, kind, failed)
        except BaseException:
            _withdraw(path, new_ids, copies)
            raise
        with layout.reading(path) as db:
            return [db.execute("SELECT * FROM element WHERE id=?", (new_id,)).fetchone() for new_id in new_ids]


class _Exits(object):
    """What has to be undone at the end, last things first (Python 2 has no contextlib.ExitStack)."""

    def __init__(self):
        self._exits = []

    def __enter__(self):
        return self

    def enter_context(self, manager):
        value = manager.__enter__()
        self._exits.append(lambda: manager.__exit__(None, None, None))
        return value

    def callback(self, function, *arguments):
        self._exits.append(lambda: function(*arguments))

    def __exit__(self, *error):
        if self._exits:
            try:
                self._exits.pop()()
            finally:
                self.__exit__(*error)
        return False


def shares_blocks(path, vol_groups):
    """Whether copies within each of the volume groups are reflinks: each may be a file system of its own."""
    return all(blocks.can_reflink(os.path.join(path, group)) for group in set(vol_groups))


def _reserve(path, rows, names, kind, fds, copies, reflink, failed):
    new_ids = []
    with layout.changing(path) as db:
        for row, name, staged in zip(rows, names, copies):
            row = elements.same(db, row)
            check_source(db, path, row, kind, reflink)
            elements.free_name(db, name)
            charge = blocks.allocated(fds[row["id"]]) if kind == SNAP else row["size"]
            elements.reserve(db, row["vol_group"], charge, failed)
            fact = "parent" if kind == SNAP else "cloned_from"
            insert(db, name=name, type=kind, parent=row["id"], vol_group=row["vol_group"], size=row["size"],
                   charge=charge, data=staged.data, shared=1 if reflink else 0, qos=row["qos"], new_ids=new_ids,
                   extra_info="%s=%s,%s_uuid=%s" % (fact, row["id"], fact, row["uuid"]))
    return new_ids


def insert(db, **fields):
    """A new element's row, not yet published; its id goes to the list `new_ids`."""
    new_ids = fields.pop("new_ids")
    element_uuid = uuid.uuid4()
    row = dict(id=element_uuid.hex[-12:], uuid=str(element_uuid), online=1, grps="[]", phase="creating", split_at=0)
    row.update(fields)
    keys = sorted(row)
    db.execute("INSERT INTO element(%s) VALUES(%s)" % (",".join(keys), ",".join("?" * len(keys))),
               [row[key] for key in keys])
    new_ids.append(row["id"])


def _build(path, rows, fds, copies, reflink, stack, failed):
    targets = []
    for staged in copies:
        target = blocks.create(os.path.join(path, staged.data), 0)
        stack.callback(os.close, target)
        targets.append(target)
    live = [device for row in rows for device in loopdev.devices_of(os.path.join(path, row["data"]))]
    for _ in range(ROUNDS):
        before = [loopdev.writes(device) for device in live]
        for row, target in zip(rows, targets):
            if not reflink:
                blocks.copy(fds[row["id"]], target)
            elif not blocks.reflink(fds[row["id"]], target):
                raise failed("the file system of %s refuses to share the blocks of %s" % (path, row["name"]))
        after = [loopdev.writes(device) for device in live]
        # One reflink is one instant by itself. Several are one instant if nothing was written between first and last.
        if len(rows) == 1 or not live or before == after and not any(counters[-1] for counters in after):
            break
        for device in live:
            loopdev.flush(device)
    else:
        raise failed(
            "%d elements are written to without a pause, so that no single point in time could be caught: pause the "
            "writers, or take the elements offline" % len(rows))
    for row, target in zip(rows, targets):
        # A resize that was cut off may have left the source's file longer than the element is.
        os.ftruncate(target, row["size"])
        os.fsync(target)
    for group in sorted(set(row["vol_group"] for row in rows)):
        layout.sync_dir(os.path.join(path, group))
    return targets


def _publish(path, rows, new_ids, targets, kind, failed):
    with layout.changing(path) as db:
        for row, new_id, target in zip(rows, new_ids, targets):
            if kind == SNAP:
                # The source may have been written to since the reservation: what counts is what the snapshot holds.
                charge = blocks.allocated(target)
                old = db.execute("SELECT charge FROM element WHERE id=?", (new_id,)).fetchone()[0]
                elements.reserve(db, row["vol_group"], charge - old, failed)
                db.execute("UPDATE element SET charge=? WHERE id=?", (charge, new_id))
            db.execute("UPDATE element SET phase='ready' WHERE id=?", (new_id,))


def _withdraw(path, new_ids, copies):
    for staged in copies:
        _remove_file(os.path.join(path, staged.data))
    try:
        with layout.changing(path) as db:
            for new_id in new_ids:
                db.execute("DELETE FROM element WHERE id=?", (new_id,))
    except Exception:
        pass  # the reservation is swept with the next change; what went wrong first is what the caller hears


def _remove_file(path):
    try:
        os.unlink(path)
    except OSError:
        pass


def restore(path, row, snap):
    """Puts the snapshot's content into the element, which keeps its identity and size."""
    reflink = shares_blocks(path, [row["vol_group"]])
    with elements.held(path, row) as _, elements.held(path, snap, exclusive=False) as source:
        staged = layout.Staged(path, row["vol_group"])
        try:
            target = blocks.create(os.path.join(path, staged.data), 0)
            try:
                if not (reflink and blocks.reflink(source, target)):
                    blocks.copy(source, target)
                os.ftruncate(target, row["size"])
                os.fsync(target)
            finally:
                os.close(target)
            layout.sync_dir(os.path.join(path, row["vol_group"]))
            with layout.changing(path) as db:
                now = elements.same(db, row)
                db.execute("UPDATE element SET data=?, shared=? WHERE id=?",
                           (staged.data, 1 if reflink or now["shared"] else 0, row["id"]))
                db.execute("INSERT INTO garbage VALUES(?)", (row["data"],))
        except BaseException:
            _remove_file(os.path.join(path, staged.data))
            raise
        finally:
            staged.close()
    _remove_file(os.path.join(path, row["data"]))


def start_split(path, record):
    """Marks the clone as being split; starting again continues. Returns its row."""
    with layout.changing(path) as db:
        row = elements.find(db, record)
        if row["phase"] == "splitting":
            return row
        if row["type"] not in (CLONE, SNAP_CLONE):
            raise InvalidValueEx("%s is a %s, not a clone: there is nothing to split it from" % (row["name"], row["type"]))
        if row["shared"] and not blocks.unshares_in_place(os.path.join(path, row["vol_group"])):
            if row["online"] or loopdev.devices_of(os.path.join(path, row["data"])):
                raise StorageElementBusyEx("splitting %s rewrites its blocks: take it offline first" % row["name"])
        db.execute("UPDATE element SET phase='splitting', split_at=0 WHERE id=?", (row["id"],))
        return elements.find(db, record)


def step_split(path, record):
    """Does a slice of the work. Returns the row and the percentage done, None once the clone is an element of its own."""
    with layout.reading(path) as db:
        row = elements.find(db, record)
    if row["phase"] != "splitting":
        return row, None
    try:
        with elements.held(path, row, exclusive=False) as fd:
            at = row["size"] if not row["shared"] else blocks.unshare(fd, row["split_at"], SLICE_BYTES, SLICE_SECONDS)
    except (IOError, OSError):
        with layout.changing(path) as db:
            db.execute("UPDATE element SET phase='ready' WHERE id=? AND phase='splitting'", (row["id"],))
        raise
    with layout.changing(path) as db:
        now = elements.same(db, row)
        if now["phase"] != "splitting":
            return now, None
        if at >= now["size"]:
            db.execute("UPDATE element SET phase='ready', type=?, parent=NULL, shared=0, split_at=0 WHERE id=?",
                       (LUN, row["id"]))
            return elements.find(db, {"id": row["id"]}), None
        db.execute("UPDATE element SET split_at=? WHERE id=?", (max(at, now["split_at"]), row["id"]))
        return elements.find(db, {"id": row["id"]}), min(99, max(at, now["split_at"]) * 100 // now["size"])
