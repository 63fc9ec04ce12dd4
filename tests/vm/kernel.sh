# shellcheck shell=bash
# The kernel's own word on disks, sessions, maps and mounts: scenarios hold the agent's against it.

# sessions: how many iSCSI sessions there are
sessions() { find /sys/class/iscsi_session -maxdepth 1 -type l | wc -l; }

# disks_of WWID: the SCSI disks with that page-83 identity (`naa.…`), one a line
disks_of() {
    local wwid
    for wwid in /sys/block/sd*/device/wwid; do
        [ -e "$wwid" ] || continue
        if [ "$(cat "$wwid")" = "$1" ]; then
            wwid=${wwid#/sys/block/}
            echo "${wwid%%/*}"
        fi
    done
}
count_disks() { disks_of "$1" | wc -l; }
has_disks() { [ "$(count_disks "$1")" = "$2" ]; } # has_disks WWID COUNT

# map_of WWID: the multipath map's dm name; its UUID is mpath-3<naa digits>
map_of() { dmsetup info -c --noheadings -o name,uuid | awk -F: -v uuid="mpath-3${1#naa.}" '$2 == uuid { print $1 }'; }
# paths_of WWID: paths of the map that the kernel holds active
paths_of() { dmsetup status "$(map_of "$1")" | grep -oE '[0-9]+:[0-9]+ A' | wc -l; }
has_paths() { [ "$(paths_of "$1")" = "$2" ]; }

# bytes DEVICE: its size
bytes() { blockdev --getsize64 "$1"; }

mounted() { findmnt -rno TARGET --mountpoint "$1" >/dev/null; }
unmounted() { ! mounted "$1"; }

# Volume groups that scenarios made are named osc-…
drop_volumes() {
    local group
    for group in $(vgs --noheadings -o vg_name 2>/dev/null | grep -w 'osc-[^ ]*'); do
        vgremove -ffy "$group"
    done
    wipefs -qa /dev/vdb
}
