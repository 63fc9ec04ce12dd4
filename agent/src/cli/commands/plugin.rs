//! `oscctl plugin …`: what is installed.

use serde_json::{Value, json};

use super::Session;
use super::server::abilities;
use crate::cli::args::Plugin;
use crate::cli::client::ROOT;
use crate::cli::failure::Outcome;
use crate::cli::objects::{Entry, find};
use crate::cli::view;

/// Carries out a `plugin` command; `check` has a module of its own.
///
/// # Errors
/// Why it could not be done.
pub async fn run(session: &Session, command: Plugin) -> Outcome {
    let plugins = || async { Ok(session.client.root().await?.plugins) };
    match command {
        Plugin::List => list(session, &plugins().await?)?,
        Plugin::Show { plugin } => show(session, find("plug-in", &plugin, &plugins().await?)?)?,
        Plugin::Check(_) => {}
        Plugin::Reload { module } => {
            let module = module.unwrap_or_default();
            session.client.call(ROOT, "Manager", "ReloadPlugins", &module).await?;
        }
    }
    Ok(())
}

fn whole(plugin: &Entry) -> Value {
    json!({
        "impl_name": plugin.id, "info": plugin.property("Info"), "abilities": plugin.property("Abilities"),
        "status": plugin.property("Status"),
    })
}

fn list(session: &Session, plugins: &[Entry]) -> Outcome {
    match session.output.json() {
        true => session.output.value(&plugins.iter().map(whole).collect()),
        false => session.output.list(view::PLUGINS, plugins),
    }
}

fn show(session: &Session, plugin: &Entry) -> Outcome {
    if session.output.json() {
        return session.output.value(&whole(plugin));
    }
    let mut pairs = view::fields(plugin.property("Status"));
    for (name, value) in view::fields(plugin.property("Info")) {
        if !matches!(name.as_str(), "abilities" | "ability") && !pairs.iter().any(|pair| pair.0 == name) {
            pairs.push((name, value));
        }
    }
    pairs.push(("abilities".into(), abilities(plugin.property("Abilities"))));
    session.output.text(&view::pairs(&pairs))
}
