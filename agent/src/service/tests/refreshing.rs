use serde_json::json;

use super::fake::*;
use crate::error::{Error, Kind};
use crate::inventory::Target;
use crate::service::core::lock;

async fn rig(home: &tempfile::TempDir) -> Rig {
    Rig::start(home.path(), &Fake::with([element("a", 1), element("b", 2)]), &[]).await
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[tokio::test]
async fn a_refresh_that_changes_nothing_tells_nothing() {
    let home = home();
    let rig = rig(&home).await;
    let ss = rig.server().await;
    let (seq, before) = (rig.agent.snapshot().seq, rig.agent.snapshot().servers[&ss].clone());
    for _ in 0..3 {
        rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    }
    assert_eq!(rig.told(seq), []);
    let after = rig.agent.snapshot().servers[&ss].clone();
    assert!(std::sync::Arc::ptr_eq(&before.elements, &after.elements));
    assert!(after.state.refreshed > before.state.refreshed);
}

#[tokio::test]
async fn a_refresh_that_changes_one_element_tells_of_that_one() {
    let home = home();
    let rig = rig(&home).await;
    let ss = rig.server().await;
    let mut changes = rig.agent.subscribe();
    let seq = rig.agent.snapshot().seq;
    rig.fake.put(element("b", 3));
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    assert_eq!(rig.told(seq), [("element-changed".to_owned(), format!("/ss/{ss}/se/b"))]);
    let line = rig.agent.events_since(seq).into_iter().find(|(_, line)| line.contains("element-changed"));
    let event: serde_json::Value = serde_json::from_str(&line.expect("an event").1).expect("JSON");
    assert_eq!((&event["fields"], &event["record"]["size"]), (&json!(["size"]), &json!(3)));
    // What is told is visible, and numbered without a gap.
    let mut last = seq;
    while let Ok(change) = changes.try_recv() {
        assert_eq!(change.seq, last + 1);
        last = change.seq;
        assert!(rig.agent.snapshot().seq >= change.seq);
        assert!(rig.agent.event_line(&change).contains(change.what.kind()));
    }
    assert_eq!(last, rig.agent.snapshot().seq);
    lock(&rig.fake.elements).remove("a");
    let seq = last;
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    assert_eq!(rig.told(seq), [("element-removed".to_owned(), format!("/ss/{ss}/se/a"))]);
}

#[tokio::test]
async fn refreshes_asked_for_together_share_one() {
    let home = home();
    let rig = rig(&home).await;
    let ss = rig.server().await;
    let (gate, before) = (rig.fake.hold("list"), rig.fake.called("list"));
    let mut asked = vec![rig.submit(Target::Server(ss), "refresh", json!({})).await.expect("accepted")];
    rig.until(|rig| rig.fake.called("list") == before + 1).await;
    for _ in 0..10 {
        asked.push(rig.submit(Target::Server(ss), "refresh", json!({})).await.expect("accepted"));
    }
    gate.close();
    for operation in asked {
        rig.agent.wait(operation, PATIENCE).await.expect("refreshed");
    }
    // The one that had begun, and one for all who came later.
    assert_eq!(rig.fake.called("list"), before + 2);
}

#[tokio::test]
async fn a_refresh_does_not_take_back_what_was_done_meanwhile() {
    let home = home();
    let rig = rig(&home).await;
    let ss = rig.server().await;
    // A list that was read before the snapshot was taken, and arrives after.
    let old = json!([element("a", 1), element("b", 2)]);
    rig.fake.when("list", move |_| Ok(old.clone()));
    let gate = rig.fake.hold("list");
    let before = rig.fake.called("list");
    let refresh = rig.submit(Target::Server(ss), "refresh", json!({})).await.expect("accepted");
    rig.until(|rig| rig.fake.called("list") > before).await;
    rig.ask(se(ss, "a"), "snapshot", json!({"name": "s1"})).await.expect("a snapshot");
    rig.ask(se(ss, "b"), "remove", json!({})).await.expect("removed");
    rig.ask(se(ss, "a"), "resize", json!({"size": 9})).await.expect("resized");
    let seq = rig.agent.snapshot().seq;
    gate.add_permits(1);
    rig.agent.wait(refresh, PATIENCE).await.expect("refreshed");
    assert_eq!(rig.told(seq), []);
    let elements = rig.agent.snapshot().servers[&ss].elements.clone();
    assert_eq!(elements.by_id.keys().map(|id| &**id).collect::<Vec<_>>(), ["a", "s1"]);
    assert_eq!(elements.by_id["a"].record().size, Some(9));
    rig.fake.release("list");
}

#[tokio::test]
async fn a_server_that_hangs_holds_nobody_else_up() {
    let home = home();
    let rig = rig(&home).await;
    let ss = rig.server().await;
    let other = rig.register(json!({"name": "other", "storage_type": "SAN"})).await.expect("registered");
    let gate = rig.fake.hold("list");
    let hanging = rig.submit(Target::Server(ss), "refresh", json!({})).await.expect("accepted");
    rig.until(|_| gate.available_permits() == 0).await;
    rig.ask(se(other, "a"), "resize", json!({"size": 5})).await.expect("resized");
    rig.ask(se(ss, "a"), "resize", json!({"size": 6})).await.expect("resized");
    let waited = rig.agent.wait(hanging, std::time::Duration::ZERO).await.expect_err("it goes on");
    assert_eq!((waited.kind(), waited.operation()), (Kind::InProgress, Some(hanging)));
    gate.close();
}

#[tokio::test]
async fn a_failure_shows_in_the_state_and_keeps_what_is_known() {
    let home = home();
    let rig = rig(&home).await;
    let ss = rig.server().await;
    rig.fake.when("list", |_| Err(Error::new(Kind::ListFailed, "the array is away")));
    let error = rig.ask(Target::Server(ss), "refresh", json!({})).await.expect_err("a failure");
    assert_eq!(error.kind(), Kind::ListFailed);
    let server = rig.agent.snapshot().servers[&ss].clone();
    assert_eq!((server.state.failures, server.elements.by_id.len()), (1, 2));
    assert!(server.state_line().contains("the array is away"));
    rig.fake.when("list", |_| Ok(json!([element("a", 1), element("b", 2)])));
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    let state = rig.agent.snapshot().servers[&ss].state.clone();
    assert!(state.failures == 0 && state.error.is_none());
}

#[tokio::test]
async fn what_breaks_the_contract_is_put_right_and_told_once() {
    let home = home();
    let rig = rig(&home).await;
    let ss = rig.server().await;
    let renamed = json!([
        {"id": "a", "name": "renamed", "size": 1, "state": 1, "se_type": "LUN", "status": "ok", "access_grp_names": []},
        {"id": "b", "name": "b", "size": "many", "state": 1, "se_type": "LUN", "status": "ok", "access_grp_names": []},
        {"id": "b", "name": "twin", "size": 7}, {"size": 1},
    ]);
    rig.fake.when("list", move |_| Ok(renamed.clone()));
    for _ in 0..3 {
        rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    }
    let elements = rig.agent.snapshot().servers[&ss].elements.clone();
    assert_eq!(elements.by_id.len(), 2);
    assert_eq!(elements.by_id["a"].record().name.as_deref(), Some("a"));
    assert_eq!(elements.by_id["b"].record().size, Some(2));
    let reports = lock(&rig.fake.reports).clone();
    for part in ["list answered name", "list answered size", "list answered se_record"] {
        assert_eq!(reports.iter().filter(|text| text.starts_with(part)).count(), 1, "{reports:?}");
    }
}

#[tokio::test]
async fn a_server_is_refreshed_by_its_interval() {
    let home = home();
    let rig = rig(&home).await;
    let record = json!({"name": "box", "storage_type": "SAN", "refresh_interval": 1});
    let ss = rig.register(record).await.expect("registered");
    rig.fake.put(element("c", 3));
    rig.until(|rig| rig.agent.snapshot().servers[&ss].elements.by_id.contains_key("c")).await;
}
