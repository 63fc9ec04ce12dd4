use serde_json::{Value, json};

use super::fake::*;
use crate::error::{Error, Kind};
use crate::inventory::Target;
use crate::service::core::lock;

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[tokio::test]
async fn a_registered_server_shows_what_it_has() {
    let home = home();
    let rig = Rig::start(home.path(), &Fake::with([element("a", 1), element("b", 2)]), &[]).await;
    let ss = rig.server().await;
    let server = rig.agent.snapshot().servers[&ss].clone();
    assert_eq!(server.elements.by_id.keys().map(|id| &**id).collect::<Vec<_>>(), ["a", "b"]);
    assert!(!server.state.stale && server.state.plugin_available && server.state.refreshed.is_some());
    let told = rig.told(0);
    assert_eq!(told[1].0, "server-added");
    assert_eq!(told[2], ("element-added".into(), format!("/ss/{ss}/se/a")));
    // Required keys that the client left out are there, empty: plug-ins read them without looking.
    let sent = &rig.fake.last("list")["ss_record"];
    assert_eq!(
        (&sent["admin_host"], &sent["status"], &sent["access_grps"]),
        (&json!(""), &json!(""), &json!([]))
    );
}

#[tokio::test]
async fn a_failure_registers_nothing() {
    let home = home();
    let rig = Rig::start(home.path(), &Fake::with([]), &[]).await;
    rig.fake.when("list", |_| Err(Error::new(Kind::ListFailed, "the array is away")));
    let error = rig.register(json!({"name": "box", "storage_type": "SAN"})).await.expect_err("a failure");
    assert_eq!((error.kind(), error.operation().is_some()), (Kind::ListFailed, true));
    assert!(rig.agent.snapshot().servers.is_empty());
    rig.fake.when("list", |_| Ok(json!([])));
    rig.server().await;
}

#[tokio::test]
async fn a_name_or_uuid_is_registered_once() {
    let home = home();
    let rig = Rig::start(home.path(), &Fake::with([]), &[]).await;
    let ss = rig.server().await;
    let again = rig.register(json!({"name": "box", "storage_type": "SAN"})).await.expect_err("a refusal");
    assert_eq!((again.kind(), again.key()), (Kind::AlreadyExists, Some("name")));
    // Without dashes it is the same UUID.
    let record = json!({"name": "other", "storage_type": "SAN", "uuid": ss.simple().to_string()});
    let again = rig.register(record).await.expect_err("a refusal");
    assert_eq!((again.kind(), again.key()), (Kind::AlreadyExists, Some("uuid")));
}

#[tokio::test]
async fn the_same_registration_again_says_that_the_server_is_there() {
    let home = home();
    let rig = Rig::start(home.path(), &Fake::with([]), &[]).await;
    let uuid = "0d9c3a52-4a51-4f25-8a4c-6e1f2b9d7c11";
    let record = json!({
        "name": "box", "storage_type": "SAN", "uuid": uuid, "admin_host": "h", "admin_passwd": "one", "extra_info": "x",
    });
    let ask = async |record: &Value| {
        rig.ask(Target::Manager, "register", json!({"plugin": PLUGIN, "record": record})).await
    };
    let first = ask(&record).await.expect("registered");
    assert_eq!(first.get("existed"), None);
    let before = rig.fake.calls.lock().unwrap().len();
    let again = ask(&record).await.expect("registered already");
    assert_eq!((&again["uuid"], &again["existed"]), (&json!(uuid), &json!(true)));
    assert_eq!(rig.fake.calls.lock().unwrap().len(), before, "the plug-in was asked again");
    assert_eq!(rig.agent.snapshot().servers.len(), 1);
    for (key, value) in
        [("name", "other"), ("admin_host", "other"), ("admin_passwd", "other"), ("extra_info", "other")]
    {
        let mut other = record.clone();
        other[key] = value.into();
        let error = ask(&other).await.expect_err(key);
        assert_eq!((error.kind(), error.key()), (Kind::AlreadyExists, Some("uuid")), "{key}");
    }
}

#[tokio::test]
async fn two_registrations_of_one_server_at_once_make_one() {
    let home = home();
    let rig = Rig::start(home.path(), &Fake::with([]), &[]).await;
    let gate = rig.fake.hold("validate");
    let args = json!({"plugin": PLUGIN, "record": {"name": "box", "storage_type": "SAN"}});
    let first = rig.submit(Target::Manager, "register", args.clone()).await.expect("accepted");
    let second = rig.submit(Target::Manager, "register", args).await.expect("accepted");
    gate.close();
    rig.agent.wait(first, PATIENCE).await.expect("the first");
    let second = rig.agent.wait(second, PATIENCE).await.expect_err("not the second");
    assert_eq!(second.kind(), Kind::AlreadyExists);
    assert_eq!(rig.agent.snapshot().servers.len(), 1);
}

#[tokio::test]
async fn a_refusal_names_what_is_wrong() {
    let home = home();
    let rig = Rig::start(home.path(), &Fake::with([]), &[]).await;
    let refused = async |plugin: &str, record: Value| {
        let error = rig.ask(Target::Manager, "register", json!({"plugin": plugin, "record": record})).await;
        error.expect_err("a refusal")
    };
    let error = refused("acme.none.None.None", json!({"name": "a"})).await;
    assert!(error.kind() == Kind::PluginUnavailable && error.message().contains(PLUGIN), "{error}");
    for (record, kind, key) in [
        (json!({"storage_type": "SAN"}), Kind::InvalidValue, "name"),
        (json!({"name": "", "storage_type": "SAN"}), Kind::InvalidValue, "name"),
        (json!({"name": "a\u{7}", "storage_type": "SAN"}), Kind::InvalidValue, "name"),
        (json!({"name": "x".repeat(256), "storage_type": "SAN"}), Kind::InvalidValue, "name"),
        (json!({"name": "a"}), Kind::MissingKey, "storage_type"),
        (json!({"name": "a", "storage_type": "Tape"}), Kind::InvalidValue, "storage_type"),
        (json!({"name": "a", "storage_type": "SAN", "uuid": "zz"}), Kind::ValueFormat, "uuid"),
        (
            json!({"name": "a", "storage_type": "SAN", "refresh_interval": "soon"}),
            Kind::ValueFormat,
            "refresh_interval",
        ),
    ] {
        let error = refused(PLUGIN, record.clone()).await;
        assert_eq!((error.kind(), error.key()), (kind, Some(key)), "{record}: {error}");
    }
    assert!(rig.agent.snapshot().operations.is_empty());
    assert_eq!(rig.fake.called("validate"), 0);
}

#[tokio::test]
async fn a_plug_in_that_cannot_be_used_says_why() {
    let home = home();
    let mut broken = plugin(&[]);
    broken.status.usable = false;
    broken.status.error = Some("line 7 does not compile".into());
    let rig = Rig::start_with(config(home.path()), &Fake::with([]), broken).await;
    let error = rig.register(json!({"name": "a", "storage_type": "SAN"})).await.expect_err("a refusal");
    assert!(error.kind() == Kind::PluginUnavailable && error.message().contains("line 7"), "{error}");
}

#[tokio::test]
async fn a_required_storage_name_is_asked_for_with_the_names_there_are() {
    let home = home();
    let rig = Rig::start(home.path(), &Fake::with([]), &[("require_storage_name", "YES")]).await;
    rig.fake.when("getStorageNames", |_| Ok(json!(["east", "west"])));
    let error = rig.register(json!({"name": "a", "storage_type": "SAN"})).await.expect_err("a refusal");
    assert!(error.kind() == Kind::StorageNameRequired && error.message().contains("east, west"), "{error}");
    let record = json!({"name": "a", "storage_type": "SAN", "storage_name": "east"});
    rig.register(record).await.expect("registered");
}

#[tokio::test]
async fn the_capabilities_of_the_server_override_those_of_the_class() {
    let home = home();
    let rig = Rig::start(
        home.path(),
        &Fake::with([element("a", 1)]),
        &[("snapshot", "ONLINE"), ("clone", "ONLINE")],
    )
    .await;
    // Enum members arrive as their numbers.
    rig.fake.when("getCapabilities", |_| Ok(json!({"snapshot": 0, "clone": "OFFLINE"})));
    let ss = rig.server().await;
    let abilities = rig.agent.snapshot().servers[&ss].abilities.clone();
    assert_eq!((abilities["snapshot"].as_str(), abilities["clone"].as_str()), ("UNSUPPORTED", "OFFLINE"));
    let error = rig.ask(se(ss, "a"), "snapshot", json!({"name": "s"})).await.expect_err("a refusal");
    assert_eq!((error.kind(), rig.fake.called("createSnap")), (Kind::NoSuchOperation, 0));
}

#[tokio::test]
async fn unregistering_forgets_everything_but_the_array() {
    let home = home();
    let rig = Rig::start(home.path(), &Fake::with([element("a", 1)]), &[]).await;
    let ss = rig.server().await;
    let gate = rig.fake.hold("resize");
    let running = rig.submit(se(ss, "a"), "resize", json!({"size": 5})).await.expect("accepted");
    let queued = rig.submit(se(ss, "a"), "resize", json!({"size": 6})).await.expect("accepted");
    rig.until(|rig| rig.fake.called("resize") == 1).await;
    rig.ask(Target::Server(ss), "unregister", json!({})).await.expect("unregistered");
    assert!(rig.agent.snapshot().servers.is_empty());
    assert_eq!(*lock(&rig.fake.forgotten), [ss]);
    let queued = rig.agent.wait(queued, PATIENCE).await.expect_err("cancelled");
    assert_eq!(queued.kind(), Kind::Cancelled);
    gate.close();
    let running = rig.agent.wait(running, PATIENCE).await.expect_err("its server is gone");
    assert_eq!(running.kind(), Kind::NotFound);
    assert_eq!(lock(&rig.fake.elements)["a"]["size"], 5);
    let fresh = rig.server().await;
    assert_ne!(fresh, ss);
}

#[tokio::test]
async fn an_interval_of_its_own_is_the_agents_and_not_sent() {
    let home = home();
    let rig = Rig::start(home.path(), &Fake::with([]), &[]).await;
    let record = json!({"name": "a", "storage_type": "SAN", "refresh_interval": "300", "vendor_key": 5});
    let ss = rig.register(record).await.expect("registered");
    let server = rig.agent.snapshot().servers[&ss].clone();
    assert_eq!(server.state.refresh_interval.as_secs(), 300);
    let sent = rig.fake.last("list")["ss_record"].clone();
    assert_eq!((sent.get("refresh_interval"), sent.get("vendor_key")), (None, Some(&json!(5))));
}

#[tokio::test]
async fn no_secret_leaves_the_way_to_the_plug_in() {
    let home = home();
    let fake = Fake::with([json!({"name": "a", "id": "a", "size": 1, "state": 1, "api_secret": "hunter2"})]);
    let rig = Rig::start(home.path(), &fake, &[]).await;
    let record = json!({
        "name": "box", "storage_type": "iSCSI", "admin_passwd": "hunter2", "my_password": "hunter2",
        "vendor": {"token_secret": "hunter2"}, "access_descriptors": [{"access_host": "h", "passwd": "hunter2"}],
    });
    let ss = rig.register(record).await.expect("registered");
    let sent = rig.fake.last("list")["ss_record"].clone();
    assert_eq!((&sent["admin_passwd"], &sent["passwd"]), (&json!("hunter2"), &json!("hunter2")));
    let snapshot = rig.agent.snapshot();
    let mut shown = String::new();
    for (_, line) in rig.agent.events_since(0) {
        shown.push_str(&line);
    }
    for operation in snapshot.operations.values() {
        shown.push_str(&operation.to_json().to_string());
        shown.push_str(&format!("{operation:?}"));
    }
    shown.push_str(&format!("{:?}", crate::operation::merge::public(&*snapshot.servers[&ss].record)));
    shown.push_str(&format!("{:?}", snapshot.servers[&ss].elements));
    assert!(!shown.contains("hunter2"), "{shown}");
    rig.agent.shutdown().await;
    for file in std::fs::read_dir(home.path()).expect("the state directory").flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{:?}", file.path());
    }
    let rig = Rig::start(home.path(), &fake, &[]).await;
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    let again = rig.fake.last("list")["ss_record"].clone();
    assert_eq!((&again["admin_passwd"], &again["passwd"]), (&json!("hunter2"), &json!("hunter2")));
    assert_eq!(again["my_password"], "hunter2");
}

#[tokio::test]
async fn a_plug_in_that_went_leaves_its_servers_readable_and_comes_back() {
    let home = home();
    let rig = Rig::start(home.path(), &Fake::with([element("a", 1)]), &[]).await;
    let ss = rig.server().await;
    rig.events.send(crate::plugin::Event::Gone(PLUGIN.into())).expect("the agent listens");
    rig.until(|rig| !rig.agent.snapshot().servers[&ss].state.plugin_available).await;
    assert_eq!(rig.agent.snapshot().servers[&ss].elements.by_id.len(), 1);
    let error = rig.ask(se(ss, "a"), "resize", json!({"size": 5})).await.expect_err("nobody does it");
    assert_eq!(error.kind(), Kind::PluginUnavailable);
    let lists = rig.fake.called("list");
    rig.install(plugin(&[])).await;
    rig.until(|rig| rig.fake.called("list") > lists).await;
    assert!(rig.agent.snapshot().servers[&ss].state.plugin_available);
}
