//! From the state directory to a serving agent, and back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::Agent;
use super::core::Core;
use super::desk::Desk;
use super::plugins::Plugins;
use super::run::interrupted;
use super::{devices, mounts};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::inventory::{Element, Elements, FileSystem, Inventory, Server, ServerState, Snapshot, State};
use crate::plugin::{Event, Plugin};
use crate::pulse::PERIOD;
use crate::store::{LoadedServer, Store};

/// How long running operations may take to end when the agent stops: with the workers' and the doors' own
/// ends it makes less than ten seconds.
const PARTING: Duration = Duration::from_secs(4);

/// The state as it was read back.
pub struct Opened {
    store: Store,
    first: Snapshot,
    events: u64,
}

/// Opens the state directory and reads what it holds.
pub async fn open(config: &Config) -> Result<Opened> {
    let (dir, interval) = (config.state_dir.clone(), config.refresh_interval);
    let opened = tokio::task::spawn_blocking(move || -> Result<Opened> {
        let (store, loaded) = Store::open(&dir)?;
        let mut first = Snapshot::default();
        let servers: BTreeMap<_, _> = loaded
            .servers
            .into_iter()
            .map(|(uuid, server)| (uuid, Arc::new(self::server(server, interval))))
            .collect();
        first.servers = Arc::new(servers);
        let mut operations = BTreeMap::new();
        for mut operation in loaded.operations {
            let cut_off = !operation.state.ended();
            if cut_off {
                operation.state = State::Interrupted;
                operation.ended = Some(SystemTime::now());
                operation.error = Some(interrupted().of_operation(operation.id));
            }
            let operation = Arc::new(operation);
            if cut_off {
                store.journal_later(operation.clone());
            }
            operations.insert(operation.id, operation);
        }
        first.operations = Arc::new(operations);
        Ok(Opened { store, first, events: loaded.events })
    });
    opened.await.unwrap_or_else(|source| Err(Error::internal("reading the state directory", source)))
}

fn server(loaded: LoadedServer, interval: Duration) -> Server {
    let LoadedServer { row, unsealed, elements: lines, file_systems, mut mounts } = loaded;
    let mut elements = Elements::default();
    for (id, line) in lines {
        elements.insert(Arc::new(Element { id, line }));
    }
    let file_systems = file_systems
        .into_iter()
        .map(|(id, line)| {
            let mounts = mounts.remove(&id).unwrap_or_default();
            (id.clone(), Arc::new(FileSystem { id, line, mounts }))
        })
        .collect();
    let error = (!unsealed).then(|| {
        let text = "the storage server's passwords cannot be read: secret.key in the state directory is not the one that they were sealed with; \
                    restore it, or unregister the storage server and register it anew";
        Error::new(Kind::Internal, text)
    });
    Server {
        uuid: row.uuid,
        plugin: row.plugin,
        plugin_type: row.plugin_type,
        record: row.record,
        abilities: row.abilities,
        state: ServerState {
            stale: true,
            error,
            refresh_interval: row.refresh_interval.unwrap_or(interval),
            ..ServerState::default()
        },
        refresh_interval: row.refresh_interval,
        qos: row.qos,
        elements: Arc::new(elements),
        file_systems: Arc::new(file_systems),
    }
}

/// Serves what was opened: everything further happens in the background.
pub fn serve(
    config: Config,
    opened: Opened,
    plugins: Arc<dyn Plugins>,
    events: mpsc::UnboundedReceiver<Event>,
) -> Agent {
    let Opened { store, first, events: seq } = opened;
    let servers: Vec<_> = first.servers.keys().copied().collect();
    let inventory = Inventory::new(first, seq, store.clone());
    let core = Arc::new(Core::new(config, inventory, store, plugins));
    for uuid in servers {
        let desk = Arc::new(Desk::new(&core, uuid));
        core.desks().insert(uuid, desk.clone());
        core.tasks.spawn(desk.keep(core.clone()));
    }
    // What is known from the last time shows at once.
    for plugin in core.plugins.plugins() {
        present(&core, plugin);
    }
    core.tasks.spawn(listen(core.clone(), events));
    core.tasks.spawn(mounts::keep(core.clone()));
    if let Some(host) = core.plugins.host() {
        core.tasks.spawn(devices::keep(core.clone(), host.clone()));
        core.tasks.spawn(devices::log_in_again(core.clone(), host));
    }
    core.tasks.spawn(beat(core.clone()));
    Agent { core }
}

/// Goes the way of an operation, over and over, without being one: a turn, the table of what is under way,
/// the desks, and a change that changes nothing.
async fn beat(core: Arc<Core>) {
    loop {
        let ticket = core.turns.draw(vec![(uuid::Uuid::nil(), "pulse".into())]);
        ticket.turn().await;
        fsview::fault::hang("operations");
        let _ = (core.live().len(), core.desks().len());
        core.inventory.publish(|_| ());
        core.pulse.beat();
        drop(ticket);
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// Takes in what the catalog tells, until the agent stops.
async fn listen(core: Arc<Core>, mut events: mpsc::UnboundedReceiver<Event>) {
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            () = core.stopping.cancelled() => return,
        };
        match event {
            None => return,
            Some(Event::Present(plugin)) => present(&core, plugin),
            Some(Event::Gone(name)) => {
                tracing::info!(plugin = name, "the plug-in is gone");
                core.inventory.publish(|draft| {
                    draft.remove_plugin(&name);
                    let servers: Vec<_> = of_plugin(draft.snapshot(), &name).collect();
                    for uuid in servers {
                        draft.edit_server(uuid, |server| server.state.plugin_available = false);
                    }
                });
            }
            Some(Event::Problem(name, text)) => tracing::warn!(plugin = name, "{text}"),
        }
    }
}

fn of_plugin<'a>(snapshot: &'a Snapshot, name: &'a str) -> impl Iterator<Item = uuid::Uuid> + use<'a> {
    snapshot.servers.values().filter(move |server| server.plugin == name).map(|server| server.uuid)
}

fn present(core: &Core, plugin: Arc<Plugin>) {
    let (name, usable) = (plugin.impl_name.clone(), plugin.status.usable);
    let replaced = core.inventory.snapshot().plugins.get(&name).is_some_and(|old| old.info != plugin.info);
    if replaced {
        core.forget_reports(&name);
    }
    let wake = core.inventory.publish(|draft| {
        draft.put_plugin(plugin);
        let servers: Vec<_> = of_plugin(draft.snapshot(), &name).collect();
        let mut wake = Vec::new();
        for uuid in servers {
            draft.edit_server(uuid, |server| {
                // One that cannot be asked yet, or has not been, is asked now.
                if usable && (!server.state.plugin_available || server.state.stale || replaced) {
                    wake.push(uuid);
                }
                server.state.plugin_available = usable;
            });
        }
        wake
    });
    for uuid in wake {
        if let Ok(desk) = core.desk(uuid) {
            desk.soon();
        }
    }
}

/// Ends everything: what runs as interrupted, and the store last.
pub async fn stop(core: &Arc<Core>) {
    core.stopping.cancel();
    core.tasks.close();
    if tokio::time::timeout(PARTING, core.tasks.wait()).await.is_err() {
        tracing::warn!("some operations did not end in time; they are interrupted");
    }
    core.plugins.shutdown().await;
    let snapshot = core.inventory.snapshot();
    for operation in snapshot.operations.values().filter(|operation| !operation.state.ended()) {
        let mut operation = crate::inventory::Operation::clone(operation);
        operation.state = State::Interrupted;
        operation.ended = Some(SystemTime::now());
        operation.error = Some(interrupted().of_operation(operation.id));
        core.inventory.publish(|draft| draft.put_operation(Arc::new(operation)));
    }
    core.store.close().await;
}
