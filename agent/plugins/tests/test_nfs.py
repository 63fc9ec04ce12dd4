"""Scenarios of osc.generic.NFSPlugin against a file server that speaks RPC but has no files: lists, failures, and what
is done with the files of a mount, for which file systems of this host stand in."""

import os
import socket
import struct
import subprocess
import sys
import threading
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from support import Bench, need  # noqa: E402

from OSCPlugin import (  # noqa: E402
    ABILITY_TYPES, BACKING_DEVICE_TYPES, CloneFailedEx, FS_STATES, FileSystemBusyEx, IPlugin, InvalidValueEx, ListFailedEx,
    MissingKeyEx, NoSuchOperationEx, OperationFailedEx, OperationPreReqNotMetEx, ValueFormatEx)
from OSCPlugin._link import context  # noqa: E402
from osc.generic import copies, pseudoroot, rpc  # noqa: E402
from osc.generic.NFSPlugin import GenericNFSPlugin as NFS  # noqa: E402

PSEUDO, DATA, OTHER = (0, 0), (1, 1), (2, 2)


class Directory(object):
    """A directory of the pseudo file system: its file system, whether it may be written to, what is in it, and its handle."""

    def __init__(self, fsid, entries=None, writable=False, status=0, handle=None):
        self.fsid, self.entries, self.writable, self.status, self.handle = fsid, entries or {}, writable, status, handle


class Server(object):
    """Port mapper, mountd and NFS on one port of this host."""

    def __init__(self):
        self.exports, self.mountd, self.nfs, self.root = [], True, (3, 4), Directory(PSEUDO)
        self.silent, self.connections, self.threads, self.page = False, [], [], 3
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(50)
        self.port = self.listener.getsockname()[1]
        self._run(self._accept)

    def _run(self, work, *arguments):
        thread = threading.Thread(target=work, args=arguments)
        thread.daemon = True
        thread.start()
        self.threads.append(thread)

    def close(self):
        for connection in [self.listener] + self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except (OSError, IOError):
                pass  # the other end was first
            connection.close()
        for thread in self.threads:
            thread.join()

    def _accept(self):
        while True:
            try:
                connection = self.listener.accept()[0]
            except (OSError, IOError):
                return
            self.connections.append(connection)
            self._run(self._serve, connection)

    def _serve(self, connection):
        try:
            while True:
                length = struct.unpack(">I", self._exactly(connection, 4))[0] & 0x7FFFFFFF
                message = self._exactly(connection, length)
                if self.silent:
                    continue
                answer = self._answer(rpc.Reader(message)).bytes()
                # In two fragments, as a server may.
                half = len(answer) // 8 * 4
                connection.sendall(struct.pack(">I", half) + answer[:half])
                connection.sendall(struct.pack(">I", 0x80000000 | len(answer) - half) + answer[half:])
        except (OSError, IOError, EOFError):
            connection.close()

    def _exactly(self, connection, length):
        data = b""
        while len(data) < length:
            more = connection.recv(length - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def _answer(self, asked):
        xid, _, _, program, version, procedure = [asked.u32() for _ in range(6)]
        for _ in range(2):
            asked.u32()
            asked.opaque()
        answer = rpc.Writer().u32(xid, 1, 0, 0, 0)
        if program == rpc.PORTMAP:
            return answer.u32(0, self.port if self.mountd else 0)
        if program == rpc.NFS and version not in self.nfs:
            return answer.u32(2, min(self.nfs), max(self.nfs))
        if program == rpc.MOUNTD:
            answer.u32(0)
            for path, clients in self.exports:
                answer.u32(1).opaque(path)
                for client in clients:
                    answer.u32(1).opaque(client)
                answer.u32(0)
            return answer.u32(0)
        answer.u32(0)
        return answer if procedure == 0 else answer.raw(self._compound(asked))

    def _compound(self, asked):
        asked.opaque()
        asked.u32()
        results, here, status = [], None, 0
        for _ in range(asked.u32()):
            operation = asked.u32()
            result = rpc.Writer()
            if operation == 24:
                here = self.root
            elif operation == 15:
                here = here.entries.get(asked.text())
                status = 2 if not isinstance(here, Directory) else here.status
            elif operation == 3:
                asked.u32()
                result.u32(0x1F, 0x1C if here.writable else 0)
            elif operation == 9:
                bits = [asked.u32() for _ in range(asked.u32())]
                if bits == [1 << 8]:
                    result.u32(1, 1 << 8).opaque(struct.pack(">QQ", *here.fsid))
                else:
                    result.u32(2, 0, 1 << 10 | 1 << 12).opaque(struct.pack(">QQ", 400, 1000))
            else:
                cookie = asked.u64()
                names = sorted(here.entries)
                asked.raw(8)
                result.raw(b"verifier")
                for number, name in list(enumerate(names))[cookie:cookie + self.page]:
                    entry = here.entries[name]
                    kind, fsid = (2, entry.fsid) if isinstance(entry, Directory) else (1, here.fsid)
                    handle = getattr(entry, "handle", None)
                    result.u32(1).u64(number + 1).opaque(name).u32(1, 1 << 1 | 1 << 8 | (1 << 11 | 1 << 19 if handle else 0))
                    values = rpc.Writer().u32(kind).raw(struct.pack(">QQ", *fsid) + (b"\0" * 4 if handle else b""))
                    result.opaque((values.opaque(handle) if handle else values).bytes())
                result.u32(0, int(cookie + self.page >= len(names)))
            results.append(rpc.Writer().u32(operation, status).bytes() + (b"" if status else result.bytes()))
            if status:
                break
        return rpc.Writer().u32(status).opaque(b"").u32(len(results)).raw(b"".join(results)).bytes()


class Agent(object):
    """The agent's end of host operations and cache: mounts are directories that are there already."""

    def __init__(self):
        self.pid, self.mounts, self.cache, self.asked = os.getpid(), [], {}, []

    def request(self, frame):
        if "cache" in frame:
            asked = frame["cache"]
            if asked["op"] == "set":
                self.cache[asked["key"]] = asked["value"]
            return self.cache.get(asked["key"])
        asked = frame["host"]
        self.asked.append(asked)
        if asked["op"] == "mount.list":
            return self.mounts
        if asked["op"] == "mount.unmount":
            self.mounts = [mount for mount in self.mounts if mount["mount_point"] != asked["mount_point"]]
            return {"state": "unmounted", "message": ""}
        if any(mount["mount_point"] == asked["mount_point"] for mount in self.mounts):
            return None
        return self.add(asked["mount_point"], "127.0.0.1:/export", asked["options"], asked["share_path"])

    def add(self, place, source, options, share=""):
        self.mounts.append({
            "uuid": str(uuid.uuid4()), "fs_uuid": None, "mount_point": place, "options": list(options), "share_path": share,
            "status": "Mounted", "source": source, "fstype": "nfs4", "read_only": "ro" in options})
        return self.mounts[-1]


class Case(unittest.TestCase):
    def setUp(self):
        self.server, self.agent = Server(), Agent()
        self.addCleanup(self.server.close)
        self.addCleanup(setattr, rpc, "PORTMAP_PORT", rpc.PORTMAP_PORT)
        self.addCleanup(setattr, rpc, "PATIENCE", rpc.PATIENCE)
        rpc.PORTMAP_PORT = self.server.port
        # What a host needs for mounts of its own is not needed here.
        self.addCleanup(setattr, IPlugin, "checkRequired", staticmethod(IPlugin.checkRequired))
        IPlugin.checkRequired = staticmethod(lambda *commands: None)
        context.link = self.agent
        self.addCleanup(setattr, context, "link", None)
        self.ss = {"uuid": "0c1de0e3-0000-4000-8000-000000000003", "name": "nas", "storage_type": "NetworkFS",
                   "access_host": "127.0.0.1", "access_port": self.server.port}
        self.fs = {"uuid": str(uuid.uuid4()), "access_path": "127.0.0.1:/export", "name": "mine"}

    def paths(self):
        return [fs["array_path"] for fs in NFS.listFileSystems(self.ss)]


class Lists(Case):
    def test_mountd_names_the_exports(self):
        self.server.exports = [("/export", ["192.0.2.0/24", "*.example.org"]), (u"/b \u00e9".encode("utf-8"), [])]
        self.agent.add("/m", "127.0.0.1:/export/pool", ["ro", "vers=3"], "pool")
        first, second = NFS.listFileSystems(self.ss)
        self.assertEqual(second["access_path"], "127.0.0.1:/export")
        self.assertEqual(second["name"], "nfs:/export")
        self.assertEqual(second["export_opts"], ["client=192.0.2.0/24", "client=*.example.org"])
        self.assertEqual((second["state"], second["status"]), (FS_STATES.MOUNTED_READONLY, "Mounted read-only"))
        self.assertEqual((first["state"], first["status"]), (FS_STATES.UNMOUNTED, "Not mounted"))
        self.assertTrue(first["array_path"].startswith("/b "))
        again = NFS.listFileSystems(self.ss)
        self.assertEqual([fs["uuid"] for fs in again], [first["uuid"], second["uuid"]])
        info = NFS.getFileSystemInfo(self.ss, dict(self.fs, uuid=second["uuid"], name="mine"))
        self.assertEqual((info["name"], info["uuid"], info["access_path"]), ("mine", second["uuid"], "127.0.0.1:/export"))

    def test_an_export_s_size_is_what_nfs_4_says_without_a_mount(self):
        self.server.exports = [("/export", [])]
        self.server.root = Directory(PSEUDO, {"export": Directory(DATA)})
        fs, = NFS.listFileSystems(self.ss)
        self.assertEqual((fs["size"], fs["free_sz"]), (1000, 400))
        self.server.nfs = (3,)
        fs, = NFS.listFileSystems(self.ss)
        self.assertEqual((fs["size"], fs["free_sz"]), (-1, -1))

    def test_without_mountd_the_pseudo_file_system_is_walked(self):
        self.server.mountd = False
        leads = {"empty": Directory(DATA), "files": Directory(DATA, {"a": None, "d": Directory(DATA, {"x": None})}),
                 "nested": Directory(DATA, {"a": None, "other": Directory(OTHER, {"b": None})})}
        self.server.root = Directory(PSEUDO, {"srv": Directory((0, 7), leads), "home": Directory(
            DATA, {"alice": Directory(DATA), "bob": Directory(DATA)}, writable=True)})
        self.assertEqual(self.paths(), ["/home", "/srv/empty", "/srv/files", "/srv/nested", "/srv/nested/other"])

    def test_a_pseudo_file_system_of_one_piece_is_walked_too(self):
        self.ss["extra_info"] = "vers=4.2"
        self.server.exports = [("/not-asked", [])]
        self.server.root = Directory(PSEUDO, {"a": Directory(PSEUDO, {"b": Directory(PSEUDO, {"c": Directory(DATA, {"x": None})})})})
        self.assertEqual(self.paths(), ["/a/b/c"])
        self.server.root = Directory(DATA, {"file": None, "d": Directory(DATA)}, writable=True)
        self.assertEqual(self.paths(), ["/"])
        self.server.root = Directory(PSEUDO)
        self.assertEqual(self.paths(), [])

    def test_exports_of_linux_are_told_by_their_handles_where_all_is_of_one_file_system(self):
        self.server.mountd = False

        def linux(entries=None, root=True, **more):
            handle = b"\x01\x00\x07\x00" + b"f" * 24 if root else b"\x01\x00\x07\x81" + b"f" * 24 + b"inodegen"
            return Directory(DATA, entries, handle=handle, **more)
        within = {"d": linux({"x": None}, root=False)}
        leads = {"empty": linux(), "written": linux(within, writable=True), "read-only": linux(within)}
        self.server.root = Directory(PSEUDO, {"srv": linux({"nas": linux(leads)})}, handle=b"")
        self.assertEqual(self.paths(), ["/srv/nas/empty", "/srv/nas/read-only", "/srv/nas/written"])
        # Others' handles that look alike count for nothing.
        for handle in (b"\x01\x00\x07\x00" + b"f" * 25, b"\x01\x00\x07\x81" + b"f" * 24, b"\x01\x00\x08\x00", b"\x01"):
            self.server.root = Directory(PSEUDO, {"a": Directory(PSEUDO, {"b": Directory(DATA, {"x": None}, handle=handle)})})
            self.assertEqual(self.paths(), ["/a/b"])

    def test_a_long_directory_arrives_in_pages(self):
        self.server.mountd = False
        names = dict(("e%02d" % number, Directory((9, number), {"x": None})) for number in range(20))
        self.server.root = Directory(PSEUDO, names)
        self.assertEqual(self.paths(), ["/" + name for name in sorted(names)])

    def test_what_this_host_may_not_see_is_left_out(self):
        self.server.mountd = False
        self.server.root = Directory(PSEUDO, {"a": Directory(DATA, {"x": None}), "b": Directory(OTHER, status=13)})
        self.assertEqual(self.paths(), ["/a"])

    def test_a_walk_ends_somewhere(self):
        self.server.mountd = False
        self.addCleanup(setattr, pseudoroot, "MOST_DIRECTORIES", pseudoroot.MOST_DIRECTORIES)
        pseudoroot.MOST_DIRECTORIES = 50
        endless = Directory(PSEUDO)
        endless.entries = {"a": endless, "b": endless}
        self.server.root = endless
        self.assertRaises(ListFailedEx, NFS.listFileSystems, self.ss)

    def test_a_server_that_does_not_answer_costs_its_deadline_and_no_more(self):
        rpc.PATIENCE = 0.2
        self.server.silent = True
        for method, failed in ((NFS.listFileSystems, ListFailedEx), (NFS.getStorageServerInfo, OperationFailedEx),
                               (NFS.validate, OperationFailedEx)):
            self.assertRaises(failed, method, self.ss)
        self.agent.add("/", "127.0.0.1:/export", ["rw"])
        self.assertRaises(ListFailedEx, NFS.list, self.ss, self.fs, {"file_path": ""})
        self.assertRaises(OperationFailedEx, NFS.mount, self.ss, self.fs, "/m", "", True, [])
        # It is not asked where it need not be.
        self.assertEqual(len(NFS.listMountPoints(self.ss, self.fs)), 1)
        self.assertEqual(NFS.unmount(self.ss, self.fs, "/", True)["status"], "Not mounted")
        self.server.close()
        self.assertRaises(ListFailedEx, NFS.listFileSystems, self.ss)

    def test_a_garbled_answer_is_told_as_such(self):
        self.server.exports = [("/export", [])]
        answer = self.server._answer
        self.server._answer = lambda asked: rpc.Writer().raw(answer(asked).bytes()[:-12])
        self.assertRaises(ListFailedEx, NFS.listFileSystems, self.ss)

    def test_records_that_do_not_fit_are_refused(self):
        self.assertRaises(MissingKeyEx, NFS.listFileSystems, {"storage_type": "NetworkFS"})
        self.assertRaises(InvalidValueEx, NFS.listFileSystems, dict(self.ss, extra_info="vers=2"))
        self.assertRaises(ValueFormatEx, NFS.listFileSystems, dict(self.ss, access_port="nfs"))
        self.assertRaises(InvalidValueEx, NFS.validate, dict(self.ss, storage_type="SAN"))
        self.assertRaises(InvalidValueEx, NFS.mount, self.ss, dict(self.fs, access_path="evil:/export"), "/m", "", True, [])
        self.assertRaises(MissingKeyEx, NFS.mount, self.ss, {"uuid": "x"}, "/m", "", True, [])
        self.server.exports = [("/other", [])]
        self.assertRaises(InvalidValueEx, NFS.getFileSystemInfo, self.ss, self.fs)

    def test_the_class_answers_as_the_original_did(self):
        able = NFS.abilities
        self.assertEqual(able["access_control"], ABILITY_TYPES.NO)
        self.assertEqual(able["backing_device_type"], BACKING_DEVICE_TYPES.UNSUPPORTED)
        rest = set(value for key, value in able.items() if key not in ("access_control", "backing_device_type"))
        self.assertEqual(rest, set([ABILITY_TYPES.UNSUPPORTED]))
        self.assertTrue(NFS.generic_plugin)


class Mounts(Case):
    def test_options_name_the_version_and_the_port(self):
        self.server.exports = [("/export", [])]
        self.ss["extra_info"] = "vers=4.1"
        record = NFS.mount(self.ss, self.fs, "/m", "pool", True, ["ro"])
        self.assertEqual((record["state"], record["name"]), (FS_STATES.MOUNTED_READONLY, "mine"))
        asked = [asked for asked in self.agent.asked if asked["op"] == "mount.mount"][0]
        self.assertEqual(asked["options"], ["ro", "vers=4.1", "port=%d" % self.server.port])
        self.assertEqual((asked["share_path"], asked["fstype"]), ("pool", "nfs"))
        self.assertIsNone(NFS.mount(self.ss, self.fs, "/m", "pool", True, ["ro"]))
        NFS.mount(self.ss, dict(self.fs, mount_options=["vers=3", "port=1"]), "/n", "", True, [])
        asked = [asked for asked in self.agent.asked if asked["op"] == "mount.mount"][-1]
        self.assertEqual(asked["options"], ["vers=3", "port=1"])

    def test_abilities_say_what_the_mounts_can_do(self):
        def clone():
            return NFS.getCapabilities(self.ss)["clone"]
        self.assertEqual(clone(), ABILITY_TYPES.UNSUPPORTED)
        self.agent.add("/a", "127.0.0.1:/a", ["rw", "vers=3"])
        self.agent.add("/b", "127.0.0.1:/b", ["ro", "vers=4.2"])
        self.assertEqual(clone(), ABILITY_TYPES.UNSUPPORTED)
        self.agent.add("/c", "127.0.0.1:/c", ["rw", "vers=4.2"])
        self.assertEqual(clone(), ABILITY_TYPES.OFFLINE)
        self.agent.cache["shares:127.0.0.1:/c"] = "yes"
        able = NFS.getCapabilities(self.ss)
        self.assertEqual([able[key] for key in ("clone", "clone_is_sync", "custom_clone_name", "snapshot")],
                         [ABILITY_TYPES.ONLINE, ABILITY_TYPES.YES, ABILITY_TYPES.YES, ABILITY_TYPES.UNSUPPORTED])


class Files(Case):
    kind = "xfs"

    def setUp(self):
        Case.setUp(self)
        need("losetup")
        self.bench = Bench()
        self.addCleanup(self.bench.close)
        self.place = self.bench.mounted(self.kind)
        self.agent.add(self.place, "127.0.0.1:/export", ["rw", "vers=4.2"])
        for name in os.listdir(self.place):
            os.rmdir(os.path.join(self.place, name))
        with open(os.path.join(self.place, "a"), "wb") as disk:
            disk.write(os.urandom(300000))

    def read(self, name):
        with open(os.path.join(self.place, name), "rb") as disk:
            return disk.read()

    def clone(self, path, name):
        return NFS.clone(self.ss, self.fs, {"file_path": path}, name)

    def test_files_are_made_listed_grown_and_removed(self):
        made = NFS.create(self.ss, self.fs, "dir", "Directory", 0)
        self.assertEqual((made["fr_type"], made["file_path"]), ("Directory", "dir"))
        made = NFS.create(self.ss, self.fs, self.place + "/dir/disk", "File", "1048576")
        self.assertEqual((made["file_path"], made["file_sz"], made["ondisk_sz"], made["fs_uuid"]), (
            "dir/disk", 1048576, 0, self.fs["uuid"]))
        grown = NFS.resize(self.ss, self.fs, made, 2097152)
        self.assertEqual(grown["file_sz"], 2097152)
        names = [record["file_path"] for record in NFS.list(self.ss, self.fs, {"file_path": "/dir", "name_pattern": "k$"})]
        self.assertEqual(names, ["dir/disk"])
        self.assertRaises(FileSystemBusyEx, NFS.destroy, self.ss, self.fs, {"file_path": "dir"})
        with open(os.path.join(self.place, "dir", "disk")) as disk:
            holder = subprocess.Popen(["sleep", "600"], stdin=disk)
        try:
            with self.assertRaises(FileSystemBusyEx) as busy:
                NFS.destroy(self.ss, self.fs, {"file_path": "dir/disk"})
        finally:
            holder.kill()
            holder.wait()
        self.assertIn("process %d" % holder.pid, str(busy.exception))
        NFS.destroy(self.ss, self.fs, {"file_path": "dir/disk"})
        NFS.destroy(self.ss, self.fs, {"file_path": "dir"})
        self.assertRaises(InvalidValueEx, NFS.getFileInfo, self.ss, self.fs, {"file_path": "dir"})

    def test_nothing_leads_out_of_the_file_system(self):
        os.symlink("/etc", os.path.join(self.place, "link"))
        for path in ("link/passwd", "../x", "/../etc/passwd"):
            self.assertRaises(InvalidValueEx, NFS.getFileInfo, self.ss, self.fs, {"file_path": path})
            self.assertRaises(InvalidValueEx, NFS.create, self.ss, self.fs, path, "File", 1)
            self.assertRaises(InvalidValueEx, self.clone, path, "b")
            self.assertRaises(InvalidValueEx, self.clone, "a", path)

    def test_a_clone_is_whole_and_its_own(self):
        os.chmod(os.path.join(self.place, "a"), 0o640)
        os.mkdir(os.path.join(self.place, "dir"))
        before = self.read("a")
        clone = self.clone("a", "b")
        self.assertEqual((clone["file_path"], clone["file_sz"], clone["fs_uuid"]), ("b", 300000, self.fs["uuid"]))
        self.assertEqual(self.clone("a", "/dir/c")["file_path"], "dir/c")
        self.assertEqual(self.clone("dir/c", "d")["file_path"], "dir/d")
        with open(os.path.join(self.place, "a"), "r+b") as disk:
            disk.write(b"changed")
        for name in ("b", "dir/c", "dir/d"):
            self.assertEqual(self.read(name), before)
        self.assertEqual(os.stat(os.path.join(self.place, "b")).st_mode & 0o777, 0o640)
        self.assertRaises(InvalidValueEx, self.clone, "a", "b")
        self.assertRaises(InvalidValueEx, self.clone, "missing", "e")
        self.assertRaises(InvalidValueEx, self.clone, "a", "")
        self.assertEqual(sorted(os.listdir(self.place)), ["a", "b", "dir"])
        self.assertEqual(self.agent.cache, {"shares:127.0.0.1:/export": "yes" if self.kind == "xfs" else "no"})
        self.assertIs(copies.can_share(self.place), self.kind == "xfs")

    def test_only_nfs_4_2_for_writing_clones(self):
        self.agent.mounts[0]["options"] = ["rw", "vers=4.1"]
        self.assertRaises(NoSuchOperationEx, self.clone, "a", "b")
        self.assertIs(NFS.isCloneable(self.ss, self.fs, {"file_path": "a"}), False)
        self.agent.mounts[0].update(options=["ro", "vers=4.2"], read_only=True)
        self.assertRaises(OperationPreReqNotMetEx, self.clone, "a", "b")
        self.agent.mounts = []
        self.assertRaises(OperationPreReqNotMetEx, NFS.list, self.ss, self.fs, {"file_path": ""})


class CopiedFiles(Files):
    """Where nothing shares blocks, the server copies."""

    kind = "ext4"

    def test_a_file_that_is_written_to_meanwhile_is_not_half_cloned(self):
        changes = iter(range(100))
        self.addCleanup(setattr, copies, "_changes", copies._changes)
        copies._changes = lambda facts: next(changes)
        self.assertRaises(CloneFailedEx, self.clone, "a", "b")
        self.assertEqual(os.listdir(self.place), ["a"])



if __name__ == "__main__":
    unittest.main()
