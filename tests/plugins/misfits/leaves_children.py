"""Leaves a daemon of its own behind, detached in every way."""
# stage: works
# error: -
# says: -

import os

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.execvp('sleep', ['sleep', '86399'])
            os._exit(0)
        return Good.list(ss_record)
