"""Renames an element, which only the administrator may."""
# stage: report
# error: -
# says: list | name

import time

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        record = element(ss_record, 'one')
        record['name'] = 'one-%f' % time.time()
        return [record]
