"""Says it is half done, in words."""
# stage: snapshot
# error: PluginFault
# says: getAsyncProgress

from OSCPlugin import IPlugin

from .Good import Good, element


class Misfit(Good):
    abilities = dict(Good.abilities, snap_is_sync=IPlugin.ABILITY_TYPES.NO)

    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        return element(ss_record, snap_name, se_type="Snap", async_handle="job 1")

    @staticmethod
    def getAsyncProgress(ss_record, record):
        record['async_progress'] = 'half'
        return record
