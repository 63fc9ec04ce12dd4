//! What is told of changes, counted.

use futures_util::StreamExt;
use serde_json::Value;
use std::sync::Arc;
use zbus::MessageStream;

use super::fake::{FS, MOUNT, SS, element, element_id, server};
use super::*;
use crate::bus::serve_behind;
use crate::inventory::What;

/// Hears every signal of the agent.
struct Ear(MessageStream);

impl Ear {
    async fn new(address: &str) -> Ear {
        let connection = Client::connect(address).await.0;
        let stream = MessageStream::from(&connection);
        let rule = format!("type='signal',sender='{NAME}'");
        let bus = "org.freedesktop.DBus";
        let added = connection.call_method(Some(bus), "/org/freedesktop/DBus", Some(bus), "AddMatch", &rule);
        added.await.expect("AddMatch");
        Ear(stream)
    }

    /// The agent's signals up to the event with that number, each in a line: member, path, body.
    async fn until(&mut self, last: u64) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            let message = self.0.next().await.expect("a connection").expect("a message");
            let header = message.header();
            if message.message_type() != zbus::message::Type::Signal
                || header.sender().is_none_or(|name| name.as_str() == "org.freedesktop.DBus")
            {
                continue;
            }
            let member = header.member().map_or("", |name| name.as_str());
            let body = message.body();
            let path = header.path().map_or("", |path| path.as_str());
            let short = path.strip_prefix(ROOT).unwrap_or(path);
            if member == "Event" {
                let (seq, kind, about, json): (u64, &str, zbus::ObjectPath<'_>, &str) =
                    body.deserialize().expect("(tsos)");
                assert_eq!(path, ROOT);
                let json: Value = serde_json::from_str(json).expect("JSON");
                assert_eq!((json["seq"].as_u64(), json["kind"].as_str()), (Some(seq), Some(kind)));
                let about = about.as_str().strip_prefix(ROOT).unwrap_or_default();
                heard.push(format!("Event {seq} {kind} {about}"));
                if seq >= last {
                    return heard;
                }
                continue;
            }
            let body: zbus::Structure<'_> = body.deserialize().expect("a body");
            heard.push(match (member, body.fields()) {
                ("PropertiesChanged", [interface, changed, invalidated]) => {
                    let interface = String::try_from(interface).expect("s");
                    let interface = interface.strip_prefix(PREFIX).unwrap_or_default();
                    format!("Changed {short} {interface} {changed} {invalidated}")
                }
                (member, [about, ..]) => {
                    let about = about.to_string();
                    let about = about.split(ROOT).nth(1).unwrap_or_default().trim_end_matches('"');
                    format!("{member} {short} {about}")
                }
                other => panic!("{other:?}"),
            });
        }
    }
}

fn se(number: usize) -> String {
    Path::Element(SS, element_id(number).to_string()).to_string().replace(ROOT, "")
}

fn ss() -> String {
    Path::Server(SS).to_string().replace(ROOT, "")
}

#[tokio::test]
async fn one_changed_element_is_one_signal_and_one_event() {
    let it = setup(Fake::new(100)).await;
    let mut ear = Ear::new(&it.daemon.address).await;
    it.fake.edit_server(vec![What::ElementChanged(SS, element_id(42), vec!["status".into()])], |server| {
        // Every element is listed afresh; one is different, and the time of the refresh is new.
        let elements = &mut Arc::make_mut(&mut server.elements).by_id;
        elements.insert(element_id(42), element(42, "degraded"));
        elements.insert(element_id(43), element(43, "ok"));
        server.state.refreshed = Some(std::time::SystemTime::now());
    });
    let se = se(42);
    let changed = "{\"Status\": <\"degraded\">} [\"Record\"]";
    assert_eq!(
        ear.until(8).await,
        [format!("Changed {se} StorageElement {changed}"), format!("Event 8 element-changed {se}")]
    );
}

#[tokio::test]
async fn a_refresh_without_change_is_silent() {
    let it = setup(Fake::new(100)).await;
    let mut ear = Ear::new(&it.daemon.address).await;
    it.fake.edit_server(vec![], |server| {
        let refreshed = fake::server(100);
        (server.elements, server.file_systems) = (refreshed.elements, refreshed.file_systems);
        server.state.refreshed = Some(std::time::SystemTime::now());
    });
    let operation = Path::Operation(it.fake.add_operation()).to_string().replace(ROOT, "");
    assert_eq!(
        ear.until(8).await,
        [format!("InterfacesAdded  {operation}"), format!("Event 8 operation-added {operation}")]
    );
}

#[tokio::test]
async fn what_appears_and_disappears_is_told_by_its_manager() {
    let it = setup(Fake::new(2)).await;
    let mut ear = Ear::new(&it.daemon.address).await;
    let whats = vec![What::ElementRemoved(SS, element_id(0)), What::ElementAdded(SS, element_id(5))];
    it.fake.edit_server(whats, |server| {
        let elements = &mut Arc::make_mut(&mut server.elements).by_id;
        elements.remove(&element_id(0));
        elements.insert(element_id(5), element(5, "ok"));
    });
    let (ss, old, new) = (ss(), se(0), se(5));
    assert_eq!(
        ear.until(9).await,
        [
            format!("InterfacesRemoved {ss} {old}"),
            format!("InterfacesAdded {ss} {new}"),
            format!("Event 8 element-removed {old}"),
            format!("Event 9 element-added {new}"),
        ]
    );
    it.fake.edit_server(vec![What::FileSystemRemoved(SS, FS.into())], |server| {
        server.file_systems = Arc::default();
    });
    let fs = Path::FileSystem(SS, FS.into()).to_string().replace(ROOT, "");
    let mount = Path::Mount(SS, FS.into(), MOUNT).to_string().replace(ROOT, "");
    assert_eq!(
        ear.until(10).await,
        [
            format!("InterfacesRemoved {ss} {fs}"),
            format!("InterfacesRemoved {ss} {mount}"),
            format!("Event 10 fs-removed {fs}")
        ]
    );
    it.fake.publish(vec![What::ServerRemoved(SS)], |snapshot| snapshot.servers = Arc::default());
    assert_eq!(
        ear.until(11).await,
        [format!("InterfacesRemoved  {ss}"), format!("Event 11 server-removed {ss}")]
    );
    it.fake.publish(vec![What::ServerAdded(SS)], |snapshot| {
        snapshot.servers = Arc::new([(SS, Arc::new(server(1)))].into());
    });
    let added = ear.until(12).await;
    assert_eq!(added[0], format!("InterfacesAdded  {ss}"));
    assert_eq!(added.len(), 5, "{added:#?}");
}

#[tokio::test]
async fn a_server_and_an_operation_tell_what_changed_in_them() {
    let it = setup(Fake::new(0)).await;
    let mut ear = Ear::new(&it.daemon.address).await;
    it.fake.edit_server(vec![What::ServerChanged(SS)], |server| {
        server.state.stale = true;
        server.state.error = Some(crate::error::Error::invalid("the controller is away"));
    });
    let heard = ear.until(8).await;
    assert!(
        heard[0].contains("\"Stale\": <true>") && heard[0].contains("the controller is away"),
        "{heard:?}"
    );
    assert!(!heard[0].contains("Abilities") && !heard[0].contains("\"State\""), "{heard:?}");
    let id = it.fake.add_operation();
    it.fake.edit_operation(id, |operation| operation.progress = Some(40));
    let heard = ear.until(10).await;
    let path = Path::Operation(id).to_string().replace(ROOT, "");
    let events: Vec<_> = heard.iter().filter(|line| line.starts_with("Event")).collect();
    assert_eq!(
        events,
        [&format!("Event 9 operation-added {path}"), &format!("Event 10 operation-changed {path}")]
    );
    it.fake.finish(id, Ok(Value::Null));
    let heard = ear.until(11).await;
    assert!(heard[0].contains("\"State\": <\"succeeded\">") && heard[0].contains("\"Result\""), "{heard:?}");
}

#[tokio::test]
async fn a_signal_waits_for_the_tree_to_show_what_it_tells() {
    let (daemon, fake) = (Daemon::start(), Fake::new(1));
    let (show, shown) = tokio::sync::watch::channel(7);
    let bus = serve_behind(fake.clone(), &daemon.address, "/osc".as_ref(), shown).await.expect("on the bus");
    let mut ear = Ear::new(&daemon.address).await;
    let client = Client::connect(&daemon.address).await;
    fake.add_operation();
    fake.add_operation();
    // What was sent before an answer arrives before it, and nothing was.
    client.get(&Path::Root, "Manager", "Seq").await;
    let early = tokio::time::timeout(std::time::Duration::from_millis(100), ear.until(8)).await;
    assert!(early.is_err(), "{early:?}");
    show.send_replace(9);
    assert_eq!(ear.until(9).await.len(), 4);
    bus.close().await;
}

#[tokio::test]
async fn a_bus_that_lagged_behind_says_so_and_ends_up_right() {
    // Room for four changes: the rest is overwritten before anybody can take it.
    let it = setup(Fake::with_capacity(50, 4)).await;
    let mut ear = Ear::new(&it.daemon.address).await;
    // All in one go: this test's runtime has one thread, and it does not let go of it.
    for number in 0..20 {
        it.fake.edit_server(vec![What::ElementChanged(SS, element_id(number), vec![])], |server| {
            let elements = &mut Arc::make_mut(&mut server.elements).by_id;
            elements.insert(element_id(number), element(number, "degraded"));
        });
    }
    let heard = ear.until(27).await;
    let changed: Vec<_> = heard.iter().filter(|line| line.starts_with("Changed")).collect();
    assert_eq!(changed.len(), 20, "{heard:#?}");
    let events: Vec<_> = heard.iter().filter(|line| line.starts_with("Event")).collect();
    assert!(events[0].starts_with("Event 23 resync"), "{events:?}");
    assert_eq!(events.len(), 5);
}
