"""Never answers, and ignores every signal it can, as do its children."""
# stage: register
# error: Timeout
# says: list

import os
import signal
import time

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        for number in range(1, 32):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, RuntimeError, ValueError):
                pass
        if os.fork() == 0:
            os.setsid()
        while True:
            time.sleep(1)
