# As written in 2010: implicit relative imports, print statements, commas in except clauses.
from OSCPlugin import *
import sibling


class Legacy(IStorageArrayPlugin):
    plugin_name = "Legacy"

    @staticmethod
    def list(ss_record):
        try:
            print "listing"
            raise ListFailedEx, "none today"
        except IPluginException, e:
            return sibling.HELP + str(e)
