osc_isa_plugins = ["acme.partly.Good.Good", "acme.partly.Good.Missing", "acme.partly.Absent.Class",
                   "acme.partly.Bad.Bad", "acme.rig.Rig.Rig", "acme.partly.Good.not_a_plugin"]
