//! The SCSI disks of this host as sysfs shows them now. Nothing of it is kept: a name like `sda` is
//! another disk's a moment later, so whoever acts on one has just read who it is.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::page83;
use crate::host::Roots;

/// A SCSI address: host, channel, target and logical unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The number of the SCSI host.
    pub host: u32,
    /// The channel.
    pub channel: u32,
    /// The target on the channel.
    pub target: u32,
    /// The logical unit.
    pub lun: u64,
}

impl std::str::FromStr for Address {
    type Err = ();

    fn from_str(text: &str) -> Result<Address, ()> {
        let mut parts = text.split(':');
        let mut next = || parts.next().and_then(|part| part.parse::<u64>().ok()).ok_or(());
        let small = |number: u64| u32::try_from(number).map_err(drop);
        let address = Address {
            host: small(next()?)?,
            channel: small(next()?)?,
            target: small(next()?)?,
            lun: next()?,
        };
        if parts.next().is_some() { Err(()) } else { Ok(address) }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}:{}", self.host, self.channel, self.target, self.lun)
    }
}

/// What a disk comes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// iSCSI: the number of the session, and its target's name.
    Iscsi(u32, String),
    /// Fibre Channel: the remote port's WWPN, `0x` and 16 digits in lower case.
    Fc(String),
    /// Anything else: SAS, shared SCSI, scsi_debug.
    Other,
}

/// A SCSI disk.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Its name now (`sda`).
    pub name: String,
    /// Its address.
    pub address: Address,
    /// Its device number, `8:16`.
    pub devno: String,
    /// Its identities (page 83), the one to go by first.
    pub identities: Vec<String>,
    /// Vendor of the INQUIRY data.
    pub vendor: String,
    /// Product of the INQUIRY data.
    pub product: String,
    /// Its size in bytes, as the kernel last read it.
    pub size: u64,
    /// The kernel's word on it: `running`, `blocked`, `offline`, `transport-offline`, …
    pub state: String,
    /// What it comes over.
    pub transport: Transport,
    /// The names of the block devices that are made of it (`dm-3`).
    pub holders: Vec<String>,
}

impl Disk {
    /// Whether this is the disk with that identity, in any spelling.
    pub fn is(&self, identity: &str) -> bool {
        self.identities.iter().any(|own| page83::same(own, identity))
    }

    /// As a plug-in is told of it.
    pub fn to_json(&self) -> Value {
        let (transport, target) = match &self.transport {
            Transport::Iscsi(_, target) => ("iscsi", Some(target)),
            Transport::Fc(port) => ("fc", Some(port)),
            Transport::Other => ("scsi", None),
        };
        json!({
            "name": self.name, "path": format!("/dev/{}", self.name), "hctl": self.address.to_string(),
            "page83_id": self.identities.first(), "vendor": self.vendor, "product_id": self.product,
            "size": self.size, "state": self.state, "transport": transport, "target": target,
        })
    }
}

/// Every SCSI disk of the host, by address.
///
/// # Errors
/// When sysfs cannot be read. A host without SCSI has no disks, and a disk that goes meanwhile is none.
pub fn all(roots: &Roots) -> io::Result<Vec<Disk>> {
    let dir = roots.sys.join("bus/scsi/devices");
    let entries = match std::fs::read_dir(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(address) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Some(disk) = read(roots, &entry.path(), address)
        {
            found.push(disk);
        }
    }
    found.sort_by_key(|disk| disk.address);
    Ok(found)
}

/// The disk at an address, if there is one.
pub fn at(roots: &Roots, address: Address) -> Option<Disk> {
    read(roots, &roots.sys.join("bus/scsi/devices").join(address.to_string()), address)
}

/// The text of a sysfs attribute, without blanks around it.
pub fn attribute(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

/// The names in a directory, sorted; none where it is not there.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn read(roots: &Roots, dir: &Path, address: Address) -> Option<Disk> {
    let name = names(&dir.join("block")).into_iter().next()?;
    let block = dir.join("block").join(&name);
    let vendor = attribute(&dir.join("vendor")).unwrap_or_default();
    let product = attribute(&dir.join("model")).unwrap_or_default();
    let page = |number: &str| std::fs::read(dir.join(format!("vpd_pg{number}"))).unwrap_or_default();
    let mut identities = page83::identities(&page("83"));
    if identities.is_empty() {
        identities.extend(page83::from_serial(&vendor, &product, &page("80")));
    }
    Some(Disk {
        address,
        devno: attribute(&block.join("dev"))?,
        identities,
        vendor,
        product,
        // In units of 512 bytes, whatever the disk's own are.
        size: attribute(&block.join("size"))?.parse::<u64>().ok()?.saturating_mul(512),
        state: attribute(&dir.join("state")).unwrap_or_default(),
        transport: transport(roots, dir),
        holders: names(&block.join("holders")),
        name,
    })
}

/// The device's place among the others says what it comes over:
/// `…/host3/session1/target3:0:0/3:0:0:1` or `…/host5/rport-5:0-2/target5:0:0/5:0:0:1`.
fn transport(roots: &Roots, dir: &Path) -> Transport {
    let place: PathBuf = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    for part in place.iter().rev().filter_map(|part| part.to_str()) {
        if let Some(number) = part.strip_prefix("session").and_then(|number| number.parse().ok()) {
            let session = roots.sys.join("class/iscsi_session").join(part);
            return Transport::Iscsi(number, attribute(&session.join("targetname")).unwrap_or_default());
        }
        if part.starts_with("rport-") {
            let port = attribute(&roots.sys.join("class/fc_remote_ports").join(part).join("port_name"));
            return Transport::Fc(port.unwrap_or_default().to_ascii_lowercase());
        }
    }
    Transport::Other
}
