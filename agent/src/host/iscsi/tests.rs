//! Logging in and out, with an `iscsiadm` that keeps a database as the real one does and makes sessions in
//! a tree that looks like sysfs.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::{Kind, Result};
use crate::host::tests::tree::Tree;
use crate::host::{Host, Request, Scope};

const TARGET: &str = "iqn.2024-01.org.example:disks";
const SECRET: &str = "twelve-bytes";

/// Logs its words; makes, deletes and shows records; logs in when the record has the right secret.
const ISCSIADM: &str = include_str!("tests/iscsiadm");

struct Rig {
    tree: Tree,
    /// Portals that accept connections, as long as they are here.
    _portals: Vec<std::net::TcpListener>,
    places: Vec<(String, u16)>,
}

impl Rig {
    /// With that many portals of one target; `down` of them refuse connections.
    fn new(portals: usize, down: usize) -> Rig {
        let tree = Tree::new();
        let root = tree.dir.path().to_str().unwrap();
        tree.put("bin/iscsiadm", ISCSIADM.replace("ROOT", root).replace("SECRET", SECRET));
        let program = tree.path("bin/iscsiadm");
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir_all(tree.path("iscsi")).unwrap();
        let mut listening: Vec<_> = (1..=portals)
            .map(|last| std::net::TcpListener::bind((format!("127.0.0.{last}"), 0)).unwrap())
            .collect();
        let places: Vec<_> = listening
            .iter()
            .map(|each| each.local_addr().unwrap())
            .map(|at| (at.ip().to_string(), at.port()))
            .collect();
        let told: String = places.iter().map(|(host, port)| format!("{host}:{port},1 {TARGET}\n")).collect();
        tree.put("targets", told);
        listening.truncate(portals - down);
        Rig { tree, _portals: listening, places }
    }

    fn record(&self, passwd: &str) -> Value {
        let (host, port) = &self.places[0];
        json!({
            "uuid": Uuid::from_u128(7), "storage_type": "iSCSI", "storage_id": [TARGET], "access_host": host, "access_port": port,
            "username": "user", "passwd": passwd, "username_in": "target", "passwd_in": "other-secret",
        })
    }

    async fn ask(&self, record: Value, op: &str) -> Result<Value> {
        ask(&self.tree.host, record, op, json!({})).await
    }

    fn sessions(&self) -> usize {
        super::session::all(self.tree.host.roots()).len()
    }

    fn ifaces(&self) -> usize {
        std::fs::read_dir(self.tree.path("iscsi/ifaces")).map_or(0, Iterator::count)
    }

    fn nodes(&self) -> String {
        let output = std::process::Command::new("find")
            .args([self.tree.path("iscsi/nodes"), self.tree.path("iscsi/static")])
            .args(["!", "-type", "d"])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }
}

async fn ask(host: &Host, record: Value, op: &str, args: Value) -> Result<Value> {
    let scope = Arc::new(Scope::new("a.b.C.D", "start", Uuid::nil(), &[("ss_record", record)]));
    host.ask(&scope, Request { op: op.into(), args: args.as_object().unwrap().clone() }).await
}

#[tokio::test]
async fn every_portal_is_logged_in_to_once_and_no_secret_is_on_a_command_line() {
    let rig = Rig::new(2, 0);
    for _ in 0..2 {
        let answer = rig.ask(rig.record(SECRET), "iscsi.login").await.unwrap();
        assert_eq!((answer["sessions"].as_array().unwrap().len(), &answer["failed"]), (2, &json!([])));
        assert_eq!(rig.sessions(), 2, "a second time changes nothing");
    }
    let record = std::fs::read_to_string(rig.nodes().lines().next().unwrap()).unwrap();
    for line in [
        "authmethod = CHAP",
        "username = user",
        "username_in = target",
        "password_in = other-secret",
        "node.session.scan = manual",
        "node.startup = manual",
    ] {
        assert!(record.contains(line), "{line} is not in {record}");
    }
    for place in ["argv", "environment"] {
        let text = std::fs::read_to_string(rig.tree.path(place)).unwrap();
        assert!(!text.contains(SECRET) && !text.contains("other-secret"), "{place}: {text}");
    }
}

#[tokio::test]
async fn a_wrong_secret_fails_and_leaves_no_record() {
    let rig = Rig::new(2, 0);
    let error = rig.ask(rig.record("wrong-secret"), "iscsi.login").await.unwrap_err();
    assert_eq!(error.kind(), Kind::LoginFailed);
    assert!(error.message().contains("secret") && !error.message().contains("wrong-secret"), "{error}");
    assert_eq!((rig.sessions(), rig.nodes().as_str(), rig.ifaces()), (0, "", 0));
}

#[tokio::test]
async fn a_portal_that_is_down_does_not_keep_the_others() {
    let rig = Rig::new(2, 1);
    let answer = rig.ask(rig.record(SECRET), "iscsi.login").await.unwrap();
    assert_eq!(answer["sessions"].as_array().unwrap().len(), 1);
    let failed = &answer["failed"][0];
    assert_eq!(failed["portal"], format!("127.0.0.2:{}", rig.places[1].1));
    assert!(failed["message"].as_str().unwrap().contains("refused"), "{failed}");
}

#[tokio::test]
async fn a_storage_server_whose_portals_are_all_down_says_so() {
    let rig = Rig::new(1, 1);
    for op in ["iscsi.discover", "iscsi.login"] {
        let error = rig.ask(rig.record(SECRET), op).await.unwrap_err();
        assert_eq!(error.kind(), Kind::TargetDiscovery, "{op}: {error}");
    }
}

#[tokio::test]
async fn a_discovery_that_wants_chap_gets_it_and_the_database_stays_as_it_was() {
    let rig = Rig::new(1, 0);
    rig.tree.put("discovery-chap", "");
    let config = format!("iscsi/send_targets/{},{}/st_config", rig.places[0].0, rig.places[0].1);
    let found = rig.ask(rig.record(SECRET), "iscsi.discover").await.unwrap();
    assert_eq!((found.as_array().unwrap().len(), &found[0]["target"]), (1, &json!(TARGET)));
    assert!(!rig.tree.path(&config).exists());
    rig.tree.put(&config, "an administrator's\n");
    rig.ask(rig.record(SECRET), "iscsi.discover").await.unwrap();
    assert_eq!(std::fs::read_to_string(rig.tree.path(&config)).unwrap(), "an administrator's\n");
    assert_eq!(
        rig.ask(rig.record("wrong-secret"), "iscsi.discover").await.unwrap_err().kind(),
        Kind::TargetDiscovery
    );
}

#[tokio::test]
async fn targets_of_others_are_neither_logged_in_to_nor_out_of() {
    let rig = Rig::new(1, 0);
    for op in ["iscsi.login", "iscsi.logout"] {
        let args = json!({"targets": ["iqn.2024-01.org.example:others"]});
        let error = ask(&rig.tree.host, rig.record(SECRET), op, args).await.unwrap_err();
        assert_eq!(error.kind(), Kind::PermissionDenied, "{op}: {error}");
    }
    let args = json!({"targets": ["../../etc"]});
    assert_eq!(
        ask(&rig.tree.host, rig.record(SECRET), "iscsi.login", args).await.unwrap_err().kind(),
        Kind::ValueFormat
    );
}

#[tokio::test]
async fn what_a_shared_portal_tells_of_another_array_stays_another_array_s() {
    const OTHER: &str = "iqn.2024-01.org.example:other";
    let rig = Rig::new(1, 0);
    let (host, port) = &rig.places[0];
    rig.tree.put("targets", format!("{host}:{port},1 {TARGET}\n{host}:{port},1 {OTHER}\n"));
    rig.tree.session(9, OTHER, &format!("{host}:{port}"), "LOGGED_IN");
    let found = rig.ask(rig.record(SECRET), "iscsi.discover").await.unwrap();
    assert_eq!(found.as_array().unwrap().len(), 2);
    for op in ["iscsi.login", "iscsi.logout"] {
        let refused =
            ask(&rig.tree.host, rig.record(SECRET), op, json!({"targets": [OTHER]})).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::PermissionDenied, "{op}: {refused}");
    }
    assert_eq!(rig.ask(rig.record(SECRET), "iscsi.sessions").await.unwrap(), json!([]));
    // One that names none takes what there is.
    let mut open = rig.record(SECRET);
    open["storage_id"] = json!([]);
    assert_eq!(rig.ask(open, "iscsi.sessions").await.unwrap()[0]["target"], OTHER);
}

#[tokio::test]
async fn a_discovery_goes_through_the_network_device_too() {
    let rig = Rig::new(1, 0);
    let mut record = rig.record(SECRET);
    record["netdevs"] = json!(["no-such-nic", "lo"]);
    let answer = rig.ask(record, "iscsi.login").await.unwrap();
    assert_eq!(answer["sessions"][0]["iface"], "osc-lo");
    assert!(answer["failed"][0]["message"].as_str().unwrap().contains("no-such-nic"), "{answer}");
    let asked = std::fs::read_to_string(rig.tree.path("argv")).unwrap();
    let discovery = asked.lines().find(|line| line.contains("-m discovery")).unwrap();
    assert!(discovery.contains("-I osc-lo"), "{asked}");
}

#[tokio::test]
async fn a_network_device_that_is_not_there_is_named() {
    let rig = Rig::new(1, 0);
    let mut record = rig.record(SECRET);
    record["netdevs"] = json!(["no-such-nic"]);
    let error = rig.ask(record, "iscsi.login").await.unwrap_err();
    assert!(error.message().contains("no-such-nic"), "{error}");
}

#[tokio::test]
async fn logging_out_takes_devices_first_and_leaves_an_administrator_s_sessions() {
    let rig = Rig::new(2, 0);
    rig.ask(rig.record(SECRET), "iscsi.login").await.unwrap();
    rig.tree.session(9, TARGET, "192.0.2.1:3260", "LOGGED_IN");
    rig.tree.put("sys/class/iscsi_session/session9/ifacename", "default\n");
    rig.tree.disk("session1/target2:0:0", "2:0:0:0", "sda", "6001405a1b2c3d4e5f60718293a4b5c6", 1 << 26);
    rig.tree.put("proc/self/mountinfo", "36 35 8:0 / /mnt/data rw - ext4 /dev/sda rw\n");
    let error = rig.ask(rig.record(SECRET), "iscsi.logout").await.unwrap_err();
    assert_eq!((error.kind(), rig.sessions()), (Kind::StorageElementBusy, 3), "{error}");
    assert!(error.message().contains("/mnt/data"), "{error}");
    rig.tree.put("proc/self/mountinfo", "");
    let answer = rig.ask(rig.record(SECRET), "iscsi.logout").await.unwrap();
    assert_eq!((&answer["ended"], &answer["left"][0]["sid"]), (&json!(2), &json!(9)));
    assert_eq!((rig.sessions(), rig.nodes().as_str(), rig.ifaces()), (1, "", 0));
    assert_eq!(
        std::fs::read_to_string(rig.tree.path("sys/devices/host2/session1/target2:0:0/2:0:0:0/delete"))
            .unwrap(),
        "1"
    );
    assert_eq!(
        rig.ask(rig.record(SECRET), "iscsi.logout").await.unwrap()["ended"],
        0,
        "a second time changes nothing"
    );
}

#[tokio::test]
async fn a_login_whose_call_dies_is_taken_back() {
    let rig = Rig::new(1, 0);
    rig.tree.put("hang", "");
    let began = async {
        while rig.nodes().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = rig.ask(rig.record(SECRET), "iscsi.login") => panic!("it ended: {ended:?}"),
        () = began => {}
    }
    while !rig.nodes().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(rig.sessions(), 0);
}
