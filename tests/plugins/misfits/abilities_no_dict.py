"""Says its abilities in a sentence."""
# stage: load
# error: PluginUnavailable
# says: abilities

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    abilities = 'everything'
