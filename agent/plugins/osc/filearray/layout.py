"""What an array's directory looks like, and how it is changed safely.

    <array>/array.db      everything known about the array and its elements (SQLite, rollback journal, synchronous=FULL)
    <array>/lock          taken (flock) by whoever changes array.db: writers queue, readers never wait for it
    <array>/.staging/     one locked file for each data file that is being built; a lock that can be had belongs to a dead builder
    <array>/ballast       a spare MiB, given up so that elements can be removed when the host's file system is full
    <array>/<vol group>/  the elements' data files

A data file counts only once array.db refers to it, so a builder may die at any point: its leftovers are never seen and are
swept by the next change. This module knows nothing of plug-ins: mkarray.py uses it from the command line.
"""

from __future__ import print_function

import contextlib
import errno
import fcntl
import os
import sqlite3
import sys
import uuid

MARKER = "array.db"
LOCK = "lock"
STAGING = ".staging"
BALLAST = "ballast"
BALLAST_SIZE = 1 << 20
FORMAT = "1"
BLOCK = 4096

SCHEMA = """
CREATE TABLE array(key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE vol_group(name TEXT PRIMARY KEY, capacity INTEGER NOT NULL, description TEXT NOT NULL);
CREATE TABLE access_grp(name TEXT PRIMARY KEY, entries TEXT NOT NULL, modes TEXT NOT NULL);
CREATE TABLE element(
    id TEXT PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    parent TEXT,
    extra_info TEXT NOT NULL,
    vol_group TEXT NOT NULL,
    size INTEGER NOT NULL,
    charge INTEGER NOT NULL,
    data TEXT NOT NULL UNIQUE,
    shared INTEGER NOT NULL,
    online INTEGER NOT NULL,
    qos TEXT NOT NULL,
    grps TEXT NOT NULL,
    phase TEXT NOT NULL,
    split_at INTEGER NOT NULL);
CREATE INDEX element_parent ON element(parent);
CREATE INDEX element_vol_group ON element(vol_group);
CREATE INDEX element_phase ON element(phase);
CREATE TABLE garbage(data TEXT PRIMARY KEY);
"""


def native(value):
    """`value` as this Python's own `str`: UTF-8 bytes in Python 2, text in Python 3."""
    if sys.version_info[0] == 2:
        return value.encode("utf-8") if isinstance(value, unicode) else str(value)  # noqa: F821
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def is_array(path):
    """Whether the directory `path` carries an array's marker. Creates nothing."""
    try:
        with open(os.path.join(path, MARKER), "rb") as marker:
            return marker.read(16) == b"SQLite format 3\0"
    except (IOError, OSError):
        return False


def connect(path):
    """An autocommit connection to the array's metadata; text comes and goes as native `str`.

    Raises sqlite3.Error, and IOError with ENOENT where `path` is no array: SQLite would create an empty database there.
    """
    if not is_array(path):
        raise IOError(errno.ENOENT, "no array here", path)
    return _open(path)


def _open(path, marker=MARKER):
    db = sqlite3.connect(os.path.join(path, marker), timeout=60, isolation_level=None)
    db.text_factory = str
    db.row_factory = sqlite3.Row
    # The journal is kept and overwritten: a change allocates next to nothing, which matters on a full file system.
    db.execute("PRAGMA journal_mode=PERSIST").fetchall()
    db.execute("PRAGMA synchronous=FULL")
    return db


@contextlib.contextmanager
def reading(path):
    """One consistent view of the metadata."""
    db = connect(path)
    try:
        db.execute("BEGIN")
        yield db
        db.execute("COMMIT")
    finally:
        db.close()


@contextlib.contextmanager
def changing(path):
    """A change of the metadata: all of it or nothing, durable when the block has ended, one at a time for each array."""
    fd = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        db = connect(path)
        try:
            db.execute("BEGIN IMMEDIATE")
            try:
                sweep(path, db)
                yield db
                db.execute("COMMIT")
            except BaseException:
                try:
                    db.execute("ROLLBACK")
                except sqlite3.Error:
                    pass  # SQLite rolls back by itself after some errors, a full disk among them
                raise
        finally:
            db.close()
    finally:
        os.close(fd)


class Staged(object):
    """The locked `.staging` entry that protects one data file while it is being built."""

    def __init__(self, path, vol_group, token=None):
        self.data = "%s/%s.img" % (vol_group, token or uuid.uuid4().hex[:16])
        self.entry = os.path.join(path, STAGING, self.data.replace("/", ":"))
        while True:
            self.fd = os.open(self.entry, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            if os.fstat(self.fd).st_nlink:
                return
            os.close(self.fd)  # a sweeper was faster than our lock

    def close(self):
        """Ends the protection: from here on the data file is what array.db says it is."""
        _unlink(self.entry)
        os.close(self.fd)


def sweep(path, db):
    """Removes what dead builders and interrupted removals left behind. Runs inside a change."""
    staging = os.path.join(path, STAGING)
    alive = set()
    for entry in os.listdir(staging):
        data = entry.replace(":", "/", 1)
        try:
            fd = os.open(os.path.join(staging, entry), os.O_RDWR)
        except (IOError, OSError) as gone:
            if gone.errno != errno.ENOENT:
                raise
            continue  # its builder has just ended
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (IOError, OSError):
            alive.add(data)
        else:
            if not db.execute("SELECT 1 FROM element WHERE data=? AND phase!='creating'", (data,)).fetchone():
                _unlink(os.path.join(path, data))
            _unlink(os.path.join(staging, entry))
        finally:
            os.close(fd)
    for row in db.execute("SELECT id, data FROM element WHERE phase='creating'").fetchall():
        if row["data"] not in alive:
            _unlink(os.path.join(path, row["data"]))
            db.execute("DELETE FROM element WHERE id=?", (row["id"],))
    for row in db.execute("SELECT data FROM garbage").fetchall():
        _unlink(os.path.join(path, row["data"]))
    db.execute("DELETE FROM garbage")


def create_array(path, name=None):
    """Makes `path` an array without volume groups; does nothing where it is one. Returns whether it did something.

    Raises ValueError where the directory holds something else.
    """
    if not os.path.isdir(path):
        os.makedirs(path, 0o700)
    if is_array(path):
        return False
    strange = [entry for entry in os.listdir(path)
               if entry not in (STAGING, LOCK, BALLAST, "lost+found") and not entry.startswith(MARKER)]
    if strange:
        raise ValueError("%s is not empty (it holds %s): an array wants a directory of its own" % (path, strange[0]))
    if not os.path.isdir(os.path.join(path, STAGING)):
        os.mkdir(os.path.join(path, STAGING), 0o700)
    fill_ballast(path)
    fd = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if is_array(path):
            return False
        unfinished = MARKER + ".new"
        _unlink(os.path.join(path, unfinished))
        _unlink(os.path.join(path, unfinished + "-journal"))
        old_mask = os.umask(0o077)
        try:
            db = _open(path, unfinished)
        finally:
            os.umask(old_mask)
        try:
            facts = {"format": FORMAT, "id": str(uuid.uuid4()), "name": name or os.path.basename(os.path.abspath(path))}
            db.execute("BEGIN EXCLUSIVE")
            for statement in SCHEMA.split(";"):
                if statement.strip():
                    db.execute(statement)
            for key in sorted(facts):
                db.execute("INSERT INTO array VALUES(?,?)", (key, native(facts[key])))
            db.execute("COMMIT")
        finally:
            db.close()
        _unlink(os.path.join(path, unfinished + "-journal"))
        os.rename(os.path.join(path, unfinished), os.path.join(path, MARKER))
        sync_dir(path)
    finally:
        os.close(fd)
    return True


def set_vol_group(path, name, capacity, description=""):
    """Adds a volume group, or gives an existing one its new capacity. Returns "created", "changed" or "unchanged".

    Raises ValueError where less than is allocated would be left, or the name cannot be a directory's.
    """
    if not name or name.startswith(".") or len(name) > 64 or set(name) - set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") or name in (MARKER, LOCK, BALLAST):
        raise ValueError("%r cannot name a volume group: use up to 64 letters, digits, '.', '_' and '-'" % (name,))
    with changing(path) as db:
        folder = os.path.join(path, name)
        if not os.path.isdir(folder):
            os.mkdir(folder, 0o700)
            sync_dir(path)
        old = db.execute("SELECT capacity, description FROM vol_group WHERE name=?", (name,)).fetchone()
        if old is None:
            db.execute("INSERT INTO vol_group VALUES(?,?,?)", (name, capacity, description))
            return "created"
        if old["capacity"] == capacity and (not description or old["description"] == description):
            return "unchanged"
        taken = db.execute("SELECT coalesce(sum(charge),0) FROM element WHERE vol_group=?", (name,)).fetchone()[0]
        if taken > capacity:
            raise ValueError("volume group %s has %d bytes allocated: it cannot shrink to %d" % (name, taken, capacity))
        db.execute("UPDATE vol_group SET capacity=?, description=? WHERE name=?",
                   (capacity, description or old["description"], name))
        return "changed"


def fill_ballast(path):
    """Writes the spare MiB again, as far as there is room."""
    try:
        fd = os.open(os.path.join(path, BALLAST), os.O_WRONLY | os.O_CREAT, 0o600)
    except (IOError, OSError):
        return
    try:
        if os.fstat(fd).st_size < BALLAST_SIZE:
            # Random bytes: a file system that compresses or drops zeros would set nothing aside.
            os.write(fd, os.urandom(BALLAST_SIZE))
            os.fsync(fd)
    except (IOError, OSError):
        pass
    finally:
        os.close(fd)


def drop_ballast(path):
    """Gives the spare MiB up."""
    _unlink(os.path.join(path, BALLAST))
    sync_dir(path)


def sync_dir(path):
    """Makes the directory's entries durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unlink(path):
    try:
        os.unlink(path)
    except OSError as gone:
        if gone.errno != errno.ENOENT:
            raise
