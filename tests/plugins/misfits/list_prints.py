"""Prints while it lists."""
# stage: report
# error: -
# says: standard output

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        print('listing')
        return Good.list(ss_record)
