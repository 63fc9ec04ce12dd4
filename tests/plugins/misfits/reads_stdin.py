"""Reads standard input, which is empty."""
# stage: works
# error: -
# says: -

import sys

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        assert sys.stdin.read() == ''
        return Good.list(ss_record)
