"""Shelf: a directory as a storage array."""

osc_isa_plugins = ["acme.sample.Shelf.Shelf"]
