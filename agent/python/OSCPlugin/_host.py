"""`IPlugin.host`: services of this host (mounts, loop devices, logins) that the agent does for plug-ins.

`IPlugin.host.loop_attach(path="/x")` sends `{"op": "loop_attach", "path": "/x"}` and returns the agent's reply. Which
operations there are is the agent's business: one that it does not know is refused with NoSuchOperationEx.
"""
from . import _wire
from ._errors import NoSuchOperationEx
from ._link import link


class Host(object):
    """Every attribute is an operation; its keyword arguments are the operation's."""

    def __getattr__(self, op):
        if op.startswith("_"):
            raise AttributeError(op)

        def ask(**arguments):
            agent = link()
            if agent is None:
                raise NoSuchOperationEx("host.%s is done by the agent, and this process does not run under it" % op)
            request = dict(arguments, op=op)
            return agent.request({"host": _wire.encode(request, "the arguments of host.%s" % op)})

        ask.__name__ = op
        return ask
