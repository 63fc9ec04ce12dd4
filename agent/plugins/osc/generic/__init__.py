"""Storage of any make, used as it is found: osc.generic."""

osc_isa_plugins = ["osc.generic.SCSIPlugin.GenericPlugin"]
osc_ifs_plugins = ["osc.generic.NFSPlugin.GenericNFSPlugin"]
