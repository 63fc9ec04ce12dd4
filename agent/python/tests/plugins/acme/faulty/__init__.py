osc_isa_plugins = ["acme.faulty.Faulty.Faulty", "acme.faulty.Faulty.Listed"]
