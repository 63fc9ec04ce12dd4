//! `oscctl events`: what happened, and what happens.

use futures_util::StreamExt;
use serde_json::Value;
use zbus::{MatchRule, MessageStream};

use crate::cli::client::{Client, NAME, ROOT};
use crate::cli::failure::{Failure, Outcome};
use crate::cli::output::Output;
use crate::cli::view;

/// Prints the retained events, or follows them.
///
/// # Errors
/// When the agent cannot be reached, or went away.
pub async fn run(bus: &str, output: Output, follow: bool, since: Option<u64>) -> Outcome {
    let client = Client::connect(bus, true).await?;
    if !follow {
        return retained(&client, output, since.unwrap_or(0)).await.map(drop);
    }
    // Listening begins before asking for the past, so that nothing falls in between.
    let manager =
        MatchRule::builder().sender(NAME).path(ROOT).interface(format!("{NAME}.Manager")).member("Event");
    let owner = MatchRule::builder().sender("org.freedesktop.DBus").member("NameOwnerChanged").arg(0, NAME);
    let mut events = listen(&client, manager).await?;
    let mut owners = listen(&client, owner).await?;
    let mut last = match since {
        Some(since) => retained(&client, output, since).await?,
        None => {
            // Asking for something finds out now whether there is an agent at all.
            client.property(ROOT, "Manager", "Seq").await?.as_u64().unwrap_or(0)
        }
    };
    loop {
        let message = tokio::select! {
            message = events.next() => message,
            gone = owners.next() => match gone {
                // A new owner is a new agent: the numbers start from what its journal kept.
                Some(Ok(change)) if lost(&change) => None,
                Some(Ok(_)) => continue,
                _ => None,
            },
            Ok(()) = tokio::signal::ctrl_c() => return Ok(()),
        };
        let Some(Ok(message)) = message else {
            return Err(Failure::unreachable("the agent went away")
                .hint(format!("when it is back, go on with: oscctl events --follow --since {last}")));
        };
        let body = message.body();
        let (seq, _, _, line): (u64, &str, zbus::ObjectPath<'_>, &str) =
            body.deserialize().map_err(|error| Failure::answer("Event", error))?;
        if seq == last + 1 {
            last = seq;
            print(output, line)?;
        } else if seq > last {
            // The bus drops signals for whoever reads too slowly; the agent still has them.
            last = retained(&client, output, last).await?.max(seq);
        }
    }
}

async fn listen(client: &Client, rule: zbus::match_rule::Builder<'static>) -> Outcome<MessageStream> {
    let rule = rule.msg_type(zbus::message::Type::Signal).build();
    let rule = rule.map_err(|error| Failure::local("the signals cannot be asked for", error))?;
    MessageStream::for_match_rule(rule, &client.connection, None).await.map_err(|error| client.failure(error))
}

fn lost(change: &zbus::Message) -> bool {
    change.body().deserialize::<(&str, &str, &str)>().is_ok_and(|(_, _, new)| new.is_empty())
}

async fn retained(client: &Client, output: Output, since: u64) -> Outcome<u64> {
    let reply = client.call(ROOT, "Manager", "GetEvents", &since).await?;
    let lines: Vec<String> =
        reply.body().deserialize().map_err(|error| Failure::answer("GetEvents", error))?;
    let mut last = since;
    for line in lines {
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        last = event["seq"].as_u64().map_or(last, |seq| seq.max(last));
        print(output, &line)?;
    }
    Ok(last)
}

fn print(output: Output, line: &str) -> Outcome {
    match output.json() {
        true => output.text(&format!("{}\n", line.trim_end())),
        false => output.text(&format!("{}\n", view::clean(&readable(line)))),
    }
}

/// An event for people: when, what, to which object, and the rest as `key=value`.
fn readable(line: &str) -> String {
    let event: Value = serde_json::from_str(line).unwrap_or_default();
    let Some(map) = event.as_object() else { return line.to_owned() };
    let text = |key: &str| map.get(key).map(view::bare).unwrap_or_default();
    let mut out = format!("{}  {:<18} {}", text("time"), text("kind"), text("path"));
    for (key, value) in map {
        if !matches!(key.as_str(), "seq" | "time" | "kind" | "path") {
            out.push_str(&format!("  {key}={}", view::bare(value)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn an_event_is_one_readable_line() {
        let line = r#"{"seq":3,"time":"2026-01-02T03:04:05.000Z","kind":"element-changed","path":"/ss/a/se/b","fields":["size","state"]}"#;
        let right = "2026-01-02T03:04:05.000Z  element-changed    /ss/a/se/b  fields=size, state";
        assert_eq!(readable(line), right);
        assert_eq!(readable("not json"), "not json");
    }
}
