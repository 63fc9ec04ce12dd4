"""Never ends being imported."""
# stage: load
# error: PluginUnavailable
# says: import

import time

time.sleep(3600)
