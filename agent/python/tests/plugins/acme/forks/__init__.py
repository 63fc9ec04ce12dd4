import os

os.fork()
osc_isa_plugins = ["acme.partly.Good.Good"]
