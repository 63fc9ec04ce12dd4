# shellcheck shell=bash
# What every scenario shares. A scenario is an executable file in tests/vm, run as root in the guest on
# a clean machine: the agent stopped and without state, no targets, sessions, maps, exports or volumes.
#
#     #!/usr/bin/env bash
#     # What it proves, in a line or two.
#     # deadline: 300          (seconds; 240 unless it says so)
#     . "$(dirname "$0")/lib.sh"
#     check 'what must be true' COMMAND…
#
# Its exit status is the verdict: 0 passed, 77 skipped, `reboot_now` or `power_cut` goes on with the same
# file after the boot, in $STAGE 2, 3, …; anything else failed. /root/work is its scratch directory.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
STAGE=${STAGE:-1}
OSC=/osc
work=/root/work
mkdir -p "$work"
. "$here/kernel.sh"
. "$here/agent.sh"
. "$here/lio.sh"

step() { printf '\n== %s (%s s)\n' "$*" "$(cut -d' ' -f1 /proc/uptime)"; }
fail() {
    printf 'FAILED: %s\n' "$*"
    exit 1
}
skip() {
    printf 'SKIP: %s\n' "$*"
    exit 77
}
# check WHAT COMMAND…: must succeed
check() {
    local what=$1
    shift
    "$@" || fail "$what: $* (status $?)"
    printf 'ok: %s\n' "$what"
}
# refused WHAT COMMAND…: must fail, within a minute
refused() {
    local what=$1
    shift
    if bounded 60 "$@"; then fail "$what: $* succeeded"; fi
    printf 'ok: %s\n' "$what"
}
# equal WHAT WANTED IS
equal() {
    [ "$2" = "$3" ] || fail "$1: wanted '$2', is '$3'"
    printf 'ok: %s\n' "$1"
}
# eventually SECONDS WHAT COMMAND…: must succeed before the deadline; output only of the last attempt
eventually() {
    local end=$((SECONDS + $1)) what=$2 said
    shift 2
    until said=$("$@" 2>&1); do
        [ $SECONDS -lt $end ] || fail "$what: $* still fails: $said"
        sleep 0.2
    done
    printf 'ok: %s\n' "$what"
}
# bounded SECONDS COMMAND…: one that could hang. It and those below take functions of these files too.
bounded() {
    local seconds=$1
    shift
    plain 4 timeout -k 5 "$seconds" "$@"
}
# as_nobody COMMAND…: a user without any right; as_operator: a member of the group osc
as_nobody() { plain 4 setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
as_operator() {
    # polkit asks the user database for groups, not the process.
    id -u osc-operator >/dev/null 2>&1 || useradd --no-create-home --groups osc osc-operator
    plain 4 setpriv --reuid=osc-operator --regid=osc-operator --init-groups "$@"
}
# plain N WRAPPER… COMMAND…: programs (of N words) that start others cannot start a function; bash can
plain() {
    local wrapper=("${@:2:$1}")
    shift $(($1 + 1))
    if [ "$(type -t -- "$1")" = function ]; then set -- bash -c '"$0" "$@"' "$@"; fi
    "${wrapper[@]}" "$@"
}
silently() { "$@" >/dev/null; }

reboot_now() { exit 78; }
power_cut() { exit 79; } # no sync, no stop: the guest is reset
power_cut_at_once() { # the same, while what the scenario has started is at work
    echo $((STAGE + 1)) >/vm/stage
    sync -f /vm
    echo b >/proc/sysrq-trigger
    sleep infinity
}

# On an emulated processor a module takes its time to be imported.
patient() {
    mkdir -p /etc/osc/agent.d
    echo 'import_deadline = "2min"' >/etc/osc/agent.d/00-patient.toml
}

# The clean state. Top down: what uses a device goes before it.
reset() {
    set +e
    local mounted
    systemctl stop oscd.service 2>/dev/null
    while mounted=$(findmnt -rno TARGET | grep -E '^(/osc|/root/work|/mnt/)' | tail -n 1) && [ -n "$mounted" ]; do
        umount -l "$mounted" || break
    done
    exportfs -ua
    systemctl stop nfs-server.service 2>/dev/null
    drop_volumes
    multipath -F
    if compgen -G '/sys/class/iscsi_session/*' >/dev/null; then iscsiadm -m node -u; fi
    rm -rf /etc/iscsi/nodes/* /etc/iscsi/send_targets/* /etc/iscsi/ifaces/*
    lio_clear
    drop_volumes # those that were exported until now, too
    losetup -D
    modprobe -r scsi_debug 2>/dev/null
    ip addr replace 192.0.2.1/24 dev portal-a
    ip addr replace 198.51.100.1/24 dev portal-b
    rm -rf /var/lib/osc /run/osc "$work" /etc/osc
    systemd-tmpfiles --create /usr/lib/tmpfiles.d/osc.conf
    patient
    systemctl reset-failed
    mkdir -p "$work"
    # Nothing may be left that a later scenario could mistake for its own.
    ! compgen -G '/sys/class/iscsi_session/*' && ! compgen -G '/sys/block/sd*' && ! findmnt -rno TARGET | grep -q '^/osc'
}

# shellcheck disable=SC2046 # names, a word each
export -f $(compgen -A function)
