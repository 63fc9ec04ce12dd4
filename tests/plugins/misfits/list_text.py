"""Lists a text."""
# stage: register
# error: PluginFault
# says: list

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        return 'one, two'
