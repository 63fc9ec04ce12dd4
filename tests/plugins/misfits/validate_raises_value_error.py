"""Fails validation with a Python exception."""
# stage: register
# error: PluginFault
# says: validate | ValueError

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def validate(ss_record):
        raise ValueError('bad')
