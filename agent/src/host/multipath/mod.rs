//! Multipath maps: what they are made of, taking one down, and letting one grow. Without multipathd
//! there are single paths, and everything else works on those.

pub mod daemon;
pub mod map;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;

use super::operation::{Arg, ArgType, Operation, Task};
use super::scsi::disk::Disk;
use super::{Host, command, device};
use crate::error::{Error, Kind, Result};
use map::Map;

/// The group's rows.
pub const OPERATIONS: &[Operation] = &[Operation {
    name: "multipath.maps",
    args: &[Arg {
        name: "page83_id",
        ty: ArgType::Text,
        required: false,
        doc: "only the map with this identity, in any spelling",
    }],
    answer: "A list of dicts: `name` (of the node in `/dev/mapper`), `path`, `page83_id`, `size` in bytes and `paths`, a list of dicts \
             as `scsi.devices` gives them, each with `dm_state` (`active`, `failed`, or None where no multipathd tells)",
    doc: "The multipath maps of the storage server's disks.",
    deadline: Duration::from_secs(30),
    needs: &[],
    changes: false,
    run: |task| Box::pin(maps(task)),
}];

async fn maps(task: Task) -> Result<Value> {
    let wanted = task.args.text("page83_id").map(str::to_owned);
    let states = daemon::path_states(&task.host).await;
    let mut answer = Vec::new();
    for device in device::own(&task).await? {
        let Some(map) = &device.map else { continue };
        if wanted.as_ref().is_some_and(|wanted| !map.is(wanted)) {
            continue;
        }
        let paths = device.disks.iter().map(|disk| {
            let mut path = disk.to_json();
            path["dm_state"] = states.get(&disk.name).cloned().into();
            path
        });
        answer.push(serde_json::json!({
            "name": map.alias, "path": map.node(), "page83_id": map.wwid, "size": map.size,
            "paths": paths.collect::<Vec<_>>(),
        }));
    }
    Ok(Value::Array(answer))
}

/// Whether a path works, by the kernel's word and multipathd's.
pub fn works(disk: &Disk, states: &HashMap<String, String>) -> bool {
    let failed = states.get(&disk.name).is_some_and(|state| state == "failed");
    !failed && matches!(disk.state.as_str(), "running" | "")
}

/// How long a map may take to go once it was told to.
const GOING: Duration = Duration::from_secs(15);

/// How long one is asked again that is refused: udev opens a map when a writer has closed it, just to look.
const LOOKING: Duration = Duration::from_secs(5);

/// Takes a map down. One that has gone is down.
///
/// # Errors
/// [`Kind::StorageElementBusy`] when the kernel says that somebody uses it; otherwise what failed.
pub async fn flush(host: &Host, map: &Map) -> Result<()> {
    let there = |host: &Host| {
        map::all(host.roots()).iter().any(|other| other.wwid == map.wwid && other.name == map.name)
    };
    // I/O that waits for a path to come back would wait for ever, and the flush with it.
    if let Err(error) = daemon::tell(host, &format!("disablequeueing map {}", map.alias)).await {
        tracing::debug!(map = map.alias, %error, "queueing stays as it is");
    }
    let mut told = tell_to_go(host, map).await;
    let asked = tokio::time::Instant::now();
    while there(host) {
        if asked.elapsed() >= if told.is_ok() { GOING } else { LOOKING } {
            let why =
                told.err().map_or_else(|| "it is still there".to_owned(), |error| error.message().to_owned());
            let text = format!("the multipath map {} is not flushed: {why}", map.alias);
            return Err(Error::new(Kind::StorageElementBusy, text));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        if told.is_err() {
            told = tell_to_go(host, map).await;
        }
    }
    Ok(())
}

async fn tell_to_go(host: &Host, map: &Map) -> Result<()> {
    match daemon::tell(host, &format!("del map {}", map.alias)).await {
        Ok(true) => Ok(()),
        Ok(false) => flush_without_daemon(host, map).await,
        Err(error) => Err(error),
    }
}

async fn flush_without_daemon(host: &Host, map: &Map) -> Result<()> {
    let roots = host.roots();
    let ways: [(&str, &[&str]); 2] = [("multipath", &["-f"]), ("dmsetup", &["remove"])];
    let way = ways.iter().find_map(|(name, words)| roots.find_command(name).map(|path| (path, *words)));
    let Some((path, words)) = way else {
        let text = format!(
            "{} is a multipath map, and neither multipathd nor multipath nor dmsetup is here to take it down",
            map.alias
        );
        return Err(Error::new(Kind::OperationPreReqNotMet, text));
    };
    let ended = command::run(&path, &[words, &[map.alias.as_str()]].concat()).await?;
    match ended.status {
        Some(0) => Ok(()),
        _ => Err(Error::new(Kind::OperationFailed, ended.complaint)),
    }
}

/// Lets a map take on the size of its paths, which have been read again.
///
/// # Errors
/// [`Kind::OperationFailed`] when it does not.
pub async fn resize(host: &Host, map: &Map) -> Result<()> {
    if daemon::tell(host, &format!("resize map {}", map.alias)).await? {
        return Ok(());
    }
    let text = format!("no multipathd runs that could resize the map {}", map.alias);
    Err(Error::new(Kind::OperationPreReqNotMet, text))
}

/// Whether somebody here makes maps of paths.
pub async fn is_managed(host: &Host) -> bool {
    matches!(daemon::ask(host, "show daemon").await, Ok(Some(_)))
}
