//! Serving both connections of a tree, fresh ones or a predecessor's.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::{MountError, Mounted, Options, failed};
use crate::control::Desk;
use crate::engine::{Engine, Layout, Notice, ROOT};
use crate::fuse::{ControlFs, Pollers, RecordFs};
use crate::handover::{Ledger, Log, Side};
use crate::kernel::Kernel;
use crate::messenger::Messenger;
use crate::model::Model;
use crate::session::Connection;
use crate::storage::{CONTROL_DIR, Controls, PID_FILE, Records};
use crate::tree;
use crate::watched::{Hands, Watched};

/// How many of the last descriptors may be polling when a successor wakes them.
const POLLERS: u64 = 1 << 16;
/// How long a successor may take to tell the kernel what has changed, before control files are served all the same.
const NOTICES: Duration = Duration::from_secs(10);

/// Serves both connections; the second is there once the first is served.
pub fn serve(
    options: &Options,
    model: Arc<dyn Model>,
    ledger: &Ledger,
    records: Connection,
    controls: impl FnOnce() -> Result<Connection, MountError>,
) -> Result<Mounted, MountError> {
    let at = ledger.mountpoint();
    let threads = options.threads.clamp(1, 64);
    let unread = |e| failed("no ledger", at)(e);
    let age = ledger.mounted_at().elapsed().map_or(0, |age| u32::try_from(age.as_secs()).unwrap_or(u32::MAX));

    // While the rest is done it comes up.
    let messenger = options.messenger.as_deref().map(|command| Messenger::start(command, &records.device));
    let messenger = messenger.transpose().unwrap_or_else(|error| {
        tracing::warn!(%error, "no process to tell the kernel of changes; this one does, and may be hard to kill");
        None
    });

    let mut engine = Engine::new(Records::new(model.clone(), options.gid));
    let mut log = ledger.log(Side::Records).map_err(unread)?;
    let notices =
        if records.succeeds { inherit_records(&mut engine, &mut log, age).map_err(unread)? } else { vec![] };
    engine.keep(log);
    let engine = Arc::new(engine);
    let pollers = Pollers::default();
    let kernel = Arc::new(OnceLock::new());
    let (tree, teller) = tree::pair(engine.clone(), pollers.clone(), kernel.clone());
    let replies = tree.clone();
    let desk = Arc::new(Desk::new(model.clone(), Box::new(move |reply| replies.post(reply))));

    let copies = ledger.copies().map_err(unread)?;
    let proxied = match copies {
        true => Some(Arc::new(ledger.in_flight(Side::Records).map_err(unread)?)),
        false => None,
    };
    let messenger_pid = messenger.as_ref().and_then(Messenger::pid);
    let told = Kernel::new(records.device.clone()).with(messenger);
    // Set once: nobody else has it yet.
    let _ = kernel.set(told);
    let hands: [Arc<Hands>; 2] = Default::default();
    let filesystem = RecordFs::new(engine, tree.clone(), ledger.mounted_at());
    let filesystem = Watched::new(filesystem, "records", hands[0].clone());
    let (record_session, record_proxy) =
        records.serve(filesystem, threads, proxied).map_err(failed("no session for the records", at))?;

    let took_over = records.succeeds;
    if took_over {
        tree.tell(notices);
        tree.tidy();
    }
    let teller = teller.spawn().map_err(failed("no thread for notifications", at))?;
    if took_over {
        // A writer who is told that its operation is in progress must not find what the kernel cached before it was interrupted. What
        // the notices may have to wait for, the records' session answers by now.
        tree.settle_within(NOTICES);
    }

    let controls = controls()?;
    let mut engine = Engine::new(Controls::new(model, options.gid));
    let mut log = ledger.log(Side::Controls).map_err(unread)?;
    if controls.succeeds {
        // Nothing of it is cached.
        let _ = engine.inherit(log.read().map_err(unread)?.0, age);
    }
    engine.keep(log);
    let in_flight = Arc::new(ledger.in_flight(Side::Controls).map_err(unread)?);
    let filesystem = ControlFs::new(
        Arc::new(engine),
        desk,
        tree.control_counter(),
        pollers,
        ledger.clone(),
        in_flight.clone(),
    );
    let filesystem = Watched::new(filesystem, "controls", hands[1].clone());
    let (control_session, control_proxy) = controls
        .serve(filesystem, threads, Some(in_flight))
        .map_err(failed("no session for the control files", at))?;

    if took_over {
        wake_pollers(&controls, ledger);
    }
    Ok(Mounted {
        tree,
        at: at.to_owned(),
        ledger: ledger.clone(),
        devices: [records.device, controls.device],
        proxies: [control_proxy, record_proxy].into_iter().flatten().collect(),
        hands,
        sessions: vec![control_session, record_session],
        teller: Some(teller),
        messenger: messenger_pid,
        took_over,
        unmounted: false,
    })
}

fn inherit_records(engine: &mut Engine<Records>, log: &mut Log, age: u32) -> io::Result<Vec<Notice>> {
    let (mut seen, complete) = log.read()?;
    if complete {
        return Ok(engine.inherit(seen, age));
    }
    // Everything but the directory that the control files are mounted on, whose name the kernel must never be told to drop.
    let names =
        engine.layout().list(&engine.layout().root()).into_iter().map(|entry| entry.name.into_owned());
    let mut names: BTreeSet<_> = names.chain([PID_FILE.to_owned()]).collect();
    names.extend(seen.iter().filter(|seen| seen.parent == ROOT).map(|seen| seen.name.to_string()));
    names.remove(CONTROL_DIR);
    names.remove("");
    seen.retain(|seen| seen.parent == ROOT && &*seen.name == CONTROL_DIR);
    let mut notices = engine.inherit(seen, age);
    notices.extend(names.into_iter().map(|name| Notice::Entry { dir: ROOT, name: name.into() }));
    notices.push(Notice::Listing { dir: ROOT });
    Ok(notices)
}

/// Wakes those who poll for what a dead process was to tell them.
fn wake_pollers(controls: &Connection, ledger: &Ledger) {
    let (kernel, last) = (Kernel::new(controls.device.clone()), ledger.polled());
    for poll in last.saturating_sub(POLLERS).max(1)..=last {
        let _ = kernel.wake(poll);
    }
}
