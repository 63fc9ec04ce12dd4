//! Taking in another configuration while everything goes on.

use std::sync::Arc;

use super::core::Core;
use crate::config::{Config, Read, Standing, table};
use crate::error::Result;

/// Puts in force what was read, as far as that goes without a restart.
pub fn reload(core: &Core, read: Result<Read>) {
    let Read { config: wanted, files } = match read {
        Ok(read) => read,
        Err(error) => {
            tracing::error!(%error, "the configuration was not reloaded: what was in force stays so");
            let before = core.standing.load();
            core.standing.store(Arc::new(Standing { error: error.to_string(), ..Standing::clone(&before) }));
            return;
        }
    };
    let running = core.config();
    let (config, waiting) = table::until_restart(&running, &wanted);
    let changed = table::changed(&running, &config);
    tracing::info!(changed = changed.join(", "), "the configuration was reloaded");
    if !waiting.is_empty() {
        tracing::warn!(keys = waiting.join(", "), "these change when the agent is started again");
    }
    core.configure(config.clone());
    core.plugins.configure(&config);
    follow(core, &running, &config);
    core.standing.store(Arc::new(Standing { files, error: String::new(), waiting }));
}

/// What was derived from the settings follows them.
fn follow(core: &Core, running: &Config, config: &Config) {
    let desks: Vec<_> = core.desks().values().cloned().collect();
    if running.mutations_per_server != config.mutations_per_server {
        desks.iter().for_each(|desk| desk.allow(config.mutations_per_server));
    }
    if running.refresh_interval != config.refresh_interval {
        core.inventory.publish(|draft| {
            for desk in &desks {
                draft.edit_server(desk.uuid, |server| {
                    if server.refresh_interval.is_none() {
                        server.state.refresh_interval = config.refresh_interval;
                    }
                });
            }
        });
        // Whoever sleeps for the old interval must hear of the new one.
        desks.iter().for_each(|desk| desk.soon());
    }
}
