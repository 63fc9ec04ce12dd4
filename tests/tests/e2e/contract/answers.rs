//! Records that a plug-in answers, held to the "Allow Update" rules field by field.

use agent::record::{self, Dict, Type, Update, View};
use serde_json::{Value, json};
use tests::daemon::Agent;
use tests::eventually;
use tests::need::Python;
use tests::shell::sh;

use crate::puppet::{self, Puppet, plugin};

pub fn fields(python: Python) {
    let agent = puppet::agent(python);
    held::<record::StorageServer>(&agent, "Array.Array", "ss", "getInfo", &[], "info");
    held::<record::StorageElement>(&agent, "Array.Array", "se", "getStatus", &["lun"], "status");
    held::<record::FileSystem>(&agent, "Files.Files", "fs", "getFileSystemInfo", &["one"], "refresh");
    assert!(!agent.log().contains("changed-secret"), "a secret is in the log");
}

/// Has the plug-in answer another value for every field, and a value of a wrong type, and looks at
/// what became of each.
fn held<T: Dict>(agent: &Agent, class: &str, name: &str, method: &str, object: &[&str], command: &str) {
    let puppet = Puppet::strings(agent, name);
    let mut record = puppet.record(class);
    record["access_host"] = "one".into();
    record["username"] = "u".into();
    agent.register(&plugin(class), &record);
    let called = format!("{name}{}", object.iter().map(|part| format!("/{part}")).collect::<String>());
    let ask = |script: &str| {
        puppet.script(method, script);
        let ran = agent.oscctl(["call", &called, command]);
        assert_eq!(ran.status, 0, "a violation failed the operation: {ran:?}");
        shown(agent, &puppet, object)
    };
    let before = ask("pass");
    for field in
        T::FIELDS.iter().filter(|field| !field.name.starts_with("async_") && field.name != "extra_info")
    {
        let old = before.get(field.name).cloned();
        // What a descriptor may say has rules of its own.
        let Some(new) = other(field.ty, field.name, old.as_ref()) else { continue };
        let key = field.name;
        let python = new.to_string().replace("true", "True").replace("false", "False");
        let now = ask(&format!(
            "import copy\nif {}: answer = dict(copy.deepcopy(answer), **{{{key:?}: {python}}})",
            asked(object)
        ));
        let empty = old.as_ref().is_none_or(|old| old == "" || *old == json!([]));
        let taken = match field.update {
            Update::Yes => true,
            Update::OnlyIfEmpty => empty,
            Update::No => false,
        };
        // A secret is nowhere to be seen; that it is kept, the next call shows.
        let secret = field.ty == Type::Secret;
        if !secret {
            let wanted = if taken { Some(normal::<T>(key, &new)) } else { old.clone() };
            let as_wanted = || (shown(agent, &puppet, object).get(key) == wanted.as_ref()).then_some(());
            // The tree hears of what was asked on D-Bus a moment later.
            eventually(&format!("{} {key} as {wanted:?}, not {now}", T::NAME), as_wanted);
        }
        let told = format!("{method} answered {key}: ");
        let count = || problems(agent, class).iter().filter(|text| text.starts_with(&told)).count();
        if taken {
            assert_eq!(count(), 0, "{key} may be changed");
        } else {
            eventually(&format!("a report of {key}"), || (count() == 1).then_some(()));
        }
        if !taken {
            // Again, and it is still told once: in the status, on D-Bus and in the log.
            ask(&format!(
                "import copy\nif {}: answer = dict(copy.deepcopy(answer), **{{{key:?}: {python}}})",
                asked(object)
            ));
            assert_eq!(count(), 1, "{key}");
            assert!(on_bus(agent, class).contains(&told), "{key}");
            assert_eq!(agent.log().matches(&told).count(), 1, "{key}");
        }
        ask("pass");
    }
}

/// The condition that the call is about the object, in the script.
fn asked(object: &[&str]) -> &'static str {
    if object.is_empty() { "locals().get('se_record') is None" } else { "True" }
}

fn shown(agent: &Agent, puppet: &Puppet, object: &[&str]) -> Value {
    match object {
        [] => agent.record(&puppet.server),
        [name, ..] => {
            let folder = if *name == "lun" { "se" } else { "fs" };
            let dirs = puppet.server.join(folder).read_dir().unwrap();
            let records = dirs.map(|entry| agent.record(&entry.unwrap().path()));
            records.into_iter().find(|record| record["name"] == *name).unwrap()
        }
    }
}

/// Another value of the field's type; `None` for what is not tried this way.
fn other(ty: Type, name: &str, old: Option<&Value>) -> Option<Value> {
    if matches!(name, "id" | "storage_id" | "state") && old.is_none() {
        return None;
    }
    Some(match ty {
        Type::String => "changed".into(),
        Type::Secret => "changed-secret".into(),
        Type::Integer => 77.into(),
        Type::Bool => true.into(),
        Type::Uuid => "99999999-8888-7777-6666-555555555555".into(),
        Type::StringList => json!(["changed"]),
        _ => return None,
    })
}

/// The value as records print it.
fn normal<T: Dict>(key: &str, value: &Value) -> Value {
    let (record, problems) = T::parse(&json!({ key: value }));
    assert!(problems.is_empty(), "{problems:?}");
    record.to_value(View::Public)[key].clone()
}

fn problems(agent: &Agent, class: &str) -> Vec<String> {
    let status =
        std::fs::read_to_string(agent.root().join("plugins").join(plugin(class)).join("status")).unwrap();
    let status: Value = serde_json::from_str(&status).unwrap();
    status["problems"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}

fn on_bus(agent: &Agent, class: &str) -> String {
    let bus = &agent.bus.as_ref().unwrap().address;
    let call = "gdbus call --dest org.storageconnect.Agent1 --object-path /org/storageconnect/Agent1 \
                --method org.freedesktop.DBus.ObjectManager.GetManagedObjects";
    let told = sh(&format!("{call} --address '{bus}'")).ok();
    assert!(told.contains(&plugin(class)));
    told
}
