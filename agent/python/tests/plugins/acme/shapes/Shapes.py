"""Methods with parameters other than the API's."""
import functools

from OSCPlugin import IStorageArrayPlugin


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return ["wrapped", function(*args, **kwargs)]
    return wrapper


class Shapes(IStorageArrayPlugin):
    @staticmethod
    def validate(record):
        return record

    @staticmethod
    def getInfo(ss_record):
        return ss_record

    @classmethod
    def list(cls, ss_record):
        return cls.__name__

    @staticmethod
    def createSnap(snap_name, se_record):
        return [snap_name, se_record]

    @staticmethod
    def createMultiSnap(*everything):
        return list(everything)

    @staticmethod
    def clone(ss_record, **others):
        return [ss_record, sorted(others.items())]

    @staticmethod
    def resize(a, b, c, verbose=False):
        return [a, b, c, verbose]

    @staticmethod
    def cloneFromSnap(ss, snap, name):
        return [ss, snap, name]

    @staticmethod
    @decorated
    def remove(ss_record, se_record):
        return [ss_record, se_record]

    @staticmethod
    def online(ss_record, se_record, force=True):
        return [ss_record, se_record, force]

    @staticmethod
    def start():
        return "started"

    def stop(ss_record):
        return ["stopped", ss_record]

    @staticmethod
    def snapRestore(what, ever):
        return "never"
