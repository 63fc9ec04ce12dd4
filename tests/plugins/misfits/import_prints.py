"""Prints while it is imported."""
# stage: report
# error: -
# says: standard output

print('hello from the import')

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    pass
