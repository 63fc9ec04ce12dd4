"""Answers a snapshot with a list."""
# stage: snapshot
# error: PluginFault
# says: createSnap

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        return [element(ss_record, snap_name)]
