# shellcheck shell=bash
# The agent under test: how scenarios find it, ask it, and make it an array.

# tree_write TEXT FILE: a request to a control file; what it was refused with is printed
tree_write() {
    printf '%s\n' "$1" >"$2" || {
        tail -n 2 "$2"
        return 1
    }
}

agent_pid() { systemctl show -P MainPID oscd.service; }
# new_agent PID: another process than that one is ready
new_agent() {
    local pid
    # The pid first: until systemd has noticed a death, the service is active.
    pid=$(agent_pid)
    [ "$pid" != 0 ] && [ "$pid" != "$1" ] && [ "$(systemctl is-active oscd.service)" = active ]
}
same_agent() { [ "$(systemctl is-active oscd.service)" = active ] && [ "$(agent_pid)" = "$1" ]; }

# make_array DIR GROUP=SIZE…: a FileArray on an XFS of its own, which shares blocks between copies as it wants
make_array() {
    local group words=()
    mkfs.xfs -q -f /dev/vdb && mkdir -p "$1" && mount /dev/vdb "$1" || return
    for group in "${@:2}"; do words+=(--vol-group "$group"); done
    python3 /usr/libexec/osc/filearray/mkarray.py "$1" "${words[@]}"
}

# dbus_call_bare PATH MEMBER TEXT: a method call that names no interface, as D-Bus allows
dbus_call_bare() {
    python3 -c '
import sys, dbus
from dbus.lowlevel import MethodCallMessage
message = MethodCallMessage("org.storageconnect.Agent1", sys.argv[1], None, sys.argv[2])
message.append(sys.argv[3], signature="s")
try:
    dbus.SystemBus().send_message_with_reply_and_block(message, 30)
except dbus.DBusException as refused:
    sys.exit(refused.get_dbus_name())
' "$@"
}

# server_call SERVER METHOD TEXT: a method of a storage server (its directory in the tree) that only D-Bus has; waits for its end
server_call() {
    local name=org.storageconnect.Agent1 root=/org/storageconnect/Agent1 operation
    operation=$(busctl --system -j call $name "$root/server/$(basename "$1" | tr - _)" $name.StorageServer "$2" s "$3" | jq -r '.data[0]') &&
        busctl --system --timeout=180 call $name "$operation" $name.Operation Wait t 120000 >/dev/null
}

# start_agent: with patience for writers, too, on a machine that is emulated and not alone
start_agent() {
    mkdir -p /etc/osc/agent.d
    echo 'write_wait = "3m"' >/etc/osc/agent.d/10-writers.toml
    systemctl start oscd.service
}
