"""`osc.localfs.LocalFS.LocalFS`: XFS, btrfs and ext4 on block devices of this host, and the files in them.

The storage server is the host itself. Nothing is remembered: labels on the devices say what is ours, the kernel says what is
mounted. docs/STOCK_PLUGINS.md tells an administrator what everything means.
"""

from OSCPlugin import IFileSystemPlugin

from . import contents, filesystems
from .family import Family

FAMILY = Family()


class LocalFS(contents.methods_of(FAMILY), filesystems.methods_of(FAMILY)):
    """File systems on this host's block devices."""

    plugin_name = "LocalFS"
    plugin_desc = "XFS, btrfs and ext4 on block devices of this host"
    vendor_name = "osc"
    plugin_version = "0.1.0"
    plugin_type = "ifs"
    generic_plugin = False
    required_api_vers = ["1", "2", "7"]
    filesys_type = IFileSystemPlugin.BlockBasedFileSystem
    filesys_name = "localfs"
    fs_api_version = ["1", "2", "7"]
    cluster_required = False
    ss_extra_info_help = ("devices=GLOB;GLOB limits which block devices may be touched (default: any that is named); "
                          "fstype=xfs|btrfs|ext4 fixes the kind of file system (default: the best that fits)")
    fs_extra_info_help = "fstype=xfs|btrfs|ext4 for this file system"
    file_extra_info_help = "the plug-in says parent=PATH of a snapshot"
    abilities = FAMILY.abilities
