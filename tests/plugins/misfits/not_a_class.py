"""Has something else under the class's name."""
# stage: load
# error: PluginUnavailable
# says: class

Misfit = 42
