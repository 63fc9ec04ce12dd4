use std::path::Path;

use serde_json::json;
use uuid::Uuid;

use super::fake::*;
use crate::error::Kind;
use crate::inventory::{State, Target};
use crate::store::{DATABASE, Store};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// The state directory as a crash at this moment would leave it.
fn crash(state: &Path) -> tempfile::TempDir {
    let copy = home();
    for file in std::fs::read_dir(state).expect("the state directory").flatten() {
        if file.file_name() != "lock" {
            std::fs::copy(file.path(), copy.path().join(file.file_name())).expect("a copy");
        }
    }
    copy
}

#[tokio::test]
async fn a_restart_brings_everything_back_stale_until_refreshed() {
    let home = home();
    let fake = Fake::with([element("a", 1), element("b", 2)]);
    let rig = Rig::start(home.path(), &fake, &[("snapshot", "ONLINE")]).await;
    let ss = rig.server().await;
    let done = rig.submit(se(ss, "a"), "resize", json!({"size": 5})).await.expect("accepted");
    rig.agent.wait(done, PATIENCE).await.expect("resized");
    let before = rig.agent.snapshot();
    rig.agent.shutdown().await;
    let stopped = rig.submit(se(ss, "a"), "resize", json!({"size": 6})).await.expect_err("it stopped");
    assert_eq!(stopped.kind(), Kind::TryAgain);
    drop(rig);
    let rig = Rig::bare(config(home.path()), &fake).await.expect("the agent starts");
    let after = rig.agent.snapshot();
    let (old, new) = (&before.servers[&ss], &after.servers[&ss]);
    assert_eq!((&old.elements.by_id, &old.elements.by_name), (&new.elements.by_id, &new.elements.by_name));
    assert_eq!((&old.record, &old.abilities), (&new.record, &new.abilities));
    assert!(new.state.stale && !new.state.plugin_available);
    assert_eq!(after.operations[&done].to_json(), before.operations[&done].to_json());
    assert!(after.seq > before.seq, "event numbers never repeat");
    rig.install(plugin(&[])).await;
    rig.until(|rig| !rig.agent.snapshot().servers[&ss].state.stale).await;
}

#[tokio::test]
async fn an_operation_that_a_crash_cut_off_is_interrupted_and_not_lost() {
    let home = home();
    let fake = Fake::with([element("a", 1)]);
    let rig = Rig::start(home.path(), &fake, &[]).await;
    let ss = rig.server().await;
    let _gate = fake.hold("resize");
    let running = rig.submit(se(ss, "a"), "resize", json!({"size": 5})).await.expect("accepted");
    let queued = rig.submit(se(ss, "a"), "resize", json!({"size": 6})).await.expect("accepted");
    rig.until(|rig| rig.fake.called("resize") == 1).await;
    let crashed = crash(home.path());
    let other = Fake::with([element("a", 5)]);
    let survivor = Rig::start(crashed.path(), &other, &[]).await;
    let snapshot = survivor.agent.snapshot();
    assert_eq!(snapshot.servers[&ss].name(), "box");
    for id in [running, queued] {
        assert_eq!(snapshot.operations[&id].state, State::Interrupted);
        let error = survivor.agent.wait(id, PATIENCE).await.expect_err("no result");
        assert_eq!((error.kind(), error.operation()), (Kind::Interrupted, Some(id)));
    }
    // The next refresh tells what came of it.
    survivor
        .until(|rig| {
            rig.agent.snapshot().servers[&ss]
                .elements
                .by_id
                .get("a")
                .is_some_and(|a| a.record().size == Some(5))
        })
        .await;
}

#[tokio::test]
async fn what_an_operation_made_is_there_after_a_crash_right_behind_it() {
    let home = home();
    let fake = Fake::with([element("a", 1)]);
    let rig = Rig::start(home.path(), &fake, &[]).await;
    let ss = rig.server().await;
    let registered = crash(home.path());
    rig.ask(se(ss, "a"), "snapshot", json!({"name": "s"})).await.expect("a snapshot");
    let snapped = crash(home.path());
    for (crashed, expected) in [(registered, vec!["a"]), (snapped, vec!["a", "s"])] {
        let survivor = Rig::bare(config(crashed.path()), &fake).await.expect("the agent starts");
        let elements = survivor.agent.snapshot().servers[&ss].elements.clone();
        assert_eq!(elements.by_id.keys().map(|id| &**id).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn a_stop_ends_what_runs_as_interrupted() {
    let home = home();
    let fake = Fake::with([element("a", 1)]);
    let rig = Rig::start(home.path(), &fake, &[]).await;
    let ss = rig.server().await;
    let _gate = fake.hold("resize");
    let running = rig.submit(se(ss, "a"), "resize", json!({"size": 5})).await.expect("accepted");
    rig.until(|rig| rig.fake.called("resize") == 1).await;
    rig.agent.shutdown().await;
    assert_eq!(rig.agent.snapshot().operations[&running].state, State::Interrupted);
    let (_, loaded) = Store::open(home.path()).expect("the store opens");
    let journaled = loaded.operations.iter().find(|operation| operation.id == running);
    assert_eq!(journaled.map(|operation| operation.state), Some(State::Interrupted));
}

#[tokio::test]
async fn an_unregistered_server_stays_gone() {
    let home = home();
    let fake = Fake::with([element("a", 1)]);
    let rig = Rig::start(home.path(), &fake, &[]).await;
    let ss = rig.server().await;
    rig.ask(Target::Server(ss), "unregister", json!({})).await.expect("unregistered");
    rig.agent.shutdown().await;
    let rig = Rig::bare(config(home.path()), &fake).await.expect("the agent starts");
    assert!(rig.agent.snapshot().servers.is_empty());
}

#[tokio::test]
async fn a_second_agent_is_told_who_has_the_state_directory() {
    let home = home();
    let fake = Fake::with([]);
    let rig = Rig::start(home.path(), &fake, &[]).await;
    let error = Rig::bare(config(home.path()), &fake).await.err().expect("a refusal");
    let dir = home.path().display().to_string();
    let pid = std::process::id().to_string();
    assert!(error.message().contains(&dir) && error.message().contains(&pid), "{error}");
    rig.agent.shutdown().await;
    Rig::bare(config(home.path()), &fake).await.expect("it is free again");
}

#[tokio::test]
async fn a_damaged_database_is_refused_with_advice() {
    use std::os::unix::fs::FileExt as _;
    let home = home();
    let fake = Fake::with((0..300).map(|n| element(&format!("e{n}"), 1)));
    let rig = Rig::start(home.path(), &fake, &[]).await;
    rig.server().await;
    rig.agent.shutdown().await;
    let path = home.path().join(DATABASE);
    let whole = std::fs::read(&path).expect("a database");
    let refused = async || {
        let error = Rig::bare(config(home.path()), &fake).await.err().expect("a refusal");
        assert!(error.message().contains("is damaged") && error.message().contains("mv "), "{error}");
    };
    std::fs::write(&path, b"not a database, whatever it was before").expect("written");
    refused().await;
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    refused().await;
    std::fs::write(&path, &whole).expect("written");
    let file = std::fs::OpenOptions::new().write(true).open(&path).expect("opened");
    for page in 1..whole.len() / 4096 {
        file.write_all_at(&[0xa5; 4096], page as u64 * 4096).expect("written");
    }
    refused().await;
    std::fs::write(&path, &whole).expect("written");
    Rig::bare(config(home.path()), &fake).await.expect("whole again");
}

#[tokio::test]
async fn a_database_of_a_newer_agent_is_left_alone() {
    let home = home();
    Store::open(home.path()).expect("a store").0.close().await;
    let path = home.path().join(DATABASE);
    rusqlite::Connection::open(&path)
        .expect("opened")
        .pragma_update(None, "user_version", 999)
        .expect("written");
    let error = Store::open(home.path()).err().expect("a refusal");
    assert!(error.message().contains("newer agent"), "{error}");
}

#[tokio::test]
async fn another_key_costs_the_passwords_and_nothing_else() {
    let home = home();
    let fake = Fake::with([element("a", 1)]);
    let rig = Rig::start(home.path(), &fake, &[]).await;
    let ss = rig
        .register(json!({"name": "box", "storage_type": "SAN", "admin_passwd": "p"}))
        .await
        .expect("registered");
    rig.agent.shutdown().await;
    std::fs::write(home.path().join("secret.key"), [7; 32]).expect("written");
    let rig = Rig::bare(config(home.path()), &fake).await.expect("the agent starts");
    let server = rig.agent.snapshot().servers[&ss].clone();
    assert_eq!((server.name(), server.elements.by_id.len()), ("box", 1));
    assert!(server.state_line().contains("secret.key"));
}

#[tokio::test]
async fn the_state_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = home();
    let state = home.path().join("state");
    let rig = Rig::start(&state, &Fake::with([]), &[]).await;
    rig.server().await;
    let mode = |path: &Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    for file in std::fs::read_dir(&state).expect("the state directory").flatten() {
        assert_eq!(mode(&file.path()), 0o600, "{:?}", file.path());
    }
}

/// A small file system of its own, so that it can be full.
struct Small(tempfile::TempDir);

impl Small {
    /// `None` where mounting is not allowed.
    fn mount() -> Option<Small> {
        let dir = home();
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("tmpfs"), dir.path(), Some("tmpfs"), flags, Some("size=1m")).ok()?;
        Some(Small(dir))
    }

    fn fill(&self) -> std::path::PathBuf {
        use std::io::Write as _;
        let path = self.0.path().join("filler");
        let mut file = std::fs::File::create(&path).expect("a file");
        while file.write_all(&[0; 4096]).is_ok() {}
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(self.0.path(), nix::mount::MntFlags::MNT_DETACH);
    }
}

#[tokio::test]
async fn a_full_disk_stops_changes_and_loses_nothing() {
    let Some(small) = Small::mount() else {
        eprintln!("skipped: mounting needs root");
        return;
    };
    let state = small.0.path().join("state");
    let fake = Fake::with([element("a", 1)]);
    let rig = Rig::start(&state, &fake, &[]).await;
    let ss = rig.server().await;
    rig.agent.core.store.flush().await;
    let gate = fake.hold("resize");
    let running = rig.submit(se(ss, "a"), "resize", json!({"size": 5})).await.expect("accepted");
    rig.until(|rig| rig.fake.called("resize") == 1).await;
    let filler = small.fill();
    // The log that is there already may take a few more; then there is no room.
    let mut refused = None;
    for size in 0..2000 {
        let wide = json!({"record": {"name": format!("n{size}").repeat(40), "size": 1}});
        if let Err(error) = rig.submit(Target::Server(ss), "create", wide).await {
            refused = Some(error);
            break;
        }
    }
    let refused = refused.expect("the disk is full");
    assert_eq!((refused.kind(), refused.errno()), (Kind::NoSpace, libc::ENOSPC));
    assert!(refused.message().contains(&state.display().to_string()), "{refused}");
    assert_eq!(rig.agent.snapshot().servers[&ss].elements.by_id["a"].record().size, Some(1));
    rig.ask(se(ss, "a"), "is-snapable", json!({})).await.expect("reading goes on");
    // What ran ends, and is known to have.
    gate.close();
    rig.agent.wait(running, PATIENCE).await.expect("resized");
    std::fs::remove_file(filler).expect("removed");
    rig.ask(se(ss, "a"), "resize", json!({"size": 6})).await.expect("there is room again");
    rig.agent.shutdown().await;
    let (_, loaded) = Store::open(&state).expect("the store opens");
    let state =
        |id: Uuid| loaded.operations.iter().find(|operation| operation.id == id).map(|found| found.state);
    assert_eq!(state(running), Some(State::Succeeded));
    assert!(loaded.servers[&ss].elements["a"].contains("\"size\":6"));
}
