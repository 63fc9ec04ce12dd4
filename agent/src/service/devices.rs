//! What becomes of disks and multipath maps on this host shows at once in the elements that they are,
//! without a plug-in being asked: a device that goes, a path that fails, a unit that grows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Map;
use tokio::sync::broadcast::error::RecvError;

use super::core::{Core, Key};
use super::{Request, run};
use crate::command::{Object, command};
use crate::error::Result;
use crate::host::device::{self, Device};
use crate::host::iscsi::record;
use crate::host::scsi::page83;
use crate::host::{Host, multipath};
use crate::inventory::{Caller, Element, Target, What};
use crate::operation::merge;
use crate::plugin::api::PluginType;

/// How long events gather: a disk that comes is ten of them.
const GATHER: Duration = Duration::from_millis(50);

/// How long they gather at most.
const GATHER_MOST: Duration = Duration::from_millis(900);

/// When it looks once more: multipathd hears of a path from the kernel as the agent does, and tells its
/// state a moment later.
const ONCE_MORE: Duration = Duration::from_millis(400);

/// Follows this host's devices until the agent stops.
pub async fn keep(core: Arc<Core>, host: Host) {
    let mut events = host.events();
    let mut changes = core.inventory.subscribe();
    let mut known = Known::default();
    let mut once_more = false;
    let mut gather = GATHER;
    loop {
        let look = tokio::select! {
            () = core.stopping.cancelled() => return,
            event = events.recv() => match event {
                Ok(event) => event.is_about_disks(),
                Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => return,
            },
            change = changes.recv() => match change {
                Ok(change) => matches!(change.what, What::ElementAdded(..)),
                Err(RecvError::Lagged(_)) => true,
                Err(RecvError::Closed) => return,
            },
            () = tokio::time::sleep(ONCE_MORE), if once_more => {
                once_more = false;
                known.look(&core, &host).await;
                false
            }
        };
        if look {
            tokio::time::sleep(gather).await;
            while events.try_recv().is_ok() {}
            while changes.try_recv().is_ok() {}
            let began = Instant::now();
            known.look(&core, &host).await;
            // Hundreds of disks that come one by one are looked at a fifth of the time, and no more.
            gather = (began.elapsed() * 4).clamp(GATHER, GATHER_MOST);
            once_more = true;
        }
    }
}

/// An element's devices as last seen: the `path`, and the size in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    path: Vec<String>,
    size: u64,
}

/// What was last seen of each element that has devices here, or had.
#[derive(Default)]
struct Known(HashMap<Key, Seen>);

impl Known {
    async fn look(&mut self, core: &Core, host: &Host) {
        if let Err(error) = self.try_look(core, host).await {
            tracing::warn!(%error, "this host's devices cannot be looked at");
        }
    }

    async fn try_look(&mut self, core: &Core, host: &Host) -> Result<()> {
        let units = device::all(host).await?;
        if units.is_empty() && self.0.is_empty() {
            return Ok(());
        }
        let states = multipath::daemon::path_states(host).await;
        let by_identity: HashMap<String, &Device> =
            units.iter().flat_map(|unit| unit.identities().map(move |identity| (identity, unit))).collect();
        let snapshot = core.inventory.snapshot();
        let mut there = BTreeSet::new();
        for server in
            snapshot.servers.values().filter(|server| server.plugin_type == PluginType::StorageArray)
        {
            for (identity, id) in &server.elements.by_page83 {
                let key = (server.uuid, id.clone());
                let unit = by_identity.get(&page83::canonical(identity).to_ascii_lowercase());
                let before = self.0.get(&key);
                if unit.is_none() && before.is_none() {
                    continue;
                }
                let now = unit.map_or_else(Seen::default, |unit| Seen {
                    path: unit.paths(|disk| multipath::works(disk, &states)),
                    size: unit.size(),
                });
                there.insert(key.clone());
                if before != Some(&now) {
                    take_in(core, &key, before, &now);
                    self.0.insert(key, now);
                }
            }
        }
        // An element that has gone, and devices that went before it did.
        self.0.retain(|key, _| there.contains(key));
        Ok(())
    }
}

/// Writes what was seen into an element's record. Its size is the array's to say, until the device's changes.
fn take_in(core: &Core, (ss, id): &Key, before: Option<&Seen>, now: &Seen) {
    let Ok(desk) = core.desk(*ss) else { return };
    core.inventory.publish(|draft| {
        let server = draft.snapshot().servers.get(ss);
        let Some(known) = server.and_then(|server| server.elements.by_id.get(id)) else { return };
        let mut record = known.record();
        record.path = Some(now.path.clone());
        if let (Some(before), Ok(size)) = (before, i64::try_from(now.size))
            && before.size != now.size
            && now.size > 0
            && before.size > 0
        {
            record.size = Some(size);
        }
        let line = merge::line(&record);
        if line != known.line {
            draft.put_element(*ss, Arc::new(Element { id: id.clone(), line }));
            desk.touch(id);
        }
    });
}

/// Logs in again, after a boot, to what was logged in to: the agent's own node records of a target say
/// that it should be, for logging out removes them.
pub async fn log_in_again(core: Arc<Core>, host: Host) {
    let roots = host.roots().clone();
    let read = tokio::task::spawn_blocking(move || {
        (record::targets(&roots), crate::host::iscsi::session::all(&roots))
    });
    let Ok((targets, sessions)) = read.await else { return };
    let lost = |target: &String| targets.contains(target) && sessions.iter().all(|one| one.target != *target);
    let snapshot = core.inventory.snapshot();
    for server in snapshot.servers.values() {
        let ids = server.record.storage_id.iter().flatten();
        let is_iscsi =
            server.record.storage_type.as_deref().is_some_and(|ty| ty.eq_ignore_ascii_case("iSCSI"));
        if !is_iscsi || !ids.into_iter().any(lost) {
            continue;
        }
        let Some(command) = command(Object::Server, "start") else { return };
        tracing::info!(server = %server.uuid, "logging in again to what was logged in to before");
        let request = Request {
            target: Target::Server(server.uuid),
            command,
            args: Map::new(),
            caller: Caller { uid: 0, pid: Some(std::process::id()), door: "agent" },
        };
        if let Err(error) = run::submit(&core, request, || ()).await {
            tracing::warn!(server = %server.uuid, %error, "the storage server is not logged in to again");
        }
    }
}
