//! iSCSI sessions as the kernel has them, read from sysfs: never from what a tool prints.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::record::Node;
use crate::host::Roots;
use crate::host::scsi::disk::{attribute, names};

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its number (`session4` is 4).
    pub number: u32,
    /// The SCSI host that it is.
    pub host: u32,
    /// The number of its target on that host.
    pub target_id: u32,
    /// The name of the target.
    pub target: String,
    /// The address that was asked to log in to, and its port.
    pub portal: (String, u16),
    /// The tag of the portal's group.
    pub tpgt: u16,
    /// The interface record that it goes through.
    pub iface: String,
    /// `LOGGED_IN`, `FAILED` (its connection is being brought back) or `FREE`.
    pub state: String,
}

impl Session {
    /// Whether it goes to that portal of that target.
    pub fn goes_to(&self, target: &str, address: &str, port: u16) -> bool {
        self.target == target && self.portal.1 == port && same_address(&self.portal.0, address)
    }

    /// Whether the agent made it, and so may end it: the interface record says so.
    pub fn is_ours(&self) -> bool {
        super::record::is_our_iface(&self.iface)
    }

    /// The node whose record it was made by.
    pub fn node(&self) -> Node {
        Node {
            target: self.target.clone(),
            address: self.portal.0.clone(),
            port: self.portal.1,
            tpgt: self.tpgt,
            iface: self.iface.clone(),
        }
    }

    /// As a plug-in is told of it.
    pub fn to_json(&self) -> Value {
        json!({
            "sid": self.number, "target": self.target, "portal": portal_text(&self.portal.0, self.portal.1),
            "iface": self.iface, "state": self.state, "host": self.host,
        })
    }
}

/// Whether two texts are the same address, however an IPv6 one is written.
pub fn same_address(one: &str, other: &str) -> bool {
    let address = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    one == other || address(one).is_some_and(|one| Some(one) == address(other))
}

/// A portal as tools write it: `192.0.2.1:3260`, `[2001:db8::1]:3260`.
pub fn portal_text(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Every session of the host, by number. One that goes meanwhile is none.
pub fn all(roots: &Roots) -> Vec<Session> {
    let dir = roots.sys.join("class/iscsi_session");
    let mut found: Vec<_> = names(&dir).iter().filter_map(|name| read(roots, name)).collect();
    found.sort_by_key(|session| session.number);
    found
}

fn read(roots: &Roots, name: &str) -> Option<Session> {
    let number = name.strip_prefix("session")?.parse().ok()?;
    let dir = roots.sys.join("class/iscsi_session").join(name);
    // …/host2/session1/iscsi_session/session1
    let place = std::fs::canonicalize(&dir).ok()?;
    let host = place.iter().rev().find_map(|part| part.to_str()?.strip_prefix("host")?.parse().ok())?;
    let connection = roots.sys.join(format!("class/iscsi_connection/connection{number}:0"));
    let said = |name: &str| attribute(&connection.join(name)).filter(|text| !text.starts_with('('));
    let address = said("persistent_address").or_else(|| said("address")).unwrap_or_default();
    let port = said("persistent_port").or_else(|| said("port")).and_then(|port| port.parse().ok());
    Some(Session {
        number,
        host,
        target_id: attribute(&dir.join("target_id")).and_then(|id| id.parse().ok()).unwrap_or_default(),
        target: attribute(&dir.join("targetname"))?,
        portal: (address, port.unwrap_or_default()),
        tpgt: attribute(&dir.join("tpgt")).and_then(|tag| tag.parse().ok()).unwrap_or(1),
        iface: attribute(&dir.join("ifacename")).unwrap_or_default(),
        state: attribute(&dir.join("state")).unwrap_or_default(),
    })
}
