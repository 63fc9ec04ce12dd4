"""Forgot @staticmethod."""
# stage: load
# error: PluginUnavailable
# says: list | static

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    def list(self, ss_record):
        return []
