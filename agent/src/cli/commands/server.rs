//! `oscctl server …`: registering storage servers, and what is asked of one as a whole.

use serde_json::Value;

use super::act::row;
use super::thing::note_unknown;
use super::{Session, with};
use crate::cli::args::{Act, Doom, Server, ServerAdd, Wait};
use crate::cli::client::{ROOT, operation_path};
use crate::cli::failure::{Failure, Outcome, general_hint};
use crate::cli::objects::{Entry, find};
use crate::cli::output::Output;
use crate::cli::wait::finish;
use crate::cli::{secret, view, words};
use crate::command::Object;
use crate::record::StorageServer;

/// Carries out a `server` command.
///
/// # Errors
/// Why it could not be done.
pub async fn run(bus: &str, output: Output, command: Server) -> Outcome {
    match command {
        Server::List => list(&Session::open(bus, output).await?).await,
        Server::Show { server } => show(&Session::open(bus, output).await?, &server).await,
        Server::Add(args) => add(bus, output, args).await,
        Server::Remove(Doom { act, yes }) => {
            let question = format!("unregister {}? Nothing on it is changed.", act.words.join(" "));
            secret::confirm(&question, yes)?;
            perform(bus, output, "unregister", act).await
        }
        Server::Refresh(act) => perform(bus, output, "refresh", act).await,
        Server::Start(act) => perform(bus, output, "start", act).await,
        Server::Stop(act) => perform(bus, output, "stop", act).await,
    }
}

async fn perform(bus: &str, output: Output, name: &str, act: Act) -> Outcome {
    let row = row(Object::Server, name);
    let (server, rest) = act.words.split_first().ok_or_else(|| Failure::usage("which storage server?"))?;
    let args = words::parameters(row, rest)?;
    let session = Session::open(bus, output).await?;
    let server = session.server(server).await?;
    session.perform(&server, row, &args, &act.wait).await
}

/// The storage server's record with what the agent knows besides.
pub fn whole(server: &Entry) -> Value {
    let plugin = server.property("plugin").clone();
    let (state, abilities) = (server.property("State").clone(), server.property("Abilities").clone());
    with(&server.record, &[("plugin", plugin), ("state", state), ("abilities", abilities)])
}

/// Notes for each server the implementation name of its plug-in.
pub fn name_plugins(servers: &mut [Entry], plugins: &[Entry]) {
    for server in servers {
        let path = server.property("Plugin").as_str().unwrap_or("").to_owned();
        if let Some(plugin) = plugins.iter().find(|plugin| plugin.path == path) {
            server.more.insert("plugin".into(), plugin.id.as_str().into());
        }
    }
}

async fn list(session: &Session) -> Outcome {
    let mut root = session.client.root().await?;
    name_plugins(&mut root.servers, &root.plugins);
    match session.output.json() {
        true => session.output.value(&root.servers.iter().map(whole).collect()),
        false => session.output.list(view::SERVERS, &root.servers),
    }
}

async fn show(session: &Session, word: &str) -> Outcome {
    let mut root = session.client.root().await?;
    name_plugins(&mut root.servers, &root.plugins);
    let server = find("storage server", word, &root.servers)?;
    if session.output.json() {
        return session.output.value(&whole(server));
    }
    let mut pairs = vec![
        ("object".to_owned(), server.path.clone()),
        ("plugin".to_owned(), view::bare(server.property("plugin"))),
        ("state".to_owned(), view::server_state(server.property("State")).to_owned()),
    ];
    pairs.extend(state_details(server.property("State")));
    pairs.extend(view::fields(&server.record));
    pairs.push(("abilities".into(), abilities(server.property("Abilities"))));
    session.output.text(&view::pairs(&pairs))
}

/// What of the state is worth a line.
fn state_details(state: &Value) -> Vec<(String, String)> {
    let error = match &state["error"] {
        Value::Object(error) => view::bare(error.get("message").unwrap_or(&Value::Null)),
        other => view::bare(other),
    };
    [("refreshed", view::bare(&state["refreshed"])), ("last refresh failed", error)]
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| (name.to_owned(), text))
        .collect()
}

/// Abilities as `clone=ONLINE resize=NO …`.
pub fn abilities(abilities: &Value) -> String {
    let pairs = abilities.as_object().into_iter().flatten();
    pairs.map(|(key, value)| format!("{key}={}", view::bare(value))).collect::<Vec<_>>().join(" ")
}

async fn add(bus: &str, output: Output, args: ServerAdd) -> Outcome {
    let (mut record, unknown) = words::record::<StorageServer>(&args.words)?;
    note_unknown::<StorageServer>(&unknown);
    if args.admin_password_file.as_deref() == Some("-") && args.password_file.as_deref() == Some("-") {
        return Err(Failure::usage("only one password can be read from standard input"));
    }
    for (key, file) in [("admin_passwd", &args.admin_password_file), ("passwd", &args.password_file)] {
        if let Some(file) = file {
            record.insert(key.into(), secret::from_file(file)?.as_str().into());
        }
    }
    if args.ask_password {
        let user = record.get("admin_user").and_then(Value::as_str).unwrap_or("the administrator");
        let password = secret::ask(&format!("Password of {user}: "))?;
        record.insert("admin_passwd".into(), password.as_str().into());
    }
    let session = Session::open(bus, output).await?;
    let root = session.client.root().await?;
    let plugin = match find("plug-in", &args.plugin, &root.plugins) {
        Ok(plugin) => plugin.id.clone(),
        // A whole name is the agent's to judge: right after its start it may not have loaded it yet.
        Err(_) if args.plugin.matches('.').count() >= 3 => args.plugin.clone(),
        Err(failure) => return Err(failure.hint("list the plug-ins with: oscctl plugin list")),
    };
    register(&session, &plugin, Value::Object(record), &args.wait).await
}

async fn register(session: &Session, plugin: &str, record: Value, wait: &Wait) -> Outcome {
    let name = record["name"].as_str().unwrap_or("").to_owned();
    let body = (plugin, record.to_string());
    let reply = session.client.call(ROOT, "Manager", "Register", &body).await.map_err(|mut failure| {
        failure.hint = failure.hint.or_else(|| general_hint(failure.error.kind()).map(str::to_owned));
        failure
    })?;
    let operation = operation_path(&reply)?;
    let doing = format!("register {name}");
    let result = finish(&session.client, &operation, wait, &doing, session.output.json()).await?;
    // What was registered is worth a row with its plug-in and its state, where the record tells which it was.
    let mut root = session.client.root().await?;
    name_plugins(&mut root.servers, &root.plugins);
    let uuid = result["uuid"].as_str().unwrap_or("");
    match root.servers.iter().find(|server| server.id == uuid) {
        Some(server) if !session.output.json() => {
            session.output.list(view::SERVERS, std::slice::from_ref(server))
        }
        _ => session.output.result(&result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_servers_json_is_its_record_and_what_the_agent_knows() {
        let mut server = Entry { record: json!({"name": "filer", "status": "fine"}), ..Entry::default() };
        server.more.insert("State".into(), json!({"stale": true}));
        server.more.insert("Abilities".into(), json!({"clone": "ONLINE", "resize": "NO"}));
        server.more.insert("Plugin".into(), json!("/p/x"));
        name_plugins(
            std::slice::from_mut(&mut server),
            &[Entry { path: "/p/x".into(), id: "osc.x.X.X".into(), ..Entry::default() }],
        );
        let right = json!({"name": "filer", "status": "fine", "plugin": "osc.x.X.X", "state": {"stale": true},
            "abilities": {"clone": "ONLINE", "resize": "NO"}});
        assert_eq!(whole(&server), right);
        assert_eq!(abilities(server.property("Abilities")), "clone=ONLINE resize=NO");
    }
}
