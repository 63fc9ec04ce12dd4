//! Getting the name, losing the bus, and finding it again.

use futures_util::StreamExt;
use zbus::MessageStream;

use super::*;
use crate::error::Kind;

async fn refused(address: &str) -> crate::Error {
    serve(Fake::new(0), address, "/osc".as_ref()).await.expect_err("an error")
}

#[tokio::test]
async fn without_a_bus_the_error_names_the_address_and_the_way_out() {
    let error = refused("unix:path=/nonexistent/bus").await;
    let text = error.to_string();
    assert!(text.contains("the bus at unix:path=/nonexistent/bus") && text.contains("--bus none"), "{text}");
    refused("nonsense").await;
    serve(Fake::new(0), "none", "/osc".as_ref()).await.expect("no bus asked for").close().await;
}

#[tokio::test]
async fn a_second_agent_is_told_who_has_the_name() {
    let it = setup(Fake::new(0)).await;
    let error = refused(&it.daemon.address).await;
    assert_eq!(error.kind(), Kind::AlreadyExists);
    let text = error.to_string();
    assert!(text.starts_with(&format!("the process {} owns {NAME}", std::process::id())), "{text}");
    it.bus.close().await;
    serve(Fake::new(0), &it.daemon.address, "/osc".as_ref()).await.expect("the name is free again");
}

#[tokio::test]
async fn a_bus_that_forbids_the_name_is_told_apart() {
    let daemon = Daemon::start();
    let config = daemon.dir.path().join("bus.conf");
    let text = std::fs::read_to_string(&config).expect("the configuration");
    std::fs::write(&config, text.replace("<allow own=\"*\"/>", "")).expect("the configuration");
    let client = Client::connect(&daemon.address).await;
    let bus = "org.freedesktop.DBus";
    client
        .0
        .call_method(Some(bus), "/org/freedesktop/DBus", Some(bus), "ReloadConfig", &())
        .await
        .expect("reload");
    let error = refused(&daemon.address).await;
    assert_eq!(error.kind(), Kind::AccessDenied);
    assert!(error.to_string().contains("bus policy"), "{error}");
}

#[tokio::test]
async fn a_lost_bus_is_found_again_and_clients_are_told_to_read_again() {
    let Setup { daemon, fake, client, bus } = setup(Fake::new(1)).await;
    drop(client);
    let dir = daemon.kill();
    // While there is no bus, the world goes on.
    fake.add_operation();
    let daemon = Daemon::start_in(dir);
    let connection = Client::connect(&daemon.address).await.0;
    let mut heard = MessageStream::from(&connection);
    let rule = format!("type='signal',interface='{PREFIX}Manager',member='Event'");
    let driver = "org.freedesktop.DBus";
    let added =
        connection.call_method(Some(driver), "/org/freedesktop/DBus", Some(driver), "AddMatch", &rule);
    added.await.expect("AddMatch");
    let event = loop {
        let message = heard.next().await.expect("a connection").expect("a message");
        if message.header().member().is_some_and(|name| name.as_str() == "Event") {
            break message;
        }
    };
    let (seq, kind, ..): (u64, String, zbus::OwnedObjectPath, String) =
        event.body().deserialize().expect("body");
    assert_eq!((seq, kind.as_str()), (8, "resync"));
    assert_eq!(Client(connection).get(&Path::Root, "Manager", "Seq").await, "uint64 8");
    bus.close().await;
}
