# shellcheck shell=bash
# Targets in this machine's own kernel, made through configfs: no agent and no plug-in between the
# scenario and what it finds.
lio=/sys/kernel/config/target
PORTAL_A=192.0.2.1
PORTAL_B=198.51.100.1

# lio_disk NAME SIZE [FILE]: a backstore; FILE lies in $work unless given. Its wwid comes from lio_wwid.
lio_disk() {
    local dir=$lio/core/fileio_0/$1 file=${3:-$work/$1.img}
    modprobe -a target_core_mod target_core_file iscsi_target_mod
    truncate -s "$2" "$file"
    mkdir -p "$dir"
    echo "fd_dev_name=$file,fd_dev_size=$(stat -c %s "$file")" >"$dir/control"
    cat /proc/sys/kernel/random/uuid >"$dir/wwn/vpd_unit_serial"
    echo 1 >"$dir/enable"
}
# lio_wwid NAME: its page-83 identity, as sysfs of an initiator prints it: NAA 6, LIO's OUI 001405, then
# the first digits of the serial number
lio_wwid() {
    local serial
    serial=$(sed 's/.*: //; s/-//g' "$lio/core/fileio_0/$1/wwn/vpd_unit_serial")
    echo "naa.6001405${serial:0:25}"
}
# lio_target IQN ADDRESS…: anybody may log in, no CHAP
lio_target() {
    local tpg=$lio/iscsi/$1/tpgt_1 address
    modprobe -a target_core_mod iscsi_target_mod
    mkdir -p "$lio/iscsi" && mkdir "$lio/iscsi/$1" "$tpg"
    echo 1 >"$tpg/attrib/generate_node_acls"
    echo 1 >"$tpg/attrib/cache_dynamic_acls"
    echo 0 >"$tpg/attrib/demo_mode_write_protect"
    echo 0 >"$tpg/attrib/authentication"
    for address in "${@:2}"; do mkdir "$tpg/np/$address:3260"; done
    echo 1 >"$tpg/enable"
}
# lio_lun IQN NUMBER DISK
lio_lun() {
    local lun=$lio/iscsi/$1/tpgt_1/lun/lun_$2
    mkdir "$lun"
    ln -s "$lio/core/fileio_0/$3" "$lun/disk"
}
# portal_down ADDRESS, portal_up ADDRESS: as if the cable were pulled
portal_down() { ip addr del "$1/24" dev "$(portal_link "$1")"; }
portal_up() { ip addr replace "$1/24" dev "$(portal_link "$1")"; }
portal_link() { case $1 in "$PORTAL_A") echo portal-a ;; "$PORTAL_B") echo portal-b ;; esac; }

# lio_clear: takes down every target and backstore, whoever made them
lio_clear() {
    local tpg
    for tpg in "$lio"/iscsi/iqn*/tpgt_*; do
        [ -d "$tpg" ] || continue
        echo 0 >"$tpg/enable"
        find "$tpg/acls" -type l -delete
        find "$tpg/acls" -mindepth 2 -maxdepth 2 -type d -name 'lun_*' -exec rmdir {} +
        find "$tpg/acls" -mindepth 1 -maxdepth 1 -type d -exec rmdir {} +
        find "$tpg/lun" -type l -delete
        find "$tpg/lun" "$tpg/np" -mindepth 1 -maxdepth 1 -type d -exec rmdir {} + 2>/dev/null
        rmdir "$tpg" "$(dirname "$tpg")"
    done
    find "$lio/core" -mindepth 2 -maxdepth 2 -type d -not -path '*/alua/*' -exec rmdir {} + 2>/dev/null
    rm -f /etc/rtslib-fb-target/saveconfig.json
    return 0
}
