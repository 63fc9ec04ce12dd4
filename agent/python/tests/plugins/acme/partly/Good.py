from OSCPlugin import IStorageArrayPlugin


class Good(IStorageArrayPlugin):
    @staticmethod
    def validate(ss_record):
        return "good"


def not_a_plugin():
    pass
