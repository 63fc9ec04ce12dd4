//! Every command, given to `oscctl call` (and so to D-Bus) and to the control file where there is
//! one: the method that it reaches, and the arguments that arrive there.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use agent::command::{COMMANDS, Object};
use agent::plugin::api::METHODS;
use serde_json::{Value, json};
use tests::daemon::Agent;
use tests::need::Python;
use tests::program;
use tests::shell::run;

use super::rows::{Row, array, files};
use crate::puppet::{self, Puppet, SECRET};

pub fn commands(python: Python) {
    let agent = puppet::agent(python);
    let mut failures = Vec::new();
    for (class, rows) in [("Array.Array", array()), ("Files.Files", files())] {
        covers_every_command(class, &rows);
        let puppet = Puppet::register(&agent, class, class);
        for row in &rows {
            for door in [call, control] {
                // What a row removed, a refresh finds again.
                if row.3.contains("emove") || row.3.contains("destroy") {
                    agent.write(&puppet.server.join("refresh"), "now");
                }
                if let Err(failure) = arrives(&agent, &puppet, row, door) {
                    failures.push(format!("{class} {} {}: {failure}", row.0, row.1));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(!agent.log().contains(SECRET));
}

/// A command that is added later fails here until it has a row.
fn covers_every_command(class: &str, rows: &[Row]) {
    let array = class.starts_with("Array");
    let tried: BTreeSet<_> = rows.iter().map(|row| (row.0.is_empty(), row.1)).collect();
    for row in COMMANDS.iter().filter(|row| if array { row.isa } else { row.ifs }.is_some()) {
        assert!(tried.contains(&(row.object == Object::Server, row.name)), "{class}: {}", row.name);
    }
    let reached: BTreeSet<_> = rows.iter().map(|row| row.3).collect();
    // These are what a refresh and a wait ask.
    let own = ["getAsyncProgress", "listFileSystems"];
    let ty = if array { "isa" } else { "ifs" };
    for method in
        METHODS.iter().filter(|method| method.plugin_type.as_str() == ty && !own.contains(&method.name))
    {
        assert!(reached.contains(method.name) || array && method.name == "list", "{class}: {}", method.name);
    }
}

type Door = fn(&Agent, &Puppet, &Row) -> Option<Result<(), String>>;

fn arrives(agent: &Agent, puppet: &Puppet, row: &Row, door: Door) -> Result<(), String> {
    let listed = listed(puppet);
    let before = puppet.notes().len();
    let Some(done) = door(agent, puppet, row) else { return Ok(()) };
    done?;
    let wanted = filled(&row.4, &listed);
    let calls = puppet.calls(row.3, before);
    let same = |args: &&Value| {
        let mut own = (*args).clone();
        let ss = own.as_object_mut().and_then(|own| own.remove("ss_record")).unwrap_or_default();
        own == wanted
            && ss["uuid"] == listed["@ss"]
            && ss["name"] == puppet.name.as_str()
            && ss["admin_passwd"] == SECRET
    };
    match calls.iter().find(same) {
        Some(_) => Ok(()),
        None => Err(format!("{} got {}, not {wanted}", row.3, Value::from(calls))),
    }
}

fn call(agent: &Agent, puppet: &Puppet, row: &Row) -> Option<Result<(), String>> {
    let object = if row.0.is_empty() { puppet.name.clone() } else { format!("{}/{}", puppet.name, row.0) };
    let word = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    };
    let args = row.2.as_object().unwrap().iter().map(|(key, value)| format!("{key}={}", word(value)));
    let bus = &agent.bus.as_ref().unwrap().address;
    let ran = run(Command::new(program("oscctl")).args(["--bus", bus, "call", &object, row.1]).args(args));
    Some(if ran.status == 0 { Ok(()) } else { Err(format!("oscctl: {} {}", ran.status, ran.stderr)) })
}

fn control(_: &Agent, puppet: &Puppet, row: &Row) -> Option<Result<(), String>> {
    let (folder, name): (PathBuf, _) = match (row.0, row.1.strip_prefix("file-")) {
        ("", _) => (puppet.server.clone(), row.1),
        (object, None) if puppet.name.starts_with("Array") => {
            (puppet.server.join("se-by-name").join(object), row.1)
        }
        (object, file) => (fs_dir(puppet, object), file.map_or(row.1, |_| "file")),
    };
    let mut request = row.2.clone();
    if let Some(op) = row.1.strip_prefix("file-") {
        if !["create", "clone", "snapshot", "resize", "remove"].contains(&op) {
            return None;
        }
        request["op"] = op.into();
    }
    let control = folder.join(name);
    let is_file =
        name == "file" || COMMANDS.iter().any(|known| known.name == row.1 && known.file && control.exists());
    let text = if row.2.as_object().unwrap().is_empty() { "\n".to_owned() } else { request.to_string() };
    is_file.then(|| {
        std::fs::write(&control, text).map_err(|error| {
            format!(
                "{}: {error}: {}",
                control.display(),
                std::fs::read_to_string(&control).unwrap_or_default()
            )
        })
    })
}

fn fs_dir(puppet: &Puppet, name: &str) -> PathBuf {
    let all = puppet.server.join("fs").read_dir().unwrap();
    let named = |dir: &PathBuf| {
        let record = std::fs::read_to_string(dir.join("record")).unwrap_or_default();
        serde_json::from_str::<Value>(&record).is_ok_and(|record| record["name"] == name)
    };
    all.map(|entry| entry.unwrap().path()).find(named).unwrap()
}

/// What the plug-in listed last, by `@name`, with `@ss` and `@fs`.
fn listed(puppet: &Puppet) -> Value {
    let mut by_name = json!({});
    for note in
        puppet.notes().iter().filter(|note| note["args"].as_object().is_some_and(|args| args.len() == 1))
    {
        if note["method"] == "list" || note["method"] == "listFileSystems" {
            for record in note["answer"].as_array().unwrap() {
                by_name[format!("@{}", record["name"].as_str().unwrap())] = record.clone();
                by_name["@ss"] = record["ss_uuid"].clone();
            }
        }
    }
    by_name["@fs"] = by_name["@one"]["uuid"].clone();
    by_name
}

fn filled(wanted: &Value, listed: &Value) -> Value {
    match wanted {
        Value::String(name) if name.starts_with('@') => listed[name].clone(),
        Value::Array(items) => items.iter().map(|item| filled(item, listed)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), filled(value, listed)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}
