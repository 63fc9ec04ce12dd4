"""Has no class of the name that the module announces."""
# stage: load
# error: PluginUnavailable
# says: Misfit

class Misprint(object):
    pass
