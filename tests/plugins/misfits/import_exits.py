"""Ends the process while it is imported."""
# stage: load
# error: PluginUnavailable
# says: SystemExit

import sys

sys.exit(3)
