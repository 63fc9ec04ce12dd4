"""Cannot be imported."""
# stage: load
# error: PluginUnavailable
# says: ZeroDivisionError

1 / 0
