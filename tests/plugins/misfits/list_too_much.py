"""Answers with more than the agent reads."""
# stage: register
# error: PluginFault
# says: list | MiB

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        return [element(ss_record, 'one', note='x' * (17 << 20))]
