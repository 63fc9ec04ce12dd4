# shellcheck shell=bash
# A file server in this very machine, and what the agent shows of it.
NFS_PLUGIN=osc.generic.NFSPlugin.GenericNFSPlugin

# nfs_export DIR…: exported to this host, for writing as root
nfs_export() {
    local dir
    systemctl start nfs-server.service || return
    for dir; do exportfs -o rw,no_root_squash,no_subtree_check,insecure "127.0.0.1:$dir" || return; done
}
# nfs_server NAME [EXTRA_INFO [KEY=VALUE…]]: registers it with the agent, once its plug-in is loaded
nfs_server() {
    eventually 120 'the plug-in is there' test -e "$OSC/plugins/$NFS_PLUGIN/info"
    oscctl server add "$NFS_PLUGIN" "$1" storage_type=NetworkFS access_host=127.0.0.1 "extra_info=${2:-}" "${@:3}"
}

# fs_of SERVER DIR: the file system's directory in the tree
fs_of() {
    local record
    for record in "$OSC/by-name/$1"/fs/*/record; do
        if [ "$(jq -r .array_path "$record")" = "$2" ]; then
            readlink -f "${record%/record}"
            return
        fi
    done
    return 1
}
exports_of() { jq -r .array_path "$OSC/by-name/$1"/fs/*/record 2>/dev/null | sort | xargs; }
# shown FS: where the agent says that it is mounted; shown_is FS PLACE…
shown() { cat "$1"/mounts/*/record 2>/dev/null | jq -r .mount_point | sort | xargs; }
shown_is() { [ "$(shown "$1")" = "${*:2}" ]; }
state_is() { [ "$(jq -r .state "$1/record")" = "$2" ]; }
# mount_is PLACE SOURCE: the kernel's word
mount_is() { [ "$(findmnt -rno SOURCE --mountpoint "$1")" = "$2" ]; }
# mounted_with PLACE OPTION: one of the mount's options
mounted_with() { findmnt -rno OPTIONS --mountpoint "$1" | tr , '\n' | grep -qx -- "$2"; }
# remembered DIR: this host's NFS server was asked for it, and does not export it
remembered() { grep -q "^# $1[[:blank:]]" /proc/net/rpc/nfsd.export/content; }
same() { cmp "$1" "$2"; }
# Processes that wait uninterruptibly
waiting() { ps -eo stat=,pid=,comm= | grep '^D' || true; }
none_waits() { [ -z "$(waiting)" ]; }
