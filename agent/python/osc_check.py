"""Checks one plug-in module without an agent, for `oscctl plugin check`: what it looks like and whether it loads.

    python -E -s -B -u osc_check.py --module VENDOR.MODULE --dir PLUGIN_DIR --sdk SDK_DIR

Prints a line of JSON for each finding, {"check", "outcome": "FAIL" or "WARN", "reason"}, and in the end one that says which
checks ran: {"ran", "python", "classes", "failed"}. Runs under Python 2.7 and 3.6 upwards.
"""
import os
import sys
import tempfile

SHOWN = 200


def main(arguments):
    """Checks, prints, and ends the process; the exit status."""
    options = dict(zip(arguments[::2], arguments[1::2]))
    if sorted(options) != ["--dir", "--module", "--sdk"] or len(arguments) != 6:
        sys.stderr.write(__doc__)
        return 2
    sys.dont_write_bytecode = True
    if options["--sdk"] not in sys.path:
        sys.path.insert(0, options["--sdk"])
    sys.argv[1:] = []

    from OSCPlugin import _wire
    from OSCPlugin._runtime import load, process, source

    report = os.dup(1)
    process.close_on_exec(report)

    def tell(frame):
        line = _wire.line(frame)
        while line:
            line = line[os.write(report, line):]

    def find(check, outcome, reason):
        tell({"check": check, "outcome": outcome, "reason": _wire.to_text(reason)})

    vendor, _, name = options["--module"].partition(".")
    folder = os.path.join(options["--dir"], vendor, name)
    ran, classes, failed = ["indentation"], [], None
    for path in source.files(folder):
        source.check_indentation(path, os.path.relpath(path, folder), find)
    printed = tempfile.TemporaryFile()
    os.dup2(printed.fileno(), 1)
    try:
        _, classes, broken = load.load(options["--module"], options["--dir"])
    except load.LoadFailed as failure:
        failed = failure.report
    else:
        ran += ["classes"] + (["attributes", "methods"] if classes else [])
        for one in broken:
            find("classes", "FAIL", u"%s: %s: %s" % (one["impl_name"], one["class"], one["message"]))
        for one in classes:
            for problem in one["problems"]:
                find(_check_of(problem["text"]), "FAIL", problem["text"])
    sys.stdout.flush()
    printed.seek(0)
    said = printed.read(SHOWN)
    if failed is None or failed["stage"] != "compile":
        ran += ["stdout", "stdin", "files", "exceptions", "state", "logger"]
        if said.strip():
            find("stdout", "FAIL", u"prints to standard output while it is imported: %s" % _wire.to_text(repr(said)))
        for path in source.files(folder):
            source.check_calls(path, os.path.relpath(path, folder), find)
    tell({"ran": ran, "python": "%d.%d.%d" % sys.version_info[:3], "classes": classes, "failed": failed})
    return 0


def _check_of(problem):
    """Which check a problem of a class, as `describe` words it, belongs to."""
    if "the class attribute " in problem or "the ability " in problem or "has no ability " in problem:
        return "attributes"
    if "method" in problem:
        return "methods"
    return "classes"


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # Not sys.exit: what the module left behind (threads, exit handlers) has no say.
    os._exit(status)
