"""Says which key it misses."""
# stage: snapshot
# error: MissingKey
# says: lun_number

from OSCPlugin import MissingKeyEx

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def createSnap(ss_record, se_record, snap_name):
        raise MissingKeyEx('the record lacks it', 'lun_number')
