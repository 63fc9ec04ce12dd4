//! What is mounted and unmounted by hand, with real mounts of this host.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use uuid::Uuid;

use super::fake::*;
use crate::inventory::model::parse_line;
use crate::inventory::{FileSystem, Target};
use crate::record::{FsState, Mount};

const FS: &str = "0004fb00-0005-0000-1e3c-9d6a2c5b7f20";

/// Places to mount on by hand. What is mounted there has a source nobody else has.
struct Hand(tempfile::TempDir);

impl Hand {
    /// `None` where nothing can be mounted.
    fn new() -> Option<Hand> {
        let hand = Hand(tempfile::Builder::new().prefix("osc-hand-").tempdir().expect("a directory"));
        let probed = hand.try_mount("probe", "nas:/probe", "rw");
        hand.unmount("probe");
        probed.then_some(hand)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().canonicalize().expect("it is there").join(name)
    }

    fn try_mount(&self, name: &str, source: &str, options: &str) -> bool {
        std::fs::create_dir_all(self.at(name)).expect("a directory");
        let words = ["-t", "tmpfs", "-o", options, source];
        Command::new("mount").args(words).arg(self.at(name)).status().is_ok_and(|status| status.success())
    }

    fn mount(&self, name: &str, source: &str) {
        assert!(self.try_mount(name, source, "rw,size=1m"), "{source} on {name}");
    }

    fn unmount(&self, name: &str) {
        let _ = Command::new("umount").arg(self.at(name)).output();
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.0.path()).into_iter().flatten().flatten() {
            let _ = Command::new("umount").arg(entry.path()).output();
        }
    }
}

fn export() -> String {
    format!("nas-{}:/export", Uuid::new_v4().simple())
}

fn fs_record(access: &str) -> Value {
    json!({"name": "repo", "uuid": FS, "access_path": access, "size": 1, "free_sz": 1, "state": 1, "status": "ok"})
}

async fn with(access: &str) -> (tempfile::TempDir, Rig, Uuid) {
    let home = tempfile::tempdir().expect("a directory");
    let fake = Fake::with([]);
    let record = fs_record(access);
    fake.when("listFileSystems", move |_| Ok(json!([record])));
    let rig = Rig::start_with(config(home.path()), &fake, fs_plugin(&[])).await;
    let ss = rig.register(json!({"name": "nas", "storage_type": "FileSys"})).await.expect("registered");
    (home, rig, ss)
}

fn shown(rig: &Rig, ss: Uuid) -> std::sync::Arc<FileSystem> {
    rig.agent.snapshot().servers[&ss].file_systems[FS].clone()
}

fn places(rig: &Rig, ss: Uuid) -> Vec<(PathBuf, String)> {
    let fs = shown(rig, ss);
    let mounts = fs.mounts.values().map(|line| parse_line::<Mount>(line));
    let place = |mount: Mount| {
        (Path::new(&mount.mount_point.unwrap_or_default()).to_owned(), mount.share_path.unwrap_or_default())
    };
    mounts.map(place).collect()
}

#[tokio::test]
async fn what_is_mounted_by_hand_shows_and_goes() {
    let Some(hand) = Hand::new() else { return };
    let access = export();
    let (_home, rig, ss) = with(&access).await;
    let seq = rig.agent.snapshot().seq;
    hand.mount("a", &format!("{access}/pool"));
    rig.until(|rig| places(rig, ss) == [(hand.at("a"), "pool".to_owned())]).await;
    assert_eq!(shown(&rig, ss).record().state, Some(FsState::Mounted));
    let uuid = Uuid::new_v5(&FS.parse().expect("a uuid"), hand.at("a").as_os_str().as_encoded_bytes());
    let fs = format!("/ss/{ss}/fs/{FS}");
    let added = ("mount-added".to_owned(), format!("{fs}/mounts/{uuid}"));
    assert_eq!(rig.told(seq), [("fs-changed".to_owned(), fs.clone()), added]);

    hand.mount("b", &access);
    rig.until(|rig| places(rig, ss).len() == 2).await;
    hand.unmount("a");
    rig.until(|rig| places(rig, ss) == [(hand.at("b"), String::new())]).await;
    hand.unmount("b");
    rig.until(|rig| places(rig, ss).is_empty()).await;
    assert_eq!(shown(&rig, ss).record().state, Some(FsState::Unmounted));
}

#[tokio::test]
async fn a_remount_changes_the_mount() {
    let Some(hand) = Hand::new() else { return };
    let access = export();
    let (_home, rig, ss) = with(&access).await;
    hand.mount("a", &access);
    rig.until(|rig| places(rig, ss).len() == 1).await;
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(hand.at("a")).status();
    assert!(status.expect("mount").success());
    rig.until(|rig| shown(rig, ss).record().state == Some(FsState::MountedReadonly)).await;
    let fs = shown(&rig, ss);
    let mount: Mount = parse_line(fs.mounts.values().next().expect("a mount"));
    assert_eq!(mount.status.as_deref(), Some("Read-Only Mounted"));
    assert_eq!(mount.options.unwrap_or_default()[0], "ro");
}

#[tokio::test]
async fn a_plug_in_that_does_not_know_of_it_does_not_take_it_away() {
    let Some(hand) = Hand::new() else { return };
    let access = export();
    let (_home, rig, ss) = with(&access).await;
    hand.mount("a", &access);
    rig.until(|rig| places(rig, ss).len() == 1).await;
    let uuid = *shown(&rig, ss).mounts.keys().next().expect("a mount");
    rig.fake.when("listMountPoints", |_| Ok(json!([])));
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    assert_eq!(places(&rig, ss).len(), 1);
    // One that lists it under a UUID of its own is told of the same mount.
    let own = json!({"uuid": Uuid::new_v4(), "mount_point": hand.at("a"), "options": ["rw"], "status": "Up"});
    rig.fake.when("listMountPoints", move |_| Ok(json!([own])));
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    assert_eq!(shown(&rig, ss).mounts.keys().copied().collect::<Vec<_>>(), [uuid]);
    hand.unmount("a");
    rig.until(|rig| places(rig, ss).is_empty()).await;
}

#[tokio::test]
async fn mounts_are_found_when_the_file_system_is() {
    let Some(hand) = Hand::new() else { return };
    let access = export();
    hand.mount("a", &access);
    let (_home, rig, ss) = with(&access).await;
    rig.until(|rig| places(rig, ss) == [(hand.at("a"), String::new())]).await;
    hand.unmount("a");
    rig.until(|rig| places(rig, ss).is_empty()).await;
}

#[tokio::test]
async fn a_mount_that_only_the_plug_in_can_tell_goes_when_it_goes() {
    let Some(hand) = Hand::new() else { return };
    let (_home, rig, ss) = with("vendor-fs").await;
    hand.mount("a", &export());
    let own = json!({"mount_point": hand.at("a"), "options": ["vendor"], "status": "Up", "share_path": "s"});
    let away = json!({"mount_point": "/nowhere/at/all", "options": [], "status": "Up"});
    rig.fake.when("listMountPoints", move |_| Ok(json!([own, away])));
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    assert_eq!(places(&rig, ss).len(), 2);
    // Something changes somewhere, so that the table has been looked at.
    hand.mount("b", &export());
    hand.unmount("b");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    hand.unmount("a");
    rig.until(|rig| places(rig, ss).len() == 1).await;
    assert_eq!(places(&rig, ss)[0].0, Path::new("/nowhere/at/all"));
}

#[tokio::test]
async fn an_operation_takes_in_its_own_mounts() {
    let Some(hand) = Hand::new() else { return };
    let access = export();
    let (_home, rig, ss) = with(&access).await;
    let at = hand.at("a");
    let own = Uuid::new_v4();
    let record = json!({"uuid": own, "mount_point": at, "options": ["rw"], "status": "Up"});
    let listed = record.clone();
    rig.fake.when("listMountPoints", move |_| Ok(json!([listed])));
    rig.fake.when("mount", move |_| Ok(record.clone()));
    let gate = rig.fake.hold("mount");
    let args = json!({"mount_point": at});
    let operation = rig.submit(Target::FileSystem(ss, FS.into()), "mount", args).await.expect("submitted");
    rig.until(|rig| rig.fake.called("mount") == 1).await;
    hand.mount("a", &access);
    // Long enough for the table to have been looked at.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert_eq!(places(&rig, ss), []);
    gate.add_permits(1);
    rig.agent.wait(operation, PATIENCE).await.expect("mounted");
    assert_eq!(shown(&rig, ss).mounts.keys().copied().collect::<Vec<_>>(), [own]);
    hand.unmount("a");
    rig.fake.when("listMountPoints", |_| Ok(json!([])));
    rig.until(|rig| places(rig, ss).is_empty()).await;
}
