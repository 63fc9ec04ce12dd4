"""`IPlugin.logger`: a logger of the standard library that hands every message to the agent.

It comes configured and stays that way: plug-ins "should not change any of the logging options" (specification,
"Logging"), and attempts to do so have no effect, whether on the logger or on the logging module.
"""
import logging
import sys
import traceback

from . import _wire
from ._link import link

_LEVELS = ((logging.CRITICAL, "critical"), (logging.ERROR, "error"), (logging.WARNING, "warning"),
           (logging.INFO, "info"))


def level_name(number):
    """The agent's name for a level number of the logging module, whatever number a plug-in made up."""
    for floor, name in _LEVELS:
        if number >= floor:
            return name
    return "debug"


def emit(record):
    """Sends a log record to the agent, or writes it to standard error where there is none. Never raises."""
    try:
        text = _message(record)
        agent = link()
        if agent is not None:
            agent.send({"log": {"level": level_name(record.levelno), "message": agent.redact(text)}})
        else:
            text = u"%s: %s\n" % (record.levelname, text)
            sys.stderr.write(text.encode("utf-8") if _wire.PY2 else text)
    except Exception:
        # Logging has never been a reason for an operation to fail.
        pass


def _message(record):
    try:
        text = _wire.to_text(record.getMessage())
    except Exception:
        # Arguments that do not fit the format, or mixed encodings under Python 2: say what there is.
        text = _wire.to_text("%r %% %r" % (record.msg, record.args))
    if record.exc_info and record.exc_info[0] is not None:
        text += u"\n" + _wire.to_text("".join(traceback.format_exception(*record.exc_info))).rstrip()
    return text


class AgentLogger(logging.Logger):
    """A Logger whose configuration is fixed."""

    def __init__(self, name):
        self.__dict__["_fixed"] = False
        logging.Logger.__init__(self, name, logging.DEBUG)
        self.__dict__["_fixed"] = True

    def __setattr__(self, name, value):
        # Swallowed, not refused: a plug-in that tidies up its logging is no reason to fail its call.
        if not self._fixed or name in ("parent", "manager"):
            self.__dict__[name] = value

    def __reduce__(self):
        return logging.getLogger, (self.name,)

    def setLevel(self, level):
        if not self._fixed:
            logging.Logger.setLevel(self, level)

    def _ignored(self, *args, **kwargs):
        """Has no effect on a logger that is configured for good."""

    addHandler = removeHandler = addFilter = removeFilter = _ignored

    def isEnabledFor(self, level):
        return True

    def getEffectiveLevel(self):
        return logging.DEBUG

    def hasHandlers(self):
        return True

    @property
    def handlers(self):
        return [AgentHandler()]

    @handlers.setter
    def handlers(self, value):
        pass

    def handle(self, record):
        emit(record)

    callHandlers = handle


class AgentHandler(logging.Handler):
    """Hands what other loggers of the plug-in and its libraries say to the agent; the worker puts it on the root."""

    def emit(self, record):
        emit(record)


def make_logger():
    """The logger, which `logging.getLogger("OSCPlugin")` finds as well."""
    before = logging.getLoggerClass()
    logging.setLoggerClass(AgentLogger)
    try:
        return logging.getLogger("OSCPlugin")
    finally:
        logging.setLoggerClass(before)
