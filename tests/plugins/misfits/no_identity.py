"""Lists an element that has nothing to be known by, beside one that has."""
# stage: report
# error: -
# says: list | name

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        return [{'size': 1}, element(ss_record, 'one')]
