"""Does not list its elements."""
# stage: load
# error: PluginUnavailable
# says: list

from OSCPlugin import IStorageArrayPlugin

from .Good import Good


class Misfit(IStorageArrayPlugin):
    plugin_name = plugin_desc = vendor_name = "Misfit"
    plugin_version = "1.0.0"
    plugin_type = "isa"
    generic_plugin = False
    required_api_vers = ["1", "2", "7"]
    storage_types = ["SAN"]
    sa_api_version = ["1", "2", "7"]
    ss_extra_info_help = se_extra_info_help = ""
    abilities = Good.abilities
    validate = staticmethod(Good.validate)
    getInfo = staticmethod(Good.getInfo)
