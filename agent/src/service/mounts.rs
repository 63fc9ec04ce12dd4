//! What anybody mounts and unmounts on this host shows at once, whether or not the agent was asked to:
//! the kernel's mount table is the truth, and its changes go into the file systems that they concern.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

use super::core::{Core, Errand, Key};
use super::refresh;
use crate::error::{Kind, Result};
use crate::host::mount::{Mounted, Table, Watch, whose};
use crate::inventory::index::mount_id;
use crate::inventory::model::parse_line;
use crate::inventory::{FileSystem, Server, Snapshot, Target, What};
use crate::operation::call::{file_system, plugin_of, server_of};
use crate::operation::merge;
use crate::plugin::api::{PluginType, method};
use crate::record::{self, Dict as _, FsState, View};

/// How long changes gather: a container that starts mounts twenty things.
const GATHER: Duration = Duration::from_millis(30);

/// The mount point in a mount's line; "" where it has none.
pub fn point(line: &str) -> String {
    parse_line::<record::Mount>(line).mount_point.unwrap_or_default()
}

/// Where this host has the file system mounted now.
pub fn points(fs: &record::FileSystem) -> BTreeSet<String> {
    let table = Table::read().unwrap_or_default();
    whose::mounts_of(fs, &table).map(|(mount, _)| mount.at.to_string_lossy().into_owned()).collect()
}

/// Follows the mount table until the agent stops.
pub async fn keep(core: Arc<Core>) {
    let watch = match Watch::start() {
        Ok(watch) => watch,
        Err(error) => {
            tracing::warn!(%error, "mounts cannot be watched: they show when storage servers are refreshed");
            return;
        }
    };
    let mut changes = core.inventory.subscribe();
    let mut known = Known::default();
    loop {
        tokio::select! {
            () = core.stopping.cancelled() => return,
            changed = watch.changed() => if changed.is_err() { return },
            change = changes.recv() => match change {
                Ok(change) if concerns(&core, &change.what) => {}
                Ok(_) => continue,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
        }
        tokio::time::sleep(GATHER).await;
        match Table::read() {
            Ok(table) => known.look(&core, &table),
            Err(error) => tracing::warn!(%error, "the mount table cannot be read"),
        }
    }
}

/// Whether something happened after which mounts have to be looked at although none has changed.
fn concerns(core: &Core, what: &What) -> bool {
    match what {
        What::FileSystemAdded(..) => true,
        What::OperationChanged(id) => {
            let snapshot = core.inventory.snapshot();
            snapshot.operations.get(id).is_some_and(|operation| {
                operation.state.ended() && matches!(operation.command.name, "mount" | "unmount")
            })
        }
        _ => false,
    }
}

/// Which mounts each file system had when last looked at.
#[derive(Default)]
struct Known(HashMap<Key, Vec<Mounted>>);

impl Known {
    fn look(&mut self, core: &Arc<Core>, table: &Table) {
        let snapshot = core.inventory.snapshot();
        let busy = busy(&snapshot);
        let mut there = BTreeSet::new();
        for server in snapshot.servers.values().filter(|server| server.plugin_type == PluginType::FileSystem)
        {
            let records: Vec<_> = server.file_systems.values().map(|fs| (fs, fs.record())).collect();
            for (fs, record) in &records {
                let key = (server.uuid, fs.id.clone());
                there.insert(key.clone());
                // The operation itself takes in what it did.
                if busy.contains(&key) {
                    continue;
                }
                let before = self.0.get(&key);
                let found = mine(fs, record, &records, before, table);
                let now: Vec<Mounted> = found.iter().map(|(mount, _)| (*mount).clone()).collect();
                if before == Some(&now) || (before.is_none() && now.is_empty()) {
                    continue;
                }
                let changed = take_in(core, server, &fs.id, &found, before.map_or(&[], Vec::as_slice));
                self.0.insert(key, now);
                if changed {
                    core.tasks.spawn(ask(core.clone(), server.uuid, fs.id.clone()));
                }
            }
        }
        self.0.retain(|key, _| there.contains(key));
    }
}

/// The file systems that are being mounted or unmounted at somebody's request.
fn busy(snapshot: &Snapshot) -> BTreeSet<Key> {
    let live = snapshot.operations.values().filter(|operation| !operation.state.ended());
    live.filter(|operation| matches!(operation.command.name, "mount" | "unmount"))
        .filter_map(|operation| match &operation.target {
            Target::FileSystem(ss, id) => Some((*ss, id.clone())),
            _ => None,
        })
        .collect()
}

/// The mounts that are the file system's, each with the share path that it shows.
fn mine<'a>(
    fs: &FileSystem,
    record: &record::FileSystem,
    all: &[(&Arc<FileSystem>, record::FileSystem)],
    before: Option<&Vec<Mounted>>,
    table: &'a Table,
) -> Vec<(&'a Mounted, String)> {
    let told: BTreeSet<String> = fs.mounts.values().map(|line| point(line)).collect();
    let closest = |mount: &Mounted| {
        let closer = |other: &record::FileSystem| whose::closeness(other) > whose::closeness(record);
        !all.iter().any(|(_, other)| closer(other) && whose::share_path(other, mount).is_some())
    };
    let is_mine = |mount: &'a Mounted| {
        if let Some(share) = whose::share_path(record, mount) {
            return closest(mount).then_some((mount, share));
        }
        // One that only the plug-in can tell by its source: it is where the plug-in told of one, and what was
        // there when last looked at is what still counts there.
        let at = mount.at.to_string_lossy();
        let known = before.and_then(|before| before.iter().find(|known| known.at == mount.at));
        let same = known.is_none_or(|known| known.id == mount.id && known.device == mount.device);
        (told.contains(&*at) && same).then(|| (mount, String::new()))
    };
    table.0.iter().filter_map(is_mine).collect()
}

/// Publishes the mounts that are there and those that are not any more; whether that is anything new.
fn take_in(
    core: &Core,
    server: &Server,
    id: &Arc<str>,
    mine: &[(&Mounted, String)],
    before: &[Mounted],
) -> bool {
    let Ok(desk) = core.desk(server.uuid) else { return false };
    let left = before.iter().filter(|old| !mine.iter().any(|(new, _)| new.at == old.at));
    let gone: BTreeSet<String> = left.map(|old| old.at.to_string_lossy().into_owned()).collect();
    core.inventory.publish(|draft| {
        let current = draft.snapshot().servers.get(&server.uuid).cloned();
        let Some(fs) = current.as_ref().and_then(|server| server.file_systems.get(id)) else { return false };
        let mut new = FileSystem { id: fs.id.clone(), line: fs.line.clone(), mounts: fs.mounts.clone() };
        new.mounts.retain(|_, line| !gone.contains(&point(line)));
        let mut record = fs.record();
        for (mount, share) in mine {
            let at = mount.at.to_string_lossy();
            let known = new.mounts.iter().find(|(_, line)| point(line) == *at).map(|(uuid, _)| *uuid);
            let (mut answer, _) = record::Mount::parse(&whose::record(known, record.uuid, share, mount));
            if let Some(line) = known.and_then(|uuid| new.mounts.get(&uuid)) {
                // The plug-in may have words of its own, until the kernel has others than it had.
                if before.iter().find(|old| old.at == mount.at).is_none_or(|old| old.options == mount.options) {
                    continue;
                }
                answer.share_path = parse_line::<record::Mount>(line).share_path.or(answer.share_path);
            }
            answer.uuid = mount_id(id, &answer);
            // Made of a mount point, so that it names something.
            let _ = merge::mount(&mut new, answer);
        }
        if new.mounts == fs.mounts {
            return false;
        }
        if matches!(record.state, Some(FsState::Mounted | FsState::MountedReadonly | FsState::Unmounted)) {
            record.state = Some(state(mine));
            new.line = merge::line(&record);
        }
        tracing::info!(server = %server.uuid, file_system = %id, mounts = new.mounts.len(), "its mounts have changed");
        desk.touch(id);
        draft.put_file_system(server.uuid, Arc::new(new));
        true
    })
}

fn state(mine: &[(&Mounted, String)]) -> FsState {
    if mine.is_empty() {
        FsState::Unmounted
    } else if mine.iter().all(|(mount, _)| mount.read_only) {
        FsState::MountedReadonly
    } else {
        FsState::Mounted
    }
}

/// Asks the plug-in what else has changed with the mounts: status, sizes.
async fn ask(core: Arc<Core>, ss: Uuid, id: Arc<str>) {
    let asked = ask_plugin(&core, ss, &id).await;
    match asked {
        Err(error) if !matches!(error.kind(), Kind::Cancelled | Kind::Interrupted) => {
            tracing::debug!(server = %ss, file_system = %id, %error, "not asked about its mounts");
        }
        _ => {}
    }
}

async fn ask_plugin(core: &Core, ss: Uuid, id: &Arc<str>) -> Result<()> {
    let desk = core.desk(ss)?;
    let errand = Errand { id: Uuid::now_v7(), cancel: desk.gone.child_token() };
    let target = Target::FileSystem(ss, id.clone());
    let snapshot = core.inventory.snapshot();
    let server = server_of(&snapshot, &target)?;
    let plugin = plugin_of(&snapshot, &server.plugin)?;
    let Some(row) = method(server.plugin_type, "getFileSystemInfo") else { return Ok(()) };
    let known = file_system(server, id)?;
    let record = ("fs_record", known.record().to_value(View::Wire));
    let args = [refresh::about(server, plugin), vec![record]].concat();
    let moment = desk.moment();
    let Some(answer) = core.call_optional(server, row.name, args, &errand).await? else { return Ok(()) };
    let Some((answer, mut problems)) = merge::answered::<record::FileSystem>(&answer)? else { return Ok(()) };
    let (fs, more) = merge::file_system(server, Some(known), answer, None)?;
    problems.extend(more);
    core.report(&server.plugin, row, problems);
    core.inventory.publish(|draft| {
        let current = draft.snapshot().servers.get(&ss).cloned();
        let Some(now) = current.as_ref().and_then(|server| server.file_systems.get(id)) else { return };
        // Whatever happened to it meanwhile knows better.
        if desk.moment() == moment {
            desk.touch(id);
            let fs = FileSystem { id: fs.id, line: fs.line, mounts: now.mounts.clone() };
            draft.put_file_system(ss, Arc::new(fs));
        }
    });
    Ok(())
}
