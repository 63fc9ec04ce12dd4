//! `oscctl op …`: operations.

use super::Session;
use crate::cli::args::{Op, Wait};
use crate::cli::failure::Outcome;
use crate::cli::objects::{Entry, find};
use crate::cli::view;
use crate::cli::wait::finish;
use crate::inventory::State;

/// Carries out an `op` command.
///
/// # Errors
/// Why it could not be done, or what the operation ended with.
pub async fn run(session: &Session, command: Op) -> Outcome {
    let root = session.client.root().await?;
    let named = |word: &str| find("operation", word, &root.operations);
    match command {
        Op::List { running } => {
            let shown = root.operations.iter().filter(|op| !running || !ended(op));
            let mut shown: Vec<Entry> = shown.cloned().collect();
            for op in &mut shown {
                op.more.insert("target".into(), target(op.text("target"), &root.servers).into());
            }
            session.output.list(view::OPERATIONS, &shown)
        }
        Op::Show { id } => {
            let op = named(&id)?;
            match session.output.json() {
                true => session.output.value(&op.record),
                false => session.output.text(&view::pairs(&view::fields(&op.record))),
            }
        }
        Op::Wait { id, timeout } => {
            let op = named(&id)?;
            let doing = format!("{} {}", op.text("command"), op.text("target"));
            let wait = Wait { no_wait: false, timeout };
            let result = finish(&session.client, &op.path, &wait, &doing, session.output.json()).await?;
            session.output.result(&result)
        }
        Op::Cancel { id } => {
            session.client.call(&named(&id)?.path, "Operation", "Cancel", &()).await?;
            Ok(())
        }
    }
}

/// Whether nothing more will happen.
pub fn ended(op: &Entry) -> bool {
    State::from_name(op.text("state")).is_some_and(State::ended)
}

/// `/ss/<uuid>/se/<id>` with the server's name for its UUID: `filer/se/<id>`.
fn target(path: &str, servers: &[Entry]) -> String {
    let Some(rest) = path.strip_prefix("/ss/") else { return path.to_owned() };
    let (uuid, rest) = rest.split_once('/').map_or((rest, ""), |(uuid, rest)| (uuid, rest));
    match servers.iter().find(|server| server.id == uuid) {
        Some(server) if rest.is_empty() => server.name().to_owned(),
        Some(server) => format!("{}/{rest}", server.name()),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_target_is_shown_by_its_servers_name() {
        let servers = [Entry { id: "u1".into(), record: json!({"name": "filer"}), ..Entry::default() }];
        for (path, right) in
            [("/ss/u1", "filer"), ("/ss/u1/se/x", "filer/se/x"), ("/ss/u2/se/x", "/ss/u2/se/x"), ("/", "/")]
        {
            assert_eq!(target(path, &servers), right);
        }
    }
}
