"""Raises a class of its own."""
# stage: register
# error: PluginFault
# says: ArrayOnFire

class ArrayOnFire(Exception):
    pass


from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        raise ArrayOnFire('hot')
