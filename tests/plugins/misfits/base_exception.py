"""Raises the base class, which the guide forbids."""
# stage: register
# error: PluginFault
# says: IPluginException

from OSCPlugin import IPluginException

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        raise IPluginException('something')
