"""Raises a class of its own that derives from one of the SDK's."""
# stage: register
# error: PluginFault
# says: ArrayOnFire

from OSCPlugin import OperationFailedEx

from .Good import Good


class ArrayOnFire(OperationFailedEx):
    pass


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        raise ArrayOnFire("hot")
