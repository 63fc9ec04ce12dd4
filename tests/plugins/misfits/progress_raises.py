"""Fails when asked for its progress."""
# stage: snapshot
# error: OperationFailed
# says: the job is lost

from OSCPlugin import IPlugin, OperationFailedEx

from .Good import Good, element


class Misfit(Good):
    abilities = dict(Good.abilities, snap_is_sync=IPlugin.ABILITY_TYPES.NO)

    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        return element(ss_record, snap_name, se_type="Snap", async_handle="job 1")

    @staticmethod
    def getAsyncProgress(ss_record, record):
        raise OperationFailedEx('the job is lost')
