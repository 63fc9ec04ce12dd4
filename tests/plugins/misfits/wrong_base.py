"""Derives from nothing of the SDK."""
# stage: load
# error: PluginUnavailable
# says: IStorageArrayPlugin

class Misfit(object):
    plugin_type = 'isa'
