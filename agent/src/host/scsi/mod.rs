//! The SCSI bus: which disks there are and who they are, finding those that are wanted, and removing
//! those that are not.

pub mod disk;
pub mod page83;

use std::time::Duration;

use super::operation::{Arg, ArgType, Operation, Running, Task};
use crate::error::{Error, Result};
use disk::{Disk, Transport};

/// The group's rows.
pub const OPERATIONS: &[Operation] = &[Operation {
    name: "scsi.devices",
    args: &[Arg {
        name: "page83_id",
        ty: ArgType::Text,
        required: false,
        doc: "only those with this identity, in any spelling",
    }],
    answer: "A list of dicts, one for each path: `name`, `path`, `hctl`, `page83_id`, `vendor`, `product_id`, `size` in bytes, \
             `state`, `transport` (`iscsi`, `fc` or `scsi`) and `target`",
    doc: "The storage server's SCSI disks on this host, as sysfs shows them now.",
    deadline: Duration::from_secs(30),
    needs: &[],
    changes: false,
    run: devices,
}];

fn devices(task: Task) -> Running {
    Box::pin(async move {
        let wanted = task.args.text("page83_id").map(str::to_owned);
        let disks = own(&task).await?;
        let chosen = disks.iter().filter(|disk| wanted.as_ref().is_none_or(|wanted| disk.is(wanted)));
        Ok(chosen.map(Disk::to_json).collect::<Vec<_>>().into())
    })
}

/// The disks that are the storage server's own.
///
/// # Errors
/// When sysfs cannot be read.
pub async fn own(task: &Task) -> Result<Vec<Disk>> {
    let host = task.host.clone();
    let read = tokio::task::spawn_blocking(move || disk::all(host.roots())).await;
    let disks = read
        .map_err(|error| Error::internal("reading sysfs", error))?
        .map_err(|error| Error::internal("the SCSI devices cannot be listed", error))?;
    Ok(disks.into_iter().filter(|disk| is_own(task, disk)).collect())
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
