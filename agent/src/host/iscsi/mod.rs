//! iSCSI through open-iscsi: discovery, logging in to every portal of the storage server's targets, and
//! logging out in the order that leaves nothing behind.

mod admin;
mod login;
mod logout;
pub mod record;
pub mod session;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::{Value, json};

use super::operation::{Arg, ArgType, Operation, Task};
use crate::error::{Error, Kind, Result};
use admin::{Admin, Found, ISCSIADM};
use session::portal_text;

const TARGETS: Arg = Arg {
    name: "targets",
    ty: ArgType::Texts,
    required: false,
    doc: "target names; without it, those in the record's `storage_id`",
};

/// The group's rows.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "iscsi.discover",
        args: &[],
        answer: "A list of dicts, one for each portal of each target: `target`, `portal` (`address:port`), `address`, `port` and `tpgt`",
        doc: "Asks every portal of the record for its targets (SendTargets), with the record's credentials where it does not answer \
              without. A portal that does not answer is left out as long as another does. Leaves nothing in open-iscsi's database.",
        deadline: Duration::from_secs(60),
        needs: &[ISCSIADM],
        changes: false,
        run: |task| Box::pin(discover(task)),
    },
    Operation {
        name: "iscsi.login",
        args: &[TARGETS],
        answer: "A dict: `sessions`, a list as `iscsi.sessions` gives it, and `failed`, a list of dicts with `target`, `portal` and `message` \
                 for the portals that could not be logged in to",
        doc: "Logs in to every portal of the targets, through each network device in `netdevs`, with one-way or mutual CHAP where the record \
              has credentials. A session that is there already counts. No device is scanned for: that is `scsi.scan`. \
              It is LoginFailedEx when there is no session in the end, with the reason of the first portal.",
        deadline: Duration::from_secs(120),
        needs: &[ISCSIADM],
        changes: true,
        run: |task| Box::pin(login::login(task)),
    },
    Operation {
        name: "iscsi.logout",
        args: &[TARGETS],
        answer: "A dict: `ended`, how many sessions were ended, and `left`, a list as `iscsi.sessions` gives it of those that an administrator \
                 made and the agent leaves alone",
        doc: "Flushes the maps, deletes the devices, and then ends the sessions that the agent made, and removes their records with their \
              secrets. It is StorageElementBusyEx, and nothing has happened, while one of the devices is in use.",
        deadline: Duration::from_secs(180),
        needs: &[ISCSIADM],
        changes: true,
        run: |task| Box::pin(logout::logout(task)),
    },
    Operation {
        name: "iscsi.sessions",
        args: &[],
        answer: "A list of dicts: `sid`, `target`, `portal`, `iface`, `state` (`LOGGED_IN`, `FAILED`, `FREE`) and `host`, the number of the SCSI host",
        doc: "The sessions with the storage server's targets, as sysfs shows them now.",
        deadline: Duration::from_secs(30),
        needs: &[],
        changes: false,
        run: |task| Box::pin(sessions(task)),
    },
    Operation {
        name: "iscsi.initiator",
        args: &[],
        answer: "The name (`iqn.…`), None where this host has none",
        doc: "The name that this host logs in with: what an access group needs for this host.",
        deadline: Duration::from_secs(30),
        needs: &[],
        changes: false,
        run: |task| Box::pin(initiator(task)),
    },
];

/// The network devices of the record; None stands for whichever the routes lead to.
fn netdevs(task: &Task) -> Vec<Option<String>> {
    let given: Vec<_> = task.scope.server.netdevs.iter().flatten().filter(|name| !name.is_empty()).collect();
    if given.is_empty() { vec![None] } else { given.into_iter().cloned().map(Some).collect() }
}

/// The portals of the record, each fit to be used.
fn portals(task: &Task) -> Result<Vec<super::Portal>> {
    let portals = task.scope.portals();
    if portals.is_empty() {
        let text = "the ss_record names no access_host, so there is no portal to go to";
        return Err(Error::new(Kind::MissingKey, text).with_key("access_host"));
    }
    for portal in &portals {
        for credentials in [&portal.login, &portal.target].into_iter().flatten() {
            if let Some(why) = record::unfit(credentials) {
                let text = format!("the credentials for {} cannot be used: {why}", portal.host);
                return Err(Error::new(Kind::ValueFormat, text).with_key("passwd"));
            }
        }
    }
    Ok(portals)
}

/// What every portal tells: the portals of targets, each with the portal of the record that told, and why
/// others told nothing.
async fn discover_all(task: &Task, admin: &Admin) -> Result<(Vec<(Found, super::Portal)>, Vec<Error>)> {
    let (portals, netdevs) = (portals(task)?, netdevs(task));
    let ask = async |portal: super::Portal| {
        let mut last = None;
        for netdev in &netdevs {
            match admin.discover(&portal, netdev.as_deref()).await {
                Ok(found) => return Ok((found, portal)),
                Err(error) => last = Some(error),
            }
        }
        // There is at least one network device, or the wildcard for all.
        Err(last.unwrap_or_else(|| Error::invalid("there is no network device to ask through")))
    };
    let (mut all, mut failed) = (Vec::new(), Vec::new());
    for told in futures_util::future::join_all(portals.into_iter().map(ask)).await {
        match told {
            Ok((found, portal)) => all.extend(found.into_iter().map(|each| (each, portal.clone()))),
            Err(error) => failed.push(error),
        }
    }
    task.host.discovered(&task.scope, all.iter().map(|(found, _)| found.target.clone()));
    Ok((all, failed))
}

async fn discover(task: Task) -> Result<Value> {
    let admin = Admin::of(&task.host)?;
    let (found, failed) = discover_all(&task, &admin).await?;
    if found.is_empty()
        && let Some(error) = failed.into_iter().next()
    {
        return Err(error);
    }
    let mut found: Vec<_> = found.into_iter().map(|(found, _)| found).collect();
    found.sort();
    found.dedup();
    Ok(found
        .into_iter()
        .map(|found| {
            json!({
                "target": found.target, "portal": portal_text(&found.address, found.port),
                "address": found.address, "port": found.port, "tpgt": found.tpgt,
            })
        })
        .collect())
}

async fn sessions(task: Task) -> Result<Value> {
    let own = task.host.targets_of(&task.scope);
    let all = session::all(task.host.roots());
    Ok(all.iter().filter(|session| own.contains(&session.target)).map(session::Session::to_json).collect())
}

async fn initiator(task: Task) -> Result<Value> {
    // Its place is fixed, wherever the database is.
    let dirs = &task.host.roots().iscsi;
    let text = dirs.iter().find_map(|dir| std::fs::read_to_string(dir.join("initiatorname.iscsi")).ok());
    let name =
        text.iter().flat_map(|text| text.lines()).find_map(|line| line.trim().strip_prefix("InitiatorName="));
    Ok(name.map(str::trim).into())
}
