"""The storage array that is a Linux box with LVM thin pools and LIO: osc.lio."""

osc_isa_plugins = ["osc.lio.LIOArray.LIOArray"]
