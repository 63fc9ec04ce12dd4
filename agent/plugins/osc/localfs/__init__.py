"""File systems on block devices of this host: osc.localfs."""

osc_ifs_plugins = ["osc.localfs.LocalFS.LocalFS"]
