"""Takes all the memory it can get."""
# stage: register
# error: PluginFault WorkerDied
# says: list

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        hoard = []
        while True:
            hoard.append(bytearray(512 << 20))
