"""Closes every file descriptor, the agent's among them."""
# stage: register
# error: WorkerDied
# says: list

import os

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        os.closerange(0, 256)
        return []
