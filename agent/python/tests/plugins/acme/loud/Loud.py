from OSCPlugin import IStorageArrayPlugin

from acme.loud import HELPER


class Loud(IStorageArrayPlugin):
    @staticmethod
    def list(ss_record):
        return HELPER.pid
