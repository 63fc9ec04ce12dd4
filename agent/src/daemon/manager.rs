//! What the service manager hears of the daemon: that it is ready, reloads or stops, and a line on how it does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sd_notify::NotifyState;
use tokio::task::JoinHandle;

use crate::service::Agent;

/// How often the line is looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// The daemon's end of the talk with the service manager, from when it is ready on.
pub struct Manager {
    agent: Agent,
    mountpoint: PathBuf,
    stuck: Arc<ArcSwap<String>>,
    teller: JoinHandle<()>,
}

/// Tells that the daemon is ready, and from now on how it does; `stuck` names the loops that stand still.
pub fn ready(agent: Agent, mountpoint: &Path, stuck: Arc<ArcSwap<String>>) -> Manager {
    let mountpoint = mountpoint.to_owned();
    let first = line(&agent, &mountpoint, &stuck.load());
    tell(&[NotifyState::Ready, NotifyState::Status(&first)]);
    let (follow, place, standing) = (agent.clone(), mountpoint.clone(), stuck.clone());
    let teller = tokio::spawn(async move {
        let mut told = first;
        loop {
            tokio::time::sleep(PERIOD).await;
            let now = line(&follow, &place, &standing.load());
            if now != told {
                tell(&[NotifyState::Status(&now)]);
                told = now;
            }
        }
    });
    Manager { agent, mountpoint, stuck, teller }
}

impl Manager {
    /// Tells that the configuration is being reloaded. From systemd 253 on it wants to know since when.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(since) => tell(&[NotifyState::Reloading, since]),
            Err(_) => tell(&[NotifyState::Reloading]),
        }
    }

    /// Tells that it was, or why it was not.
    pub fn reloaded(&self) {
        let line = line(&self.agent, &self.mountpoint, &self.stuck.load());
        tell(&[NotifyState::Ready, NotifyState::Status(&line)]);
    }

    /// Tells that the daemon stops.
    pub fn stopping(&self) {
        self.teller.abort();
        tell(&[NotifyState::Stopping, NotifyState::Status("Stopping: running operations end")]);
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.teller.abort();
    }
}

/// Tells that every loop goes round, or which ones do not: then the service manager's patience runs out.
pub fn alive(stuck: &[&'static str]) {
    if stuck.is_empty() {
        tell(&[NotifyState::Watchdog]);
    } else {
        tell(&[NotifyState::Status(&not_well(&stuck.join(", ")))]);
    }
}

fn not_well(stuck: &str) -> String {
    format!("Stuck: {stuck}; the service manager's watchdog ends this")
}

/// One line on how the agent does.
fn line(agent: &Agent, mountpoint: &Path, stuck: &str) -> String {
    if !stuck.is_empty() {
        return not_well(stuck);
    }
    let snapshot = agent.snapshot();
    let count =
        |count: usize, one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
    let servers = snapshot.servers.values();
    let elements: usize = servers.clone().map(|server| server.elements.by_id.len()).sum();
    let stale = servers.filter(|server| server.state.stale || server.state.failures > 0).count();
    let running = snapshot.operations.values().filter(|operation| !operation.state.ended()).count();
    let mut line = format!(
        "Serving {}: {}, {}, {} under way",
        mountpoint.display(),
        count(snapshot.servers.len(), "storage server", "storage servers"),
        count(elements, "element", "elements"),
        count(running, "operation", "operations"),
    );
    if stale > 0 {
        line.push_str(&format!("; {} not up to date", count(stale, "storage server", "storage servers")));
    }
    let standing = agent.standing().load_full();
    if !standing.error.is_empty() {
        line.push_str(&format!("; the configuration was not reloaded: {}", standing.error));
    } else if !standing.waiting.is_empty() {
        line.push_str(&format!("; {} changed, and wait for a restart", standing.waiting.join(", ")));
    }
    // What the service manager takes is one line.
    line.replace('\n', " ")
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot tell the service manager");
    }
}
