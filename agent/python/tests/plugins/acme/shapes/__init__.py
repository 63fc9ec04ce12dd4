osc_isa_plugins = ["acme.shapes.Shapes.Shapes"]
