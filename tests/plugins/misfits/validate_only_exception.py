"""Raises from list what only validate may raise."""
# stage: register
# error: PluginFault
# says: InvalidStorageArrayEx

from OSCPlugin import InvalidStorageArrayEx

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        raise InvalidStorageArrayEx('not mine')
