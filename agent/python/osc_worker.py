"""Hosts one plug-in module for the agent: imports it once, then forks a process for every call.

    python -E -s -B -u osc_worker.py --module VENDOR.MODULE --dir PLUGIN_DIR --sdk SDK_DIR

File descriptor 3 is the listening socket, 4 the pipe on which it says, in one line, what it found or why it failed.
Runs under Python 2.7 and 3.6 upwards.
"""
import gc
import logging
import os
import sys

_LISTENER, _STATUS = 3, 4


def main(arguments):
    """Serves until told to stop; the exit status."""
    options = dict(zip(arguments[::2], arguments[1::2]))
    if sorted(options) != ["--dir", "--module", "--sdk"] or len(arguments) != 6:
        sys.stderr.write(__doc__)
        return 2
    sys.dont_write_bytecode = True
    if options["--sdk"] not in sys.path:
        sys.path.insert(0, options["--sdk"])
    sys.argv[1:] = []

    from OSCPlugin import _wire
    from OSCPlugin._log import AgentHandler
    from OSCPlugin._runtime import load, process, serve

    agent_pid = os.getppid()
    pid = os.getpid()
    for fd in (_LISTENER, _STATUS):
        process.close_on_exec(fd)
    process.leave_no_core()
    process.show_as("osc:" + options["--module"])
    process.adopt_orphans()
    serve.watch_agent(agent_pid)
    sys.stdout, sys.stderr = process.HarmlessStream(sys.stdout), process.HarmlessStream(sys.stderr)
    logging.root.addHandler(AgentHandler())
    logging.root.setLevel(logging.INFO)
    _import_common_modules()

    server = None
    try:
        classes, described, broken = load.load(options["--module"], options["--dir"])
        status = {"ready": {"python": "%d.%d.%d" % sys.version_info[:3], "classes": described, "broken": broken}}
        server = serve.Server(_LISTENER, classes, agent_pid)
        serve.warm_up()
    except load.LoadFailed as failure:
        status = {"failed": failure.report}
    if os.getpid() != pid:
        os._exit(0)  # a process that the module forked while it was imported
    _tell(_wire.line(status))
    if server is not None:
        gc.collect()
        if hasattr(gc, "freeze"):
            gc.freeze()  # keeps collections in calls from copying every page that they share with this process
        server.run()
    # What the module started while it was imported ends with it.
    process.kill_tree(pid)
    return 0 if server is not None else 1


def _import_common_modules():
    """What most plug-ins use and what errors need, so that no call spends its time importing."""
    names = ["encodings.ascii", "encodings.latin_1", "encodings.unicode_escape", "glob", "json", "pickle", "re",
             "shutil", "socket", "stat", "struct", "subprocess", "tempfile", "threading", "time", "tokenize", "uuid"]
    names += ["cPickle", "cStringIO", "StringIO"] if sys.version_info[0] == 2 else []
    for name in names:
        __import__(name)


def _tell(line):
    while line:
        line = line[os.write(_STATUS, line):]
    os.close(_STATUS)


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # Not sys.exit: what the module left behind (threads, exit handlers) has no say.
    os._exit(status)
