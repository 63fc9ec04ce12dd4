"""LIO through configfs: what the kernel exports now, and the lines that make it export what it should.

An array is one iSCSI target with one portal group. Each initiator of an access group is a node ACL, each presented element a
block backstore named after it, with one LUN number for everybody. What others made on the box is left alone.
"""

import posixpath
import re

from OSCPlugin import InvalidValueEx, MissingKeyEx, OperationFailedEx, ValueFormatEx

from .shell import native, quote

ROOT = "/sys/kernel/config/target"
HBA = "iblock_8300"     # any number does; this one is not among those that targetcli gives out
MAX_LUNS = 512          # what Linux initiators look at (iscsi_tcp, max_lun)
PORT = 3260
SAVE = ("if command -v targetctl >/dev/null; then targetctl save >/dev/null 2>&1 || echo unsaved; "
        "elif command -v targetcli >/dev/null; then targetcli saveconfig >/dev/null 2>&1 || echo unsaved; else echo unsaved; fi")
READ = """cd %s 2>/dev/null || exit 0
for f in core/iblock_*/osc-*/udev_path; do if [ -e "$f" ]; then read -r v <"$f" || :; echo "u $f $v"; fi; done
for f in iscsi/*/tpgt_1/enable; do if [ -e "$f" ]; then read -r v <"$f" || :; echo "e $f $v"; fi; done
for t in iscsi/*/tpgt_1; do if [ -d "$t" ]; then echo "d $t"
find $t/np $t/lun $t/acls -mindepth 1 -maxdepth 3 \\( -name 'lun_*' -o -path '*/np/*' -o -path '*/acls/*' -o -type l \\) \
\\( -type d -o -type l \\) -printf '%%y %%p %%l\\n'; fi; done"""


def reading():
    """The command that prints everything of LIO that could be ours, one object a line: kind, path, where a link leads."""
    return READ % ROOT


class Lio(object):
    """What LIO has of an array: its target, and the backstores of its elements."""

    def __init__(self, text, iqn):
        self.iqn = iqn
        self.exists = self.enabled = False
        self.portals, self.luns, self.acls = [], {}, {}     # luns: number to backstore; acls: initiator to {number: LUN}
        self.backstores = {}                                # name to (folder, device)
        tpg = "iscsi/%s/tpgt_1" % iqn
        for line in text.splitlines():
            kind, _, rest = line.partition(" ")
            path, _, value = rest.partition(" ")
            if kind == "u":
                folder = posixpath.dirname(path)
                self.backstores[posixpath.basename(folder)] = (folder, value.strip())
            elif kind == "e" and path == tpg + "/enable":
                self.enabled = value.strip() == "1"
            elif path == tpg:
                self.exists = True
            elif path.startswith(tpg + "/"):
                self._object(kind, path[len(tpg) + 1:].split("/"), value)

    def _object(self, kind, words, value):
        if words[0] == "np" and len(words) == 2:
            self.portals.append(words[1])
        elif words[0] == "lun" and len(words) >= 2:
            number = _number(words[1])
            self.luns.setdefault(number, "")
            if kind == "l":
                self.luns[number] = posixpath.basename(value)
        elif words[0] == "acls" and len(words) >= 2:
            maps = self.acls.setdefault(words[1], {})
            if len(words) >= 3 and _number(words[2]) is not None:
                maps.setdefault(_number(words[2]), None)
                if kind == "l":
                    maps[_number(words[2])] = _number(posixpath.basename(value))

    def lun_of(self, volume):
        """The LUN number of an element, or None."""
        return ([number for number in sorted(self.luns) if self.luns[number] == store(volume)] or [None])[0]

    def maps(self, volume, initiator):
        number = self.lun_of(volume)
        return self.enabled and number is not None and number in self.acls.get(initiator, {}).values()


def _number(word):
    found = re.match(r"^lun_(\d+)$", word)
    return int(found.group(1)) if found else None


def store(volume):
    """The name of an element's backstore: it stays while the element's volume may change."""
    return "osc-" + volume.id


def iqn_of(place, home):
    """The target's name: the one that extra_info gives, or one made of the volume group's own UUID."""
    name = native(place.options.get("target") or "")
    if not name:
        return "iqn.2003-01.org.linux-iscsi:osc." + home.vg_uuid.replace("-", "").lower()[:20]
    if not re.match(r"^(iqn\.\d{4}-\d{2}\.[a-z0-9.-]+(:[a-z0-9.:-]+)?|(eui|naa)\.[0-9a-f]+)$", name):
        raise ValueFormatEx("%r is no name of an iSCSI target (lower case, iqn.YYYY-MM.domain:name)" % name, "extra_info")
    return name


def accesses(ss):
    """The ways to the storage server: those of its access descriptors, else that of the record itself."""
    found = ss.get("access_descriptors")
    return [one for one in found if isinstance(one, dict)] if found else [ss]


def portals_of(place, ss):
    """The portals that the target has to have, as configfs names them."""
    words = [word.strip() for word in native(place.options.get("portals") or "").split(";") if word.strip()]
    if not words:
        words = [(native(one["access_host"]), one.get("access_port")) for one in accesses(ss) if one.get("access_host")]
    found = []
    for word in words or ["0.0.0.0"]:
        host, port = word if isinstance(word, tuple) else (word, None)
        given = re.match(r"^(\[[0-9A-Fa-f:.%]+\]|[0-9.]+):(\d+)$", host)
        if given:
            host, port = given.groups()
        host = host.strip("[]")
        if re.match(r"^[0-9A-Fa-f]*:[0-9A-Fa-f:.]*$", host):
            host = "[%s]" % host
        elif not re.match(r"^\d+\.\d+\.\d+\.\d+$", host):
            raise ValueFormatEx("%r is no address for a portal: give extra_info portals=ADDRESS, several separated by ';'" % host,
                                "extra_info")
        if not str(port or PORT).isdigit():
            raise ValueFormatEx("%r is no port" % (port,), "access_port")
        portal = "%s:%d" % (host, int(port or PORT))
        if portal not in found:
            found.append(portal)
    return found


def chap_of(ss):
    """What initiators have to log in with, as values of an ACL's auth directory; None where there is no CHAP.

    `username_in` and `passwd_in` are the target's own, with which it answers (mutual CHAP).
    """
    for one in accesses(ss):
        values = [native(one.get(key) or "") for key in ("username", "passwd", "username_in", "passwd_in")]
        if not values[1]:
            continue
        for value in values:
            if value.startswith("NULL") or len(value) > 250 or re.search(r"[\0-\x1f]", value):
                raise InvalidValueEx("LIO takes no CHAP name or secret that begins with NULL, is longer than 250 bytes or has "
                                     "control characters")
        if not values[0]:
            raise MissingKeyEx("CHAP needs a name beside the secret", "username")
        if bool(values[2]) != bool(values[3]):
            raise MissingKeyEx("mutual CHAP needs both username_in and passwd_in", "username_in")
        if values[1] == values[3]:
            raise InvalidValueEx("mutual CHAP needs two different secrets")
        return dict(zip(("userid", "password", "userid_mutual", "password_mutual"), values))
    if ss.get("chap"):
        raise MissingKeyEx("CHAP is asked for: username and passwd are needed", "passwd")
    return None


class Plan(object):
    """The lines that bring LIO from what it is to what it should be. Without any, nothing is to be done.

    `lio` is changed along with what the lines take away, and is to be read again when they have run.
    """

    def __init__(self, lio, place, ss):
        self.lio, self.place, self.ss = lio, place, ss
        self.lines = []
        self.tpg = "%s/iscsi/%s/tpgt_1" % (ROOT, lio.iqn)
        self._taken = set(lio.luns)

    def target(self):
        """The target with its portals, open for those in its ACLs alone."""
        chap = chap_of(self.ss)
        if not self.lio.exists:
            self.lines += ["for m in target_core_mod target_core_iblock iscsi_target_mod; do modprobe -q $m || :; done",
                           "mkdir -p %s" % self.tpg]
            for name in ("generate_node_acls", "cache_dynamic_acls"):
                self._put("%s/attrib/%s" % (self.tpg, name), "0")
            self._put("%s/attrib/demo_mode_write_protect" % self.tpg, "1")
        # One that listens on every address leaves no room for another on its port.
        wanted = [portal for portal in portals_of(self.place, self.ss)
                  if portal not in self.lio.portals and "0.0.0.0:" + portal.rpartition(":")[2] not in self.lio.portals]
        self.lines += ["mkdir %s" % quote("%s/np/%s" % (self.tpg, portal)) for portal in wanted]
        if not self.lio.enabled:
            self._put(self.tpg + "/attrib/authentication", "1" if chap else "0")
            self._put(self.tpg + "/enable", "1")

    def credentials(self, initiators):
        """Writes what they log in with, and whether they have to, where it is something else by now."""
        chap = chap_of(self.ss)
        self._put(self.tpg + "/attrib/authentication", "1" if chap else "0", only_new=True)
        for name in initiators:
            self._auth(name, chap, only_new=True)

    def acl(self, initiator):
        if initiator in self.lio.acls:
            return
        self.lines.append("mkdir %s" % self._acl(initiator))
        self._auth(initiator, chap_of(self.ss))

    def drop_acl(self, initiator):
        if initiator not in self.lio.acls:
            return
        for number in sorted(self.lio.acls[initiator]):
            self._unmap(initiator, number)
        self.lines.append("rmdir %s" % self._acl(initiator))
        del self.lio.acls[initiator]

    def export(self, volume, initiators):
        """Makes the element visible to exactly these initiators, under one number."""
        number = self.lio.lun_of(volume)
        shown = [name for name in sorted(self.lio.acls) for lun in self.lio.acls[name].values()
                 if lun is not None and lun == number]
        for name in shown:
            if name not in initiators:
                for mapped in [mapped for mapped in sorted(self.lio.acls[name]) if self.lio.acls[name][mapped] == number]:
                    self._unmap(name, mapped)
        folder, device = self.lio.backstores.get(store(volume), (None, None))
        if folder and device != volume.device and (not initiators or not shown):
            # It was made for a volume that the element does not have any more.
            self._drop_lun(number)
            self.lines.append("rmdir %s/%s" % (ROOT, folder))
            folder = number = None
        if not initiators:
            if folder:
                self._drop_lun(number)
                self.lines.append("rmdir %s/%s" % (ROOT, folder))
            return
        if not folder:
            folder = self._backstore(volume)
        if number is None:
            number = self._free_number()
            self.lines += ["mkdir %s/lun/lun_%d" % (self.tpg, number),
                           "ln -s %s/%s %s/lun/lun_%d/osc" % (ROOT, folder, self.tpg, number)]
        for name in initiators:
            if number not in (self.lio.acls.get(name) or {}).values():
                place = "%s/lun_%d" % (self._acl(name), number)
                self.lines += ["mkdir %s" % place, "ln -s %s/lun/lun_%d %s/osc" % (self.tpg, number, place)]
                self._put(place + "/write_protect", "1" if volume.type == "Snap" else "0")

    def _backstore(self, volume):
        folder = "core/%s/%s" % (HBA, store(volume))
        place = "%s/%s" % (ROOT, folder)
        self.lines.append("mkdir -p %s" % place)
        self._put(place + "/control", "udev_path=%s,readonly=%d" % (volume.device, volume.type == "Snap"))
        self._put(place + "/udev_path", volume.device)
        self._put(place + "/wwn/vpd_unit_serial", volume.uuid)
        self._put(place + "/enable", "1")
        # Blocks that an initiator gives up go back to the pool, where the pool takes them.
        self.lines.append("echo 1 2>/dev/null >%s/attrib/emulate_tpu || :" % place)
        return folder

    def _drop_lun(self, number):
        if number is not None:
            place = "%s/lun/lun_%d" % (self.tpg, number)
            self.lines += ["find %s -maxdepth 1 -type l -exec rm {} +" % place, "rmdir %s" % place]
            self._taken.discard(number)

    def _unmap(self, initiator, number):
        place = "%s/lun_%d" % (self._acl(initiator), number)
        self.lines += ["find %s -maxdepth 1 -type l -exec rm {} +" % place, "rmdir %s" % place]
        del self.lio.acls[initiator][number]

    def _free_number(self):
        taken = self._taken.union(*[set(maps) for maps in self.lio.acls.values()])
        for number in range(MAX_LUNS):
            if number not in taken:
                self._taken.add(number)
                return number
        raise OperationFailedEx("the target has %d LUNs, which is the most: stop presenting an element first" % MAX_LUNS)

    def _acl(self, initiator):
        return "%s/acls/%s" % (self.tpg, initiator)

    def _auth(self, initiator, chap, only_new=False):
        for key in ("userid", "password", "userid_mutual", "password_mutual"):
            # NULL is how LIO is told to forget one.
            self._put("%s/auth/%s" % (self._acl(initiator), key), (chap or {}).get(key) or "NULL", only_new)

    def _put(self, path, value, only_new=False):
        # printf and [ are the shell's own: no process is started whose arguments could be seen.
        line = "printf %%s %s >%s" % (quote(value), path)
        if only_new:
            line = "v=; IFS= read -r v <%s || :; [ \"$v\" = %s ] || { %s; changed=1; }" % (path, quote(value), line)
        self.lines.append(line)
