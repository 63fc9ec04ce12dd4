"""Changes the type of the storage server, which it may not."""
# stage: report
# error: -
# says: storage_type

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def getInfo(ss_record, se_record=None):
        ss_record = Good.getInfo(ss_record, se_record)
        ss_record['storage_type'] = 'iSCSI'
        return ss_record
