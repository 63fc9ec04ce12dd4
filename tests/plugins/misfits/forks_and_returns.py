"""Forks, and returns twice."""
# stage: works
# error: -
# says: -

import os

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        os.fork()
        return Good.list(ss_record)
