"""Does not compile under any Python."""
# stage: load
# error: PluginUnavailable
# says: SyntaxError | Misfit.py

def (:
