"""Puts the password into its message."""
# stage: register
# error: OperationFailed
# says: cannot log in

from OSCPlugin import OperationFailedEx

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        raise OperationFailedEx('cannot log in as root with ' + ss_record['admin_passwd'])
