"""Lists None."""
# stage: register
# error: PluginFault
# says: list | None

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        return None
