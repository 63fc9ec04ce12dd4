use serde_json::{Value, json};
use uuid::Uuid;

use super::fake::*;
use crate::error::Kind;
use crate::inventory::Target;

const FS: &str = "0004fb00-0005-0000-1e3c-9d6a2c5b7f10";
const MOUNT: &str = "0004fb00-0006-0000-1e3c-9d6a2c5b7f11";

fn fs_record(state: u8) -> Value {
    json!({"name": "repo", "uuid": FS, "size": "1048576", "free_sz": 10, "state": state, "status": ""})
}

fn mount_record(point: &str) -> Value {
    json!({"uuid": MOUNT, "fs_uuid": FS, "mount_point": point, "options": ["rw"], "status": "Mounted"})
}

/// A storage server with one file system, which is not mounted.
async fn with(abilities: &[(&str, &str)]) -> (tempfile::TempDir, Rig, Uuid) {
    let home = tempfile::tempdir().expect("a directory");
    let fake = Fake::with([]);
    fake.when("listFileSystems", |_| Ok(json!([fs_record(1)])));
    fake.when("listMountPoints", |_| Ok(json!([])));
    let rig = Rig::start_with(config(home.path()), &fake, fs_plugin(abilities)).await;
    // The alias that clients of the original sent.
    let ss = rig.register(json!({"name": "local", "storage_type": "FileSys"})).await.expect("registered");
    (home, rig, ss)
}

fn fs(ss: Uuid) -> Target {
    Target::FileSystem(ss, FS.into())
}

#[tokio::test]
async fn a_file_system_is_listed_with_its_mounts() {
    let (_home, rig, ss) = with(&[]).await;
    let server = rig.agent.snapshot().servers[&ss].clone();
    assert_eq!(server.record.storage_type.as_deref(), Some("LocalFS"));
    assert_eq!(server.file_systems[FS].record().size, Some(1_048_576));
    rig.fake.when("listMountPoints", |_| Ok(json!([mount_record("/mnt/repo")])));
    let seq = rig.agent.snapshot().seq;
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    assert_eq!(rig.told(seq), [("mount-added".to_owned(), format!("/ss/{ss}/fs/{FS}/mounts/{MOUNT}"))]);
    let seq = rig.agent.snapshot().seq;
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    assert_eq!(rig.told(seq), []);
}

#[tokio::test]
async fn a_mount_is_there_when_the_command_has_ended() {
    let (_home, rig, ss) = with(&[]).await;
    rig.fake.when("mount", |_| Ok(fs_record(2)));
    rig.fake.when("listMountPoints", |_| Ok(json!([mount_record("/mnt/repo")])));
    let args = json!({"mount_point": "/mnt/repo", "options": ["ro"]});
    let result = rig.ask(fs(ss), "mount", args).await.expect("mounted");
    assert_eq!(result["state"], "MOUNTED");
    let sent = rig.fake.last("mount");
    assert_eq!(
        (&sent["active"], &sent["share_path"], &sent["options"]),
        (&json!(true), &Value::Null, &json!(["ro"]))
    );
    assert_eq!(rig.agent.snapshot().servers[&ss].file_systems[FS].mounts.len(), 1);
    // None says that it was mounted already.
    rig.fake.when("mount", |_| Ok(Value::Null));
    let again = rig.ask(fs(ss), "mount", json!({"mount_point": "/mnt/repo"})).await.expect("mounted");
    assert_eq!(again, json!({"already_mounted": true}));
    rig.fake.when("unmount", |_| Ok(fs_record(1)));
    rig.fake.when("listMountPoints", |_| Ok(json!([])));
    rig.ask(fs(ss), "unmount", json!({"mount_point": "/mnt/repo"})).await.expect("unmounted");
    assert!(rig.agent.snapshot().servers[&ss].file_systems[FS].mounts.is_empty());
}

#[tokio::test]
async fn an_unmount_without_a_mount_point_takes_the_only_one_and_never_several() {
    let (_home, rig, ss) = with(&[]).await;
    let second = json!({"uuid": FS, "fs_uuid": FS, "mount_point": "/mnt/second"});
    rig.fake.when("listMountPoints", move |_| Ok(json!([mount_record("/mnt/repo"), second])));
    rig.fake.when("unmount", |_| Ok(fs_record(2)));
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    let error = rig.ask(fs(ss), "unmount", json!({})).await.expect_err("there are two");
    assert_eq!(error.kind(), Kind::InvalidValue);
    assert!(error.message().contains("/mnt/repo, /mnt/second"), "{error}");
    rig.fake.when("listMountPoints", |_| Ok(json!([mount_record("/mnt/repo")])));
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    rig.ask(fs(ss), "unmount", json!({})).await.expect("unmounted");
    assert_eq!(rig.fake.last("unmount")["mount_point"], "/mnt/repo");
}

#[tokio::test]
async fn a_mount_record_is_an_answer_too() {
    let (_home, rig, ss) = with(&[]).await;
    rig.fake.when("mount", |_| Ok(mount_record("/mnt/repo")));
    rig.fake.when("listMountPoints", |_| Err(crate::Error::new(Kind::NoSuchOperation, "no listMountPoints")));
    let result = rig.ask(fs(ss), "mount", json!({"mount_point": "/mnt/repo"})).await.expect("mounted");
    assert_eq!(result["mount_point"], "/mnt/repo");
    assert_eq!(rig.agent.snapshot().servers[&ss].file_systems[FS].mounts.len(), 1);
}

#[tokio::test]
async fn a_file_system_needs_the_backing_device_of_its_type() {
    let made = json!({"name": "new", "uuid": Uuid::nil().to_string(), "array_path": "/dev/loop1"});
    for (ability, given, sent) in [
        ("DEVICE_SINGLE", json!(["/dev/loop1"]), Ok(json!("/dev/loop1"))),
        ("DEVICE_SINGLE", json!(["/dev/loop1", "/dev/loop2"]), Err(Kind::InvalidValue)),
        ("DEVICE_MULTI", json!("/dev/loop1"), Ok(json!(["/dev/loop1"]))),
        ("PLUGIN_SINGLE", Value::Null, Err(Kind::MissingKey)),
        ("UNSUPPORTED", json!("/dev/loop1"), Err(Kind::NoSuchOperation)),
    ] {
        let (_home, rig, ss) = with(&[("backing_device_type", ability)]).await;
        let answer = made.clone();
        rig.fake.when("createFileSystem", move |_| Ok(answer.clone()));
        let wanted = json!({"record": {"name": "new", "backing_device": given}});
        let result = rig.ask(Target::Server(ss), "create", wanted).await;
        match (result, sent) {
            (Ok(_), Ok(sent)) => {
                assert_eq!(rig.fake.last("createFileSystem")["fs_record"]["backing_device"], sent);
                assert_eq!(rig.agent.snapshot().servers[&ss].file_systems.len(), 2);
            }
            (Err(error), Err(kind)) => assert_eq!(error.kind(), kind, "{error}"),
            (result, _) => panic!("{ability}: {result:?}"),
        }
    }
}

#[tokio::test]
async fn files_are_named_by_their_path() {
    let (_home, rig, ss) = with(&[("snapshot", "ONLINE")]).await;
    rig.fake.when("list", |_| {
        Ok(json!([{"fr_type": "File", "file_path": "a.img", "file_sz": "5", "fs_uuid": FS}]))
    });
    let listed = rig.ask(fs(ss), "file-list", json!({"pattern": ".*img"})).await.expect("listed");
    assert_eq!(listed, json!([{"fr_type": "File", "file_path": "a.img", "file_sz": 5, "fs_uuid": FS}]));
    let sent = &rig.fake.last("list")["file_record"];
    assert_eq!(
        (&sent["fr_type"], &sent["name_pattern"], &sent["fs_uuid"]),
        (&json!("Directory"), &json!(".*img"), &json!(FS))
    );
    rig.fake.when("create", |args| Ok(json!({"fr_type": args["file_type"], "file_path": args["file_path"], "file_sz": args["size"], "fs_uuid": FS})));
    let made = rig.ask(fs(ss), "file-create", json!({"path": "b.img", "size": "1KiB"})).await.expect("made");
    assert_eq!((&made["fr_type"], &made["file_sz"]), (&json!("File"), &json!(1024)));
    rig.fake.when("createSnap", |args| {
        Ok(json!({"fr_type": "Snap", "file_path": args["snap_name"], "file_sz": 5, "fs_uuid": FS}))
    });
    rig.ask(fs(ss), "file-snapshot", json!({"path": "b.img", "name": "s"})).await.expect("a snapshot");
    rig.fake.when("snapRestore", |args| Ok(args["file_record"].clone()));
    rig.ask(fs(ss), "file-restore", json!({"path": "b.img", "snapshot": "s"})).await.expect("restored");
    let sent = rig.fake.last("snapRestore");
    assert_eq!(
        (&sent["file_record"]["file_path"], &sent["snap_record"]["fr_type"]),
        (&json!("b.img"), &json!("Snap"))
    );
    let none = rig.ask(fs(ss), "file-list", json!({"path": "a\u{0}b"})).await.expect_err("a refusal");
    assert_eq!(none.kind(), Kind::InvalidValue);
}

#[tokio::test]
async fn a_mounted_file_system_is_busy_where_it_must_be_offline() {
    let (_home, rig, ss) = with(&[("resize", "OFFLINE")]).await;
    rig.fake.when("listFileSystems", |_| Ok(json!([fs_record(2)])));
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    let busy = rig.ask(fs(ss), "resize", json!({"size": "2MiB"})).await.expect_err("a refusal");
    assert_eq!(busy.kind(), Kind::FileSystemBusy);
}
