"""Kills its process in a snapshot."""
# stage: snapshot
# error: WorkerDied
# says: createSnap

import os

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        os.abort()
