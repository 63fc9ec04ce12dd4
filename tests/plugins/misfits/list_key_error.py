"""Raises a Python exception."""
# stage: register
# error: PluginFault
# says: KeyError | no_such_key

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        return ss_record['no_such_key']
