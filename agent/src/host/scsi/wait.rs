//! Waiting for a logical unit: the kernel finds devices after the tool that asked for them has returned.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::{identity, told};
use crate::error::{Error, Kind, Result};
use crate::host::device::{self, Device};
use crate::host::operation::Task;
use crate::host::{Host, multipath};

/// How long it waits unless it is told to.
const PATIENCE: u64 = 30;

/// Events can be missed, so it looks now and then without one.
const LOOK: Duration = Duration::from_secs(1);

/// How long a map may take once there are paths for it: multipathd answers events in turn.
const MAP: Duration = Duration::from_secs(10);

pub async fn wait(task: Task) -> Result<Value> {
    let identity = identity(&task)?;
    let patience = Duration::from_secs(task.args.number("seconds").unwrap_or(PATIENCE));
    let paths = task.args.number("paths").unwrap_or(1).max(1);
    let size = task.args.number("size").unwrap_or(0);
    let end = Instant::now() + patience;
    let managed = multipath::is_managed(&task.host).await;
    let mut events = task.host.events();
    // When there were first enough paths; a map is waited for from then on.
    let mut since = None;
    loop {
        let found = device::find(&task, &identity).await?;
        let missing = match &found {
            None => "this host has no device of it".to_owned(),
            Some(unit) if (unit.disks.len() as u64) < paths => {
                format!("it has {} of {paths} paths", unit.disks.len())
            }
            Some(unit) => match unready(&task.host, unit, size) {
                Some(why) => why,
                None => {
                    let since = *since.get_or_insert_with(Instant::now);
                    let wants_map = managed && unit.disks.len() > 1 && unit.map.is_none();
                    if !wants_map || since.elapsed() >= MAP.min(patience) {
                        return Ok(told(&task.host, unit).await);
                    }
                    "multipathd has made no map of its paths".to_owned()
                }
            },
        };
        let now = Instant::now();
        if now >= end {
            if let (Some(unit), Some(_)) = (&found, since) {
                return Ok(told(&task.host, unit).await);
            }
            let text = format!("{identity} did not come within {} s: {missing}", patience.as_secs());
            return Err(Error::new(Kind::OperationFailed, text));
        }
        let look = (now + LOOK).min(end);
        let heard = async {
            loop {
                match events.recv().await {
                    Ok(event) if !event.is_about_disks() => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => return,
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        let _ = tokio::time::timeout_at(look, heard).await;
    }
}

/// What is missing of a unit that is there, in words.
fn unready(host: &Host, unit: &Device, size: u64) -> Option<String> {
    let has_node = |name: &Path| host.roots().dev.join(name.strip_prefix("/dev").unwrap_or(name)).exists();
    let node = unit.node().filter(|node| !has_node(node));
    match node {
        Some(node) => Some(format!("{} is not there yet", node.display())),
        None if unit.size() < size => Some(format!("it has {} of {size} bytes", unit.size())),
        None => None,
    }
}
