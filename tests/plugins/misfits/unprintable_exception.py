"""Raises what cannot be printed."""
# stage: register
# error: PluginFault
# says: Unprintable

from .Good import Good


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no words")

    __repr__ = __str__


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        raise Unprintable()
