"""Answers a snapshot with None."""
# stage: snapshot
# error: PluginFault
# says: createSnap | None

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        return None
