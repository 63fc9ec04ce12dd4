"""`IPlugin.host`: what the agent does on this host for plug-ins (iSCSI, the SCSI bus, multipath, mounts).

`IPlugin.host.iscsi.login(targets=[...])` sends `{"op": "iscsi.login", "targets": [...]}` and returns the agent's reply.
Which operations there are is the agent's table (docs/HOST.md); one that it does not have is refused with
NoSuchOperationEx, and so is every one in a process that does not run under the agent.
"""
from . import _wire
from ._errors import NoSuchOperationEx
from ._link import link


def served():
    """Whether this process runs under an agent, which does what it is asked for."""
    return link() is not None


class Operation(object):
    """An operation, or the group that it is in: its attributes are the operations below it."""

    def __init__(self, name):
        self.__name__ = name

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return Operation("%s.%s" % (self.__name__, name))

    def __call__(self, **arguments):
        agent = link()
        if agent is None:
            raise NoSuchOperationEx(
                "host.%s is done by the agent, and this process does not run under it" % self.__name__)
        request = dict(arguments, op=self.__name__)
        return agent.request({"host": _wire.encode(request, "the arguments of host.%s" % self.__name__)})


class Host(object):
    """Every attribute is a group of operations; their keyword arguments are the operation's."""

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return Operation(name)
