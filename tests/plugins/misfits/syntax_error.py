"""Does not compile under any Python."""
# stage: load
# error: PluginUnavailable
# says: compile | Misfit.py

def (:
