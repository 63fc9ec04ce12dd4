"""Calls itself for ever."""
# stage: register
# error: PluginFault
# says: recursion depth

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        return Misfit.list(ss_record)
