osc_isa_plugins = ["acme.legacy.Legacy.Legacy"]
