//! The access context that a plug-in gets (specification, "access_descriptor dict definition").

use serde_json::{Value, json};
use tests::need::Python;

use crate::puppet::{self, Puppet, plugin};

const FORM_1: [&str; 4] = ["access_host", "access_port", "username", "passwd"];

pub fn forms(python: Python) {
    let agent = puppet::agent(python);
    let form_1 = json!({"access_host": "one", "access_port": 3260, "username": "u1", "passwd": "p1-secret"});
    let two = json!({"access_host": "two", "access_port": 860, "username": "u2", "passwd": "p2-secret"});
    let form_2 = json!({"access_descriptors": [form_1, two]});
    // The class, the storage type, the form of the registration, and the form that arrives.
    let cases = [
        ("Array.Array", "iSCSI", &form_1, 1),
        ("Array.Portals", "iSCSI", &form_1, 2),
        ("Array.Array", "iSCSI", &form_2, 1),
        ("Array.Portals", "iSCSI", &form_2, 2),
        ("Array.NewerPortals", "iSCSI", &form_2, 2),
        ("Array.NewerPortals", "iSCSI", &form_1, 2),
        ("Array.Portals", "SAN", &form_1, 1),
        ("Array.Portals", "SAN", &form_2, 1),
        ("Files.Files", "NetworkFS", &form_1, 1),
        ("Files.Files", "NetworkFS", &form_2, 1),
    ];
    for (number, (class, ty, given, form)) in cases.into_iter().enumerate() {
        let case = format!("{number}: {class} {ty} {given}");
        let puppet = Puppet::strings(&agent, &format!("case{number}"));
        let mut record = puppet.record(class);
        record["storage_type"] = ty.into();
        record.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        agent.register(&plugin(class), &record);
        let notes = puppet.notes();
        assert!(notes.len() > 3, "{case}");
        for note in &notes {
            let sent = &note["args"]["ss_record"];
            if form == 1 {
                assert!(sent.get("access_descriptors").is_none(), "{case}: {note}");
                for key in FORM_1 {
                    assert_eq!(sent[key], form_1[key], "{case}: {key} of {note}");
                }
            } else {
                assert!(FORM_1.iter().all(|key| sent.get(*key).is_none()), "{case}: {note}");
                let whole = if given.get("access_descriptors").is_some() {
                    &form_2
                } else {
                    &json!({"access_descriptors": [form_1]})
                };
                assert_eq!(sent["access_descriptors"], whole["access_descriptors"], "{case}: {note}");
            }
        }
        // What was registered is shown as it was given, without the passwords.
        let shown = agent.record(&puppet.server);
        let descriptors = shown.get("access_descriptors").and_then(Value::as_array).map(Vec::len);
        assert_eq!(descriptors, given.get("access_descriptors").map(|_| 2), "{case}: {shown}");
        assert!(!shown.to_string().contains("-secret"), "{case}: {shown}");
    }
    assert!(!agent.log().contains("-secret"));
}

pub fn credentials(python: Python) {
    let mut agent = puppet::prepare(python);
    let brought = agent.home().join("credentials");
    std::fs::create_dir(&brought).unwrap();
    for key in ["admin_passwd", "passwd"] {
        std::fs::write(brought.join(format!("osc.{key}.brought")), format!("{key}-brought\n")).unwrap();
    }
    agent.env("CREDENTIALS_DIRECTORY", &brought.display().to_string());
    agent.launch();
    let puppet = Puppet::strings(&agent, "brought");
    let mut record = puppet.record("Array.Array");
    record.as_object_mut().unwrap().extend(
        json!({"storage_type": "iSCSI", "admin_passwd": "", "access_host": "h", "username": "u"})
            .as_object()
            .unwrap()
            .clone(),
    );
    agent.register(&plugin("Array.Array"), &record);
    agent.oscctl(["server", "refresh", "brought"]).ok();
    let notes = puppet.notes();
    assert!(notes.len() > 3);
    for note in &notes {
        let sent = &note["args"]["ss_record"];
        assert_eq!(
            (&sent["admin_passwd"], &sent["passwd"]),
            (&json!("admin_passwd-brought"), &json!("passwd-brought"))
        );
    }
    // They stay the service manager's: without them, the plug-in gets none.
    agent.end(nix::sys::signal::Signal::SIGTERM);
    for key in ["admin_passwd", "passwd"] {
        std::fs::remove_file(brought.join(format!("osc.{key}.brought"))).unwrap();
    }
    agent.launch();
    let before = puppet.notes().len();
    agent.oscctl(["server", "refresh", "brought"]).ok();
    let notes = puppet.notes();
    assert!(notes.len() > before);
    for note in &notes[before..] {
        let sent = &note["args"]["ss_record"];
        assert!(!sent.to_string().contains("-brought"), "{sent}");
    }
    assert!(!agent.log().contains("-brought"));
}
