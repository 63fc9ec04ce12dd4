//! Properties, object managers and the errors of calls that cannot be.

use std::collections::HashMap;

use zbus::{OwnedObjectPath, OwnedVariant};

use super::fake::{FS, MOUNT, PLUGIN, SS, element_id};
use super::*;
use crate::bus::{introspect, table};

type Managed = HashMap<OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>>;

#[tokio::test]
async fn an_element_shows_its_record_with_types() {
    let it = setup(Fake::new(2)).await;
    let path = Path::Element(SS, element_id(1).to_string());
    let server = Path::Server(SS).to_string();
    for (property, value) in [
        ("Id", &*element_id(1)),
        ("PluginId", "1"),
        ("Name", "lun-1"),
        ("Page83Id", "3600a0b8000000000001"),
        ("State", "ONLINE"),
        ("Size", "int64 10737418240"),
        ("AccessGrpNames", "[\"hosts-a\", \"hosts-b\"]"),
        ("Qos", ""),
        ("Server", &format!("objectpath {server:?}")),
    ] {
        let got = it.client.get(&path, "StorageElement", property).await;
        assert_eq!(got, value, "{property}");
    }
    let record = it.client.get(&path, "StorageElement", "Record").await;
    assert_eq!(record, *it.fake.snapshot().servers[&SS].elements.by_id[&element_id(1)].line);
}

#[tokio::test]
async fn get_all_has_every_property_that_introspection_lists_with_its_type() {
    let it = setup(Fake::new(1)).await;
    let operation = it.fake.add_operation();
    let paths = [
        Path::Root,
        Path::Plugin(PLUGIN.into()),
        Path::Server(SS),
        Path::Element(SS, element_id(0).to_string()),
        Path::FileSystem(SS, FS.into()),
        Path::Mount(SS, FS.into(), MOUNT),
        Path::Operation(operation),
    ];
    for (path, interface) in paths.iter().zip(table::INTERFACES.iter()) {
        let reply =
            it.client.call(path, PROPERTIES, "GetAll", &interface.name.as_str()).await.expect("GetAll");
        let all: HashMap<String, OwnedVariant> = reply.body().deserialize().expect("a{sv}");
        assert_eq!(all.len(), interface.properties.len(), "{}", interface.name);
        for row in &interface.properties {
            assert_eq!(all[&row.name].value_signature().to_string(), row.signature, "{}", row.name);
        }
        // A standard interface has no properties.
        for row in introspect::interfaces(path).skip(1) {
            let reply = it.client.call(path, PROPERTIES, "GetAll", &row.name.as_str()).await.expect("GetAll");
            assert_eq!(reply.body().deserialize::<HashMap<String, OwnedVariant>>().expect("a{sv}").len(), 0);
        }
    }
}

#[tokio::test]
async fn no_property_holds_a_secret() {
    let it = setup(Fake::new(0)).await;
    let reply = it.client.call(&Path::Root, MANAGER, "GetManagedObjects", &()).await.expect("objects");
    let bytes = String::from_utf8_lossy(reply.data().bytes()).into_owned();
    assert!(bytes.contains("AdminUser") && !bytes.contains("topsecret") && !bytes.contains("AdminPasswd"));
}

#[tokio::test]
async fn each_manager_shows_its_own_objects_and_no_others() {
    let it = setup(Fake::new(3)).await;
    let operation = it.fake.add_operation();
    let objects = async |path: &Path| {
        let reply = it.client.call(path, MANAGER, "GetManagedObjects", &()).await.expect("objects");
        let objects: Managed = reply.body().deserialize().expect("a{oa{sa{sv}}}");
        let mut paths: Vec<String> = objects.keys().map(|path| path.to_string()).collect();
        paths.sort();
        paths
    };
    let mut expected = [Path::Plugin(PLUGIN.into()), Path::Server(SS), Path::Operation(operation)]
        .map(|path| path.to_string())
        .to_vec();
    expected.sort();
    assert_eq!(objects(&Path::Root).await, expected);
    let elements = (0..3).map(|number| Path::Element(SS, element_id(number).to_string()));
    let others = [Path::FileSystem(SS, FS.into()), Path::Mount(SS, FS.into(), MOUNT)];
    let mut expected: Vec<String> = elements.chain(others).map(|path| path.to_string()).collect();
    expected.sort();
    assert_eq!(objects(&Path::Server(SS)).await, expected);
}

#[tokio::test]
async fn a_call_that_cannot_be_says_why_with_the_standard_error() {
    let it = setup(Fake::new(1)).await;
    let element = Path::Element(SS, element_id(0).to_string()).to_string();
    let absent = Path::Element(SS, "absent".into()).to_string();
    let own = format!("{PREFIX}StorageElement");
    /// Path, interface, method, arguments; the error's name and what its text says.
    type Row<'a> = (&'a str, &'a str, &'a str, &'a [&'a str], &'a str, &'a str);
    let rows: &[Row<'_>] = &[
        (&absent, "StorageElement", "Info", &[], "UnknownObject", "/se/absent"),
        ("/org/freedesktop", "StorageElement", "Info", &[], "UnknownObject", "/org/freedesktop"),
        (&element, "Nothing", "Info", &[], "UnknownInterface", "Agent1.Nothing"),
        (&element, MANAGER, "GetManagedObjects", &[], "UnknownInterface", "ObjectManager"),
        (&element, "StorageElement", "Explode", &[], "UnknownMethod", "Explode"),
        (&element, "StorageElement", "Snapshot", &[], "InvalidArgs", "(s name)"),
        (&element, "StorageElement", "Resize", &["10GiB"], "InvalidArgs", "expected the signature \"t\""),
        (&element, PROPERTIES, "Get", &[&own, "Nope"], "UnknownProperty", "Nope"),
        (&element, PROPERTIES, "Get", &["a.b", "Name"], "UnknownInterface", "a.b"),
        (&element, PROPERTIES, "GetAll", &["a.b"], "UnknownInterface", "a.b"),
    ];
    for (path, interface, method, arguments, name, text) in rows {
        let result = match arguments {
            [] => it.client.call_at(path, interface, method, &()).await,
            [one] => it.client.call_at(path, interface, method, one).await,
            [one, two, ..] => it.client.call_at(path, interface, method, &(one, two)).await,
        };
        let (got, message) = error(result);
        assert_eq!(got, format!("org.freedesktop.DBus.Error.{name}"), "{path} {interface} {method}");
        assert!(message.contains(text), "{message}");
    }
    let value = zbus::Variant::from("x");
    let set = it.client.call_at(&element, PROPERTIES, "Set", &(own.as_str(), "Name", value)).await;
    assert_eq!(error(set).0, "org.freedesktop.DBus.Error.PropertyReadOnly");
}

#[tokio::test]
async fn the_interface_may_be_left_out_and_peer_answers_everywhere() {
    let it = setup(Fake::new(1)).await;
    let connection = &it.client.0;
    let none = None::<&str>;
    let reply = connection.call_method(Some(NAME), ROOT, none, "GetEvents", &0u64).await.expect("GetEvents");
    assert_eq!(reply.body().deserialize::<Vec<String>>().expect("as").len(), 0);
    let peer = "org.freedesktop.DBus.Peer";
    it.client.call_at("/anything", peer, "Ping", &()).await.expect("Ping");
    let empty = ("", "Version");
    let reply = it.client.call(&Path::Root, PROPERTIES, "Get", &empty).await.expect("Get");
    assert!(reply.body().deserialize::<OwnedVariant>().is_ok());
}
