"""Kills its process while it is imported."""
# stage: load
# error: PluginUnavailable
# says: import

import os

os.kill(os.getpid(), 9)
