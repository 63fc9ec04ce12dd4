"""Ends its process politely."""
# stage: register
# error: PluginFault
# says: SystemExit

import sys

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        sys.exit('done')
