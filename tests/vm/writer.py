"""Writes to a device without a pause, past the page cache, and reads each block back.

    writer.py DEVICE PROGRESS STOP

All over the device, as large as it is at the moment. PROGRESS always holds how many blocks were written and where the
furthest ends. When the file STOP appears, everything is read once more. A call that fails, or a byte that is another
than was written, ends it with status 1.
"""

import mmap
import os
import sys

BLOCK = 64 << 10
STRIDE = 7919  # a prime: neighbours in time are far apart on the device


def main(device, progress, stop):
    disk = os.open(device, os.O_RDWR | os.O_DIRECT)
    out, back = mmap.mmap(-1, BLOCK), mmap.mmap(-1, BLOCK)
    written, furthest, number = {}, 0, 0

    def check(at):
        if os.preadv(disk, [back], at) != BLOCK or back[:] != content(written[at]):
            sys.exit("block %d at %d of %s is not what was written" % (written[at], at, device))

    while not os.path.exists(stop):
        blocks = os.lseek(disk, 0, os.SEEK_END) // BLOCK
        at = number * STRIDE % blocks * BLOCK
        out[:] = content(number)
        if os.pwritev(disk, [out], at) != BLOCK:
            sys.exit("block %d at %d of %s was not written whole" % (number, at, device))
        written[at] = number
        check(at)
        number, furthest = number + 1, max(furthest, at + BLOCK)
        with open(progress + ".new", "w") as text:
            text.write("%d %d\n" % (number, furthest))
        os.rename(progress + ".new", progress)
    for at in written:
        check(at)
    print("%d blocks written, %d read once more" % (number, len(written)))


def content(number):
    return b"%015d\n" % number * (BLOCK // 16)


if __name__ == "__main__":
    main(*sys.argv[1:])
