//! Waiting for an operation: a progress bar meanwhile, Ctrl-C and a timeout that leave it running.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::args::Wait;
use super::client::Client;
use super::failure::{Failure, IN_PROGRESS, Outcome, UNREACHABLE, general_hint};
use crate::error::{Error, Kind};

/// How long one `Wait` call asks for: between two of them the progress is looked at.
const SLICE: Duration = Duration::from_millis(500);

/// An operation's id from its object path.
pub fn id_of(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).replace('_', "-")
}

/// Waits for the end of the operation as long as `wait` says, and returns its result; with
/// `--no-wait` its id, as the result to print.
///
/// # Errors
/// The operation's own error; that it is still in progress; that the agent went away.
pub async fn finish(client: &Client, path: &str, wait: &Wait, doing: &str, json: bool) -> Outcome<Value> {
    let id = id_of(path);
    if wait.no_wait {
        return Ok(if json { json!({"operation": id}) } else { Value::from(id) });
    }
    let until = wait.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let bar = bar(doing);
    let outcome = tokio::select! {
        outcome = slices(client, path, &id, until, &bar) => match outcome {
            Err(failure) if json => Err(in_parts(client, path, &id, failure).await),
            outcome => outcome,
        },
        Ok(()) = tokio::signal::ctrl_c() => Err(goes_on(&id, "you stopped waiting")),
    };
    bar.finish_and_clear();
    outcome
}

async fn slices(
    client: &Client,
    path: &str,
    id: &str,
    until: Option<Instant>,
    bar: &ProgressBar,
) -> Outcome<Value> {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let slice = left.map_or(SLICE, |left| left.min(SLICE));
        let millis = u64::try_from(slice.as_millis()).unwrap_or(u64::MAX);
        match client.call(path, "Operation", "Wait", &millis).await {
            Ok(reply) => return result(&reply),
            Err(failure) if failure.status == IN_PROGRESS => {
                if left.is_some_and(|left| left <= SLICE) {
                    return Err(goes_on(id, "it has not ended in time"));
                }
                if !bar.is_hidden() {
                    show(client, path, bar).await?;
                }
            }
            Err(failure) if failure.status == UNREACHABLE => {
                let hint = format!("when it is back, `oscctl op show {id}` tells what came of the operation");
                return Err(failure.hint(hint));
            }
            Err(failure) => {
                let hint = general_hint(failure.error.kind()).map(str::to_owned);
                return Err(Failure { hint, ..Failure::of_operation(failure.error) });
            }
        }
    }
}

/// The failure of an operation with its plug-in, method and key apart, which D-Bus says in one text.
async fn in_parts(client: &Client, path: &str, id: &str, failure: Failure) -> Failure {
    let Ok(record) = client.property(path, "Operation", "Record").await else { return failure };
    match record.get("error").filter(|error| error.is_object()) {
        Some(error) => {
            let error = Error::from_json(error).of_operation(id.parse().unwrap_or_default());
            Failure { error, ..failure }
        }
        None => failure,
    }
}

fn result(reply: &zbus::Message) -> Outcome<Value> {
    let text: String = reply.body().deserialize().map_err(|error| Failure::answer("Wait", error))?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(|error| Failure::answer("Wait", error))
}

fn goes_on(id: &str, why: &str) -> Failure {
    let id_parsed = id.parse().unwrap_or_default();
    let error =
        Error::new(Kind::InProgress, format!("operation {id} goes on: {why}")).of_operation(id_parsed);
    Failure::of_operation(error).hint(format!("follow it with: oscctl op wait {id}"))
}

fn bar(doing: &str) -> ProgressBar {
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::new_spinner();
    bar.set_message(doing.to_owned());
    bar
}

async fn show(client: &Client, path: &str, bar: &ProgressBar) -> Outcome {
    let progress = client.property(path, "Operation", "Progress").await?;
    if let Some(percent) = progress.as_u64().filter(|percent| *percent <= 100) {
        if bar.length().is_none()
            && let Ok(style) = ProgressStyle::with_template("{msg} [{bar:30}] {percent}% {elapsed}")
        {
            bar.set_length(100);
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_position(percent);
    }
    bar.tick();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_that_goes_on_is_named_and_can_be_followed() {
        let id = id_of("/org/storageconnect/Agent1/op/0195aaaa_0000_7000_8000_000000000001");
        assert_eq!(id, "0195aaaa-0000-7000-8000-000000000001");
        let failure = goes_on(&id, "you stopped waiting");
        assert_eq!((failure.status, failure.error.operation()), (IN_PROGRESS, id.parse().ok()));
        assert!(failure.to_string().contains(&format!("oscctl op wait {id}")));
    }
}
