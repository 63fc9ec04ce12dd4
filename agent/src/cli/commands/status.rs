//! `oscctl status`: the agent at a glance.

use serde_json::{Value, json};

use super::op::ended;
use super::server::{name_plugins, whole};
use crate::cli::client::{Client, ROOT, bus_name};
use crate::cli::failure::Outcome;
use crate::cli::output::Output;
use crate::cli::view;

/// Prints how the agent is doing. Asking does not start an agent that is not running.
///
/// # Errors
/// When the agent cannot be reached.
pub async fn run(bus: &str, output: Output) -> Outcome {
    let client = Client::connect(bus, false).await?;
    let version = client.property(ROOT, "Manager", "Version").await?;
    let seq = client.property(ROOT, "Manager", "Seq").await?;
    let mount_point = client.property(ROOT, "Manager", "MountPoint").await?;
    // An agent of before this command has none of the three.
    let files = client.property(ROOT, "Manager", "ConfigFiles").await.unwrap_or_default();
    let refused = client.property(ROOT, "Manager", "ConfigError").await.unwrap_or_default();
    let waiting = client.property(ROOT, "Manager", "ConfigWaiting").await.unwrap_or_default();
    let mut root = client.root().await?;
    name_plugins(&mut root.servers, &root.plugins);
    let usable = root.plugins.iter().filter(|plugin| view::plugin_state(plugin) != "unusable").count();
    let running = root.operations.iter().filter(|op| !ended(op)).count();
    if output.json() {
        return output.value(&json!({
            "version": version, "bus": bus, "mount_point": mount_point, "seq": seq,
            "config": {"files": files, "error": refused, "waiting": waiting},
            "plugins": {"usable": usable, "installed": root.plugins.len()},
            "servers": root.servers.iter().map(whole).collect::<Vec<Value>>(),
            "operations": {"running": running, "known": root.operations.len()},
        }));
    }
    let tree = match mount_point.as_str() {
        None | Some("") => "not mounted".to_owned(),
        Some(path) => path.to_owned(),
    };
    let pairs = [
        ("agent", format!("{} on the {}", view::bare(&version), bus_name(bus))),
        ("tree", tree),
        ("configuration", configuration(&files, &refused, &waiting)),
        ("plug-ins", format!("{usable} of {} usable", root.plugins.len())),
        ("storage servers", root.servers.len().to_string()),
        ("operations", format!("{running} running")),
    ];
    output.text(&view::pairs(&pairs.map(|(name, value)| (name.to_owned(), value))))?;
    if root.servers.is_empty() {
        return Ok(());
    }
    output.text(&format!("\n{}", view::table(view::SERVERS, &root.servers)))
}

fn configuration(files: &Value, refused: &Value, waiting: &Value) -> String {
    let list = |value: &Value| {
        let items = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        items.collect::<Vec<_>>().join(", ")
    };
    let files = match list(files) {
        none if none.is_empty() => "defaults".to_owned(),
        files => files,
    };
    let refused = refused.as_str().filter(|text| !text.is_empty());
    let waiting = Some(list(waiting)).filter(|keys| !keys.is_empty());
    match (refused, waiting) {
        (Some(refused), _) => format!("{files}; the last reload failed: {refused}"),
        (None, Some(keys)) => format!("{files}; {keys} changed, and wait for a restart"),
        (None, None) => files,
    }
}
