"""Scenarios of osc.lio on a box made of files: its own shell runs for real, LVM and configfs are fakebox's.

What the kernel makes of it is proven in the virtual machine (tests/vm/lio-array).
"""

import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fakebox  # noqa: E402
from support import ended, in_process  # noqa: E402

from OSCPlugin import (  # noqa: E402
    ABILITY_TYPES, CloneFailedEx, CreateSnapFailedEx, InvalidStorageArrayEx, InvalidValueEx, MissingKeyEx, OperationFailedEx,
    OperationPreReqNotMetEx, PermissionDeniedEx, RefreshFailedEx, SE_STATES, SnapRestoreNotSafeEx, StorageElementBusyEx,
    ValueFormatEx)
from osc.lio import copies, elements, here, lvm, shell, target  # noqa: E402
from osc.lio.LIOArray import LIOArray  # noqa: E402

MIB = 1 << 20
HOST = "iqn.2024-01.org.example:host"
OTHER = "iqn.2024-01.org.example:other"
SECRET, ANSWER = "a secret's $HOME `id`", "the answer \"to\" it"


class Box(unittest.TestCase):
    """A fresh box for each test: two pools in two volume groups."""

    def setUp(self):
        self.root = os.path.realpath(tempfile.mkdtemp(prefix="osc-stock-"))
        self.addCleanup(shutil.rmtree, self.root)
        # A shell that another test left open would hold nothing of ours: everything is below this directory.
        self.swap(os.environ, "PATH", fakebox.make(self.root, {"vg0/pool": 256 * MIB, "vg1/small": 16 * MIB})
                  + ":" + os.environ["PATH"])
        for module, name, value in ((lvm, "DEV", "dev"), (lvm, "STAT", "stat/%s:%s"), (target, "ROOT", "target"),
                                    (shell, "LOCK", "lio.lock"), (here, "SYS", "sys"), (here, "INITIATOR", "initiator")):
            self.swap(vars(module), name, os.path.join(self.root, value))
        # Files have no O_DIRECT on every file system that tests run on.
        self.swap(vars(copies), "COPY", copies.COPY.replace("iflag=direct oflag=direct ", ""))
        with open(os.path.join(self.root, "initiator"), "w") as text:
            text.write("## comment\nInitiatorName=%s\n" % HOST)
        self.ss = {"uuid": "0c1de0e3-0000-4000-8000-000000000002", "name": "", "storage_type": "iSCSI",
                   "admin_host": "localhost", "extra_info": "pool=vg0/pool;vg1/small,portals=192.0.2.1;[2001:db8::1]:3261"}
        self.chap = dict(self.ss, chap=True, access_descriptors=[
            {"access_host": "192.0.2.1", "username": "agent", "passwd": SECRET, "username_in": "box", "passwd_in": ANSWER}])
        self.tpg = os.path.join(self.root, "target/iscsi", "iqn.2003-01.org.linux-iscsi:osc.abc123vg0", "tpgt_1")

    def swap(self, names, name, value):
        self.addCleanup(names.__setitem__, name, names[name])
        names[name] = value

    def lun(self, name="lun1", size=8 * MIB, group="vg0/pool", **more):
        return LIOArray.create(self.ss, dict(more, name=name, size=size, vol_group_name=group))

    def groups(self, *entries):
        return LIOArray.createAccessGroups(self.ss, [{"grp_name": "hosts", "grp_entries": list(entries)}])

    def now(self, record):
        return LIOArray.getInfo(self.ss, {"id": record["id"]})

    def names(self):
        return sorted(record["name"] for record in LIOArray.list(self.ss))

    def volumes(self):
        return sorted(name for name, one in fakebox.load(self.root)["lvs"].items() if one["kind"] == "thin")

    def volume(self, record):
        return fakebox.load(self.root)["lvs"]["/".join(record["array_path"].split("/")[-2:])]

    def data(self, record, write=None, offset=0):
        path = fakebox.data(self.root, "/".join(record["array_path"].split("/")[-2:]))
        with open(path, "r+b") as disk:
            disk.seek(offset)
            if write is None:
                return disk.read(4096)
            disk.write(write)

    def said(self, *path):
        with open(os.path.join(self.tpg, *path)) as text:
            return text.read()

    def maps(self, initiator):
        """What an initiator sees: {LUN number: backstore}, through the links."""
        folder = os.path.join(self.tpg, "acls", initiator)
        found = {}
        for name in os.listdir(folder):
            if name.startswith("lun_"):
                lun = os.readlink(os.path.join(folder, name, "osc"))
                found[int(name[4:])] = os.path.basename(os.readlink(os.path.join(lun, "osc")))
        return found

    def fail(self, *commands):
        with open(os.path.join(self.root, "fail"), "w") as text:
            text.write(" ".join(commands))

    def everything(self):
        """The box to the last file, but for what is only locked or counted."""
        state = fakebox.load(self.root)
        state.pop("minor")
        files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(self.root, "target"))
                       for name in names)
        return state, files


class TheArray(Box):
    def test_validate_changes_nothing_and_says_what_is_wrong(self):
        before = self.everything()
        record = LIOArray.validate(self.ss)
        self.assertEqual(record["storage_server_id"], "Abc123-vg0")
        self.assertEqual(record["storage_id"], ["iqn.2003-01.org.linux-iscsi:osc.abc123vg0"])
        for change, error in (({"extra_info": ""}, MissingKeyEx), ({"extra_info": "pool=vg0"}, ValueFormatEx),
                              ({"extra_info": "pool=vg0/none"}, InvalidStorageArrayEx),
                              ({"extra_info": "pool=gone/pool"}, InvalidStorageArrayEx), ({"admin_host": ""}, MissingKeyEx),
                              ({"admin_host": "-oProxyCommand=x"}, ValueFormatEx), ({"storage_type": "SAN"}, InvalidValueEx),
                              ({"storage_server_id": "another"}, InvalidStorageArrayEx), ({"chap": True}, MissingKeyEx),
                              ({"extra_info": "pool=vg0/pool,overcommit=0.5"}, ValueFormatEx),
                              ({"extra_info": "pool=vg0/pool,portals=here"}, ValueFormatEx),
                              ({"extra_info": "pool=vg0/pool,target=x y"}, ValueFormatEx)):
            self.assertRaises(error, LIOArray.validate, dict(self.ss, **change))
        self.assertEqual(self.everything(), before)

    def test_sizes_add_up(self):
        lun = self.lun(size=8 * MIB)
        self.groups(HOST)
        lun = LIOArray.startPresent(self.ss, lun, ["hosts"])
        self.data(lun, os.urandom(2 * MIB))
        LIOArray.createSnap(self.ss, lun, "s")
        info = LIOArray.getInfo(self.ss)
        pool = [group for group in info["vol_groups"] if group["vol_name"] == "vg0/pool"][0]
        self.assertEqual(pool["vol_alloc_sz"] + pool["vol_free_sz"], 256 * MIB)
        # The LUN in full, and the snapshot with what it holds.
        self.assertGreaterEqual(pool["vol_alloc_sz"], 10 * MIB)
        self.assertLess(pool["vol_alloc_sz"], 11 * MIB)
        self.assertEqual(info["total_sz"], 272 * MIB)

    def test_overcommitting_is_a_choice(self):
        more = dict(self.ss, extra_info="pool=vg1/small,overcommit=4")
        self.assertRaises(OperationFailedEx, self.lun, "a", 20 * MIB, "vg1/small")
        LIOArray.create(more, {"name": "a", "size": 40 * MIB})
        self.assertRaises(OperationFailedEx, LIOArray.create, more, {"name": "b", "size": 28 * MIB})
        self.assertIn("promised more", LIOArray.getInfo(more)["status"])

    def test_what_lvm_says_is_ill_is_an_error(self):
        lun = self.lun()
        state = fakebox.load(self.root)
        [one for name, one in state["lvs"].items() if one["kind"] == "thin"][0]["health"] = "F"
        fakebox.save(self.root, state)
        self.assertEqual(self.now(lun)["state"], SE_STATES.ERROR)

    def test_volumes_of_others_are_left_alone_and_counted(self):
        state = fakebox.load(self.root)
        state["lvs"]["vg1/root"] = dict(kind="thin", pool="small", size=12 * MIB, tags=["mine"], minor=99, active=False,
                                        skip=False, mode="w")
        fakebox.save(self.root, state)
        open(os.path.join(self.root, "data/vg1-root"), "w").close()
        self.assertEqual(self.names(), [])
        self.assertRaises(OperationFailedEx, self.lun, "a", 8 * MIB, "vg1/small")
        self.lun("a", 4 * MIB, "vg1/small")

    def test_an_array_elsewhere_is_reached_over_ssh_with_a_key_and_no_secret_on_its_command_line(self):
        log = os.path.join(self.root, "ssh.log")
        self.ssh("printf '%%s\\n' \"$@\" >>%s; env >>%s; for last; do :; done; exec sh -c \"$last\"" % (log, log))
        far = dict(self.chap, admin_host="box.example", admin_user="root", admin_passwd="not to be used",
                   extra_info=self.ss["extra_info"] + ",ssh_key=/etc/osc/key,ssh_port=2222")
        LIOArray.createAccessGroups(far, [{"grp_name": "hosts", "grp_entries": [HOST]}])
        with open(log) as text:
            said = text.read()
        for word in ("BatchMode=yes", "IdentityFile=/etc/osc/key", "IdentitiesOnly=yes", "2222", "box.example"):
            self.assertIn(word, said.splitlines())
        for word in ("secret", "answer", "not to be used"):
            self.assertNotIn(word, said)
        self.assertEqual(self.said("acls", HOST, "auth", "password"), SECRET)
        self.assertRaises(ValueFormatEx, LIOArray.getInfo, dict(far, extra_info="pool=vg0/pool,ssh_port=x"))
        self.assertRaises(ValueFormatEx, LIOArray.getInfo, dict(far, extra_info="pool=vg0/pool,ssh_key=key"))
        for told, error in (("Permission denied (publickey).", PermissionDeniedEx),
                            ("Host key verification failed.", OperationPreReqNotMetEx),
                            ("connect to host box port 22: No route to host", OperationFailedEx)):
            self.ssh("echo '%s' >&2; exit 255" % told)
            with self.assertRaises(error) as raised:
                LIOArray.getInfo(far)
            self.assertIn("box.example", str(raised.exception))
        self.ssh("for last; do :; done; echo \"$last\" >%s; exit 1" % log)
        self.assertRaises(OperationFailedEx, LIOArray.getInfo, dict(far, admin_user="admin"))
        with open(log) as text:
            self.assertEqual(text.read().strip(), "exec sudo -n sh -s")

    def ssh(self, script):
        path = os.path.join(self.root, "bin/ssh")
        with open(path, "w") as text:
            text.write("#!/bin/sh\n%s\n" % script)
        os.chmod(path, 0o755)


class Elements(Box):
    def test_records_have_the_types_of_the_specification(self):
        name = "\xc3\xa4 b+c" if sys.version_info[0] == 2 else u"\xe4 b+c"
        lun = self.lun(name, size=5 * MIB, extra_info="mine=1,b=2")
        self.assertEqual(lun["size"], 8 * MIB)
        for key, kind in dict(se_type=str, ss_uuid=str, name=str, uuid=str, page83_id=str, id=str, vendor=str, product_id=str,
                              path=list, array_path=str, size=int, status=str, vol_group_name=str, access_grp_names=list,
                              state=int, extra_info=str).items():
            self.assertIsInstance(lun[key], kind, key)
        self.assertEqual(lun["page83_id"], "36001405" + lun["uuid"].replace("-", "")[:25])
        self.assertEqual(lun["extra_info"], "mine=1,b=2")
        self.assertEqual(LIOArray.list(self.ss), [lun])
        for key in ("id", "uuid", "page83_id"):
            self.assertEqual(LIOArray.getInfo(self.ss, {key: lun[key]})["name"], name)
        # An idle volume is nobody's to open, now and after a reboot.
        self.assertEqual((self.volume(lun)["active"], self.volume(lun)["skip"]), (False, True))

    def test_bad_names_and_sizes_change_nothing(self):
        self.lun("taken")
        before = self.everything()
        for name in ("taken", "a/b", ".hidden", "x" * 65, "a\nb", " x"):
            self.assertRaises(InvalidValueEx, self.lun, name)
        for size, error in ((0, InvalidValueEx), (-1, InvalidValueEx), ("ten", ValueFormatEx), (None, MissingKeyEx),
                            (1 << 80, InvalidValueEx)):
            self.assertRaises(error, self.lun, "free", size)
        self.assertRaises(InvalidValueEx, self.lun, "free", MIB, "platinum")
        self.assertRaises(MissingKeyEx, self.lun, "free", MIB, "")
        self.assertRaises(InvalidValueEx, self.lun, "free", MIB, access_grp_names=["nobody"])
        self.assertRaises(InvalidValueEx, self.lun, "free", MIB, extra_info="x" * 2000)
        self.assertRaises(InvalidValueEx, LIOArray.remove, self.ss, {"id": "nothing"})
        self.assertRaises(MissingKeyEx, LIOArray.remove, self.ss, {"name": "taken"})
        self.assertEqual(self.everything(), before)

    def test_a_full_pool_is_an_error_that_changes_nothing(self):
        lun = self.lun("a", 12 * MIB, "vg1/small")
        before = self.everything()
        for error, call in ((OperationFailedEx, lambda: self.lun("b", 8 * MIB, "vg1/small")),
                            (OperationFailedEx, lambda: LIOArray.resize(self.ss, lun, 20 * MIB)),
                            (CloneFailedEx, lambda: LIOArray.clone(self.ss, lun, "b"))):
            with self.assertRaises(error) as said:
                call()
            self.assertIn("vg1/small is full", str(said.exception))
            self.assertEqual(self.everything(), before)
        state = fakebox.load(self.root)
        state["lvs"]["vg1/small"]["metadata"] = "95.00"
        fakebox.save(self.root, state)
        with self.assertRaises(CreateSnapFailedEx) as said:
            LIOArray.createSnap(self.ss, lun, "b")
        self.assertIn("metadata", str(said.exception))

    def test_what_lvm_refuses_is_told_in_its_words_and_changes_nothing(self):
        lun = self.lun()
        before = self.everything()
        self.fail("lvcreate", "lvextend")
        for error, call in ((OperationFailedEx, lambda: self.lun("b")), (OperationFailedEx, lambda: LIOArray.resize(self.ss, lun, 16 * MIB)),
                            (CreateSnapFailedEx, lambda: LIOArray.createSnap(self.ss, lun, "b")),
                            (CloneFailedEx, lambda: LIOArray.clone(self.ss, lun, "b"))):
            with self.assertRaises(error) as said:
                call()
            self.assertIn("told to fail", str(said.exception))
        self.assertEqual(self.everything(), before)

    def test_elements_grow_and_never_shrink(self):
        lun = self.lun(size=4 * MIB)
        self.assertEqual(LIOArray.resize(self.ss, lun, 8 * MIB)["size"], 8 * MIB)
        self.assertRaises(InvalidValueEx, LIOArray.resize, self.ss, lun, 4 * MIB)
        self.assertEqual(LIOArray.resize(self.ss, lun, 8 * MIB)["size"], 8 * MIB)

    def test_offline_and_online(self):
        lun = self.lun()
        self.assertEqual(LIOArray.offline(self.ss, lun)["state"], SE_STATES.OFFLINE)
        self.groups(HOST)
        self.assertRaises(OperationPreReqNotMetEx, LIOArray.startPresent, self.ss, lun, ["hosts"])
        self.assertEqual(LIOArray.online(self.ss, lun)["state"], SE_STATES.ONLINE)
        LIOArray.startPresent(self.ss, lun, ["hosts"])
        self.assertRaises(StorageElementBusyEx, LIOArray.offline, self.ss, lun)
        self.assertRaises(StorageElementBusyEx, LIOArray.remove, self.ss, lun)

    def test_changes_at_once_queue(self):
        pids = [in_process(lambda name=name: self.lun(name, 4 * MIB)) for name in "abcd"]
        self.assertEqual([ended(pid) for pid in pids], [0] * 4)
        self.assertEqual(self.names(), list("abcd"))
        pids = [in_process(lambda: self.lun("one", 4 * MIB)) for _ in range(3)]
        self.assertEqual(sorted(ended(pid) for pid in pids), [0, 1, 1])
        self.assertEqual(self.names().count("one"), 1)


class Copies(Box):
    def test_a_snapshot_keeps_its_point_in_time_and_names_its_parent(self):
        lun = self.lun()
        self.data(lun, b"before")
        snap = LIOArray.createSnap(self.ss, lun, "s1")
        self.data(lun, b"after!")
        self.assertEqual(self.data(snap)[:6], b"before")
        self.assertEqual((snap["se_type"], snap["name"], snap["size"]), ("Snap", "s1", lun["size"]))
        self.assertEqual(snap["extra_info"], "parent=%s,parent_uuid=%s" % (lun["id"], lun["uuid"]))
        self.assertEqual(self.volume(snap)["mode"], "r")
        self.assertEqual(LIOArray.getCurrentSnaps(self.ss, lun), [snap])
        self.assertEqual(LIOArray.getSnapLimits(self.ss, lun), {"max": copies.MAX_CHILDREN, "current": 1})
        self.assertFalse(LIOArray.isSnapable(self.ss, snap))
        self.assertTrue(LIOArray.isCloneable(self.ss, snap))
        for name in ("s1", ""):
            self.assertRaises(InvalidValueEx, LIOArray.createSnap, self.ss, lun, name)
        self.assertRaises(InvalidValueEx, LIOArray.createSnap, self.ss, snap, "s2")
        self.assertRaises(InvalidValueEx, LIOArray.resize, self.ss, snap, 16 * MIB)
        self.assertRaises(InvalidValueEx, LIOArray.snapRemove, self.ss, lun)
        self.assertRaises(StorageElementBusyEx, LIOArray.remove, self.ss, lun)
        LIOArray.snapRemove(self.ss, snap)
        LIOArray.remove(self.ss, lun)
        self.assertEqual(self.volumes(), [])

    def test_several_snapshots_are_one_moment_or_none(self):
        luns = [self.lun("a"), self.lun("b")]
        self.groups(HOST)
        for lun in luns:
            LIOArray.startPresent(self.ss, lun, ["hosts"])
        snaps = LIOArray.createMultiSnap(self.ss, luns, ["s1", "s2"])
        self.assertEqual([snap["name"] for snap in snaps], ["s1", "s2"])
        self.assertRaises(InvalidValueEx, LIOArray.createMultiSnap, self.ss, luns, ["x", "x"])
        self.assertRaises(InvalidValueEx, LIOArray.createMultiSnap, self.ss, luns, ["x"])
        open(os.path.join(self.root, "busy"), "w").close()
        with self.assertRaises(CreateSnapFailedEx) as said:
            LIOArray.createMultiSnap(self.ss, luns, ["s3", "s4"])
        self.assertIn("written to", str(said.exception))
        self.assertEqual(self.names(), ["a", "b", "s1", "s2"])

    def test_restoring_brings_the_content_back_and_keeps_the_identity(self):
        lun = self.lun(size=4 * MIB)
        self.data(lun, b"first ")
        s1 = LIOArray.createSnap(self.ss, lun, "s1")
        self.data(lun, b"second")
        lun = LIOArray.resize(self.ss, lun, 8 * MIB)
        s2 = LIOArray.createSnap(self.ss, lun, "s2")
        self.assertTrue(LIOArray.isRestorable(self.ss, lun, s1))
        back = LIOArray.snapRestore(self.ss, lun, s1)
        self.assertEqual(self.data(back)[:6], b"first ")
        for key in ("id", "uuid", "page83_id", "name", "size", "extra_info"):
            self.assertEqual(back[key], lun[key])
        self.assertEqual(self.data(s2)[:6], b"second")
        self.assertEqual(self.data(LIOArray.snapRestore(self.ss, back, s2))[:6], b"second")
        self.assertEqual(self.names(), ["lun1", "s1", "s2"])
        self.assertEqual(len(self.volumes()), 3)
        other = self.lun("other")
        self.assertRaises(InvalidValueEx, LIOArray.snapRestore, self.ss, other, s1)
        self.groups(HOST)
        lun = LIOArray.startPresent(self.ss, back, ["hosts"])
        self.assertRaises(SnapRestoreNotSafeEx, LIOArray.snapRestore, self.ss, lun, s1)
        self.assertFalse(LIOArray.isRestorable(self.ss, lun, s1))

    def test_a_restore_that_died_is_swept_and_changes_nothing(self):
        lun = self.lun()
        self.data(lun, b"second")
        snap = LIOArray.createSnap(self.ss, lun, "s1")
        self.data(lun, b"third!")
        self.fail("lvchange")
        self.assertRaises(OperationFailedEx, LIOArray.snapRestore, self.ss, lun, snap)
        self.assertEqual((self.names(), len(self.volumes())), (["lun1", "s1"], 3))
        self.assertEqual(self.data(self.now(lun))[:6], b"third!")
        # What is left of either attempt does not stand in the way, and goes when it can.
        self.fail("lvremove")
        self.lun("other")
        self.assertEqual(len(self.volumes()), 4)
        self.fail("")
        LIOArray.remove(self.ss, LIOArray.list(self.ss)[[one["name"] for one in LIOArray.list(self.ss)].index("other")])
        self.assertEqual(len(self.volumes()), 2)
        back = LIOArray.snapRestore(self.ss, lun, snap)
        self.assertEqual(self.data(back)[:6], b"second")
        self.data(back, b"fourth")
        self.fail("lvremove")
        back = LIOArray.snapRestore(self.ss, back, snap)
        self.assertEqual((self.data(back)[:6], len(self.volumes())), (b"second", 3))
        self.fail("")
        self.lun("next")
        self.assertEqual((self.data(self.now(lun))[:6], len(self.volumes())), (b"second", 3))

    def test_clones_are_written_to_and_split_off(self):
        lun = self.lun(size=40 * MIB)
        self.data(lun, b"x" * 4096, 20 * MIB)
        snap = LIOArray.createSnap(self.ss, lun, "s")
        clone = LIOArray.clone(self.ss, lun, "c")
        snapclone = LIOArray.cloneFromSnap(self.ss, snap, "sc")
        self.assertEqual((clone["se_type"], snapclone["se_type"]), ("Clone", "SnapClone"))
        self.assertEqual([one["name"] for one in LIOArray.getCurrentClones(self.ss, snap)], ["sc"])
        self.assertEqual(LIOArray.getCloneLimits(self.ss, lun)["current"], 1)
        self.assertRaises(InvalidValueEx, LIOArray.cloneFromSnap, self.ss, lun, "x")
        self.assertRaises(InvalidValueEx, LIOArray.clone, self.ss, snap, "x")
        self.assertRaises(InvalidValueEx, LIOArray.splitClone, self.ss, lun)
        self.assertRaises(StorageElementBusyEx, LIOArray.snapRemove, self.ss, snap)
        self.data(snapclone, b"own")
        self.assertEqual(self.data(snap)[:3], b"\0\0\0")
        self.swap(vars(copies), "SLICE_SECONDS", 0.0001)
        record, said = LIOArray.splitClone(self.ss, snapclone), []
        self.assertEqual(record["state"], SE_STATES.BUSY_COPY)
        self.assertRaises(StorageElementBusyEx, LIOArray.remove, self.ss, snapclone)
        self.assertRaises(StorageElementBusyEx, LIOArray.resize, self.ss, snapclone, 80 * MIB)
        record = LIOArray.getAsyncProgress(self.ss, record)
        said.append(record["async_progress"])
        # Nobody remembers the handle of a split that was cut off: it begins again, on the same copy.
        record = LIOArray.splitClone(self.ss, self.now(snapclone))
        self.lun("meanwhile")
        while record.get("async_progress", 0) is not None:
            record = LIOArray.getAsyncProgress(self.ss, record)
            said.append(record["async_progress"])
        self.assertEqual(said[0], 40)
        self.assertEqual(said[1:], [40, 80, None])
        self.assertEqual((record["se_type"], record["id"], record["page83_id"]),
                         ("LUN", snapclone["id"], snapclone["page83_id"]))
        self.assertIn("cloned_from=" + snap["id"], record["extra_info"])
        self.assertEqual((self.data(record)[:3], self.data(record, offset=20 * MIB)), (b"own", b"x" * 4096))
        self.assertEqual(LIOArray.getCurrentClones(self.ss, snap), [])
        LIOArray.snapRemove(self.ss, snap)
        self.assertEqual(len(self.volumes()), 4)

    def test_a_split_that_fails_leaves_the_clone(self):
        clone = LIOArray.clone(self.ss, self.lun(), "c")
        self.swap(vars(copies), "COPY", "echo no space >&2; exit 1 # %s%s%s%s%s")
        record = LIOArray.splitClone(self.ss, clone)
        self.assertRaises(OperationFailedEx, LIOArray.getAsyncProgress, self.ss, record)
        now = self.now(clone)
        self.assertEqual((now["se_type"], now["state"], len(self.volumes())), ("Clone", SE_STATES.ONLINE, 2))
        self.assertEqual(LIOArray.getCapabilities(self.ss)["splitclone"], ABILITY_TYPES.OFFLINE)
        self.groups(HOST)
        LIOArray.startPresent(self.ss, clone, ["hosts"])
        self.assertRaises(StorageElementBusyEx, LIOArray.splitClone, self.ss, clone)


class Access(Box):
    def test_groups_are_made_renamed_filled_and_removed(self):
        self.assertEqual(self.groups("A-Host", HOST),
                         [{"grp_name": "hosts", "grp_entries": ["A-Host", HOST], "grp_modes": []}])
        self.assertRaises(InvalidValueEx, self.groups, HOST)
        self.assertRaises(MissingKeyEx, LIOArray.createAccessGroups, self.ss, [{}])
        LIOArray.createAccessGroups(self.ss, [{"grp_name": "empty"}])
        LIOArray.renameAccessGroup(self.ss, "hosts", "all the hosts")
        LIOArray.addToAccessGroup(self.ss, "all the hosts", [OTHER])
        groups = LIOArray.removeFromAccessGroup(self.ss, "all the hosts", ["A-Host"])
        self.assertEqual([(group["grp_name"], sorted(group["grp_entries"])) for group in groups],
                         [("all the hosts", [HOST, OTHER]), ("empty", [])])
        self.assertRaises(InvalidValueEx, LIOArray.renameAccessGroup, self.ss, "all the hosts", "empty")
        self.assertRaises(InvalidValueEx, LIOArray.addToAccessGroup, self.ss, "nobody", [OTHER])
        self.assertEqual(sorted(os.listdir(os.path.join(self.tpg, "acls"))), [HOST, OTHER])
        self.assertEqual(LIOArray.removeAccessGroups(self.ss, [{"grp_name": "empty"}, "all the hosts"]), [])
        self.assertEqual(os.listdir(os.path.join(self.tpg, "acls")), [])

    def test_presenting_maps_the_lun_and_unpresenting_takes_it_away(self):
        lun, other = self.lun(), self.lun("other")
        self.groups(HOST, "not-an-initiator")
        LIOArray.createAccessGroups(self.ss, [{"grp_name": "more", "grp_entries": [HOST, OTHER]}])
        self.assertRaises(InvalidValueEx, LIOArray.startPresent, self.ss, lun, ["nobody"])
        for _ in range(2):
            lun = LIOArray.startPresent(self.ss, lun, ["hosts"])
        self.assertEqual((lun["access_grp_names"], lun["status"]), (["hosts"], "Online"))
        LIOArray.startPresent(self.ss, other, ["more"])
        store = ["osc-" + record["id"] for record in (lun, other)]
        self.assertEqual((self.maps(HOST), self.maps(OTHER)), ({0: store[0], 1: store[1]}, {1: store[1]}))
        self.assertEqual((self.volume(lun)["active"], self.volume(lun)["skip"]), (True, False))
        place = os.path.join(self.root, "target/core", target.HBA, store[0])
        for name, value in (("wwn/vpd_unit_serial", lun["uuid"]), ("udev_path", lun["array_path"]), ("enable", "1"),
                            ("control", "udev_path=%s,readonly=0" % lun["array_path"])):
            with open(os.path.join(place, name)) as text:
                self.assertEqual(text.read(), value)
        self.assertEqual(sorted(os.listdir(os.path.join(self.tpg, "np"))), ["192.0.2.1:3260", "[2001:db8::1]:3261"])
        self.assertEqual((self.said("enable"), self.said("attrib/generate_node_acls"), self.said("attrib/authentication")),
                         ("1", "0", "0"))
        self.assertTrue(os.path.exists(os.path.join(self.root, "saved")))
        lun = LIOArray.startPresent(self.ss, lun, ["more"])
        self.assertEqual(self.maps(OTHER), {0: store[0], 1: store[1]})
        lun = LIOArray.stopPresent(self.ss, lun, ["hosts"])
        self.assertEqual((lun["access_grp_names"], self.maps(HOST)), (["more"], {0: store[0], 1: store[1]}))
        self.assertRaises(StorageElementBusyEx, LIOArray.removeAccessGroups, self.ss, ["more"])
        for _ in range(2):
            lun = LIOArray.stopPresent(self.ss, lun, ["more"])
        self.assertEqual((self.maps(HOST), self.maps(OTHER), lun["access_grp_names"]), ({1: store[1]}, {1: store[1]}, []))
        self.assertEqual((self.volume(lun)["active"], self.volume(lun)["skip"], os.path.exists(place)), (False, True, False))

    def test_members_of_a_group_come_and_go_with_what_it_is_shown(self):
        lun = self.lun()
        self.groups(HOST)
        LIOArray.startPresent(self.ss, lun, ["hosts"])
        LIOArray.addToAccessGroup(self.ss, "hosts", [OTHER])
        self.assertEqual(self.maps(OTHER), {0: "osc-" + lun["id"]})
        LIOArray.removeFromAccessGroup(self.ss, "hosts", [HOST])
        self.assertEqual(os.listdir(os.path.join(self.tpg, "acls")), [OTHER])

    def test_a_snapshot_is_presented_read_only(self):
        snap = LIOArray.createSnap(self.ss, self.lun(), "s")
        self.groups(HOST)
        LIOArray.startPresent(self.ss, snap, ["hosts"])
        self.assertEqual(self.said("acls", HOST, "lun_0/write_protect"), "1")
        with open(os.path.join(self.root, "target/core", target.HBA, "osc-" + snap["id"], "control")) as text:
            self.assertIn("readonly=1", text.read())

    def test_a_presentation_that_lio_refuses_is_taken_back(self):
        lun = self.lun()
        self.groups(HOST)
        before = self.everything()[1]
        self.fail("mkdir")
        self.assertRaises(OperationFailedEx, LIOArray.startPresent, self.ss, lun, ["hosts"])
        self.fail("")
        self.assertEqual((self.now(lun)["access_grp_names"], self.everything()[1]), ([], before))

    def test_chap_secrets_are_in_lio_alone_and_follow_the_record(self):
        LIOArray.createAccessGroups(self.chap, [{"grp_name": "hosts", "grp_entries": [HOST]}])
        told = dict((key, self.said("acls", HOST, "auth", key)) for key in ("userid", "password", "userid_mutual", "password_mutual"))
        self.assertEqual(told, {"userid": "agent", "password": SECRET, "userid_mutual": "box", "password_mutual": ANSWER})
        self.assertEqual(self.said("attrib/authentication"), "1")
        saved = self.count_saved()
        LIOArray.refresh(self.chap)
        self.assertEqual(self.count_saved(), saved, "saved without need")
        one_way = dict(self.chap, access_descriptors=[dict(self.chap["access_descriptors"][0], passwd="another one, quite new")])
        for key in ("username_in", "passwd_in"):
            one_way["access_descriptors"][0].pop(key)
        LIOArray.start(one_way)
        self.assertEqual((self.said("acls", HOST, "auth/password"), self.said("acls", HOST, "auth/password_mutual")),
                         ("another one, quite new", "NULL"))
        self.assertEqual(self.count_saved(), saved + 1)
        for change in ({"passwd": "NULL secret"}, {"passwd": "a\nb"}, {"passwd_in": SECRET}, {"username": ""}, {"passwd_in": ""}):
            access = dict(self.chap["access_descriptors"][0], **change)
            self.assertRaises((InvalidValueEx, MissingKeyEx), LIOArray.validate, dict(self.chap, access_descriptors=[access]))

    def count_saved(self):
        with open(os.path.join(self.root, "saved")) as text:
            return len(text.readlines())

    def test_a_lost_lio_configuration_comes_back_from_the_tags(self):
        lun = self.lun()
        self.groups(HOST)
        lun = LIOArray.startPresent(self.ss, lun, ["hosts"])
        shutil.rmtree(os.path.join(self.root, "target/iscsi"))
        shutil.rmtree(os.path.join(self.root, "target/core", target.HBA))
        self.assertIn("Not exported", self.now(lun)["status"])
        self.assertIn("not exported", LIOArray.getInfo(self.ss)["status"])
        self.assertEqual(LIOArray.start(self.ss)["status"], "OK")
        self.assertEqual((self.now(lun), self.maps(HOST)), (lun, {0: "osc-" + lun["id"]}))
        self.fail("mkdir")
        shutil.rmtree(self.tpg)
        self.assertRaises(OperationFailedEx, LIOArray.start, self.ss)
        self.fail("lvs")
        self.assertRaises(RefreshFailedEx, LIOArray.refresh, self.ss)

    def test_devices_of_this_host_are_in_path(self):
        lun = self.lun()
        for place, text in (("sdb/device/wwid", "naa." + lun["page83_id"][1:]), ("sda/device/wwid", "naa.6" + "0" * 31),
                            ("dm-3/dm/uuid", "mpath-" + lun["page83_id"]), ("dm-3/dm/name", "mpathx")):
            path = os.path.join(self.root, "sys/block", place)
            if not os.path.isdir(os.path.dirname(path)):
                os.makedirs(os.path.dirname(path))
            with open(path, "w") as file:
                file.write(text + "\n")
        self.assertEqual(self.now(lun)["path"], ["/dev/mapper/mpathx", "/dev/sdb"])
        self.assertEqual(LIOArray.resize(self.ss, lun, 16 * MIB)["path"], ["/dev/mapper/mpathx", "/dev/sdb"])
        self.groups(HOST)
        LIOArray.startPresent(self.ss, lun, ["hosts"])
        self.assertRaises(StorageElementBusyEx, LIOArray.removeFromAccessGroup, self.ss, "hosts", [HOST])

    def test_names_of_any_kind_survive_in_tags(self):
        for text in ("plain", "a b,c", "+20", "x=y:z", "\xc3\xa4" if sys.version_info[0] == 2 else u"\xe4", "#!&"):
            self.assertEqual(lvm.unpack(lvm.pack(text)), text)
        self.assertTrue(elements.is_initiator(HOST))
        self.assertFalse(elements.is_initiator("iqn.x/../y"))


if __name__ == "__main__":
    unittest.main()
