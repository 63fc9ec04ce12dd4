//! The life of an operation: journaled, queued, run, ended, and after a while forgotten.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use super::core::{Core, Errand, Key, Live};
use super::submit::{self, Work};
use super::{Request, execute};
use crate::error::{Error, Kind, Result};
use crate::inventory::{Operation, State, Target};
use crate::operation::locks::Ticket;

/// Operations that may wait or run at the same time.
const LIVE_MAX: usize = 10_000;
/// Ended operations that are kept, how many of those that only asked, and for how long.
const KEPT: usize = 1000;
const KEPT_READS: usize = 100;
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long the inventory may take to hear of a plug-in that has been loaded.
const HEARSAY: Duration = Duration::from_secs(1);

/// Right after the start, plug-ins are still being loaded: whoever asks for one then waits for it,
/// instead of being told that it is not installed, and before the operation begins.
async fn plug_in_loaded(core: &Core, request: &Request) {
    let snapshot = core.inventory.snapshot();
    let name = match &request.target {
        Target::Manager => request.args.get("plugin").and_then(Value::as_str),
        Target::Server(ss) | Target::Element(ss, _) | Target::FileSystem(ss, _) => {
            snapshot.servers.get(ss).map(|server| server.plugin.as_str())
        }
        Target::Operation(_) => None,
    };
    let Some(name) = name else { return };
    let mut changes = core.inventory.subscribe();
    core.plugins.loaded(name).await;
    if snapshot.plugins.contains_key(name) {
        return;
    }
    if core.plugins.plugins().iter().all(|plugin| plugin.impl_name != name) {
        return;
    }
    let heard = async {
        while !core.inventory.snapshot().plugins.contains_key(name) {
            if let Err(RecvError::Closed) = changes.recv().await {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(HEARSAY, heard).await;
}

/// Checks a request, journals it, calls `journaled` if it did, and queues it.
///
/// # Errors
/// What is wrong with the request, or why it cannot be taken now.
pub async fn submit(core: &Arc<Core>, request: Request, journaled: impl FnOnce() + Send) -> Result<Uuid> {
    if core.stopping.is_cancelled() {
        return Err(submit::busy("the agent is stopping"));
    }
    if core.live().len() >= LIVE_MAX {
        return Err(submit::busy(
            "the agent has as many operations as it takes: try again when some have ended",
        ));
    }
    plug_in_loaded(core, &request).await;
    let work = submit::check(core, &core.inventory.snapshot(), &request)?;
    let id = Uuid::now_v7();
    let operation = Arc::new(Operation {
        id,
        target: request.target.clone(),
        command: request.command,
        args: work.shown.clone(),
        caller: request.caller.clone(),
        plugin: work.plugin.clone(),
        state: State::Queued,
        progress: None,
        created: SystemTime::now(),
        ended: None,
        result: None,
        error: None,
    });
    // Its place in the queue is where it was asked for, whatever the journal takes.
    let ticket = work.keys.clone().map(|keys| core.turns.draw(keys));
    if work.journaled {
        core.store.journal(operation.clone()).await.map_err(|error| error.of_operation(id))?;
        fsview::fault::point("journaled");
        journaled();
    }
    let span = tracing::info_span!(
        "operation", operation = %id, command = request.command.name, target = operation.target_path(),
        server = server_of(&request.target).map(tracing::field::display), plugin = operation.plugin.as_deref(), uid = request.caller.uid, pid = request.caller.pid, door = request.caller.door,
    );
    // Who changes what is in the journal from the beginning on.
    if work.journaled {
        tracing::info!(parent: &span, "accepted");
    } else {
        tracing::debug!(parent: &span, "accepted");
    }
    let cancel = core.stopping.child_token();
    let (ended, watch) = watch::channel(false);
    core.live().insert(id, Live { cancel: cancel.clone(), ended: watch });
    core.inventory.publish(|draft| draft.put_operation(operation.clone()));
    let run = Run { core: core.clone(), request, work, id, cancel };
    core.tasks.spawn(
        async move {
            let journaled = run.work.journaled;
            let result = run.work(ticket).await;
            end(&run.core, operation, journaled, result).await;
            run.core.live().remove(&run.id);
            // Nobody has to wait for it.
            let _ = ended.send(true);
        }
        .instrument(span),
    );
    Ok(id)
}

fn server_of(target: &Target) -> Option<Uuid> {
    match target {
        Target::Server(ss) | Target::Element(ss, _) | Target::FileSystem(ss, _) => Some(*ss),
        Target::Manager | Target::Operation(_) => None,
    }
}

/// Waits until an operation has ended.
///
/// # Errors
/// The operation's own, [`Kind::InProgress`] or [`Kind::NotFound`].
pub async fn wait(core: &Core, id: Uuid, timeout: Duration) -> Result<Value> {
    let live = core.live().get(&id).map(|live| live.ended.clone());
    if let Some(mut ended) = live
        && tokio::time::timeout(timeout, ended.wait_for(|ended| *ended)).await.is_err()
    {
        let text = format!("the operation {id} goes on");
        return Err(Error::new(Kind::InProgress, text).of_operation(id));
    }
    let snapshot = core.inventory.snapshot();
    let operation = snapshot.operations.get(&id);
    let operation = operation.ok_or_else(|| Error::not_found(format!("there is no operation {id}")))?;
    match &operation.error {
        Some(error) => Err(error.clone()),
        None => Ok(operation.result.clone().unwrap_or_default()),
    }
}

struct Run {
    core: Arc<Core>,
    request: Request,
    work: Work,
    id: Uuid,
    cancel: CancellationToken,
}

impl Run {
    async fn work(&self, ticket: Option<Ticket<Key>>) -> Result<Value> {
        let errand = Errand { id: self.id, cancel: self.cancel.clone() };
        if let Target::Operation(id) = self.request.target {
            self.started();
            return cancel(&self.core, id).await;
        }
        let desk = match &self.request.target {
            Target::Server(ss) | Target::Element(ss, _) | Target::FileSystem(ss, _) => {
                Some(self.core.desk(*ss)?)
            }
            Target::Manager | Target::Operation(_) => None,
        };
        // Held until the end: the ticket first, so that waiting for a turn takes nobody's permit.
        let mut _permit = None;
        if let Some(ticket) = &ticket {
            let queue = async {
                ticket.turn().await;
                match &desk {
                    Some(desk) => desk.permits().acquire_owned().await.ok(),
                    None => None,
                }
            };
            let gone = async {
                match &desk {
                    Some(desk) => desk.gone.cancelled().await,
                    None => std::future::pending().await,
                }
            };
            _permit = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Error::new(Kind::Cancelled, "cancelled before it began")),
                () = gone => {
                    return Err(Error::new(Kind::Cancelled, "the storage server was unregistered before it began"));
                }
                permit = queue => permit,
            };
        }
        self.started();
        let result = match (&self.work.registration, &desk) {
            (Some(registration), _) => registration.clone().carry_out(&self.core, &errand).await,
            (None, Some(desk)) => {
                execute::run(&self.core, desk, &self.request, &self.work.args, &errand).await
            }
            (None, None) => Err(Error::internal("an operation", "nothing does it")),
        };
        if ticket.is_some()
            && let Some(desk) = &desk
        {
            // Parents, volume groups and sizes may have changed with it; after a failure, anything.
            desk.soon();
        }
        result
    }

    fn started(&self) {
        update(&self.core, self.id, |operation| operation.state = State::Running);
    }
}

/// Publishes an operation that has not ended as `edit` leaves it.
pub fn update(core: &Core, id: Uuid, edit: impl FnOnce(&mut Operation)) {
    core.inventory.publish(|draft| {
        let Some(operation) = draft.snapshot().operations.get(&id) else { return };
        let mut operation = Operation::clone(operation);
        edit(&mut operation);
        draft.put_operation(Arc::new(operation));
    });
}

/// Cancels an operation and waits until it has ended.
async fn cancel(core: &Core, id: Uuid) -> Result<Value> {
    let live = core.live().get(&id).map(|live| (live.cancel.clone(), live.ended.clone()));
    if let Some((cancel, mut ended)) = live {
        cancel.cancel();
        // A sender that is gone has ended, too.
        let _ = ended.wait_for(|ended| *ended).await;
    }
    let snapshot = core.inventory.snapshot();
    let state = snapshot.operations.get(&id).map(|operation| operation.state);
    Ok(json!({"id": id.to_string(), "state": state.map(State::as_str)}))
}

async fn end(core: &Arc<Core>, operation: Arc<Operation>, journaled: bool, result: Result<Value>) {
    let id = operation.id;
    let mut ended = core
        .inventory
        .snapshot()
        .operations
        .get(&id)
        .map_or_else(|| Operation::clone(&operation), |known| Operation::clone(known));
    ended.ended = Some(SystemTime::now());
    match result {
        Ok(result) => {
            ended.state = State::Succeeded;
            ended.progress = ended.progress.map(|_| 100);
            ended.result = Some(result);
            tracing::info!("done");
        }
        Err(error) => {
            let stopping = core.stopping.is_cancelled();
            let (state, error) = match error.kind() {
                Kind::Interrupted => (State::Interrupted, error),
                Kind::Cancelled if stopping => (State::Interrupted, interrupted()),
                Kind::Cancelled => (State::Cancelled, error),
                _ => (State::Failed, error),
            };
            let error = error.of_operation(id);
            let traceback = error.traceback();
            tracing::warn!(%error, kind = error.kind().row().name, traceback, state = state.as_str(), "not done");
            ended.state = state;
            ended.error = Some(error);
        }
    }
    let ended = Arc::new(ended);
    if journaled && let Err(error) = core.store.journal(ended.clone()).await {
        tracing::error!(%error, "the end of the operation is not in the journal yet");
        core.store.journal_later(ended.clone());
    }
    drop_large(core, &ended);
    core.inventory.publish(|draft| draft.put_operation(ended));
    forget(core);
}

/// Why an operation that the agent's end cut off failed.
pub fn interrupted() -> Error {
    Error::new(
        Kind::Interrupted,
        "the agent ended while the operation ran: the next refresh tells what came of it",
    )
}

/// A result that is too large to be kept for long, in bytes, and how long it is there to be fetched.
const LARGE: usize = 256 * 1024;
const FETCHED: Duration = Duration::from_secs(60);

/// Lets a large result go once whoever asked has had the time to fetch it.
fn drop_large(core: &Arc<Core>, operation: &Operation) {
    let large = operation.result.as_ref().is_some_and(|result| result.to_string().len() > LARGE);
    if large {
        let (core, id) = (core.clone(), operation.id);
        let stopping = core.stopping.clone();
        core.tasks.clone().spawn(async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = tokio::time::sleep(FETCHED) => update(&core, id, |operation| operation.result = None),
            }
        });
    }
}

/// Lets the oldest of the ended operations go.
fn forget(core: &Core) {
    let gone = outlived(core.inventory.snapshot().operations.values(), SystemTime::now());
    if !gone.is_empty() {
        core.inventory.publish(|draft| gone.iter().for_each(|id| draft.remove_operation(*id)));
        core.store.forget_operations(gone);
    }
}

/// The ended operations that are not kept any more. Those that only asked do not push out those
/// that changed something.
fn outlived<'a>(operations: impl Iterator<Item = &'a Arc<Operation>>, now: SystemTime) -> Vec<Uuid> {
    let ended = operations.filter_map(|operation| Some((operation.ended?, operation)));
    let (mut changes, mut reads): (Vec<_>, Vec<_>) =
        ended.partition(|(_, operation)| operation.command.changes());
    let old = |ended: SystemTime| now.duration_since(ended).is_ok_and(|age| age > KEPT_FOR);
    let mut gone = Vec::new();
    for (all, kept) in [(&mut changes, KEPT), (&mut reads, KEPT_READS)] {
        all.sort_unstable_by_key(|(ended, operation)| (*ended, operation.id));
        let many = all.len().saturating_sub(kept);
        let outlived = all.iter().enumerate().filter(|(index, (ended, _))| *index < many || old(*ended));
        gone.extend(outlived.map(|(_, (_, operation))| operation.id));
    }
    gone
}
