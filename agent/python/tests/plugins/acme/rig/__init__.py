"""A plug-in that behaves as told, well or badly."""
osc_isa_plugins = ["acme.rig.Rig.Rig"]
osc_ifs_plugins = ["acme.rig.Rig.Files"]
