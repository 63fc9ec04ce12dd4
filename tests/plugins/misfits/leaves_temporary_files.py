"""Leaves temporary files behind."""
# stage: works
# error: -
# says: -

from OSCPlugin import IPlugin

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        for _ in range(10):
            left = IPlugin.getNamedTemporaryFile(prefix='left-behind', delete=False)
            left.write(b'x')
        return Good.list(ss_record)
