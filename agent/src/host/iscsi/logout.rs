//! Logging out: maps, devices, sessions, in this order. The other way round leaves spinning kernel
//! threads and stale devices, and in rare cases another volume's data under an old name.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::admin::Admin;
use super::login::wanted;
use super::record::netdev_of;
use super::session::{self, Session};
use crate::error::{Error, Kind, Result};
use crate::host::device::{self, Device};
use crate::host::in_use::Users;
use crate::host::operation::Task;
use crate::host::scsi;
use crate::host::scsi::disk::{Disk, Transport};

pub async fn logout(task: Task) -> Result<Value> {
    let admin = Admin::of(&task.host)?;
    let own = task.host.targets_of(&task.scope);
    let wanted = match wanted(&task) {
        // Without a target there is nothing to log out of.
        Err(error) if error.kind() == Kind::MissingKey => BTreeSet::new(),
        other => other?,
    };
    if let Some(foreign) = wanted.iter().find(|target| !own.contains(*target)) {
        let text = format!("{foreign} is not a target of this storage server, so it is not logged out of");
        return Err(Error::new(Kind::PermissionDenied, text));
    }
    let of_targets =
        session::all(task.host.roots()).into_iter().filter(|session| wanted.contains(&session.target));
    let (ours, left): (Vec<_>, Vec<_>) = of_targets.partition(Session::is_ours);
    let numbers: BTreeSet<_> = ours.iter().map(|session| session.number).collect();
    let goes =
        |disk: &Disk| matches!(&disk.transport, Transport::Iscsi(number, _) if numbers.contains(number));
    let units: Vec<_> =
        device::all(&task.host).await?.into_iter().filter(|unit| unit.disks.iter().any(goes)).collect();
    // One that stays reachable through somebody else's session only loses paths.
    let stays = |unit: &Device| unit.disks.iter().any(|disk| !goes(disk) && disk.state == "running");
    let (shared, whole): (Vec<_>, Vec<_>) = units.into_iter().partition(stays);
    let paths: Vec<Disk> =
        shared.iter().flat_map(|unit| unit.disks.iter().filter(|disk| goes(disk)).cloned()).collect();
    let maps: Vec<String> =
        shared.iter().filter_map(|unit| unit.map.as_ref().map(|map| map.name.clone())).collect();
    let users = Users::read(task.host.roots());
    if let Some((name, who)) =
        paths.iter().find_map(|disk| users.of(&disk.name, &[], &maps).map(|who| (&disk.name, who)))
    {
        return Err(Error::new(Kind::StorageElementBusy, format!("the path {name} stays: {who}")));
    }
    device::remove(&task.host, whole).await?;
    for disk in &paths {
        scsi::delete(&task.host, disk).await?;
    }
    let ends = ours.iter().map(|session| end(&task, &admin, session));
    let failed = futures_util::future::join_all(ends).await.into_iter().find_map(Result::err);
    match failed {
        Some(error) => Err(error),
        None => Ok(json!({
            "ended": ours.len(), "left": left.iter().map(Session::to_json).collect::<Vec<_>>(),
        })),
    }
}

/// Ends a session and removes its record.
async fn end(task: &Task, admin: &Admin, session: &Session) -> Result<()> {
    let _iface = admin.hold_iface(&session.node(), netdev_of(&session.iface))?;
    // Numbers are used again: it is ended only if it still is the one.
    let now = session::all(task.host.roots());
    if now.iter().any(|other| other.number == session.number && other.target == session.target) {
        admin.log_out(session.number, &session.target).await?;
    }
    admin.forget(&session.node()).await;
    Ok(())
}
