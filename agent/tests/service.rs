//! The façade over the real plug-in runtime and the stock FileArray plug-in.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use agent::command::{Object, command};
use agent::config::Config;
use agent::inventory::{Caller, State, Target};
use agent::record::SeState;
use agent::service::{Agent, Request};
use agent::{Kind, Result};
use serde_json::{Value, json};
use uuid::Uuid;

const PLUGIN: &str = "osc.filearray.FileArray.FileArray";
const PATIENCE: Duration = Duration::from_secs(60);

fn array(dir: &Path) -> Value {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins/osc/filearray/mkarray.py");
    let made = Command::new("python3").arg(tool).arg(dir).args(["--vol-group", "vg0=1GiB"]).status();
    assert!(made.is_ok_and(|status| status.success()));
    json!({"name": "array", "storage_type": "SAN", "admin_passwd": "wachtwoord", "extra_info": format!("path={}", dir.display())})
}

async fn start(state: &Path) -> Agent {
    let config = Config {
        state_dir: state.into(),
        plugin_dirs: Vec::new(),
        refresh_interval: Duration::ZERO,
        ..Config::default()
    };
    let agent = Agent::start(config).await.expect("the agent starts");
    let mut changes = agent.subscribe();
    while !agent.snapshot().plugins.get(PLUGIN).is_some_and(|plugin| plugin.status.usable) {
        tokio::time::timeout(PATIENCE, changes.recv())
            .await
            .expect("the plug-in loads")
            .expect("changes come");
    }
    agent
}

async fn ask(agent: &Agent, object: Object, target: Target, name: &str, args: Value) -> Result<Value> {
    let request = Request {
        target,
        command: command(object, name).expect("a command"),
        args: args.as_object().cloned().unwrap_or_default(),
        caller: Caller { uid: 0, pid: None, door: "agent" },
    };
    let operation = agent.submit(request).await?;
    agent.wait(operation, PATIENCE).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_server_is_registered_used_and_there_again_after_a_restart() {
    let home = tempfile::tempdir().expect("a directory");
    let (state, dir) = (home.path().join("state"), home.path().join("array"));
    let agent = start(&state).await;
    let record = array(&dir);
    let registered = ask(
        &agent,
        Object::Manager,
        Target::Manager,
        "register",
        json!({"plugin": PLUGIN, "record": record}),
    )
    .await
    .expect("registered");
    let ss: Uuid = registered["uuid"].as_str().and_then(|uuid| uuid.parse().ok()).expect("a uuid");
    let again = ask(
        &agent,
        Object::Manager,
        Target::Manager,
        "register",
        json!({"plugin": PLUGIN, "record": record}),
    )
    .await;
    assert_eq!(again.expect_err("a refusal").kind(), Kind::AlreadyExists);

    let wanted = json!({"record": {"name": "lun", "size": "8MiB", "vol_group_name": "vg0"}});
    let lun = ask(&agent, Object::Server, Target::Server(ss), "create", wanted).await.expect("created");
    assert_eq!((&lun["name"], &lun["size"]), (&json!("lun"), &json!(8 << 20)));
    let server = agent.snapshot().servers[&ss].clone();
    let id = server.elements.by_id.keys().next().expect("an element").clone();
    let element = Target::Element(ss, id.clone());

    // The file system below the array may not share blocks; then copies are made offline only.
    let named = json!({"name": "nightly"});
    if agent.snapshot().servers[&ss].abilities["snapshot"] == "OFFLINE" {
        let busy = ask(&agent, Object::Element, element.clone(), "snapshot", named.clone()).await;
        assert_eq!(busy.expect_err("a refusal").kind(), Kind::StorageElementBusy);
        ask(&agent, Object::Element, element.clone(), "offline", json!({})).await.expect("offline");
    }
    let snap = ask(&agent, Object::Element, element.clone(), "snapshot", named).await.expect("a snapshot");
    assert_eq!((&snap["se_type"], &snap["name"]), (&json!("Snap"), &json!("nightly")));
    let snap_id = agent.snapshot().servers[&ss]
        .elements
        .by_id
        .values()
        .find(|element| element.record().se_type.as_deref() == Some("Snap"))
        .expect("the snapshot")
        .id
        .clone();

    let clone =
        ask(&agent, Object::Element, Target::Element(ss, snap_id.clone()), "clone", json!({"name": "copy"}));
    let clone = clone.await.expect("a clone of the snapshot");
    assert_eq!(clone["se_type"], "SnapClone");
    let copy =
        agent.snapshot().servers[&ss].elements.by_name.iter().find(|(name, _)| &**name == "copy").cloned();
    let copy = Target::Element(ss, copy.expect("the clone has a name").1);
    ask(&agent, Object::Element, copy.clone(), "offline", json!({})).await.expect("offline");
    let split = ask(&agent, Object::Element, copy, "split", json!({})).await.expect("split");
    assert_eq!(split["name"], "copy");

    let grown = ask(&agent, Object::Element, element.clone(), "resize", json!({"size": "16MiB"})).await;
    assert_eq!(grown.expect("grown")["size"], json!(16 << 20));
    let shrunk = ask(&agent, Object::Element, element.clone(), "resize", json!({"size": 1})).await;
    let shrunk = shrunk.expect_err("a refusal");
    assert!(shrunk.plugin() == Some(PLUGIN) && shrunk.operation().is_some(), "{shrunk:?}");

    let gone = ask(&agent, Object::Element, Target::Element(ss, snap_id.clone()), "remove", json!({})).await;
    gone.expect("the snapshot is removed");
    assert!(!agent.snapshot().servers[&ss].elements.by_id.contains_key(&snap_id));
    let seq = agent.snapshot().seq;
    ask(&agent, Object::Server, Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    let told: Vec<_> = agent
        .events_since(seq)
        .into_iter()
        .filter(|(_, line)| !line.contains("\"kind\":\"operation-"))
        .filter(|(_, line)| !line.contains("server-changed"))
        .collect();
    assert!(told.is_empty(), "{told:?}");

    let before = agent.snapshot().servers[&ss].clone();
    agent.shutdown().await;
    drop(agent);
    for file in std::fs::read_dir(&state).expect("the state directory").flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        assert!(!bytes.windows(10).any(|window| window == b"wachtwoord"), "{:?}", file.path());
    }
    let agent = start(&state).await;
    let after = agent.snapshot().servers[&ss].clone();
    assert_eq!(after.elements.by_id, before.elements.by_id);
    assert_eq!(after.record, before.record);
    assert!(after.elements.by_id[&id].record().state != Some(SeState::Error));
    let snapshot = agent.snapshot();
    assert!(snapshot.operations.values().all(|operation| operation.state.ended()));
    assert!(snapshot.operations.values().any(|operation| operation.state == State::Failed));
    agent.shutdown().await;
}

/// A loop device of the test's own.
struct Loop(String);

impl Loop {
    /// `None` where the host does not let one be made.
    fn attach(image: &Path) -> Option<Loop> {
        std::fs::File::create(image).and_then(|file| file.set_len(512 << 20)).expect("an image");
        let made = Command::new("losetup").args(["--find", "--show"]).arg(image).output().ok()?;
        let device = String::from_utf8(made.stdout).ok()?.trim().to_owned();
        (made.status.success() && !device.is_empty()).then_some(Loop(device))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_system_is_made_mounted_used_and_destroyed() {
    const PLUGIN: &str = "osc.localfs.LocalFS.LocalFS";
    let home = tempfile::tempdir().expect("a directory");
    let Some(device) = Loop::attach(&home.path().join("image")) else {
        eprintln!("skipped: no loop device can be made here");
        return;
    };
    let agent = start(&home.path().join("state")).await;
    let record = json!({"name": "local", "storage_type": "FileSys"});
    let asked = json!({"plugin": PLUGIN, "record": record});
    let registered =
        ask(&agent, Object::Manager, Target::Manager, "register", asked).await.expect("registered");
    let ss: Uuid = registered["uuid"].as_str().and_then(|uuid| uuid.parse().ok()).expect("a uuid");
    let wanted = json!({"record": {"name": "repo", "backing_device": device.0}});
    let made = ask(&agent, Object::Server, Target::Server(ss), "create", wanted).await.expect("made");
    let id = agent.snapshot().servers[&ss]
        .file_systems
        .values()
        .find(|fs| fs.record().name.as_deref() == Some("repo"))
        .unwrap_or_else(|| panic!("the new one is there: {made}"))
        .id
        .clone();
    let fs = Target::FileSystem(ss, id.clone());
    let on_fs = async |name: &str, args: Value| ask(&agent, Object::FileSystem, fs.clone(), name, args).await;

    let point = home.path().join("mnt");
    std::fs::create_dir(&point).expect("a mount point");
    on_fs("mount", json!({"mount_point": point})).await.expect("mounted");
    assert_eq!(agent.snapshot().servers[&ss].file_systems[&id].mounts.len(), 1);
    let file = on_fs("file-create", json!({"path": "a.img", "size": "1MiB"})).await.expect("created");
    assert_eq!((&file["fr_type"], &file["file_sz"]), (&json!("File"), &json!(1 << 20)));
    on_fs("file-clone", json!({"path": "a.img", "name": "b.img"})).await.expect("cloned");
    on_fs("file-snapshot", json!({"path": "a.img", "name": "s1"})).await.expect("a snapshot");
    let listed = on_fs("file-list", json!({"pattern": ".*[.]img"})).await.expect("listed");
    let names: Vec<_> =
        listed.as_array().into_iter().flatten().map(|file| file["file_path"].to_string()).collect();
    assert!(
        names.iter().any(|name| name.contains("a.img")) && names.iter().any(|name| name.contains("b.img"))
    );
    let info = on_fs("file-info", json!({"path": "a.img", "compare": "b.img"})).await.expect("told");
    assert!(info["shared_sz"].is_i64(), "{info}");
    on_fs("file-remove", json!({"path": "b.img"})).await.expect("removed");
    let busy = on_fs("destroy", json!({})).await.expect_err("it is mounted");
    assert_eq!(busy.kind(), Kind::FileSystemBusy);
    on_fs("unmount", json!({"mount_point": point})).await.expect("unmounted");
    assert!(agent.snapshot().servers[&ss].file_systems[&id].mounts.is_empty());
    on_fs("destroy", json!({})).await.expect("destroyed");
    assert!(!agent.snapshot().servers[&ss].file_systems.contains_key(&id));
    agent.shutdown().await;
}
