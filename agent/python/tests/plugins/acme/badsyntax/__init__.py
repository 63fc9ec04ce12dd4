osc_isa_plugins = ["acme.badsyntax.Good.Good"]
