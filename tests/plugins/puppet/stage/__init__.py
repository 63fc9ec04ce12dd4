osc_isa_plugins = ["puppet.stage.Array.Array", "puppet.stage.Array.Portals", "puppet.stage.Array.NewerPortals"]
osc_ifs_plugins = ["puppet.stage.Files.Files"]
