"""A box with LVM and LIO made of files, for tests on machines whose kernel has neither.

    fakebox.py ROOT COMMAND ARGUMENTS...      what osc.lio has run: LVM's commands, and mkdir and rmdir as configfs takes them

Volumes are sparse files, active ones have a link in dev/; a snapshot is a copy. A command named in the file `fail` fails.
"""

import fcntl
import json
import os
import re
import shutil
import sys

EXTENT = 4 << 20
COMMANDS = ("lvs", "lvcreate", "lvchange", "lvremove", "lvextend", "vgchange", "mkdir", "rmdir", "modprobe", "targetctl")
# What configfs makes below a directory by itself, by the directory's place.
DEFAULTS = ((r"/tpgt_1$", ("lun", "acls", "np", "attrib")), (r"/acls/[^/]+$", ("auth", "attrib")),
            (r"/core/iblock_\d+/[^/]+$", ("wwn", "attrib")))


def make(root, pools):
    """Lays the box out: `pools` are {"vg/pool": size}; returns the directory to put first in PATH."""
    for folder in ("bin", "data", "dev", "stat", "target/core"):
        os.makedirs(os.path.join(root, folder))
    lvs = dict((name, dict(kind="pool", size=size, tags=[])) for name, size in pools.items())
    vgs = dict((name.split("/")[0], dict(uuid="Abc123-%s" % name.split("/")[0], tags=[])) for name in pools)
    save(root, {"lvs": lvs, "vgs": vgs, "minor": 0})
    for command in COMMANDS:
        path = os.path.join(root, "bin", command)
        with open(path, "w") as script:
            script.write("#!/bin/sh\nexec %s -B -S -E %s %s %s \"$@\"\n"
                         % (sys.executable, os.path.abspath(__file__.replace(".pyc", ".py")), root, command))
        os.chmod(path, 0o755)
    return os.path.join(root, "bin")


def load(root):
    with open(os.path.join(root, "state")) as text:
        return json.load(text)


def save(root, state):
    with open(os.path.join(root, "state.new"), "w") as text:
        json.dump(state, text)
    os.rename(os.path.join(root, "state.new"), os.path.join(root, "state"))


def main(root, command, words):
    fail = os.path.join(root, "fail")
    if os.path.exists(fail):
        with open(fail) as text:
            if command in text.read().split():
                sys.exit("%s: told to fail" % command)
    if command == "mkdir":
        return make_dir(words)
    if command == "rmdir":
        return remove_dir(words)
    if command == "targetctl":
        with open(os.path.join(root, "saved"), "a") as log:
            log.write("saved\n")
        return None
    if command == "modprobe":
        return None
    with open(os.path.join(root, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = load(root)
        globals()[command](root, state, Words(words))
        save(root, state)


class Words(object):
    """A command line of LVM's: options by letter or name, and what is left."""

    def __init__(self, words):
        self.add, self.drop, self.named, self.rest = [], [], {}, []
        words = list(words)
        while words:
            word = words.pop(0)
            if word == "--addtag":
                self.add.append(words.pop(0))
            elif word == "--deltag":
                self.drop.append(words.pop(0))
            elif word in ("-n", "-V", "-p", "-L", "-o", "--thinpool", "--units", "--reportformat"):
                self.named[word] = words.pop(0)
            elif word.startswith("-"):
                self.named[word] = True
            else:
                self.rest.append(word)

    def __contains__(self, word):
        return word in self.named

    def tagged(self, tags):
        for tag in self.add:
            if not re.match(r"^[A-Za-z0-9_+.\-/=!:&#]{1,1024}$", tag) or tag.startswith("-"):
                sys.exit("invalid tag %s" % tag)
        return sorted(set(tags) - set(self.drop) | set(self.add))


def size_of(text):
    assert text.endswith("b"), text
    return int(text[:-1])


def lvs(root, state, words):
    rows = []
    for vg in words.rest:
        if vg not in state["vgs"]:
            sys.exit('Volume group "%s" not found' % vg)
        pools = {}
        for name, one in sorted(state["lvs"].items()):
            if not name.startswith(vg + "/"):
                continue
            row = dict(vg_name=vg, vg_uuid=state["vgs"][vg]["uuid"], vg_tags=",".join(state["vgs"][vg]["tags"]),
                       vg_extent_size=str(EXTENT), lv_name=name.split("/")[1], lv_size=str(one["size"]), pool_lv="",
                       data_percent="", metadata_percent="", lv_tags=",".join(one["tags"]), lv_kernel_major="-1",
                       lv_kernel_minor="-1")
            if one["kind"] == "pool":
                row["lv_attr"], row["metadata_percent"] = "twi-aotz--", one.get("metadata", "10.00")
                pools[one_name(name)] = row
            else:
                used = os.stat(data(root, name)).st_blocks * 512
                row.update(lv_attr="V%si-%s-tz%s-" % (one["mode"], "a" if one["active"] else "-", one.get("health", "-")),
                           pool_lv=one["pool"], data_percent="%.2f" % (100.0 * used / one["size"]) if one["active"] else "",
                           lv_kernel_major="253", lv_kernel_minor=str(one["minor"]))
                state["lvs"]["%s/%s" % (vg, one["pool"])].setdefault("now", {})[name] = used
            rows.append(row)
        for row in pools.values():
            used = sum(state["lvs"]["%s/%s" % (vg, row["lv_name"])].pop("now", {}).values())
            row["data_percent"] = "%.2f" % (100.0 * used / int(row["lv_size"]))
    print(json.dumps({"report": [{"lv": rows}]}))


def one_name(name):
    return name


def data(root, name):
    return os.path.join(root, "data", name.replace("/", "-"))


def lvcreate(root, state, words):
    if "-s" in words:
        source = state["lvs"][words.rest[0]]
        vg, pool, size = words.rest[0].split("/")[0], source["pool"], source["size"]
    else:
        vg, pool, size = words.rest[0], words.named["--thinpool"], size_of(words.named["-V"])
        assert "%s/%s" % (vg, pool) in state["lvs"], "no pool %s" % pool
    name = "%s/%s" % (vg, words.named["-n"])
    if name in state["lvs"]:
        sys.exit("Logical volume %s already exists" % name)
    assert size % EXTENT == 0, size
    state["minor"] += 1
    one = dict(kind="thin", pool=pool, size=size, tags=words.tagged([]), minor=state["minor"], active=False,
               skip="-ky" in words, mode="r" if words.named.get("-p") == "r" else "w")
    if "-s" in words:
        run(["cp", "--sparse=always", data(root, words.rest[0]), data(root, name)])
    with open(data(root, name), "ab") as file:
        file.truncate(size)
    state["lvs"][name] = one
    stat = os.path.join(root, "stat", "253:%d" % one["minor"])
    with open(stat, "w") as file:
        file.write("1 0 8 0 1 0 8 0 0 0 0\n")
    if os.path.exists(os.path.join(root, "busy")):
        for other in os.listdir(os.path.join(root, "stat")):
            with open(os.path.join(root, "stat", other), "w") as file:
                file.write("1 0 8 0 %d 0 8 0 0 0 0\n" % (state["minor"] + 10))
    if "-an" not in words:
        activate(root, name, one, True)


def activate(root, name, one, on):
    link = os.path.join(root, "dev", name)
    if on and not one["active"]:
        if not os.path.isdir(os.path.dirname(link)):
            os.makedirs(os.path.dirname(link))
        os.symlink(data(root, name), link)
    elif not on and one["active"]:
        if link in exported(root):
            sys.exit("Logical volume %s in use." % name)
        os.unlink(link)
    one["active"] = on


def exported(root):
    found = []
    core = os.path.join(root, "target", "core")
    for folder, _, files in os.walk(core):
        if "udev_path" in files and "enable" in files:
            with open(os.path.join(folder, "udev_path")) as text:
                found.append(text.read())
    return found


def lvchange(root, state, words):
    for name in words.rest:
        one = state["lvs"][name]
        one["tags"] = words.tagged(one["tags"])
        if "-ky" in words or "-kn" in words:
            one["skip"] = "-ky" in words
        if "-ay" in words and (not one["skip"] or "-K" in words):
            activate(root, name, one, True)
        if "-an" in words:
            activate(root, name, one, False)


def lvremove(root, state, words):
    assert "-y" in words
    for name in words.rest:
        activate(root, name, state["lvs"][name], False)
        os.unlink(data(root, name))
        del state["lvs"][name]


def lvextend(root, state, words):
    one, size = state["lvs"][words.rest[0]], size_of(words.named["-L"])
    assert size > one["size"] and size % EXTENT == 0
    one["size"] = size
    with open(data(root, words.rest[0]), "ab") as file:
        file.truncate(size)


def vgchange(root, state, words):
    group = state["vgs"][words.rest[0]]
    group["tags"] = words.tagged(group["tags"])


def run(words):
    if os.spawnvp(os.P_WAIT, words[0], words):
        sys.exit("%s failed" % words[0])


def make_dir(words):
    parents = words[0] == "-p"
    for path in words[1 if parents else 0:]:
        todo = []
        while parents and not os.path.isdir(os.path.dirname(path)):
            todo.append(path)
            path = os.path.dirname(path)
        for one in [path] + todo[::-1]:
            if parents and os.path.isdir(one):
                continue
            try:
                os.mkdir(one)
            except OSError as wrong:
                sys.exit("mkdir: %s" % wrong)
            for place, names in DEFAULTS:
                for name in names if re.search(place, one) else ():
                    os.mkdir(os.path.join(one, name))


def remove_dir(words):
    for path in words:
        own = [names for place, names in DEFAULTS if re.search(place, path)]
        for name in os.listdir(path):
            inner = os.path.join(path, name)
            if os.path.islink(inner) or os.path.isdir(inner) and not (own and name in own[0] and not dirs(inner)):
                sys.exit("rmdir: %s: Directory not empty (%s)" % (path, name))
        # A LUN that is linked to cannot go.
        for folder, names, _ in os.walk(path.split("/iscsi/")[0] if "/lun/" in path else path):
            for name in names:
                if os.path.islink(os.path.join(folder, name)) and os.readlink(os.path.join(folder, name)) == path:
                    sys.exit("rmdir: %s: Device or resource busy" % path)
        shutil.rmtree(path)


def dirs(path):
    return [name for name in os.listdir(path) if os.path.isdir(os.path.join(path, name))]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
