//! The multipath maps of this host as sysfs shows them now: device-mapper devices whose UUID begins
//! with `mpath-`.

use std::path::PathBuf;

use crate::host::Roots;
use crate::host::scsi::disk::{attribute, names};
use crate::host::scsi::page83;

/// A multipath map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// The kernel's name for it now (`dm-0`).
    pub name: String,
    /// Its own name, under `/dev/mapper`.
    pub alias: String,
    /// The identity of what its paths lead to.
    pub wwid: String,
    /// Its size in bytes.
    pub size: u64,
    /// The names of its paths (`sda`).
    pub paths: Vec<String>,
    /// The names of the block devices that are made of it.
    pub holders: Vec<String>,
}

impl Map {
    /// Its device node.
    pub fn node(&self) -> PathBuf {
        PathBuf::from("/dev/mapper").join(&self.alias)
    }

    /// Every path that it may have been opened by.
    pub fn nodes(&self) -> Vec<PathBuf> {
        vec![self.node(), PathBuf::from("/dev").join(&self.name)]
    }

    /// Whether it is the map of what has one of these identities.
    pub fn is(&self, identity: &str) -> bool {
        page83::same(&self.wwid, identity)
    }
}

/// Every multipath map of the host, by name.
pub fn all(roots: &Roots) -> Vec<Map> {
    let names = names(&roots.sys.join("block"));
    names.iter().filter(|name| name.starts_with("dm-")).filter_map(|name| read(roots, name)).collect()
}

fn read(roots: &Roots, name: &str) -> Option<Map> {
    let dir = roots.sys.join("block").join(name);
    let wwid = attribute(&dir.join("dm/uuid"))?.strip_prefix("mpath-")?.to_owned();
    Some(Map {
        name: name.to_owned(),
        alias: attribute(&dir.join("dm/name"))?,
        wwid,
        size: attribute(&dir.join("size"))?.parse::<u64>().ok()?.saturating_mul(512),
        paths: names(&dir.join("slaves")),
        holders: names(&dir.join("holders")),
    })
}
