"""Leaves a thread running."""
# stage: works
# error: -
# says: -

import threading
import time

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        threading.Thread(target=time.sleep, args=(86400,)).start()
        return Good.list(ss_record)
