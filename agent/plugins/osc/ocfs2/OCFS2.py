"""`osc.ocfs2.OCFS2.OCFS2Plugin`: OCFS2 on block devices of this host, and the files in them.

A storage server whose extra_info names a cluster has volumes that several hosts mount at once; without, a volume is this host's
alone. All else is as osc.localfs has it. docs/STOCK_PLUGINS.md tells an administrator what everything means.
"""

from OSCPlugin import IFileSystemPlugin
from osc.localfs import contents, filesystems

from .volumes import Volumes

VOLUMES = Volumes()


class OCFS2Plugin(contents.methods_of(VOLUMES), filesystems.methods_of(VOLUMES)):
    """OCFS2 volumes on this host's block devices."""

    plugin_name = "OCFS2"
    plugin_desc = "OCFS2 on block devices of this host, its own or a cluster's"
    vendor_name = "osc"
    plugin_version = "0.1.0"
    plugin_type = "ifs"
    generic_plugin = False
    required_api_vers = ["1", "2", "7"]
    filesys_type = IFileSystemPlugin.BlockBasedFileSystem
    filesys_name = "ocfs2"
    fs_api_version = ["1", "2", "7"]
    cluster_required = True
    ss_extra_info_help = ("cluster=NAME makes volumes for the nodes of that o2cb cluster (default: for this host alone); "
                          "nodes=N says how many may mount one at once (default: as mkfs.ocfs2 chooses); "
                          "devices=GLOB;GLOB limits which block devices may be touched (default: any that is named)")
    file_extra_info_help = "the plug-in says parent=PATH of a snapshot"
    abilities = VOLUMES.abilities
