# shellcheck shell=bash
# Host operations from a scenario: a plug-in that does nothing but ask for them, and registrations of the
# generic array.

# host_plugin: installs it as acme.asker, in a place that `reset` does not know of; gone with the scenario
host_plugin() {
    local dir=/opt/storage-connect/plugins/acme/asker
    trap 'rm -rf /opt/storage-connect/plugins/acme' EXIT
    mkdir -p "$dir"
    echo 'osc_isa_plugins = ["acme.asker.Asker.Asker"]' >"$dir/__init__.py"
    cat >"$dir/Asker.py" <<'PYTHON'
import json
from OSCPlugin import *

class Asker(IStorageArrayPlugin):
    plugin_name = "asker"
    plugin_desc = "asks for one operation of the host"
    vendor_name = "acme"
    plugin_version = "1.0"
    plugin_type = "isa"
    required_api_vers = ["1", "2", "7"]
    extended_api_version = ["1", "2", "9"]
    storage_types = ["SAN", "iSCSI"]
    abilities = {}

    @staticmethod
    def validate(ss_record):
        return ss_record

    @staticmethod
    def getInfo(ss_record, se_record=None):
        return ss_record if se_record is None else se_record

    @staticmethod
    def list(ss_record):
        return []

    @staticmethod
    def getStorageNames(ss_record):
        with open("/root/work/question") as question:
            asked = json.load(question)
        group, name = asked.pop("op").split(".")
        return [json.dumps(getattr(getattr(IPlugin.host, group), name)(**asked))]
PYTHON
}

# host_ask SERVER OP [KEY=JSON…]: the operation's answer, for the storage server of that name
host_ask() {
    local server=$1 op=$2 word args=()
    shift 2
    for word in "$@"; do args+=(--argjson "${word%%=*}" "${word#*=}"); done
    jq -n --arg op "$op" "${args[@]}" '$ARGS.named' >"$work/question"
    oscctl -o json call "$server" storage-names | jq -r '.[0]'
}

# register PLUGIN RECORD: prints the storage server's directory in the tree
register() {
    local name
    name=$(jq -r .name <<<"$2")
    tree_write "$(jq -nc --arg plugin "$1" --argjson record "$2" '{$plugin, $record}')" "$OSC/register" >&2 || return
    readlink -f "$OSC/by-name/$name"
}

# logged_in TARGET COUNT: the kernel has that many sessions with it
logged_in() {
    local name count=0
    for name in /sys/class/iscsi_session/*/targetname; do
        if [ -e "$name" ] && [ "$(cat "$name")" = "$1" ]; then count=$((count + 1)); fi
    done
    [ "$count" = "$2" ]
}

# element_path SERVER WWID: the `path` of the element with that page-83 identity (`naa.…`), a line each
element_path() { cat "$1"/se/*/record | jq -r --arg id "3${2#naa.}" 'select(.page83_id == $id) | .path[]'; }
# has_path SERVER WWID COUNT
has_path() { [ "$(element_path "$1" "$2" | wc -l)" = "$3" ]; }

# refused_with WHAT ERROR COMMAND…: must fail, and say that error
refused_with() {
    local what=$1 error=$2 said
    shift 2
    if said=$("$@" 2>&1); then fail "$what: $* succeeded"; fi
    grep -q "$error" <<<"$said" || fail "$what: wanted $error, was told $said"
    printf 'ok: %s (%s)\n' "$what" "$error"
}

export work OSC
# shellcheck disable=SC2046 # names, a word each
export -f $(compgen -A function)
