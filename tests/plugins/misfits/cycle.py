"""Answers with a record that holds itself."""
# stage: register
# error: PluginFault
# says: list

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        record = element(ss_record, 'one')
        record['self'] = record
        return [record]
