//! One logical unit as this host has it: its paths, and the multipath map over them if there is one.
//! Read from sysfs at the moment of use, by identity.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::in_use::Users;
use super::multipath::map::{self, Map};
use super::operation::Task;
use super::scsi::disk::{self, Disk};
use super::scsi::page83;
use super::{Host, multipath, scsi};
use crate::error::{Error, Kind, Result};

/// A logical unit's devices.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// The map, if it has one.
    pub map: Option<Map>,
    /// Its paths, by SCSI address.
    pub disks: Vec<Disk>,
}

impl Device {
    /// The device of those disks that have one identity, out of all maps.
    fn of(disks: Vec<Disk>, maps: &[Map]) -> Device {
        let map = maps.iter().find(|map| disks.iter().any(|disk| map.paths.contains(&disk.name))).cloned();
        Device { map, disks }
    }

    /// Its identity.
    pub fn page83_id(&self) -> Option<&str> {
        self.disks.first().and_then(|disk| disk.identities.first()).map(String::as_str)
    }

    /// Every identity that its paths tell, in one spelling and in lower case.
    pub fn identities(&self) -> impl Iterator<Item = String> + '_ {
        let all = self.disks.iter().flat_map(|disk| &disk.identities);
        all.map(|identity| page83::canonical(identity).to_ascii_lowercase())
    }

    /// What to use it by: the map's node, or the only path's.
    pub fn node(&self) -> Option<PathBuf> {
        match &self.map {
            Some(map) => Some(map.node()),
            None => self.disks.first().map(|disk| Path::new("/dev").join(&disk.name)),
        }
    }

    /// Its size in bytes: the map's, since that is what is used.
    pub fn size(&self) -> u64 {
        let disks = self.disks.iter().map(|disk| disk.size).min().unwrap_or_default();
        self.map.as_ref().map_or(disks, |map| map.size)
    }

    /// The `path` of an element: the map, then the paths that work.
    pub fn paths(&self, works: impl Fn(&Disk) -> bool) -> Vec<String> {
        let map = self.map.iter().map(|map| map.node());
        let disks =
            self.disks.iter().filter(|disk| works(disk)).map(|disk| Path::new("/dev").join(&disk.name));
        map.chain(disks).map(|path| path.to_string_lossy().into_owned()).collect()
    }

    /// As a plug-in is told of it.
    pub fn to_json(&self, works: impl Fn(&Disk) -> bool) -> Value {
        let first = self.disks.first();
        json!({
            "page83_id": self.page83_id(), "path": self.paths(works), "size": self.size(),
            "vendor": first.map(|disk| &disk.vendor), "product_id": first.map(|disk| &disk.product),
            "map": self.map.as_ref().map(|map| &map.alias),
            "paths": self.disks.iter().map(Disk::to_json).collect::<Vec<_>>(),
        })
    }

    /// Why it cannot be taken away, in words; None where it can.
    pub fn used_by(&self, users: &Users) -> Option<String> {
        match &self.map {
            Some(map) => {
                let but = std::slice::from_ref(&map.name);
                let through_paths = || self.disks.iter().find_map(|disk| users.of(&disk.name, &[], but));
                users.of(&map.name, &map.nodes(), &[]).or_else(through_paths)
            }
            None => self.disks.iter().find_map(|disk| users.of(&disk.name, &[], &[])),
        }
    }
}

/// Every logical unit of a host, each with all of its paths.
///
/// # Errors
/// When sysfs cannot be read.
pub async fn all(host: &Host) -> Result<Vec<Device>> {
    let host = host.clone();
    let read = tokio::task::spawn_blocking(move || {
        disk::all(host.roots()).map(|disks| (disks, map::all(host.roots())))
    });
    let (disks, maps) = read
        .await
        .map_err(|error| Error::internal("reading sysfs", error))?
        .map_err(|error| Error::internal("the SCSI devices cannot be listed", error))?;
    let mut units: Vec<Vec<Disk>> = Vec::new();
    let mut place = std::collections::HashMap::new();
    for disk in disks {
        // A disk that does not tell who it is, is nobody else's path.
        let identity = disk.identities.first().cloned().unwrap_or_else(|| disk.address.to_string());
        let at = *place.entry(identity).or_insert(units.len());
        if at == units.len() {
            units.push(Vec::new());
        }
        units[at].push(disk);
    }
    Ok(units.into_iter().map(|disks| Device::of(disks, &maps)).collect())
}

/// The logical units of which every path is the storage server's own.
///
/// # Errors
/// When sysfs cannot be read.
pub async fn own(task: &Task) -> Result<Vec<Device>> {
    let all = all(&task.host).await?;
    Ok(all.into_iter().filter(|device| device.disks.iter().all(|disk| scsi::is_own(task, disk))).collect())
}

/// The storage server's logical unit with an identity; none where it has no device here.
///
/// # Errors
/// [`Kind::PermissionDenied`] when there is one and it is not the storage server's own.
pub async fn find(task: &Task, identity: &str) -> Result<Option<Device>> {
    let found =
        all(&task.host).await?.into_iter().find(|device| device.disks.iter().any(|disk| disk.is(identity)));
    match found {
        Some(device) if !device.disks.iter().all(|disk| scsi::is_own(task, disk)) => {
            let text =
                format!("{identity} does not belong to the storage server of this call, so it is left alone");
            Err(Error::new(Kind::PermissionDenied, text))
        }
        other => Ok(other),
    }
}

/// Takes the devices of logical units away, in the order that is safe: nobody uses them, then each map
/// is flushed, then its paths are deleted. Nothing has happened where one is in use.
///
/// # Errors
/// [`Kind::StorageElementBusy`] with who uses one; otherwise what failed. What was not done is there still.
pub async fn remove(host: &Host, devices: Vec<Device>) -> Result<()> {
    let asked = host.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let users = Users::read(asked.roots());
        // multipathd may have made a map since the devices were listed.
        let maps = map::all(asked.roots());
        let devices: Vec<_> = devices.into_iter().map(|device| Device::of(device.disks, &maps)).collect();
        let used = devices.iter().find_map(|device| {
            device.used_by(&users).map(|who| (device.page83_id().unwrap_or("?").to_owned(), who))
        });
        (devices, used)
    });
    let (devices, used) = checked.await.map_err(|error| Error::internal("looking for users", error))?;
    if let Some((identity, who)) = used {
        let text = format!("the devices of {identity} stay: {who}");
        return Err(Error::new(Kind::StorageElementBusy, text));
    }
    for device in &devices {
        if let Some(map) = &device.map {
            multipath::flush(host, map).await?;
        }
        for disk in &device.disks {
            scsi::delete(host, disk).await?;
        }
    }
    Ok(())
}
