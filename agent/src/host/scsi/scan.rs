//! Finding logical units: exactly those that are wanted. A scan of a whole bus attaches LUNs that nobody
//! asked for, so it takes a wildcard in the request.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::disk::{self, Address, Disk};
use super::port_name;
use crate::error::{Error, Kind, Result};
use crate::host::in_use::Users;
use crate::host::iscsi::session;
use crate::host::multipath::map::{self, Map};
use crate::host::operation::Task;
use crate::host::{Host, Roots};

/// Where sysfs has the devices of the SCSI bus.
const DEVICES: &str = "bus/scsi/devices";

/// How long the disk driver may take with what a scan found: it attaches disks in the background.
const ATTACH: Duration = Duration::from_secs(10);

/// A place on the SCSI bus; what is None is every one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The SCSI host.
    pub host: u32,
    /// The channel.
    pub channel: Option<u32>,
    /// The target.
    pub target: Option<u32>,
    /// The logical unit.
    pub lun: Option<u64>,
}

impl Place {
    /// Reads `2:0:0:1`, with `-` for every one.
    pub fn parse(text: &str) -> Option<Place> {
        let parts: Vec<_> = text.trim().split(':').collect();
        let [host, channel, target, lun] = parts.as_slice() else { return None };
        let small = |text: &str| if text == "-" { Some(None) } else { text.parse::<u32>().ok().map(Some) };
        let large = |text: &str| if text == "-" { Some(None) } else { text.parse::<u64>().ok().map(Some) };
        Some(Place {
            host: host.parse().ok()?,
            channel: small(channel)?,
            target: small(target)?,
            lun: large(lun)?,
        })
    }

    fn covers(&self, address: &Address) -> bool {
        self.host == address.host
            && self.channel.is_none_or(|channel| channel == address.channel)
            && self.target.is_none_or(|target| target == address.target)
            && self.lun.is_none_or(|lun| lun == address.lun)
    }

    /// As the `scan` file of a SCSI host takes it.
    fn line(&self) -> String {
        let word = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        format!(
            "{} {} {}",
            word(self.channel.map(u64::from)),
            word(self.target.map(u64::from)),
            word(self.lun)
        )
    }
}

/// Where the storage server's targets are on this host's SCSI bus; `lun` is the unit wanted of each.
///
/// # Errors
/// [`Kind::PermissionDenied`] for a target that is not the storage server's.
pub fn places(task: &Task, targets: Option<&[String]>, lun: Option<u64>) -> Result<Vec<Place>> {
    let roots = task.host.roots();
    let mut found = Vec::new();
    if task.scope.is_iscsi() {
        let own = task.host.targets_of(&task.scope);
        if let Some(foreign) = targets.into_iter().flatten().find(|target| !own.contains(*target)) {
            return Err(not_own(foreign));
        }
        for session in session::all(roots) {
            let wanted = targets.map_or(own.contains(&session.target), |all| all.contains(&session.target));
            if wanted && session.state == "LOGGED_IN" {
                let (host, target) = (session.host, Some(session.target_id));
                found.push(Place { host, channel: Some(0), target, lun });
            }
        }
    } else if task.scope.is_san() {
        let own: Vec<_> = task.scope.storage_ids().iter().filter_map(|id| port_name(id)).collect();
        let named: Option<Vec<_>> =
            targets.map(|all| all.iter().filter_map(|name| port_name(name)).collect());
        if let Some(foreign) = named.iter().flatten().find(|port| !own.is_empty() && !own.contains(*port)) {
            return Err(not_own(foreign));
        }
        for name in disk::names(&roots.sys.join("class/fc_remote_ports")) {
            let dir = roots.sys.join("class/fc_remote_ports").join(&name);
            let said = |key: &str| disk::attribute(&dir.join(key)).unwrap_or_default();
            let port = said("port_name").to_ascii_lowercase();
            let wanted =
                named.as_ref().unwrap_or(&own).contains(&port) || (named.is_none() && own.is_empty());
            // rport-5:0-2 is a port that host 5 sees on channel 0.
            let numbers =
                name.strip_prefix("rport-").and_then(|rest| rest.split_once('-')?.0.split_once(':'));
            let (Some((host, channel)), true) = (numbers, wanted && said("port_state") == "Online") else {
                continue;
            };
            let (Ok(host), Ok(channel), Ok(target)) =
                (host.parse(), channel.parse(), said("scsi_target_id").parse())
            else {
                continue;
            };
            found.push(Place { host, channel: Some(channel), target: Some(target), lun });
        }
    }
    Ok(found)
}

fn not_own(name: &str) -> Error {
    let text = format!("{name} does not belong to the storage server of this call, so it is not scanned");
    Error::new(Kind::PermissionDenied, text)
}

/// Holds a place that a plug-in names against its scope.
///
/// # Errors
/// [`Kind::PermissionDenied`] for a host that carries another storage server's units.
pub fn allowed(task: &Task, place: &Place) -> Result<()> {
    let roots = task.host.roots();
    let of_session = session::all(roots).into_iter().find(|session| session.host == place.host);
    let own = match of_session {
        Some(session) => task.scope.is_iscsi() && task.host.targets_of(&task.scope).contains(&session.target),
        // Of a fabric, the ports that are the storage server's; elsewhere a host is nobody's in particular.
        None => task.scope.is_san() && task.scope.storage_ids().iter().all(|id| port_name(id).is_none()),
    };
    let by_port = || {
        places(task, None, place.lun).is_ok_and(|all| {
            all.iter().any(|one| {
                one.host == place.host && one.channel == place.channel && one.target == place.target
            })
        })
    };
    if own || (task.scope.is_san() && by_port()) {
        Ok(())
    } else {
        Err(not_own(&format!("SCSI host {}", place.host)))
    }
}

/// Scans a place, and makes sure that what is there is what this host takes it for: a LUN number that was
/// given to another volume is another disk, and the old one goes.
///
/// Blocks for as long as the devices take to answer, and until what is new has its disk: whoever lists disks
/// next would miss it.
///
/// # Errors
/// [`Kind::RefreshFailed`] when the kernel refuses, [`Kind::StorageElementBusy`] when a disk was exchanged
/// while somebody uses it.
pub fn scan(host: &Host, place: &Place) -> Result<()> {
    let roots = host.roots();
    for known in disk::all(roots).unwrap_or_default().into_iter().filter(|disk| place.covers(&disk.address)) {
        // One that does not answer stays: whether it is gone is for whoever removes it to say.
        if reread(host, &known).is_ok() {
            settle(host, &known)?;
        }
    }
    let before = disk::names(&roots.sys.join(DEVICES));
    let file = roots.sys.join(format!("class/scsi_host/host{}/scan", place.host));
    write(&file, &place.line()).map_err(|error| {
        Error::new(
            Kind::RefreshFailed,
            format!("the kernel does not scan {} of SCSI host {}: {error}", place.line(), place.host),
        )
    })?;
    let end = Instant::now() + ATTACH;
    while !attached(roots, place, &before) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Whether every disk drive at the place that was not there `before` has its block device.
fn attached(roots: &Roots, place: &Place, before: &[String]) -> bool {
    const DISK: &str = "0";
    let dir = roots.sys.join(DEVICES);
    let is_new =
        |name: &String| !before.contains(name) && name.parse().is_ok_and(|address| place.covers(&address));
    disk::names(&dir).iter().filter(|name| is_new(name)).all(|name| {
        disk::attribute(&dir.join(name).join("type")).as_deref() != Some(DISK)
            || !disk::names(&dir.join(name).join("block")).is_empty()
    })
}

/// Takes a disk away that has been read again, where it turned out to be another's than it was, or than the
/// map takes it for that it is a path of.
///
/// # Errors
/// [`Kind::RefreshFailed`] when the kernel refuses, [`Kind::StorageElementBusy`] while somebody uses it.
pub fn settle(host: &Host, known: &Disk) -> Result<()> {
    let roots = host.roots();
    let Some(now) = disk::at(roots, known.address) else { return Ok(()) };
    let maps: Vec<_> = map::all(roots).into_iter().filter(|map| map.paths.contains(&now.name)).collect();
    // The identity to go by decides: the lesser ones of a volume may change, and a disk may fail to tell any.
    let was_other = match (known.identities.first(), now.identities.first()) {
        (Some(was), Some(is)) => was != is,
        _ => false,
    };
    if !was_other && !maps.iter().any(|map| is_foreign(&now, map)) {
        return Ok(());
    }
    let name = maps.first().map(|map| &map.wwid).or(known.identities.first()).map_or("?", String::as_str);
    tracing::warn!(disk = now.name, hctl = %known.address, was = name, "another volume answers under this address");
    // A path leaves its map even while that is in use: what is written through it would land on the other volume.
    let maps: Vec<_> = maps.iter().map(|map| map.name.clone()).collect();
    if let Some(who) = Users::read(roots).of(&now.name, &[], &maps) {
        let text = format!(
            "the array gave the address {} of {name} to another volume, and the old device stays: {who}",
            known.address
        );
        return Err(Error::new(Kind::StorageElementBusy, text));
    }
    let file = device_dir(host, known.address).join("delete");
    write(&file, "1")
        .map_err(|error| Error::new(Kind::RefreshFailed, format!("{name} cannot be deleted: {error}")))
}

/// Whether a path leads to another volume than its map is of. Only identities of one kind (NAA) can be compared.
fn is_foreign(disk: &Disk, map: &Map) -> bool {
    let is_naa = |id: &str| id.starts_with('3') && matches!(id.len(), 17 | 33);
    is_naa(&map.wwid)
        && disk.identities.iter().any(|id| is_naa(id))
        && !disk.identities.iter().any(|id| map.is(id))
}

/// Has the kernel ask a disk again for its identity and size.
///
/// # Errors
/// When the kernel refuses, or the disk is gone.
pub fn reread(host: &Host, disk: &Disk) -> std::io::Result<()> {
    write(&device_dir(host, disk.address).join("rescan"), "1")
}

/// Where sysfs has the device at an address.
pub fn device_dir(host: &Host, address: Address) -> PathBuf {
    host.roots().sys.join(DEVICES).join(address.to_string())
}

/// Writes to a file that is there: sysfs makes none.
///
/// # Errors
/// What the kernel says.
pub fn write(file: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    std::fs::OpenOptions::new().write(true).open(file)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::tree::Tree;

    #[test]
    fn a_place_says_exactly_what_is_scanned() {
        let place = Place::parse("2:0:0:1").unwrap();
        assert_eq!(place.line(), "0 0 1");
        assert!(place.covers(&"2:0:0:1".parse().unwrap()) && !place.covers(&"2:0:0:2".parse().unwrap()));
        let bus = Place::parse("2:-:-:-").unwrap();
        assert_eq!(bus.line(), "- - -");
        assert!(bus.covers(&"2:1:7:9".parse().unwrap()) && !bus.covers(&"3:0:0:0".parse().unwrap()));
        for wrong in ["", "2", "-:-:-:-", "2:0:0", "2:0:0:x", "2:0:0:1:2"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_a_scan_found_counts_once_it_has_its_disk() {
        let tree = Tree::new();
        let there = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            attached(tree.host.roots(), &Place::parse("2:0:0:-").unwrap(), &names)
        };
        tree.put("sys/bus/scsi/devices/2:0:0:0/type", "0\n");
        tree.put("sys/bus/scsi/devices/2:0:0:1/type", "31\n");
        tree.put("sys/bus/scsi/devices/3:0:0:0/type", "0\n");
        tree.put("sys/bus/scsi/devices/host2/type", "0\n");
        assert!(!there(&[]));
        assert!(there(&["2:0:0:0"]), "nobody attached it before either");
        tree.put("sys/bus/scsi/devices/2:0:0:0/block/sda/size", "8\n");
        assert!(there(&[]));
    }

    #[test]
    fn a_disk_that_was_exchanged_goes_even_from_a_map_in_use_but_not_from_under_anything_else() {
        const DISK: &str = "sys/bus/scsi/devices/2:0:0:0";
        let (was, now) = ("6001405a1b2c3d4e5f60718293a4b5c6", "6001405000000000000000000000000b");
        let tree = || {
            let tree = Tree::new();
            tree.disk("session1/target2:0:0", "2:0:0:0", "sda", was, 1 << 20);
            tree
        };
        let known = |tree: &Tree| disk::all(tree.host.roots()).unwrap().remove(0);
        let deleted = |tree: &Tree| std::fs::read_to_string(tree.path(&format!("{DISK}/delete"))).unwrap();

        let same = tree();
        same.map("dm-0", "mpatha", &format!("3{was}"), &["sda"], 1 << 20);
        settle(&same.host, &known(&same)).unwrap();
        assert_eq!(deleted(&same), "");

        let bare = tree();
        let before = known(&bare);
        bare.identity(DISK, now);
        settle(&bare.host, &before).unwrap();
        assert_eq!(deleted(&bare), "1");

        // Somebody else had it read again before: the map tells.
        let path = tree();
        path.map("dm-0", "mpatha", &format!("3{was}"), &["sda"], 1 << 20);
        path.put("proc/self/mountinfo", "36 35 254:0 / /mnt/data rw - ext4 /dev/mapper/mpatha rw\n");
        path.identity(DISK, now);
        settle(&path.host, &known(&path)).unwrap();
        assert_eq!(deleted(&path), "1");

        let volume = tree();
        let before = known(&volume);
        volume.put("sys/block/sda/holders/dm-7", "");
        volume.identity(DISK, now);
        let error = settle(&volume.host, &before).unwrap_err();
        assert_eq!((error.kind(), deleted(&volume).as_str()), (Kind::StorageElementBusy, ""));
        assert!(error.message().contains("dm-7"), "{error}");
    }
}
