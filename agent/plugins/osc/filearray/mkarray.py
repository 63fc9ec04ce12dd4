#!/usr/bin/env python3
"""Makes a directory a FileArray storage array, and adds or resizes its volume groups. Running it again changes nothing.

    mkarray.py /srv/array --vol-group gold=100GiB --vol-group bronze=2TiB
"""

from __future__ import print_function

import argparse
import json
import os
import sqlite3
import sys

# Beside this file, also when another directory's `layout` would come first.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import layout  # noqa: E402

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}


def size(text):
    """Bytes of "10GiB", "512M" or "1048576"."""
    word = text.strip()
    for tail in ("iB", "B"):
        if word.endswith(tail):
            word = word[:-len(tail)]
            break
    unit = word[-1:].upper() if word[-1:].isalpha() else ""
    number = word[:len(word) - len(unit)]
    if unit not in UNITS or not number.isdigit() or int(number) == 0:
        raise ValueError("%r is no size: write bytes, or a number with KiB, MiB, GiB or TiB" % (text,))
    return int(number) * UNITS[unit]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("directory", metavar="DIR", help="the array's directory; made if missing, else empty or an array")
    parser.add_argument("--vol-group", metavar="NAME=SIZE", action="append", default=[], help="may be given several times")
    parser.add_argument("--name", help="the array's own name (default: the directory's)")
    parser.add_argument("--json", action="store_true", help="print what was done as one line of JSON")
    wanted = parser.parse_args(argv)
    try:
        groups = []
        for word in wanted.vol_group:
            name, found, amount = word.partition("=")
            if not found:
                raise ValueError("--vol-group wants NAME=SIZE, not %r" % (word,))
            groups.append((name, size(amount)))
        path = os.path.abspath(wanted.directory)
        made = layout.create_array(path, wanted.name)
        done = [{"name": name, "size": amount, "result": layout.set_vol_group(path, name, amount)}
                for name, amount in groups]
        with layout.reading(path) as db:
            array_id = db.execute("SELECT value FROM array WHERE key='id'").fetchone()[0]
    except (ValueError, IOError, OSError, sqlite3.Error) as wrong:
        print("mkarray: %s" % (wrong,), file=sys.stderr)
        return 1
    if wanted.json:
        print(json.dumps({"path": path, "id": array_id, "created": made, "vol_groups": done}, sort_keys=True))
    else:
        print("%s: array %s %s" % (path, array_id, "created" if made else "was there"))
        for group in done:
            print("  volume group %(name)s, %(size)d bytes: %(result)s" % group)
    return 0


if __name__ == "__main__":
    sys.exit(main())
