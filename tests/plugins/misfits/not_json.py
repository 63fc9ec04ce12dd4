"""Answers with something that is no value."""
# stage: register
# error: PluginFault
# says: list | object

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        return [element(ss_record, 'one', note=object())]
