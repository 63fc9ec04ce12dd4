//! What a call depends on that only the plug-in or this host can say, found out just before it.

use super::core::{Core, Errand};
use super::refresh;
use crate::error::{Error, Kind, Result};
use crate::inventory::{Server, Snapshot, Target};
use crate::operation::Args;
use crate::operation::ability;
use crate::operation::call::{file_system, plugin_of};
use crate::plugin::api::Method;
use crate::record::{BackingDevice, BackingDeviceType, Devices, Dict as _, FileSystem, Mount};
use serde_json::Value;

/// Checks a call against what the plug-in and this host say now.
///
/// # Errors
/// [`Kind::InvalidValue`] for a backing device that the plug-in does not list;
/// [`Kind::FileSystemBusy`] for the split of a file that is open.
pub async fn check(
    core: &Core,
    snapshot: &Snapshot,
    server: &Server,
    method: &Method,
    target: &Target,
    args: &Args,
    errand: &Errand,
) -> Result<()> {
    match (method.name, target) {
        ("createFileSystem", _) => backing(core, snapshot, server, args, errand).await,
        ("splitClone", Target::FileSystem(_, id)) => split(server, id, args).await,
        _ => Ok(()),
    }
    .map_err(|error| error.in_method(&server.plugin, method.name))
}

/// A file system that is not block based is made on what `getFileSystemBackingDevices` lists
/// (specification, "BACKING_DEVICE_TYPES enumeration").
async fn backing(
    core: &Core,
    snapshot: &Snapshot,
    server: &Server,
    args: &Args,
    errand: &Errand,
) -> Result<()> {
    let ty = ability::of(server, "backing_device_type").and_then(|name| BackingDeviceType::from_name(&name));
    if !matches!(ty, Some(BackingDeviceType::PluginSingle | BackingDeviceType::PluginMulti)) {
        return Ok(());
    }
    let wanted = args.get("record").map(|record| FileSystem::parse(record).0).unwrap_or_default();
    let wanted = match wanted.backing_device {
        Some(Devices::One(device)) => vec![device],
        Some(Devices::Many(devices)) => devices,
        None => return Ok(()),
    };
    let plugin = plugin_of(snapshot, &server.plugin)?;
    let about = refresh::about(server, plugin);
    let listed = core.call_optional(server, "getFileSystemBackingDevices", about, errand).await?;
    // A plug-in that lists none says nothing against any.
    let Some(Value::Array(listed)) = listed else { return Ok(()) };
    let known: Vec<String> =
        listed.iter().filter_map(|device| BackingDevice::parse(device).0.value).collect();
    match wanted.iter().find(|device| !known.contains(device)) {
        None => Ok(()),
        Some(other) => {
            let choice = if known.is_empty() { "there are none".into() } else { known.join(", ") };
            let text = format!(
                "{other:?} is not a backing device of {}; those available: {choice}",
                ability::called(server)
            );
            Err(Error::new(Kind::InvalidValue, text).with_key("backing_device"))
        }
    }
}

/// Where `splitclone_while_open` is not YES, a file is split only while nobody has it open.
async fn split(server: &Server, id: &str, args: &Args) -> Result<()> {
    let while_open = ability::of(server, "splitclone_while_open");
    if while_open.is_none_or(|value| value == "YES") {
        return Ok(());
    }
    let Some(path) = args.text("path") else { return Ok(()) };
    let mounts = file_system(server, id)?.mounts.values();
    let points = mounts.filter_map(|line| {
        let record = serde_json::from_str(line).ok()?;
        Mount::parse(&record).0.mount_point
    });
    let paths: Vec<String> = points
        .map(|point| match path.starts_with(&point) {
            true => path.to_owned(),
            false => format!("{}/{}", point.trim_end_matches('/'), path.trim_start_matches('/')),
        })
        .collect();
    // Thousands of processes are a while.
    let holder = tokio::task::spawn_blocking(move || paths.iter().find_map(|path| holder(path))).await;
    match holder.ok().flatten() {
        None => Ok(()),
        Some(process) => {
            let text = format!(
                "{path} is open (process {process}), and {} splits only files that are closed (ability \
                 splitclone_while_open): close it first",
                ability::called(server)
            );
            Err(Error::new(Kind::FileSystemBusy, text))
        }
    }
}

/// A process of this host that has the file open. The file itself is not touched: its server may
/// be gone.
fn holder(path: &str) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    let mut ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.find(|id| {
        let open = std::fs::read_dir(format!("/proc/{id}/fd"));
        open.into_iter()
            .flatten()
            .flatten()
            .any(|entry| std::fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_open_has_a_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("a");
        let file = std::fs::File::create(&path).unwrap();
        assert_eq!(holder(path.to_str().unwrap()), Some(std::process::id()));
        drop(file);
        assert_eq!(holder(path.to_str().unwrap()), None);
    }
}
