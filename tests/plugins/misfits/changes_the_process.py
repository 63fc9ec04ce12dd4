"""Changes directory, umask and environment."""
# stage: works
# error: -
# says: -

import os

from .Good import Good, element  # noqa: F401


class Misfit(Good):
    @staticmethod
    def list(ss_record):
        assert os.getcwd() == '/' and 'MISFIT' not in os.environ
        os.environ['MISFIT'] = '1'
        os.chdir('/tmp')
        os.umask(0)
        return Good.list(ss_record)
