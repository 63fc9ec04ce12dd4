"""Wants parameters that the API does not have."""
# stage: load
# error: PluginUnavailable
# says: list | colour

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record, colour):
        return []
