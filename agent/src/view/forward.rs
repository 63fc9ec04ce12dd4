//! Carries the agent's changes to the tree, in order.

use std::sync::Arc;

use fsview::Tree;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::watch;
use uuid::Uuid;

use crate::inventory::{Change, What};
use crate::service::Agent;

/// Forwards changes until the agent is gone. `shown` follows with the number of the last change that
/// the kernel has been told of.
pub async fn run(agent: Agent, mut changes: Receiver<Arc<Change>>, tree: Tree, shown: watch::Sender<u64>) {
    loop {
        let mut last = match changes.recv().await {
            Ok(change) => tell(&tree, &change),
            Err(RecvError::Lagged(missed)) => everything(&agent, &tree, missed),
            Err(RecvError::Closed) => return,
        };
        // A refresh that changed a thousand elements is told as one.
        loop {
            match changes.try_recv() {
                Ok(change) => last = tell(&tree, &change),
                Err(TryRecvError::Lagged(missed)) => last = everything(&agent, &tree, missed),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        fsview::fault::hang("changes");
        tree.changed(fsview::Change::Events);
        let settling = tree.clone();
        // Nothing panics in there; if the pool is gone, so is everybody who waits.
        let _ = tokio::task::spawn_blocking(move || settling.settle()).await;
        shown.send_replace(last);
    }
}

fn tell(tree: &Tree, change: &Change) -> u64 {
    for told in of_tree(&change.what) {
        tree.changed(told);
    }
    change.seq
}

fn everything(agent: &Agent, tree: &Tree, missed: u64) -> u64 {
    tracing::debug!(missed, "the tree fell behind and compares everything");
    let seq = agent.snapshot().seq;
    tree.changed(fsview::Change::Everything);
    seq
}

fn id(uuid: &Uuid) -> Arc<str> {
    uuid.hyphenated().to_string().into()
}

/// What a change means to the tree.
fn of_tree(what: &What) -> Vec<fsview::Change> {
    use fsview::Change as To;
    match what {
        What::PluginAdded(name) | What::PluginChanged(name) | What::PluginRemoved(name) => {
            vec![To::Plugin(name.as_str().into())]
        }
        What::ServerAdded(ss) | What::ServerChanged(ss) => vec![To::Server(id(ss))],
        // Its elements went with it, and the links to them in `by-page83` and `by-device`.
        What::ServerRemoved(_) => vec![To::Everything],
        What::ElementAdded(ss, se) | What::ElementChanged(ss, se, _) | What::ElementRemoved(ss, se) => {
            vec![To::Element { ss: id(ss), se: se.clone() }]
        }
        What::FileSystemAdded(ss, fs)
        | What::FileSystemChanged(ss, fs, _)
        | What::FileSystemRemoved(ss, fs)
        | What::MountAdded(ss, fs, _)
        | What::MountChanged(ss, fs, _)
        | What::MountRemoved(ss, fs, _) => vec![To::FileSystem { ss: id(ss), fs: fs.clone() }],
        What::OperationAdded(op) | What::OperationChanged(op) | What::OperationRemoved(op) => {
            vec![To::Operation(id(op))]
        }
    }
}
