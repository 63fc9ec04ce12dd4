"""The cluster stack o2cb of this host: what has to be configured and running before a volume that several hosts share is touched."""

import os
import re

from OSCPlugin import IPlugin, InvalidValueEx, OperationPreReqNotMetEx

CONFIGURATION = "/etc/ocfs2/cluster.conf"
ONLINE = "/sys/kernel/config/cluster"
NODES = range(1, 256)


def settings(ss):
    """`cluster` and `nodes` of the storage server's extra_info, "" where it has none."""
    pairs = IPlugin.__get_key_value_pairs__(ss.get("extra_info") or "")
    name, nodes = pairs.get("cluster") or "", pairs.get("nodes") or ""
    if name and not re.match(r"[A-Za-z0-9]{1,16}$", name):
        raise InvalidValueEx("cluster=%s: a cluster's name is 1 to 16 letters and digits" % name)
    if nodes and not (nodes.isdigit() and int(nodes) in NODES):
        raise InvalidValueEx("nodes=%s: a volume has room for %d to %d nodes" % (nodes, NODES[0], NODES[-1]))
    return {"cluster": name, "nodes": nodes}


def configured():
    """The nodes' names by the name of each cluster that the configuration has (`man ocfs2.cluster.conf`)."""
    clusters, stanza = {}, {}
    try:
        with open(CONFIGURATION) as lines:
            text = lines.read()
    except (IOError, OSError):
        return clusters
    for line in text.splitlines() + ["end:"]:
        if line.strip().endswith(":") and not line[:1].isspace():
            if stanza.get("") == "cluster" and stanza.get("name"):
                clusters.setdefault(stanza["name"], [])
            elif stanza.get("") == "node" and stanza.get("cluster"):
                clusters.setdefault(stanza["cluster"], []).append(stanza.get("name", ""))
            stanza = {"": line.strip()[:-1]}
        elif "=" in line and not line.strip().startswith("#"):
            key, _, value = line.partition("=")
            stanza[key.strip()] = value.strip()
    return clusters


def require(name):
    """Raises OperationPreReqNotMetEx, with what to do next, unless that cluster ("" for any) is online on this host."""
    clusters, here = configured(), os.uname()[1].partition(".")[0]
    if not clusters or (name and name not in clusters):
        wanted = name or "NAME"
        raise OperationPreReqNotMetEx(
            "the cluster stack o2cb is not configured: %s has no cluster%s. On every node: `o2cb add-cluster %s`, then "
            "`o2cb add-node %s NODE --ip ADDRESS` for each" % (CONFIGURATION, name and " " + name, wanted, wanted))
    name = name or sorted(clusters)[0]
    if here not in [node.partition(".")[0] for node in clusters[name]]:
        raise OperationPreReqNotMetEx(
            "the cluster stack o2cb is not configured: %s does not name this host among the nodes of the cluster %s: "
            "`o2cb add-node %s %s --ip ADDRESS`" % (CONFIGURATION, name, name, here))
    if not os.path.isdir(os.path.join(ONLINE, name)):
        raise OperationPreReqNotMetEx(
            "the cluster %s is not online on this host: `systemctl start o2cb` (with O2CB_ENABLED=true in /etc/default/o2cb "
            "on Debian), or `o2cb register-cluster %s`" % (name, name))


def nodes_that_mount(said, device):
    """Who has the volume on the device mounted, as `mounted.ocfs2 -f` says; "" for nobody."""
    for line in said.splitlines():
        words = line.split(None, 1)
        if len(words) == 2 and words[0] == device:
            if words[1].rstrip().endswith("Not mounted"):
                return ""
            found = re.match(r"\S+(?:\s+\S+)??(?:\s+[GL])?\s+(\S+(?:, \S+)*)\s*$", words[1])
            return found.group(1) if found else words[1].strip()
    return ""
