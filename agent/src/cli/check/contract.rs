//! What the agent has to say about the plug-in: it watches every answer of every call.

use std::time::Instant;

use serde_json::{Value, json};

use super::report::{Outcome, Report, Row};
use super::table::{CHECKS, Check, How};
use crate::cli::client::Client;
use crate::cli::failure::Outcome as Done;
use crate::cli::objects::Entry;

/// Reports what the agent noted when it loaded the plug-in and since.
pub async fn told(
    report: &mut Report,
    client: &Client,
    plugin: &Entry,
    wanted: &impl Fn(&Check) -> bool,
) -> Done {
    for check in CHECKS.iter().filter(|check| matches!(check.how, How::Contract) && wanted(check)) {
        let begun = Instant::now();
        let plugins = client.root().await?.plugins;
        let now = plugins.iter().find(|now| now.path == plugin.path);
        let gone = json!({"error": "the plug-in is not installed any more"});
        let status = now.map_or(&gone, |now| now.property("Status"));
        let problems = status["problems"].as_array().into_iter().flatten();
        let all: Vec<&str> =
            status["error"].as_str().into_iter().chain(problems.filter_map(Value::as_str)).collect();
        let good = all.is_empty() && status["usable"] == true;
        let outcome = if good { Outcome::Pass } else { Outcome::Fail };
        let reason =
            if good { status["interpreter"].as_str().unwrap_or("").to_owned() } else { all.join("; ") };
        report.add(Row { name: check.name, outcome, reason, took: begun.elapsed() })?;
    }
    Ok(())
}
