"""Keeps state in a module global, which every call begins without."""
# stage: works
# error: -
# says: -

from .Good import Good, element  # noqa: F401


CALLS = []


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        CALLS.append(1)
        assert len(CALLS) == 1
        return Good.list(ss_record)
