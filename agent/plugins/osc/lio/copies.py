"""Snapshots, clones, restoring and splitting. A volume that takes an element's place does so in one change of LVM's metadata.

A restored or split element is another thin volume with the element's tags and a higher generation (osc.gen). Until it has
them it is only staged; whatever is staged for nothing, or was replaced, is removed by the next change of the array.
"""

import time

from OSCPlugin import InvalidValueEx, OperationFailedEx, SnapRestoreNotSafeEx, StorageElementBusyEx
from osc.filearray.checks import checked_name

from . import elements, lvm
from .elements import CLONE, LUN, SNAP, SNAP_CLONE
from .shell import Failed, quote

MAX_CHILDREN = 1024
ROUNDS = 5
PIECE, SLICE_SECONDS = 16 << 20, 2.0
COPY = "dd if=%s of=%s bs=1M skip=%d seek=%d count=%d iflag=direct oflag=direct conv=notrunc,nocreat,sparse status=none"


def check_source(state, volume, kind):
    """Raises where no copy of that kind can be taken of the element now."""
    if volume.phase == "splitting":
        raise StorageElementBusyEx("%s is being split from its parent: wait for that to end" % volume.name)
    if kind == SNAP_CLONE and volume.type != SNAP:
        raise InvalidValueEx("%s is no snapshot but a %s: use clone" % (volume.name, volume.type))
    if kind != SNAP_CLONE and volume.type == SNAP:
        raise InvalidValueEx("%s is a snapshot: %s" % (
            volume.name, "use cloneFromSnap" if kind == CLONE else "it cannot have snapshots of its own"))
    if len(state.children(volume)) >= MAX_CHILDREN:
        raise OperationFailedEx("%s has %d snapshots and clones, which is the most" % (volume.name, MAX_CHILDREN))


def take(array, records, names, kind, failed):
    """Copies of the elements under those names, all at one point in time, all or none. Returns their volumes."""
    if len(records) != len(names) or not records:
        raise InvalidValueEx("%d names were given for %d elements" % (len(names), len(records)))
    state = array.state
    names = [checked_name(name, "a snapshot" if kind == SNAP else "a clone") for name in names]
    if len(set(names)) < len(names):
        raise InvalidValueEx("the names have to be different: %s" % ", ".join(names))
    sources = [elements.find(state, record) for record in records]
    more = {}
    for source, name in zip(sources, names):
        check_source(state, source, kind)
        elements.free_name(state, name)
        more[source.pool] = more.get(source.pool, 0) + (source.mapped if kind == SNAP else source.size)
    for pool in more:
        lvm.reserve(array.place, pool, more[pool], failed)
    made = []
    lines = []
    for source, name in zip(sources, names):
        facts = elements.new_ids()
        facts.update(name=name, type=kind, used=source.mapped)
        if kind == SNAP:
            facts.update(parent=source.id, charge=source.mapped)
        else:
            facts.update(cloned_from=source.id)
        volume = elements.volume_name(facts["id"])
        made.append(facts["id"])
        lines.append("lvcreate -qq -y -s -an -ky -p %s -n %s %s %s" % (
            "r" if kind == SNAP else "rw", volume, lvm.tag_words(lvm.fact_tags(facts)), quote(source.full)))
    for _ in range(ROUNDS):
        if _at_one_moment(array, sources, lines):
            break
        array.do("lvremove -y -qq %s" % " ".join(_full(array, made)))
    else:
        raise failed("%d elements are written to without a pause, so that no single point in time could be caught: pause the "
                     "writers" % len(records))
    return [elements.find(array.state, {"id": one}) for one in made]


def _at_one_moment(array, sources, lines):
    """Runs the lines; whether nothing was written to the sources meanwhile. One snapshot is one moment by itself."""
    active = sorted(set(one.stat for one in sources if one.active)) if len(lines) > 1 else []
    counters = "".join("read a b c d writes f g h flying rest <%s; echo \"osc-writes $writes $flying\"\n" % one for one in active)
    try:
        said = array.shell.run(counters + "\n".join(lines) + "\n" + counters)
    except Failed:
        # Those that were made before one failed go too.
        mine = [line.split(" -n ")[1].split(" ")[0] for line in lines]
        array.read()
        left = [one.full for one in array.state.elements if one.lv in mine]
        if left:
            array.do("lvremove -y -qq %s" % " ".join(left))
        raise
    array.read()
    told = [line.split()[1:] for line in said.splitlines() if line.startswith("osc-writes")]
    before, after = told[:len(active)], told[len(active):]
    return before == after and all(flying == "0" for _, flying in after)


def _full(array, ids):
    return [one.full for one in array.state.elements if one.id in ids]


def check_restore(array, volume, snap):
    if snap.type != SNAP or snap.parent != volume.id:
        raise InvalidValueEx("%s is not a snapshot of %s" % (snap.name, volume.name))
    if volume.phase == "splitting":
        raise StorageElementBusyEx("%s is being split from its parent: wait for that to end" % volume.name)
    if volume.to:
        raise SnapRestoreNotSafeEx("%s is presented to %s, whose hosts may be using it: stop presenting it before restoring"
                                   % (volume.name, ", ".join(volume.to)))


def restore(array, volume, snap):
    """Puts the snapshot's content into the element, which keeps its identity and size. The snapshot stays."""
    check_restore(array, volume, snap)
    lvm.reserve(array.place, volume.pool, 0, OperationFailedEx)
    gen = int(volume.gen or 0) + 1
    name = elements.volume_name(volume.id, gen)
    lines = ["lvcreate -qq -y -s -an -ky -p rw -n %s --addtag osc.staged=%s --addtag osc.phase=restore %s"
             % (name, volume.id, quote(snap.full))]
    if volume.size > snap.size:
        lines.append("lvextend -qq -L %db %s/%s" % (volume.size, volume.vg, name))
    array.do(*(lines + _take_place(volume, name, "restore", {"used": min(volume.size, snap.mapped)})))


def _take_place(volume, name, phase, changed):
    """The lines with which a staged volume becomes the element: one change of metadata, then the old volume goes."""
    facts = dict(volume.facts, gen=int(volume.gen or 0) + 1, phase="")
    facts.update(changed)
    return ["lvchange -qq %s %s/%s" % (
        lvm.tag_words(lvm.fact_tags(facts), ["osc.staged=" + volume.id, "osc.phase=" + phase]), volume.vg, name),
        # It is done by now: what cannot be removed yet, the next change removes.
        "lvremove -y -qq %s || :" % volume.full]


def start_split(array, record):
    """Marks the clone as being split, and makes the volume it is copied to; starting again continues. Returns it."""
    volume = elements.find(array.state, record)
    if volume.phase != "splitting":
        if volume.type not in (CLONE, SNAP_CLONE):
            raise InvalidValueEx("%s is a %s, not a clone: there is nothing to split it from" % (volume.name, volume.type))
        if volume.to:
            raise StorageElementBusyEx("%s is copied while it is split, and is presented to %s: stop presenting it first"
                                       % (volume.name, ", ".join(volume.to)))
        lvm.reserve(array.place, volume.pool, volume.size, OperationFailedEx)
    lines = []
    if volume.phase != "splitting":
        lines.append("lvchange -qq --addtag osc.phase=splitting %s" % volume.full)
    if array.state.split_of(volume) is None:
        lines.append("lvcreate -qq -y -an -ky -V %db --thinpool %s -n %s --addtag osc.staged=%s --addtag osc.phase=split %s" % (
            volume.size, quote(volume.pool.lv), elements.volume_name(volume.id, int(volume.gen or 0) + 1), volume.id,
            quote(volume.vg)))
    if lines:
        try:
            array.do(*lines)
        except Failed:
            give_up(array, volume)
            raise
    return elements.find(array.state, record)


def give_up(array, volume):
    """Makes it a clone again."""
    array.read()
    now = elements.find(array.state, {"id": volume.id})
    staged = array.state.split_of(now)
    array.do("lvchange -qq --deltag osc.phase=splitting %s" % now.full,
             "lvremove -y -qq %s" % staged.full if staged else ":")


def step_split(array, record):
    """Copies for a while from where the handle says. Returns the volume, and how far it is: all of it is its size."""
    volume = elements.find(array.state, record)
    if volume.phase != "splitting":
        return volume, None
    staged = array.state.split_of(volume)
    if staged is None:
        raise OperationFailedEx("the copy of %s is missing: splitClone again begins it anew" % volume.name)
    idle = [one.full for one in (volume, staged) if not one.active]
    if idle:
        array.shell.run("lvchange -qq -ay -K %s" % " ".join(idle))
    at, deadline = offset_of(record, volume), time.time() + SLICE_SECONDS
    while at < volume.size and time.time() < deadline:
        # Zeros are what a thin volume holds by itself; writing the same bytes twice does no harm.
        try:
            array.shell.run(COPY % (volume.device, staged.device, at >> 20, at >> 20, PIECE >> 20))
        except Failed:
            array.shell.lock()
            give_up(array, volume)
            raise
        at = min(volume.size, at + PIECE)
    return volume, at


def offset_of(record, volume):
    """Where the last slice ended, as the handle says; the beginning where there is none, or it is another's."""
    words = str(record.get("async_handle") or "").split(":")
    if len(words) == 4 and words[:2] == ["split", volume.id] and words[2] == (volume.gen or "0") and words[3].isdigit():
        return min(volume.size, int(words[3]) >> 20 << 20)
    return 0


def handle(volume, at):
    return "split:%s:%s:%d" % (volume.id, volume.gen or "0", at)


def end_split(array, record):
    """The copy takes the clone's place: an element of its own."""
    volume = elements.find(array.state, record)
    staged = array.state.split_of(volume)
    if volume.phase != "splitting" or staged is None:
        return volume
    used = staged.mapped
    changed = {"type": LUN, "cloned_from": "", "used": used, "info": elements.info_of(array.state, volume)}
    if not staged.active:
        raise OperationFailedEx("the copy of %s was switched off meanwhile: splitClone again continues" % volume.name)
    array.do("dd if=/dev/null of=%s conv=notrunc,nocreat,fsync status=none" % staged.device, "lvchange -qq -an %s %s" % (volume.full, staged.full),
             *_take_place(volume, staged.lv, "split", changed))
    return elements.find(array.state, record)
