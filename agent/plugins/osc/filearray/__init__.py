"""The storage array that is a directory of this host: osc.filearray."""

osc_isa_plugins = ["osc.filearray.FileArray.FileArray"]
