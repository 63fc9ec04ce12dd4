"""Says it is half done, then that it is."""
# stage: report-snapshot
# error: -
# says: getAsyncProgress | async_progress

import time

from OSCPlugin import IPlugin

from .Good import Good, element


class Misfit(Good):
    abilities = dict(Good.abilities, snap_is_sync=IPlugin.ABILITY_TYPES.NO)

    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        return element(ss_record, snap_name, se_type="Snap", async_handle=str(time.time()))

    @staticmethod
    def getAsyncProgress(ss_record, record):
        begun = float(record["async_handle"])
        record["async_progress"] = 'half' if time.time() < begun + 1 else None
        return record
