"""Thin pools and thin volumes: what LVM says of them, and the tags in which LVM keeps what else the array has to remember.

A volume is an element of the array where it has the tag osc.id=...; a pool's volume group has the access groups.
"""

import json
import math
import re

from OSCPlugin import InvalidValueEx, MissingKeyEx, ValueFormatEx

from .shell import Failed, native, quote

DEV = "/dev"
STAT = "/sys/dev/block/%s:%s/stat"
FIELDS = ("vg_name", "vg_uuid", "vg_tags", "vg_extent_size", "lv_name", "lv_attr", "lv_size", "pool_lv", "data_percent",
          "metadata_percent", "lv_tags", "lv_kernel_major", "lv_kernel_minor")
NAME = r"[A-Za-z0-9_+.][A-Za-z0-9_+.-]*"
READ = "lvs --reportformat json --units b --nosuffix -o %s %%s" % ",".join(FIELDS)
GROUP = "osc.group/"
HEALTH = {"F": "failed", "D": "out of data space", "M": "read-only for want of metadata space", "p": "partly missing",
          "X": "in an unknown condition"}
# Tags of a volume, but for the groups it is presented to. Everything here goes with an element when it gets another volume.
KEYS = ("id", "uuid", "name", "type", "parent", "cloned_from", "charge", "used", "offline", "phase", "info", "gen")
PRESENTED = "osc.to="


def pack(text):
    """Any text in the characters that a tag may have: what is not one of them is + and two hexadecimal digits a byte."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if re.match(r"[A-Za-z0-9_.:=-]", chr(byte)) else "+%02x" % byte for byte in bytearray(data))


def unpack(word):
    """The text again; what was not packed stays as it is."""
    parts = re.split(r"\+([0-9a-f]{2})", word)
    data = bytearray()
    for place, part in enumerate(parts):
        data += bytearray(part.encode("ascii")) if place % 2 == 0 else bytearray([int(part, 16)])
    return native(bytes(data))


def pool_names(place):
    """The pools that the storage server's record names, as (vg, lv). Raises MissingKeyEx, ValueFormatEx."""
    text = native(place.options.get("pool") or "")
    if not text:
        raise MissingKeyEx("which thin pool is the array? Give extra_info pool=VG/POOL, several separated by ';'", "extra_info")
    names = []
    for word in text.split(";"):
        found = re.match(r"^\s*(%s)/(%s)\s*$" % (NAME, NAME), word)
        if not found:
            raise ValueFormatEx("%r is no VG/POOL" % word, "extra_info")
        if found.groups() not in names:
            names.append(found.groups())
    return names


class Pool(object):
    """A thin pool, which is a volume group of the API."""

    def __init__(self, row):
        self.vg, self.lv = row["vg_name"], row["lv_name"]
        self.name = "%s/%s" % (self.vg, self.lv)
        self.vg_uuid, self.extent = row["vg_uuid"], int(row["vg_extent_size"])
        self.size = int(row["lv_size"])
        self.used = percent_of(row["data_percent"], self.size) or 0
        self.metadata = float(row["metadata_percent"] or 0)
        self.health = HEALTH.get(row["lv_attr"][8:9])
        self.volumes = []


class Volume(object):
    """A thin volume, ours or not."""

    def __init__(self, row, pool):
        self.pool, self.vg, self.lv = pool, row["vg_name"], row["lv_name"]
        self.size = int(row["lv_size"])
        self.active = row["lv_attr"][4:5] == "a"
        self.health = HEALTH.get(row["lv_attr"][8:9])
        self.tags = [tag for tag in row["lv_tags"].split(",") if tag]
        pairs = dict(tag[4:].partition("=")[::2] for tag in self.tags if tag.startswith("osc."))
        self.facts = dict((key, unpack(pairs[key])) for key in KEYS if key in pairs)
        self.staged_for = unpack(pairs.get("staged", ""))
        self.to = [unpack(tag[len(PRESENTED):]) for tag in self.tags if tag.startswith(PRESENTED)]
        self.stat = STAT % (row["lv_kernel_major"], row["lv_kernel_minor"])
        # What is active changes; of what is not, the tag tells what it held when it was last in use.
        self.mapped = percent_of(row["data_percent"], self.size) if self.active else None
        if self.mapped is None:
            self.mapped = min(self.size, int(self.facts.get("used") or self.size))

    @property
    def full(self):
        return "%s/%s" % (self.vg, self.lv)

    @property
    def device(self):
        return "%s/%s/%s" % (DEV, self.vg, self.lv)

    def __getattr__(self, name):
        if name in KEYS:
            return self.facts.get(name, "")
        raise AttributeError(name)

    @property
    def charge_now(self):
        """Bytes of the pool that are promised to it: all of it, but of a snapshot only what it holds."""
        if self.staged_for and self.phase != "split":
            return 0  # takes the place of an element that is counted
        return int(self.charge) if self.charge else self.size


def percent_of(text, size):
    """Bytes, rounded up to what the two decimals leave open; None where LVM does not say."""
    if text in ("", None):
        return None
    return min(size, int(math.ceil((float(text) + 0.01) * size / 100)))


class State(object):
    """The pools, elements and access groups of an array at one moment."""

    def __init__(self, names, text):
        rows = [dict((key, native(value)) for key, value in row.items())
                for report in json.loads(text)["report"] for row in report["lv"]]
        pools = dict(((row["vg_name"], row["lv_name"]), Pool(row)) for row in rows if row["lv_attr"][:1] == "t")
        missing = ["%s/%s" % name for name in names if name not in pools]
        if missing:
            raise Failed("there is no thin pool %s" % ", ".join(missing))
        self.pools = [pools[name] for name in names]
        self.home = self.pools[0]
        elements, self.leftovers, self.staged = {}, [], {}
        for row in rows:
            pool = pools.get((row["vg_name"], row["pool_lv"]))
            if row["lv_attr"][:1] != "V" or pool not in self.pools:
                continue
            volume = Volume(row, pool)
            pool.volumes.append(volume)
            if volume.staged_for:
                self.staged.setdefault(volume.staged_for, []).append(volume)
            elif volume.id:
                # The element is the volume of the highest generation: one that was replaced may be there still.
                other = elements.get(volume.id)
                if other is not None:
                    volume, other = sorted((volume, other), key=lambda one: int(one.gen or 0), reverse=True)
                    self.leftovers.append(other)
                elements[volume.id] = volume
        for element_id, volumes in self.staged.items():
            of = elements.get(element_id)
            self.leftovers += [one for one in volumes if of is None or of.phase != "splitting" or one.phase != "split"]
        self.elements = sorted(elements.values(), key=lambda one: (one.pool.name, one.id))
        self.groups = {}
        tags = [row["vg_tags"] for row in rows if row["vg_name"] == self.home.vg][0]
        for tag in tags.split(","):
            if tag.startswith(GROUP):
                group, _, entry = tag[len(GROUP):].partition("/")
                entries = self.groups.setdefault(unpack(group), [])
                if entry:
                    entries.append(unpack(entry))

    def children(self, volume):
        return [one for one in self.elements if volume.id in (one.parent, one.cloned_from) and one.type != "LUN"]

    def split_of(self, volume):
        """The volume that a split of this one is being copied to, or None."""
        return ([one for one in self.staged.get(volume.id, []) if one.phase == "split"] or [None])[0]


def reading(names):
    """The command that prints what State reads."""
    return READ % " ".join(quote(vg) for vg in sorted(set(vg for vg, _ in names)))


def promised(pool):
    return sum(volume.charge_now for volume in pool.volumes)


def free(pool, factor):
    """Bytes that can still be promised, at most the pool's size."""
    return max(0, min(pool.size, int(pool.size * factor) - promised(pool)))


def reserve(place, pool, more, failed):
    """Raises `failed` where the pool cannot take `more` bytes."""
    factor = overcommit(place)
    if pool.health:
        raise failed("thin pool %s is %s: nothing was changed" % (pool.name, pool.health))
    if pool.metadata > 90 or pool.used >= pool.size:
        raise failed("thin pool %s is full (its metadata by %.0f %%): nothing was changed. Extend it with lvextend"
                     % (pool.name, pool.metadata))
    if more > 0 and promised(pool) + more > pool.size * factor:
        raise failed("thin pool %s is full: %d bytes are needed and %d of %d are free; nothing was changed. Remove elements, "
                     "or extend the pool with lvextend" % (pool.name, more, free(pool, factor), pool.size))


def overcommit(place):
    """How many times its size a pool may promise. Raises ValueFormatEx."""
    text = place.options.get("overcommit") or "1"
    try:
        factor = float(text)
    except ValueError:
        factor = 0
    if not 1 <= factor <= 1000:
        raise ValueFormatEx("overcommit=%s: how many times its size a pool may promise, at least 1" % text, "extra_info")
    return factor


def rounded(pool, size):
    return -(-size // pool.extent) * pool.extent


def tag_words(add=(), drop=()):
    return " ".join(["--addtag " + quote(tag) for tag in add] + ["--deltag " + quote(tag) for tag in drop])


def fact_tags(facts):
    """The tags that say these facts; InvalidValueEx where one is too long for a tag."""
    tags = ["osc.%s=%s" % (key, pack(str(facts[key]))) for key in sorted(facts) if facts[key] not in ("", None)]
    for tag in tags:
        if len(tag) > 1000:
            raise InvalidValueEx("%s is too long: the array keeps it in an LVM tag of at most 1000 characters" % tag[:12])
    return tags
