//! Polkit's word counts where it is on the bus, and the group's where it is not.

use std::collections::HashMap;
use std::process::{Command as Process, Output};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use zbus::message::Type;
use zbus::{MessageStream, Variant};

use super::fake::{SS, element_id};
use super::*;

type Asked = Arc<Mutex<Vec<(String, String, u32)>>>;

/// A polkit that permits some actions, says "ask for a password" of others, and notes who asked for what.
async fn polkit(
    address: &str,
    permits: &'static [&'static str],
    challenges: &'static [&'static str],
) -> Asked {
    let connection = zbus::connection::Builder::address(address).build().await.expect("a connection");
    let mut calls = MessageStream::from(&connection);
    let name = ("org.freedesktop.PolicyKit1", 0u32);
    let bus = Some("org.freedesktop.DBus");
    connection.call_method(bus, "/org/freedesktop/DBus", bus, "RequestName", &name).await.expect("the name");
    let asked = Asked::default();
    let noted = asked.clone();
    tokio::spawn(async move {
        while let Some(Ok(call)) = calls.next().await {
            if call.message_type() != Type::MethodCall {
                continue;
            }
            type Question =
                ((String, HashMap<String, zbus::OwnedVariant>), String, HashMap<String, String>, u32, String);
            let body = call.body();
            let Ok((subject, action, _, flags, _)) = body.deserialize::<Question>() else { continue };
            let action = action.strip_prefix("org.storageconnect.agent1.").expect("our action").to_owned();
            assert_eq!(subject.0, "system-bus-name");
            let yes = permits.contains(&&*action);
            let challenge = challenges.contains(&&*action);
            let Variant::Str(caller) = &*subject.1["name"] else { panic!("a bus name") };
            noted.lock().expect("what was asked").push((caller.to_string(), action, flags));
            let answer = ((yes, challenge, HashMap::<&str, &str>::new()),);
            let reply = Message::method_return(&call.header()).build(&answer).expect("a reply");
            connection.send(&reply).await.expect("sent");
        }
    });
    asked
}

/// A call by a user who is neither root nor of the group.
async fn nobody(it: &Setup, interactive: bool, path: &str, words: &[&str]) -> Output {
    let mut call = Process::new("setpriv");
    call.args(["--reuid=65534", "--regid=65534", "--clear-groups", "busctl"]);
    call.arg(format!("--address={}", it.daemon.address));
    call.arg(format!("--allow-interactive-authorization={interactive}"));
    call.args(["call", NAME, path]).args(words);
    tokio::task::spawn_blocking(move || call.output()).await.expect("a task").expect("setpriv and busctl")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const SNAPSHOT: &[&str] = &["org.storageconnect.Agent1.StorageElement", "Snapshot", "s", "s1"];
const REMOVE: &[&str] = &["org.storageconnect.Agent1.StorageElement", "Remove"];
const STATUS: &[&str] = &["org.storageconnect.Agent1.StorageElement", "Status"];
const STOP: &[&str] = &["org.storageconnect.Agent1.StorageServer", "Stop"];
const CANCEL: &[&str] = &["org.storageconnect.Agent1.Operation", "Cancel"];
const ANNOUNCE: &[&str] = &["org.storageconnect.Agent1.Manager", "Announce", "as", "0"];

#[tokio::test]
async fn without_polkit_others_than_root_and_the_group_only_ask() {
    let it = setup(Fake::new(1)).await;
    let element = Path::Element(SS, element_id(0).to_string()).to_string();
    assert!(nobody(&it, false, &element, STATUS).await.status.success());
    for (path, words) in [(&*element, SNAPSHOT), (&*element, REMOVE), (ROOT, ANNOUNCE)] {
        let refused = nobody(&it, false, path, words).await;
        assert!(
            !refused.status.success() && said(&refused).contains("only root and the group osc"),
            "{refused:?}"
        );
    }
    assert_eq!(it.fake.last_request().command.name, "status");
}

#[tokio::test]
async fn polkit_is_asked_for_the_action_of_the_command_and_its_word_counts() {
    let it = setup(Fake::new(1)).await;
    let asked = polkit(&it.daemon.address, &["element.snapshot"], &["server.manage"]).await;
    let (server, element) = (Path::Server(SS), Path::Element(SS, element_id(0).to_string()));
    let (server, element) = (server.to_string(), element.to_string());
    let taken = nobody(&it, true, &element, SNAPSHOT).await;
    assert!(taken.status.success(), "{taken:?}");
    let request = it.fake.last_request();
    assert_eq!((request.command.name, request.caller.uid), ("snapshot", 65534));
    assert!(request.caller.pid.is_some() && request.caller.door == "dbus");

    // Who may take a snapshot may end that: the fake's operations are snapshots.
    let operation = Path::Operation(it.fake.add_operation()).to_string();
    assert!(nobody(&it, false, &operation, CANCEL).await.status.success());

    for (path, words, why) in [
        (&*element, REMOVE, "polkit does not permit it"),
        (&*server, STOP, "polkit wants a password"),
        (&*element, STATUS, "polkit does not permit it"),
        (ROOT, ANNOUNCE, "polkit does not permit it"),
    ] {
        let refused = nobody(&it, false, path, words).await;
        assert!(!refused.status.success() && said(&refused).contains(why), "{refused:?}");
    }
    let asked: Vec<_> = asked
        .lock()
        .expect("what was asked")
        .iter()
        .map(|(_, action, flags)| (action.clone(), *flags))
        .collect();
    let wanted = [
        ("element.snapshot", 1),
        ("element.snapshot", 0),
        ("element.modify", 0),
        ("server.manage", 0),
        ("read", 0),
        ("plugin.manage", 0),
    ];
    assert_eq!(asked, wanted.map(|(action, flags)| (action.to_owned(), flags)));
}

#[tokio::test]
async fn root_is_not_asked_after() {
    let it = setup(Fake::new(1)).await;
    let asked = polkit(&it.daemon.address, &[], &[]).await;
    let element = Path::Element(SS, element_id(0).to_string());
    it.client.call(&element, "StorageElement", "Snapshot", &"s1").await.expect("taken");
    assert!(asked.lock().expect("what was asked").is_empty());
}

#[tokio::test]
async fn a_polkit_that_is_there_and_broken_lets_nobody_through() {
    let it = setup(Fake::new(1)).await;
    let broken = zbus::connection::Builder::address(&*it.daemon.address).build().await.expect("a connection");
    let name = ("org.freedesktop.PolicyKit1", 0u32);
    let bus = Some("org.freedesktop.DBus");
    broken.call_method(bus, "/org/freedesktop/DBus", bus, "RequestName", &name).await.expect("the name");
    let mut calls = MessageStream::from(&broken);
    let answering = broken.clone();
    tokio::spawn(async move {
        while let Some(Ok(call)) = calls.next().await {
            let error = "org.freedesktop.PolicyKit1.Error.Failed";
            let reply = Message::error(&call.header(), error).build(&"broken");
            answering.send(&reply.expect("a reply")).await.expect("sent");
        }
    });
    let element = Path::Element(SS, element_id(0).to_string()).to_string();
    let refused = nobody(&it, false, &element, STATUS).await;
    assert!(!refused.status.success() && said(&refused).contains("polkit does not answer"), "{refused:?}");
}
