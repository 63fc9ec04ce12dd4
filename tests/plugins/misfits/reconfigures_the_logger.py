"""Tries to change the logger's options."""
# stage: works
# error: -
# says: -

import logging

from OSCPlugin import IPlugin

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        IPlugin.logger.setLevel(logging.CRITICAL)
        IPlugin.logger.handlers = []
        logging.disable(logging.CRITICAL)
        IPlugin.logger.warning('still heard')
        return Good.list(ss_record)
