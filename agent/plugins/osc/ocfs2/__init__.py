"""OCFS2 on block devices of this host, by itself or shared with the nodes of a cluster: osc.ocfs2."""

osc_ifs_plugins = ["osc.ocfs2.OCFS2.OCFS2Plugin"]
