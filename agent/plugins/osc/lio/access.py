"""Access groups, and presenting elements to them.

A group is tags of the first pool's volume group, and what an element is presented to is tags of its volume: they say what
should be, and LIO is made to follow. So a box that lost its LIO configuration gets it back from `start` or `refresh`.
"""

from OSCPlugin import (
    IPlugin, InvalidValueEx, MissingKeyEx, OperationPreReqNotMetEx, StorageElementBusyEx)
from osc.filearray.checks import checked_name

from . import elements, here, lvm, target
from .lvm import GROUP, PRESENTED, pack
from .shell import Failed, native, quote


def groups(state):
    """Every access_grp dict, by name."""
    return [{"grp_name": name, "grp_entries": list(state.groups[name]), "grp_modes": []} for name in sorted(state.groups)]


def create(array, wanted):
    add = []
    names = []
    for group in wanted or []:
        if not isinstance(group, dict) or not group.get("grp_name"):
            raise MissingKeyEx("an access group needs a name", "grp_name")
        name = checked_name(group["grp_name"], "an access group")
        if name in array.state.groups or name in names:
            raise InvalidValueEx("the array has an access group %s already" % name)
        names.append(name)
        add += [GROUP + pack(name)] + [_entry(name, entry) for entry in _words(group.get("grp_entries"))]
    _change(array, add=add)
    follow(array)


def rename(array, old, new):
    old, new = native(old or ""), checked_name(new, "an access group")
    need(array.state, old)
    if old == new:
        return
    if new in array.state.groups:
        raise InvalidValueEx("the array has an access group %s already" % new)
    entries = array.state.groups[old]
    # The new name is whole before an element has it, and the old one goes when none has it any more.
    _change(array, add=[GROUP + pack(new)] + [_entry(new, entry) for entry in entries])
    users = [one for one in array.state.elements if old in one.to]
    if users:
        array.do("lvchange -qq %s %s" % (lvm.tag_words([PRESENTED + pack(new)], [PRESENTED + pack(old)]),
                                         " ".join(one.full for one in users)))
    _change(array, drop=[GROUP + pack(old)] + [_entry(old, entry) for entry in entries])


def remove(array, wanted):
    drop = []
    gone = []
    for group in wanted or []:
        name = native((group.get("grp_name") or "") if isinstance(group, dict) else group)
        need(array.state, name)
        users = [one.name for one in array.state.elements if name in one.to]
        if users:
            raise StorageElementBusyEx("access group %s cannot be removed: %s %s presented to it" % (
                name, users[0], "and %d others are" % (len(users) - 1) if users[1:] else "is"))
        entries = array.state.groups[name]
        drop += [GROUP + pack(name)] + [_entry(name, entry) for entry in entries]
        gone += entries
    _change(array, drop=drop)
    follow(array, gone)


def add_entries(array, name, entries):
    name = native(name or "")
    now = need(array.state, name)
    _change(array, add=[_entry(name, entry) for entry in _words(entries) if entry not in now])
    follow(array)


def remove_entries(array, name, entries):
    name = native(name or "")
    now, gone = need(array.state, name), _words(entries)
    left = [entry for entry in now if entry not in gone]
    if here.is_here(now) and not here.is_here(left):
        for one in array.state.elements:
            still = [group for group in one.to if group != name and here.is_here(array.state.groups.get(group, []))]
            devices = array.paths(elements.page83_of(one.uuid))
            if name in one.to and not still and devices:
                raise StorageElementBusyEx("%s is %s on this host through access group %s: stop presenting it first"
                                           % (one.name, ", ".join(devices), name))
    _change(array, drop=[_entry(name, entry) for entry in now if entry in gone])
    follow(array, gone)


def need(state, name):
    """The entries of a group. Raises InvalidValueEx where there is none of that name."""
    if name not in state.groups:
        raise InvalidValueEx("the array has no access group %s: create it first" % name)
    return state.groups[name]


def known(state, names):
    """The names as a list of groups that there are. Raises InvalidValueEx for others."""
    names = [native(name) for name in ([names] if not isinstance(names, (list, tuple)) else names) if name]
    for name in names:
        need(state, name)
    return names


def start_present(array, volume, names):
    """Presents the element to the groups, to this host where none is named. Repeating it does no harm."""
    names = known(array.state, names or [])
    if volume.phase == "splitting":
        raise StorageElementBusyEx("%s is being split from its parent: present it when that has ended" % volume.name)
    if volume.offline:
        raise OperationPreReqNotMetEx("%s is offline: bring it online before presenting it" % volume.name)
    names = names or [own_group(array)]
    before = list(volume.to)
    add = [name for name in names if name not in before]
    array.do("lvchange -qq %s -kn %s" % (lvm.tag_words([PRESENTED + pack(name) for name in add]), volume.full))
    try:
        follow(array)
    except Exception:
        _again(array, volume, [PRESENTED + pack(name) for name in add])
        raise


def _again(array, volume, tags):
    """Takes back a presentation that LIO refused."""
    try:
        array.read()
        array.do("lvchange -qq %s %s" % (lvm.tag_words(drop=tags), volume.full) if tags else ":")
        follow(array)
    except Exception as wrong:
        IPlugin.logger.error("presenting %s was refused and could not be taken back: %s", volume.name, wrong)


def groups_left(state, volume, names):
    """The groups that it is presented to still when these are gone: of none named, every group with this host in it."""
    gone = known(state, names or []) or [name for name in volume.to if here.is_here(state.groups.get(name, []))]
    return [name for name in volume.to if name not in gone]


def stop_present(array, volume, names):
    """Stops presenting to the groups, to every group with this host in it where none is named."""
    left = groups_left(array.state, volume, names)
    drop = [PRESENTED + pack(name) for name in volume.to if name not in left]
    if not drop:
        return
    # LIO first: while the tags say that it is presented, a call that dies here is mended by a refresh.
    follow(array, without={volume.id: left})
    lines = []
    more = ""
    if not left:
        now = elements.find(array.state, {"id": volume.id})
        drop += [tag for tag in volume.tags if tag.startswith("osc.used=")]
        more = " --addtag osc.used=%d -ky" % now.mapped
        lines = ["lvchange -qq -an %s" % volume.full]
    array.do(*(["lvchange -qq %s%s %s" % (lvm.tag_words(drop=drop), more, volume.full)] + lines))


def own_group(array):
    """The group for this host alone, made where there is none."""
    name = here.initiator()
    for group in groups(array.state):
        if group["grp_entries"] == [name]:
            return group["grp_name"]
    base = wanted = native(here.node())
    number = 1
    while wanted in array.state.groups:
        wanted, number = "%s-%d" % (base, number), number + 1
    create(array, [{"grp_name": wanted, "grp_entries": [name]}])
    return wanted


def follow(array, gone=(), without=None, whole=False):
    """Makes LIO export what the tags say. `gone` are initiators that were in a group; `without` the groups that elements
    will have in a moment, by id; `whole` writes what is there already again: target, credentials."""
    without = without or {}
    state, lio = array.state, array.lio
    wanted = elements.initiators(state, sorted(state.groups))
    plan = target.Plan(lio, array.place, array.ss)
    if whole or wanted and not (lio.exists and lio.enabled):
        plan.target()
    shown = [(one, elements.initiators(state, without.get(one.id, one.to))) for one in state.elements]
    for one, names in shown:
        if not names and target.store(one) in lio.backstores:
            plan.export(one, [])
    for name in sorted(set(gone)):
        if name not in wanted:
            plan.drop_acl(name)
    for name in wanted:
        plan.acl(name)
    idle = [one.full for one, names in shown if names and not one.active]
    if idle:
        plan.lines.append("lvchange -qq -ay -K %s" % " ".join(idle))
    for one, names in shown:
        if names:
            plan.export(one, names)
    changed = bool(plan.lines)
    if whole and lio.exists:
        plan.credentials([name for name in wanted if name in lio.acls])
    if plan.lines:
        said = array.shell.run(["changed=%d" % changed] + plan.lines + ["if [ $changed = 1 ]; then %s; fi" % target.SAVE])
        if "unsaved" in said:
            IPlugin.logger.warning("%s cannot save its LIO configuration (targetcli, or python3-rtslib-fb, is missing or fails): "
                                   "after a reboot, start or refresh the storage server", array.place.host)
        array.read()


def _change(array, add=(), drop=()):
    if add or drop:
        try:
            array.do("vgchange -qq %s %s" % (lvm.tag_words(add, drop), quote(array.state.home.vg)))
        except Failed as wrong:
            raise Failed("the access groups are tags of volume group %s, and it refused: %s" % (array.state.home.vg, wrong))


def _entry(name, entry):
    return "%s%s/%s" % (GROUP, pack(name), pack(entry))


def _words(words):
    if words in (None, ""):
        return []
    found = []
    for word in [words] if not isinstance(words, (list, tuple)) else words:
        word = native(word).strip()
        if word and word not in found:
            found.append(word)
    return found
