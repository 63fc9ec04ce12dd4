import logging
import subprocess
import sys
import threading
import time

from OSCPlugin import IPlugin

print("loud import")
sys.stderr.write("loud import error\n")
assert sys.stdin.read() == ""
IPlugin.logger.warning("logged during import")
logging.basicConfig(level=logging.CRITICAL)
IPlugin.cache.set("0004fb00-0001-0000-aaaa-000000000001", "import", "1")
HELPER = subprocess.Popen(["sleep", "3600"])
THREAD = threading.Thread(target=time.sleep, args=(3600,))
THREAD.start()
osc_isa_plugins = "acme.loud.Loud.Loud"
