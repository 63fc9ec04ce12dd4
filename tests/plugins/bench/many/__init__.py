"""A storage array with as many elements as it is told, for measuring."""

osc_isa_plugins = ["bench.many.Many.Many"]
