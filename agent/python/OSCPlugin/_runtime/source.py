"""What a plug-in's source text tells before anything of it runs: how it is indented, and calls that the guide rules out.

`find(check, outcome, reason)` takes each finding. A file that can also be run as a program of its own, and that the module
does not import, is a tool for people and may read, print and write.
"""
import ast
import io
import os
import sys
import tokenize
import warnings

from .._errors import EXCEPTIONS

_PLACES = 5
_LOGGER_CALLS = frozenset(["setLevel", "addHandler", "removeHandler", "addFilter", "removeFilter"])
_LOGGING_CALLS = frozenset(["basicConfig", "disable", "dictConfig", "fileConfig", "setLoggerClass"])
_QUIET = frozenset([tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
                    getattr(tokenize, "ENCODING", -1), tokenize.ENDMARKER])


def files(folder):
    """Every .py below the folder, in order."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders.sort()
        found.extend(os.path.join(parent, name) for name in sorted(names) if name.endswith(".py"))
    return found


def check_indentation(path, shown, find):
    """Tabs: alone they are a habit to drop, beside spaces they are a fault."""
    tabs, spaces = [], []
    try:
        with open(path, "rb") as source:
            readline = io.BytesIO(source.read()).readline
        tokens = getattr(tokenize, "tokenize" if sys.version_info[0] > 2 else "generate_tokens")(readline)
        fresh = True
        for token in tokens:
            kind, line = token[0], token[4]
            if fresh and kind not in _QUIET:
                indent = line[:len(line) - len(line.lstrip(" \t"))]
                (tabs if "\t" in indent else spaces if indent else []).append(token[2][0])
                fresh = False
            fresh = fresh or kind == tokenize.NEWLINE
    except (tokenize.TokenError, SyntaxError, UnicodeDecodeError, EnvironmentError):
        pass  # whether it compiles is told by another check
    if tabs and spaces:
        find("indentation", "FAIL", "%s: %s indented with tabs, the rest with spaces: Python 3 refuses that" % (
            shown, _lines(tabs)))
    elif tabs:
        find("indentation", "WARN", "%s is indented with tabs: use spaces only" % shown)


def _lines(numbers):
    more = ", ..." if len(numbers) > _PLACES else ""
    word = "line %s is" if len(numbers) == 1 else "lines %s are"
    return word % (", ".join(str(number) for number in numbers[:_PLACES]) + more)


def check_calls(path, shown, find):
    """Output, input, files, exception classes, globals and logging settings, as far as the text shows them."""
    with open(path, "rb") as source:
        text = source.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = compile(text, path, "exec", ast.PyCF_ONLY_AST, True)
    scan = _Scan()
    scan.visit(tree)
    if scan.program and not _imported(path):
        return
    for check, outcome, reason in _REPORTS:
        lines = scan.found.get((check, outcome, reason))
        if lines:
            places = ", ".join("%s:%d" % (shown, line) for line in lines[:_PLACES])
            find(check, outcome, "%s: %s%s" % (places, reason, " and more" if len(lines) > _PLACES else ""))
    for line, name in scan.classes:
        find("exceptions", "FAIL", "%s:%d: defines the exception class %s; raise one of the API's" % (shown, line, name))


_PRINTS = ("stdout", "FAIL", "writes to standard output; use IPlugin.logger")
_READS = ("stdin", "FAIL", "reads standard input, which is empty")
_OPENS = ("files", "WARN", "writes a file or makes a temporary one by itself; for scratch space use IPlugin.getTemporaryFile")
_RAISES_BASE = ("exceptions", "FAIL", "raises IPluginException itself; raise one of the classes below it")
_GLOBALS = ("state", "WARN", "sets a global, which is gone in the next call; use IPlugin.cache")
_CONFIGURES = ("logger", "FAIL", "changes logging settings, which are the agent's")
_REPORTS = (_PRINTS, _READS, _OPENS, _RAISES_BASE, _GLOBALS, _CONFIGURES)


def _imported(path):
    real = os.path.realpath(path)
    return any(os.path.realpath(getattr(module, "__file__", None) or "") == real for module in list(sys.modules.values()))


def _dotted(node):
    """`a.b.c` of a name or attribute, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        above = _dotted(node.value)
        return above + "." + node.attr if above else "." + node.attr
    return ""


def _text(node):
    value = getattr(node, "s", getattr(node, "value", None))
    return value if isinstance(value, str) else ""


class _Scan(ast.NodeVisitor):
    """Gathers lines by finding."""

    def __init__(self):
        self.found = {}
        self.classes = []
        self.program = False
        self._exceptions = set(EXCEPTIONS)

    def _note(self, finding, node):
        self.found.setdefault(finding, []).append(node.lineno)

    def visit_If(self, node):
        names = [_dotted(part) for part in ast.walk(node.test)]
        if "__name__" in names:
            self.program = True
        self.generic_visit(node)

    def visit_Print(self, node):  # Python 2's statement
        if node.dest is None:
            self._note(_PRINTS, node)
        self.generic_visit(node)

    def visit_Call(self, node):
        name = _dotted(node.func)
        last = name.rpartition(".")[2]
        given = dict((keyword.arg, keyword.value) for keyword in node.keywords)
        if name == "print" and "file" not in given:
            self._note(_PRINTS, node)
        elif name in ("input", "raw_input", "getpass", "getpass.getpass"):
            self._note(_READS, node)
        elif name in ("open", "io.open", "codecs.open", "file", "os.fdopen"):
            mode = _text(node.args[1]) if len(node.args) > 1 else _text(given.get("mode"))
            if name != "os.fdopen" and set(mode) & set("wax+"):
                self._note(_OPENS, node)
        elif name.startswith("tempfile.") or name in ("os.tmpfile", "os.tmpnam", "os.tempnam"):
            self._note(_OPENS, node)
        elif name in ("os.write",) and node.args and getattr(node.args[0], "n", getattr(node.args[0], "value", None)) == 1:
            self._note(_PRINTS, node)
        elif name.startswith("logging.") and last in _LOGGING_CALLS or (
                last in _LOGGER_CALLS and _dotted(getattr(node.func, "value", None)).rpartition(".")[2] == "logger"):
            self._note(_CONFIGURES, node)
        self.generic_visit(node)

    def visit_Attribute(self, node):
        name = _dotted(node)
        if name in ("sys.stdout", "sys.__stdout__"):
            self._note(_PRINTS, node)
        elif name in ("sys.stdin", "sys.__stdin__"):
            self._note(_READS, node)
        self.generic_visit(node)

    def visit_ImportFrom(self, node):
        for alias in node.names if node.module == "sys" else ():
            if alias.name in ("stdout", "stdin"):
                self._note(_PRINTS if alias.name == "stdout" else _READS, node)

    def visit_Global(self, node):
        self._note(_GLOBALS, node)

    def visit_Raise(self, node):
        # Python 2 has `type`, Python 3 `exc`.
        raised = getattr(node, "exc", getattr(node, "type", None))
        raised = raised.func if isinstance(raised, ast.Call) else raised
        if _dotted(raised).rpartition(".")[2] == "IPluginException":
            self._note(_RAISES_BASE, node)
        self.generic_visit(node)

    def visit_ClassDef(self, node):
        for base in node.bases:
            name = _dotted(base).rpartition(".")[2]
            if name in self._exceptions or name == "BaseException" or name.endswith(("Exception", "Error", "Ex")):
                self._exceptions.add(node.name)
                self.classes.append((node.lineno, node.name))
                break
        self.generic_visit(node)
