//! What becomes of disks and maps on this host, in a tree that looks like sysfs.

use serde_json::json;
use uuid::Uuid;

use super::super::core::lock;
use super::fake::*;
use crate::host::tests::tree::Tree;
use crate::inventory::model::parse_line;
use crate::record::StorageElement;

const NAA: &str = "6001405a1b2c3d4e5f60718293a4b5c6";

fn shown(rig: &Rig, ss: Uuid) -> StorageElement {
    let snapshot = rig.agent.snapshot();
    let element = snapshot.servers[&ss].elements.by_id.values().next().expect("an element");
    parse_line(&element.line)
}

fn path(rig: &Rig, ss: Uuid) -> Vec<String> {
    shown(rig, ss).path.unwrap_or_default()
}

/// An array of one element whose plug-in says nothing of devices, on a host of its own.
async fn with(tree: &Tree) -> (tempfile::TempDir, Rig, Uuid) {
    let home = tempfile::tempdir().expect("a directory");
    let mut lun = element("lun", 1 << 20);
    lun["page83_id"] = json!(format!("3{NAA}"));
    let fake = Fake::with([lun]);
    *lock(&fake.host) = Some(tree.host.clone());
    let rig = Rig::start(home.path(), &fake, &[]).await;
    let ss = rig.register(json!({"name": "array", "storage_type": "SAN"})).await.expect("registered");
    (home, rig, ss)
}

#[tokio::test]
async fn an_element_has_the_devices_that_come_change_and_go() {
    let tree = Tree::new();
    let (_home, rig, ss) = with(&tree).await;
    tree.disk("session1/target2:0:0", "2:0:0:0", "sda", NAA, 1 << 20);
    tree.host.tell("add", "/devices/x/block/sda");
    rig.until(|rig| path(rig, ss) == ["/dev/sda"]).await;
    tree.disk("session2/target3:0:0", "3:0:0:0", "sdb", NAA, 1 << 20);
    tree.map("dm-0", "mpatha", &format!("3{NAA}"), &["sda", "sdb"], 1 << 20);
    tree.host.tell("add", "/devices/virtual/block/dm-0");
    rig.until(|rig| path(rig, ss) == ["/dev/mapper/mpatha", "/dev/sda", "/dev/sdb"]).await;
    assert_eq!(shown(&rig, ss).size, Some(1 << 20));

    tree.map("dm-0", "mpatha", &format!("3{NAA}"), &["sda", "sdb"], 2 << 20);
    tree.host.tell("change", "/devices/virtual/block/dm-0");
    rig.until(|rig| shown(rig, ss).size == Some(2 << 20)).await;

    std::fs::remove_file(tree.path("sys/bus/scsi/devices/3:0:0:0")).expect("it was there");
    tree.host.tell("remove", "/devices/x/block/sdb");
    rig.until(|rig| path(rig, ss) == ["/dev/mapper/mpatha", "/dev/sda"]).await;
    std::fs::remove_file(tree.path("sys/bus/scsi/devices/2:0:0:0")).expect("it was there");
    tree.host.tell("remove", "/devices/x/block/sda");
    rig.until(|rig| path(rig, ss).is_empty()).await;
    assert_eq!(shown(&rig, ss).size, Some(2 << 20), "its size is still the array's");
}

#[tokio::test]
async fn an_element_that_comes_after_its_device_has_it() {
    let tree = Tree::new();
    tree.disk("session1/target2:0:0", "2:0:0:0", "sda", NAA, 1 << 20);
    let (_home, rig, ss) = with(&tree).await;
    rig.until(|rig| path(rig, ss) == ["/dev/sda"]).await;
}
