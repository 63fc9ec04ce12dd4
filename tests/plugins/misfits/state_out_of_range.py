"""Says a state that no table has."""
# stage: report
# error: -
# says: list | state

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        return [element(ss_record, 'one', state=99)]
