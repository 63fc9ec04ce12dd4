"""Lists one element twice."""
# stage: report
# error: -
# says: list

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        return [element(ss_record, 'one'), element(ss_record, 'one')]
