//! The SCSI bus: which disks there are and who they are, finding those that are wanted, and removing
//! those that are not.

pub mod disk;
pub mod page83;
mod scan;
mod wait;

use std::time::Duration;

use serde_json::{Value, json};

use super::device::{self, Device};
use super::operation::{Arg, ArgType, Operation, Task};
use super::{Host, multipath};
use crate::error::{Error, Kind, Result};
use disk::{Disk, Transport};
use scan::Place;

const IDENTITY: Arg = Arg {
    name: "page83_id",
    ty: ArgType::Text,
    required: true,
    doc: "the identity, in any spelling (`3600…`, `naa.600…`, `0x600…`)",
};

const UNIT: &str = "A dict: `page83_id`, `path` (the node in `/dev/mapper` of its map, if it has one, then those of the paths that work), `size` in bytes, \
                    `vendor`, `product_id`, `map` (its name or None) and `paths`, as `scsi.devices` gives them";

/// The group's rows.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "scsi.devices",
        args: &[Arg { required: false, doc: "only those with this identity, in any spelling", ..IDENTITY }],
        answer: "A list of dicts, one for each path: `name`, `path`, `hctl`, `page83_id`, `vendor`, `product_id`, `size` in bytes, \
                 `state`, `transport` (`iscsi`, `fc` or `scsi`) and `target`",
        doc: "The storage server's SCSI disks on this host, as sysfs shows them now.",
        deadline: Duration::from_secs(30),
        needs: &[],
        changes: false,
        run: |task| Box::pin(devices(task)),
    },
    Operation {
        name: "scsi.units",
        args: &[Arg { required: false, doc: "only the one with this identity, in any spelling", ..IDENTITY }],
        answer: "A list of dicts, one for each logical unit, as `scsi.wait` gives them",
        doc: "The storage server's logical units on this host, each with its paths and its multipath map.",
        deadline: Duration::from_secs(30),
        needs: &[],
        changes: false,
        run: |task| Box::pin(units(task)),
    },
    Operation {
        name: "scsi.scan",
        args: &[
            Arg {
                name: "targets",
                ty: ArgType::Texts,
                required: false,
                doc: "target names, or port names of a SAN; without it, all of the storage server's",
            },
            Arg {
                name: "lun",
                ty: ArgType::Number,
                required: false,
                doc: "the logical unit wanted, as the kernel numbers it; without it, all that the target presents to this host",
            },
            Arg {
                name: "hctl",
                ty: ArgType::Text,
                required: false,
                doc: "instead of targets: host:channel:target:lun, with `-` for every one; `5:-:-:-` is a whole bus",
            },
        ],
        answer: "A list of dicts, the storage server's logical units that this host has now, as `scsi.wait` gives them",
        doc: "Looks for logical units, exactly where it is told. One whose address was given to another volume meanwhile is taken away first. \
              Returns when the kernel has asked, which may be before the devices have their nodes: `scsi.wait` waits for those.",
        deadline: Duration::from_secs(120),
        needs: &[],
        changes: true,
        run: |task| Box::pin(look(task)),
    },
    Operation {
        name: "scsi.wait",
        args: &[
            IDENTITY,
            Arg {
                name: "seconds",
                ty: ArgType::Number,
                required: false,
                doc: "how long to wait; 30 unless given, 0 is a look",
            },
            Arg {
                name: "paths",
                ty: ArgType::Number,
                required: false,
                doc: "how many paths there must be; 1 unless given",
            },
            Arg {
                name: "size",
                ty: ArgType::Number,
                required: false,
                doc: "the size in bytes that it must have at least",
            },
        ],
        answer: UNIT,
        doc: "Waits until a logical unit of the storage server is there, with its device nodes, and with its map where multipathd makes \
              one of its paths. It is OperationFailedEx when that has not come in time.",
        deadline: Duration::from_secs(300),
        needs: &[],
        changes: false,
        run: |task| Box::pin(wait::wait(task)),
    },
    Operation {
        name: "scsi.resize",
        args: &[IDENTITY],
        answer: UNIT,
        doc: "Reads the size of every path of a logical unit again, then has its map take it on.",
        deadline: Duration::from_secs(60),
        needs: &[],
        changes: true,
        run: |task| Box::pin(resize(task)),
    },
    Operation {
        name: "scsi.remove",
        args: &[IDENTITY],
        answer: "True when there was something to remove, False when this host had no device of it",
        doc: "Takes the devices of a logical unit away, before the array unmaps it: first the multipath map is flushed, then each path is deleted. \
              It is StorageElementBusyEx, with who uses it, and nothing has happened, while it is mounted, swapped to, part of another device, or open.",
        deadline: Duration::from_secs(120),
        needs: &[],
        changes: true,
        run: |task| Box::pin(remove(task)),
    },
];

async fn devices(task: Task) -> Result<Value> {
    let wanted = task.args.text("page83_id").map(str::to_owned);
    let host = task.host.clone();
    let disks = tokio::task::spawn_blocking(move || disk::all(host.roots()))
        .await
        .map_err(|error| Error::internal("reading sysfs", error))?
        .map_err(|error| Error::internal("the SCSI devices cannot be listed", error))?;
    let chosen = disks.iter().filter(|disk| is_own(&task, disk));
    let chosen = chosen.filter(|disk| wanted.as_ref().is_none_or(|wanted| disk.is(wanted)));
    Ok(chosen.map(Disk::to_json).collect())
}

async fn units(task: Task) -> Result<Value> {
    let wanted = task.args.text("page83_id").map(str::to_owned);
    let states = multipath::daemon::path_states(&task.host).await;
    let units = device::own(&task).await?;
    let chosen = units
        .iter()
        .filter(|unit| wanted.as_ref().is_none_or(|wanted| unit.disks.iter().any(|disk| disk.is(wanted))));
    Ok(chosen.map(|unit| unit.to_json(|disk| multipath::works(disk, &states))).collect())
}

/// One logical unit, as a plug-in is told of it.
async fn told(host: &Host, unit: &Device) -> Value {
    let states = multipath::daemon::path_states(host).await;
    unit.to_json(|disk| multipath::works(disk, &states))
}

async fn look(task: Task) -> Result<Value> {
    let targets: Option<Vec<String>> =
        task.args.texts("targets").map(|all| all.into_iter().map(str::to_owned).collect());
    let places = match task.args.text("hctl") {
        Some(text) => {
            let place = Place::parse(text).ok_or_else(|| {
                Error::invalid(format!("{text} is no host:channel:target:lun")).with_key("hctl")
            })?;
            scan::allowed(&task, &place)?;
            vec![place]
        }
        None => scan::places(&task, targets.as_deref(), task.args.number("lun"))?,
    };
    // The kernel asks the units of one SCSI host after the other, and those of several at the same time.
    let scans = places.into_iter().map(|place| {
        let host = task.host.clone();
        tokio::task::spawn_blocking(move || scan::scan(&host, &place))
    });
    for scanned in futures_util::future::join_all(scans).await {
        scanned.map_err(|error| Error::internal("scanning", error))??;
    }
    units_of(&task).await
}

async fn units_of(task: &Task) -> Result<Value> {
    let states = multipath::daemon::path_states(&task.host).await;
    let units = device::own(task).await?;
    Ok(units.iter().map(|unit| unit.to_json(|disk| multipath::works(disk, &states))).collect())
}

/// The identity that a task is about.
fn identity(task: &Task) -> Result<String> {
    // The table says that it is required; it may still be empty.
    let text = task.args.text("page83_id").map(str::to_owned);
    text.ok_or_else(|| Error::new(Kind::MissingKey, "page83_id is empty").with_key("page83_id"))
}

async fn resize(task: Task) -> Result<Value> {
    let identity = identity(&task)?;
    let Some(unit) = device::find(&task, &identity).await? else {
        let text = format!("this host has no device of {identity} whose size could be read again");
        return Err(Error::new(Kind::OperationFailed, text));
    };
    for disk in &unit.disks {
        let (host, disk) = (task.host.clone(), disk.clone());
        let read = tokio::task::spawn_blocking(move || {
            let read = scan::reread(&host, &disk).map_err(|error| error.to_string());
            let settled = read.and_then(|()| scan::settle(&host, &disk).map_err(|error| error.to_string()));
            settled.map_err(|error| (disk.name, error))
        });
        if let Err((name, error)) = read.await.map_err(|error| Error::internal("rescanning", error))? {
            // The others go on: a path that is down now takes the size on when it comes back.
            tracing::warn!(disk = name, %error, "the size of a path cannot be read again");
        }
    }
    let after = device::find(&task, &identity).await?.unwrap_or(unit);
    if let Some(map) = &after.map
        && after.disks.iter().map(|disk| disk.size).min() != Some(map.size)
    {
        multipath::resize(&task.host, map).await?;
    }
    let after = device::find(&task, &identity).await?.unwrap_or(after);
    Ok(told(&task.host, &after).await)
}

async fn remove(task: Task) -> Result<Value> {
    let identity = identity(&task)?;
    match device::find(&task, &identity).await? {
        None => Ok(json!(false)),
        Some(unit) => device::remove(&task.host, vec![unit]).await.map(|()| json!(true)),
    }
}

/// Deletes a path, if it is still who it was.
///
/// # Errors
/// [`Kind::OperationFailed`] when the kernel refuses.
pub async fn delete(host: &Host, disk: &Disk) -> Result<()> {
    let (host, disk) = (host.clone(), disk.clone());
    let deleted = tokio::task::spawn_blocking(move || {
        match disk::at(host.roots(), disk.address) {
            Some(now) if now.identities == disk.identities => {}
            // It has gone, or another is there already.
            _ => return Ok(()),
        }
        match scan::write(&scan::device_dir(&host, disk.address).join("delete"), "1") {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::new(
                Kind::OperationFailed,
                format!("the path {} at {} cannot be deleted: {error}", disk.name, disk.address),
            )),
            _ => Ok(()),
        }
    });
    deleted.await.map_err(|error| Error::internal("deleting a path", error))?
}

/// Whether a disk is the storage server's own, by the rules of [`Scope`](super::Scope).
pub fn is_own(task: &Task, disk: &Disk) -> bool {
    let ports: Vec<_> = task.scope.storage_ids().iter().filter_map(|id| port_name(id)).collect();
    match &disk.transport {
        Transport::Iscsi(_, target) => {
            task.scope.is_iscsi() && task.host.targets_of(&task.scope).contains(target)
        }
        Transport::Fc(port) => task.scope.is_san() && (ports.is_empty() || ports.contains(port)),
        Transport::Other => task.scope.is_san() && ports.is_empty(),
    }
}

/// A Fibre Channel port name in its one form, `0x` and 16 digits in lower case; None for anything else.
fn port_name(text: &str) -> Option<String> {
    let digits: String = text.trim().trim_start_matches("0x").chars().filter(|c| *c != ':').collect();
    let is_name = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_name.then(|| format!("0x{}", digits.to_ascii_lowercase()))
}
