//! What a plug-in raises, as it arrives in the shell, on D-Bus and in the log.

use agent::error::{DBUS_PREFIX, Origin, Row, TABLE};
use serde_json::{Value, json};
use tests::daemon::Agent;
use tests::need::Python;
use tests::shell::sh;

use crate::puppet::{self, Puppet, SECRET, plugin};

pub fn classes(python: Python) {
    let agent = puppet::agent(python);
    let puppet = Puppet::register(&agent, "Array.Array", "raises");
    for row in TABLE.iter().filter(|row| row.origin != Origin::Agent) {
        let keyed = matches!(row.name, "MissingKey" | "ValueFormat");
        let arguments = if keyed {
            format!("'words of {0}', 'thekey'", row.name)
        } else {
            format!("'words of {}'", row.name)
        };
        let script = format!("def inner_{0}():\n    raise {0}Ex({arguments})\ninner_{0}()", row.name);
        arrives(&agent, &puppet, row, &script, keyed, &[&format!("words of {}", row.name)]);
    }
    assert!(!agent.log().contains(SECRET));
}

/// Raises in a method that the tree has a file for, and in one that only D-Bus has.
fn arrives(agent: &Agent, puppet: &Puppet, row: &Row, script: &str, keyed: bool, words: &[&str]) {
    let only_validate = row.origin == Origin::Validate;
    let before = agent.log().len();
    let (errno, told) = if only_validate {
        let other = Puppet::strings(agent, &format!("new-{}", row.name));
        other.script("validate", script);
        let request =
            json!({"plugin": plugin("Array.Array"), "record": other.record("Array.Array")}).to_string();
        let refused = agent.refused(&agent.root().join("register"), request);
        assert!(!other.server.exists(), "{} was registered", row.name);
        refused
    } else {
        puppet.script("createSnap", script);
        agent.refused(&puppet.server.join("se-by-name/lun/snapshot"), "s")
    };
    assert_eq!(errno, row.errno, "{}: {told}", row.name);
    let has_all = |told: &str, door: &str| {
        for word in words.iter().chain(keyed.then_some(&"thekey")) {
            assert!(told.contains(word), "{} in {door}: {word:?} is missing: {told}", row.name);
        }
    };
    has_all(&told, "the tree");
    assert!(told.contains(&format!("{}:", row.name)), "{told}");

    let method = if only_validate { "validate" } else { "getSnapLimits" };
    let (object, command) =
        if only_validate { ("raises", "validate") } else { ("raises/lun", "snap-limits") };
    puppet.script(method, script);
    let ran = agent.oscctl(["-o", "json", "call", object, command]);
    assert_eq!(ran.status, 1, "{}: {ran:?}", row.name);
    has_all(&format!("{}{}", ran.stdout, ran.stderr), "oscctl");
    let printed = ran.stdout.lines().chain(ran.stderr.lines()).find(|line| line.contains("\"errno\""));
    let error: Value = serde_json::from_str(printed.unwrap_or_else(|| panic!("{ran:?}"))).unwrap();
    assert!(error.to_string().contains(&format!("\"error\":\"{}\"", row.name)), "{error}");
    assert!(!keyed || error.to_string().contains("\"key\":\"thekey\""), "{error}");
    let told = on_bus(agent, &error);
    assert!(told.contains(&format!("{DBUS_PREFIX}{}:", row.name)), "{told}");
    has_all(&told, "D-Bus");
    puppet.unscript(method);
    puppet.unscript("createSnap");

    let log = &agent.log()[before..];
    let line = format!("inner_{}", row.name);
    assert!(log.contains("Traceback (most recent call last)") && log.contains(&line), "{}: {log}", row.name);
    assert!(!told.contains("Traceback"), "{told}");
}

/// The error with which D-Bus answers a wait for the operation.
fn on_bus(agent: &Agent, error: &Value) -> String {
    let find = |error: &Value| error["operation"].as_str().map(str::to_owned);
    let id = find(error)
        .or_else(|| error.as_object()?.values().find_map(find))
        .unwrap_or_else(|| panic!("the error names no operation: {error}"));
    let bus = &agent.bus.as_ref().unwrap().address;
    let path = format!("/org/storageconnect/Agent1/op/{}", id.replace('-', "_"));
    let line = format!(
        "gdbus call --address '{bus}' --dest org.storageconnect.Agent1 --object-path {path} \
         --method org.storageconnect.Agent1.Operation.Wait 10000"
    );
    let ran = sh(&line);
    assert_ne!(ran.status, 0, "{ran:?}");
    ran.stderr
}

pub fn faults(python: Python) {
    let agent = puppet::agent(python);
    let puppet = Puppet::register(&agent, "Array.Array", "faults");
    let fault = agent::Kind::PluginFault.row();
    // What is raised, and the words that tell.
    let cases = [
        ("raise InvalidStorageArrayEx('w1')", "only validate may raise"),
        ("raise StorageNameRequiredEx('w1')", "only validate may raise"),
        ("raise InvalidFSTypeEx('w1')", "only validate may raise"),
        ("raise IPluginException('w1')", "IPluginException"),
        ("raise KeyError('w1')", "KeyError"),
        ("class Mine(Exception): pass\nraise Mine('w1')", "Mine"),
        ("class Mine(OperationFailedEx): pass\nraise Mine('w1')", "Mine"),
        (r"raise ValueError(u'w1 caf\xe9'.encode('latin-1'))", "ValueError"),
    ];
    for (script, word) in cases {
        let script = format!("def inner():\n    {}\ninner()", script.replace('\n', "\n    "));
        puppet.script("createSnap", &script);
        let (errno, told) = agent.refused(&puppet.server.join("se-by-name/lun/snapshot"), "s");
        assert_eq!(errno, fault.errno, "{script}: {told}");
        for part in [word, "w1", "PluginFault:", "createSnap"] {
            assert!(told.contains(part), "{part} is missing: {script}: {told}");
        }
    }
}

pub fn scripts(python: Python) {
    let agent = puppet::agent(python);
    let puppet = Puppet::register(&agent, "Array.Array", "words");
    let name = "Zürich 東京";
    let snapshot = puppet.server.join("se-by-name/lun/snapshot");
    agent.write(&snapshot, &json!({"name": name}).to_string());
    assert_eq!(puppet.calls("createSnap", 0)[0]["snap_name"], name);
    // The refresh afterwards does not list it: what the operation answered does.
    let made = agent.oscctl(["-o", "json", "call", "words/lun", "snapshot", name]).ok();
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["name"], name);
    // Unicode and its bytes, as messages of either Python come.
    for raised in [
        r"u'caf\xe9 \u6771'",
        r"u'caf\xe9 \u6771'.encode('utf-8').decode('utf-8')",
        r"'caf\xc3\xa9 \xe6\x9d\xb1' if str is bytes else u'caf\xe9 \u6771'",
    ] {
        puppet.script("createSnap", &format!("raise CreateSnapFailedEx({raised})"));
        let (_, told) = agent.refused(&snapshot, "s");
        assert!(told.contains("café 東"), "{raised}: {told}");
        let ran = agent.oscctl(["call", "words/lun", "snapshot", "s"]);
        assert!(ran.stderr.contains("café 東"), "{raised}: {ran:?}");
    }
}
