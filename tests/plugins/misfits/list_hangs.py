"""Never answers."""
# stage: register
# error: Timeout
# says: list

import time

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        while True:
            time.sleep(1)
