//! Commands as methods, waiting for them, and who may.

use std::process::Command as Process;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

use super::fake::{PLUGIN, SS, element_id};
use super::*;
use crate::error::{Error, Kind};
use crate::inventory::Target;

fn operation_of(reply: &Message) -> Uuid {
    let body = reply.body();
    let path: zbus::ObjectPath<'_> = body.deserialize().expect("o");
    match Path::parse(&path) {
        Some(Path::Operation(id)) => id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_becomes_an_operation_with_its_arguments_by_name() {
    let it = setup(Fake::new(2)).await;
    let element = Path::Element(SS, element_id(0).to_string());
    let reply = it.client.call(&element, "StorageElement", "Snapshot", &"nightly").await.expect("Snapshot");
    let operation = Path::Operation(operation_of(&reply));
    let request = it.fake.last_request();
    assert_eq!(request.target, Target::Element(SS, element_id(0)));
    assert_eq!((request.command.name, json!(request.args)), ("snapshot", json!({"name": "nightly"})));
    let me = (nix::unistd::getuid().as_raw(), Some(std::process::id()), "dbus");
    assert_eq!((request.caller.uid, request.caller.pid, request.caller.door), me);
    assert_eq!(it.client.get(&operation, "Operation", "Command").await, "snapshot");

    it.client.call(&element, "StorageElement", "Snapshot", &"").await.expect("Snapshot");
    assert_eq!(json!(it.fake.last_request().args), json!({}));
    it.client.call(&element, "StorageElement", "Resize", &u64::MAX).await.expect("Resize");
    assert_eq!(json!(it.fake.last_request().args), json!({"size": u64::MAX}));
    let server = Path::Server(SS);
    it.client.call(&server, "StorageServer", "Create", &"{\"name\": \"x\"}").await.expect("Create");
    assert_eq!(json!(it.fake.last_request().args), json!({"record": {"name": "x"}}));
    let groups = (vec!["a", "b"], Vec::<&str>::new());
    it.client.call(&server, "StorageServer", "MultiSnapshot", &groups).await.expect("MultiSnapshot");
    assert_eq!(json!(it.fake.last_request().args), json!({"elements": ["a", "b"]}));
    it.client.call(&Path::Root, "Manager", "Register", &(PLUGIN, "{}")).await.expect("Register");
    assert_eq!(it.fake.last_request().target, Target::Manager);
    it.client.call(&operation, "Operation", "Cancel", &()).await.expect("Cancel");
    assert!(matches!(it.fake.last_request().target, Target::Operation(_)));
    it.client.call(&Path::Root, "Manager", "ReloadPlugins", &"osc.filearray").await.expect("ReloadPlugins");
    it.client.call(&Path::Root, "Manager", "Announce", &vec!["install", "x"]).await.expect("Announce");
    assert_eq!(it.fake.words(), [["reload", "osc.filearray"], ["install", "x"]]);
}

#[tokio::test]
async fn a_record_that_is_not_json_is_refused_without_repeating_it() {
    let it = setup(Fake::new(0)).await;
    let record = "{\"admin_passwd\": \"topsecret";
    let result = it.client.call(&Path::Root, "Manager", "Register", &(PLUGIN, record)).await;
    let (name, text) = error(result);
    assert_eq!(name, "org.storageconnect.Agent1.Error.InvalidValue");
    assert!(text.contains("the parameter record is not JSON") && !text.contains("topsecret"), "{text}");
}

#[tokio::test]
async fn wait_returns_the_result_or_raises_the_error_with_where_it_came_from() {
    let it = setup(Fake::new(1)).await;
    let id = it.fake.add_operation();
    let path = Path::Operation(id);
    let (name, text) = error(it.client.call(&path, "Operation", "Wait", &0u64).await);
    assert_eq!(name, "org.storageconnect.Agent1.Error.InProgress");
    assert!(text.contains(&id.to_string()), "{text}");
    it.fake.finish(id, Ok(json!({"name": "s1"})));
    let reply = it.client.call(&path, "Operation", "Wait", &u64::MAX).await.expect("Wait");
    assert_eq!(reply.body().deserialize::<String>().expect("s"), "{\"name\":\"s1\"}");

    let id = it.fake.add_operation();
    let failure = Error::new(Kind::CreateSnapFailed, "vg0 is full").in_method(PLUGIN, "createSnap");
    it.fake.finish(id, Err(failure));
    let (name, text) = error(it.client.call(&Path::Operation(id), "Operation", "Wait", &0u64).await);
    assert_eq!(name, "org.storageconnect.Agent1.Error.CreateSnapFailed");
    assert_eq!(text, format!("vg0 is full ({PLUGIN}, createSnap) [operation {id}]"));
    assert_eq!(it.client.get(&Path::Operation(id), "Operation", "ErrorName").await, name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_waits_hold_up_nobody() {
    let it = setup(Fake::new(1)).await;
    let ids: Vec<Uuid> = (0..64).map(|_| it.fake.add_operation()).collect();
    let before = it.fake.waits();
    let waits = ids.iter().map(|id| {
        let (client, path) = (it.client.clone(), Path::Operation(*id));
        tokio::spawn(async move { client.call(&path, "Operation", "Wait", &60_000u64).await })
    });
    let waits: Vec<_> = waits.collect();
    while it.fake.waits() < before + 64 {
        tokio::task::yield_now().await;
    }
    // The same client and another one are served while all of them wait.
    assert_eq!(it.client.get(&Path::Root, "Manager", "MountPoint").await, "/osc");
    let other = Client::connect(&it.daemon.address).await;
    assert_eq!(other.get(&Path::Root, "Manager", "MountPoint").await, "/osc");
    for id in &ids {
        it.fake.finish(*id, Ok(json!(id.to_string())));
    }
    for (id, reply) in ids.iter().zip(join_all(waits).await) {
        let reply = reply.expect("a task").expect("Wait");
        assert_eq!(reply.body().deserialize::<String>().expect("s"), format!("\"{id}\""));
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_waits_along() {
    let it = setup(Fake::new(1)).await;
    let path = Path::Operation(it.fake.add_operation());
    let before = it.fake.waits();
    let leaving = Client::connect(&it.daemon.address).await;
    let waiting = leaving.clone();
    tokio::spawn(async move { waiting.call(&path, "Operation", "Wait", &3_600_000u64).await });
    while it.fake.waits() == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    leaving.0.close().await.expect("closed");
    let ended = async {
        while it.fake.waits() > before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended).await.expect("the wait ends");
}

#[tokio::test]
async fn a_client_with_too_many_calls_in_flight_is_told_so() {
    let it = setup(Fake::new(1)).await;
    let path = Path::Operation(it.fake.add_operation());
    let before = it.fake.waits();
    for _ in 0..crate::bus::clients::CALLS_PER_CLIENT {
        let (client, path) = (it.client.clone(), path.clone());
        tokio::spawn(async move { client.call(&path, "Operation", "Wait", &3_600_000u64).await });
    }
    while it.fake.waits() < before + crate::bus::clients::CALLS_PER_CLIENT {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let result = it.client.call(&path, "Operation", "Wait", &0u64).await;
    assert_eq!(error(result).0, "org.freedesktop.DBus.Error.LimitsExceeded");
    let other = Client::connect(&it.daemon.address).await;
    assert_eq!(
        error(other.call(&path, "Operation", "Wait", &0u64).await).0,
        format!("{PREFIX}Error.InProgress")
    );
}

/// Needs root, to become somebody else.
#[tokio::test]
async fn anybody_may_read_and_only_root_and_the_group_may_change() {
    let it = setup(Fake::new(1)).await;
    let path = Path::Element(SS, element_id(0).to_string()).to_string();
    let address = format!("--address={}", it.daemon.address);
    let nobody = async |arguments: &[&str]| {
        let mut process = Process::new("setpriv");
        process.args(["--reuid=65534", "--regid=65534", "--clear-groups", "busctl", &address, "call", NAME]);
        process.arg(&path).args(arguments);
        let output = tokio::task::spawn_blocking(move || process.output()).await.expect("a task");
        let output = output.expect("setpriv (Debian: util-linux)");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let element = format!("{PREFIX}StorageElement");
    let (done, text) = nobody(&[PROPERTIES, "GetAll", "s", &element]).await;
    assert!(done, "{text}");
    // A question to the plug-in changes nothing.
    let (done, text) = nobody(&[&element, "SnapLimits"]).await;
    assert!(done, "{text}");
    assert_eq!(it.fake.last_request().caller.uid, 65534);
    let (done, text) = nobody(&[&element, "Snapshot", "s", "x"]).await;
    assert!(!done && text.contains("only root and the group osc may"), "{text}");
    // A refresh changes nothing either, but has the storage server list everything.
    let path = Path::Server(SS).to_string();
    let mut refresh = Process::new("setpriv");
    refresh.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "busctl",
        &address,
        "call",
        NAME,
        &path,
    ]);
    refresh.args([&format!("{PREFIX}StorageServer"), "Refresh"]);
    let output =
        tokio::task::spawn_blocking(move || refresh.output()).await.expect("a task").expect("setpriv");
    let (done, text) = (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(!done && text.contains("only root and the group osc may"), "{text}");
    assert_eq!(it.fake.last_request().command.name, "snap-limits");
}
