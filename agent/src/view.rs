//! The tree's view of the agent: what [`fsview`] shows comes from the inventory's snapshot, what is
//! written into it becomes an operation, and the change stream becomes kernel invalidations.

mod command;
mod forward;
mod model;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::error::{Error, Kind, Result};
use crate::pulse::Watch;
use crate::service::Agent;
use crate::survive;

/// A mounted tree that follows the agent.
pub struct View {
    mounted: fsview::Mounted,
    shown: watch::Receiver<u64>,
    forwarder: tokio::task::JoinHandle<()>,
    /// Whether the tree outlives this process.
    kept: bool,
}

fn keep(mounted: &fsview::Mounted) -> bool {
    mounted.handover().and_then(|handover| survive::keep(&handover)).unwrap_or_else(|error| {
        tracing::warn!("the tree is not kept for a successor: {error}");
        false
    })
}

impl View {
    /// Mounts the tree, or goes on with one that a dead agent `left`, and starts telling the kernel of changes. Must be called within the
    /// runtime. Has a tree that was mounted kept for a successor.
    ///
    /// # Errors
    /// When the tree cannot be mounted; the message names the mount point and the way out.
    pub fn mount(agent: &Agent, options: fsview::Options, left: Option<fsview::Handover>) -> Result<View> {
        // Subscribed before anything is read, so that no change falls between.
        let changes = agent.subscribe();
        let (show, shown) = watch::channel(agent.snapshot().seq);
        let door = command::Door::new(agent.clone(), shown.clone());
        let model = model::AgentModel::new(agent.clone(), door);
        let mounted = match left {
            Some(left) => fsview::take_over(left, options, Arc::new(model)),
            None => fsview::mount(options, Arc::new(model)),
        };
        let mounted = mounted.map_err(|error| Error::new(Kind::Internal, error.to_string()))?;
        let kept = mounted.took_over() || keep(&mounted);
        let forwarder = tokio::spawn(forward::run(agent.clone(), changes, mounted.tree(), show));
        Ok(View { mounted, shown, forwarder, kept })
    }

    /// Whether the tree was a dead agent's before.
    pub fn took_over(&self) -> bool {
        self.mounted.took_over()
    }

    /// The process that tells the kernel of changes.
    pub fn messenger(&self) -> Option<u32> {
        self.mounted.messenger()
    }

    /// Leaves the tree to a successor, to whom every request goes from now on that this process does not answer. To be followed by the
    /// process's end. Where nobody keeps the tree for one, unmounts. Blocks.
    ///
    /// # Errors
    /// As [`View::unmount`].
    pub fn leave(self) -> Result<()> {
        if !self.kept {
            return self.unmount();
        }
        self.forwarder.abort();
        self.mounted.leave();
        Ok(())
    }

    /// Follows with the number of the last change that the tree shows.
    pub fn shown(&self) -> watch::Receiver<u64> {
        self.shown.clone()
    }

    /// What must go on for the tree to be served: the threads of both connections, and telling the kernel
    /// of changes.
    pub fn watches(&self, agent: &Agent) -> Vec<Watch> {
        let [records, controls] = self.mounted.hands();
        let (agent, shown) = (agent.clone(), self.shown.clone());
        // What is shown, and since when no more than that.
        let behind = Mutex::new((0, Instant::now()));
        let lag = move || {
            let mut behind = behind.lock().unwrap_or_else(PoisonError::into_inner);
            let now = *shown.borrow();
            if now >= agent.snapshot().seq || now != behind.0 {
                *behind = (now, Instant::now());
            }
            behind.1.elapsed()
        };
        vec![
            Watch { name: "records", still: Box::new(move || records.longest()) },
            Watch { name: "controls", still: Box::new(move || controls.longest()) },
            Watch { name: "changes", still: Box::new(lag) },
        ]
    }

    /// Unmounts the tree, lazily where it stays busy. Blocks.
    ///
    /// # Errors
    /// What the kernel said, with the mount point.
    pub fn unmount(self) -> Result<()> {
        self.forwarder.abort();
        let unmounted = self.mounted.unmount();
        if self.kept {
            survive::let_go();
        }
        unmounted.map_err(|error| Error::new(Kind::Internal, error.to_string()))
    }
}
