"""Is announced as a storage array and says it is a file system."""
# stage: load
# error: PluginUnavailable
# says: plugin_type

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    plugin_type = 'ifs'
