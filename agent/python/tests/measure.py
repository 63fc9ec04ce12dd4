"""Prints how long a forked call takes from connect to result: `python measure.py [calls]`, under either Python."""
import sys
import time

from reference_agent import Worker


def resident(pid):
    """(resident, private) memory of a process in KiB."""
    kept = {"Rss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    with open("/proc/%d/smaps_rollup" % pid) as rollup:
        for line in rollup:
            name = line.split(":")[0]
            if name in kept:
                kept[name] = int(line.split()[1])
    return kept["Rss"], kept["Private_Clean"] + kept["Private_Dirty"]


def main(calls):
    started = time.time()
    worker = Worker("acme.rig")
    ready = time.time() - started
    times = []
    for _ in range(calls):
        start = time.time()
        connection = worker.connect()
        connection.call("getInfo", [["ss_record", {"do": "echo"}], ["se_record", None]])
        frames = [connection.read(), connection.read()]
        times.append(time.time() - start)
        assert frames[1] == {"result": {"do": "echo"}}
        connection.finish({})
    times = sorted(times[10:])
    rss, private = resident(worker.pid)
    print("%s: ready in %.0f ms; %d calls: p50 %.2f ms, p90 %.2f ms, p99 %.2f ms; warm worker %.1f MiB resident, "
          "%.1f MiB private" % (
              worker.status["ready"]["python"], ready * 1e3, len(times), times[len(times) // 2] * 1e3,
              times[len(times) * 9 // 10] * 1e3, times[len(times) * 99 // 100] * 1e3, rss / 1024.0, private / 1024.0))
    worker.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
