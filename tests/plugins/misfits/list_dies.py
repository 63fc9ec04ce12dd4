"""Kills its own process."""
# stage: register
# error: WorkerDied
# says: list

import os

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        os.kill(os.getpid(), 9)
