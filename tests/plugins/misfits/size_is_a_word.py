"""Says a size in words."""
# stage: report
# error: -
# says: list | size

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        return [element(ss_record, 'one', size='big')]
