//! `oscctl plugin …`: what is installed, and what is wrong with it.

use serde_json::{Value, json};

use super::Session;
use super::server::abilities;
use crate::cli::args::Plugin;
use crate::cli::client::ROOT;
use crate::cli::failure::{Outcome, REFUSED};
use crate::cli::objects::{Entry, find};
use crate::cli::view;

/// Carries out a `plugin` command; returns the exit status.
///
/// # Errors
/// Why it could not be done.
pub async fn run(session: &Session, command: Plugin) -> Outcome<u8> {
    let plugins = || async { Ok(session.client.root().await?.plugins) };
    match command {
        Plugin::List => list(session, &plugins().await?)?,
        Plugin::Show { plugin } => show(session, find("plug-in", &plugin, &plugins().await?)?)?,
        Plugin::Check { plugin } => return check(session, find("plug-in", &plugin, &plugins().await?)?),
        Plugin::Reload { module } => {
            let module = module.unwrap_or_default();
            session.client.call(ROOT, "Manager", "ReloadPlugins", &module).await?;
        }
    }
    Ok(0)
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

fn check(session: &Session, plugin: &Entry) -> Outcome<u8> {
    let status = plugin.property("Status");
    let problems = findings(status);
    let good = problems.is_empty() && status["usable"].as_bool().unwrap_or(false);
    if session.output.json() {
        session.output.value(&json!({"impl_name": plugin.id, "good": good, "problems": problems}))?;
    } else {
        let mut text = format!("{}: {}\n", plugin.id, view::plugin_state(plugin));
        for problem in &problems {
            text.push_str(&format!("  {}\n", view::clean(problem)));
        }
        session.output.text(&text)?;
    }
    Ok(if good { 0 } else { REFUSED })
}

fn findings(status: &Value) -> Vec<String> {
    let problems = status["problems"].as_array().into_iter().flatten();
    status["error"]
        .as_str()
        .into_iter()
        .chain(problems.filter_map(Value::as_str))
        .map(str::to_owned)
        .collect()
}
