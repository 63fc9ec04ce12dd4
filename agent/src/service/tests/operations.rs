use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::fake::*;
use crate::error::{Error, Kind};
use crate::inventory::{State, Target};

async fn with(abilities: &[(&str, &str)]) -> (tempfile::TempDir, Rig, uuid::Uuid) {
    let home = tempfile::tempdir().expect("a directory");
    let rig = Rig::start(home.path(), &Fake::with([element("a", 1), element("b", 2)]), abilities).await;
    let ss = rig.server().await;
    (home, rig, ss)
}

#[tokio::test]
async fn mutations_of_an_element_take_turns_and_others_do_not_wait() {
    let (_home, rig, ss) = with(&[]).await;
    let gate = rig.fake.hold("resize");
    let mut on_a = Vec::new();
    for size in 10..13 {
        on_a.push(rig.submit(se(ss, "a"), "resize", json!({"size": size})).await.expect("accepted"));
    }
    let on_b = rig.submit(se(ss, "b"), "resize", json!({"size": 20})).await.expect("accepted");
    rig.until(|rig| rig.fake.called("resize") == 2).await;
    let state = |id| rig.agent.snapshot().operations[&id].state;
    assert_eq!(
        (state(on_a[0]), state(on_a[1]), state(on_b)),
        (State::Running, State::Queued, State::Running)
    );
    // Whoever only asks is answered beside them.
    assert_eq!(rig.ask(se(ss, "a"), "is-snapable", json!({})).await.expect("an answer"), json!(true));
    gate.close();
    for id in on_a {
        rig.agent.wait(id, PATIENCE).await.expect("resized");
    }
    // First come, first served: the last word is the last one's.
    assert_eq!(rig.agent.snapshot().servers[&ss].elements.by_id["a"].record().size, Some(12));
}

#[tokio::test]
async fn a_server_works_on_a_bounded_number_at_a_time() {
    let home = tempfile::tempdir().expect("a directory");
    let fake = Fake::with((0..10).map(|n| element(&format!("e{n}"), 1)));
    let two = crate::config::Config { mutations_per_server: 2, ..config(home.path()) };
    let rig = Rig::start_with(two, &fake, plugin(&[])).await;
    let ss = rig.server().await;
    let gate = rig.fake.hold("resize");
    let mut all = Vec::new();
    for n in 0..10 {
        all.push(rig.submit(se(ss, &format!("e{n}")), "resize", json!({"size": 5})).await.expect("accepted"));
    }
    rig.until(|rig| rig.fake.called("resize") == 2).await;
    for done in 1..=10 {
        gate.add_permits(1);
        let began = (done + 2).min(10);
        rig.until(|rig| rig.fake.called("resize") == began).await;
        assert_eq!(rig.fake.called("resize"), began);
    }
    for id in all {
        rig.agent.wait(id, PATIENCE).await.expect("resized");
    }
}

#[tokio::test]
async fn what_waits_and_what_runs_can_be_cancelled() {
    let (_home, rig, ss) = with(&[]).await;
    let _gate = rig.fake.hold("resize");
    let running = rig.submit(se(ss, "a"), "resize", json!({"size": 5})).await.expect("accepted");
    let queued = rig.submit(se(ss, "a"), "resize", json!({"size": 6})).await.expect("accepted");
    rig.until(|rig| rig.fake.called("resize") == 1).await;
    for id in [queued, running] {
        let told = rig.ask(Target::Operation(id), "cancel", json!({})).await.expect("cancelled");
        assert_eq!(told["state"], "cancelled");
        let error = rig.agent.wait(id, PATIENCE).await.expect_err("no result");
        assert_eq!((error.kind(), error.operation()), (Kind::Cancelled, Some(id)));
    }
    assert_eq!(rig.fake.called("resize"), 1);
    // What a call that was ended led to, the array is asked.
    let lists = rig.fake.called("list");
    rig.until(|rig| rig.fake.called("list") > lists).await;
    let again = rig.ask(Target::Operation(running), "cancel", json!({})).await.expect_err("a refusal");
    assert_eq!(again.kind(), Kind::InvalidValue);
    rig.fake.release("resize");
    rig.ask(se(ss, "a"), "resize", json!({"size": 7})).await.expect("nothing is left locked");
}

#[tokio::test]
async fn abilities_rule_out_before_the_plug_in_is_called() {
    let abilities =
        [("resize", "OFFLINE"), ("clone", "UNSUPPORTED"), ("access_control", "NO"), ("snapshot", "ONLINE")];
    let (_home, rig, ss) = with(&abilities).await;
    let mut online = element("b", 2);
    online["state"] = 7.into();
    rig.fake.put(online);
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    let operations = rig.agent.snapshot().operations.len();
    let busy = rig.ask(se(ss, "b"), "resize", json!({"size": 5})).await.expect_err("a refusal");
    assert_eq!((busy.kind(), busy.errno()), (Kind::StorageElementBusy, libc::EBUSY));
    let none = rig.ask(se(ss, "a"), "clone", json!({"name": "c"})).await.expect_err("a refusal");
    assert_eq!((none.kind(), none.errno()), (Kind::NoSuchOperation, libc::EOPNOTSUPP));
    let groups = json!({"groups": [{"grp_name": "g", "grp_entries": []}]});
    let none = rig.ask(Target::Server(ss), "create-access-groups", groups).await.expect_err("a refusal");
    assert_eq!(none.kind(), Kind::NoSuchOperation);
    assert_eq!(rig.agent.snapshot().operations.len(), operations);
    assert_eq!(
        rig.fake.called("resize") + rig.fake.called("clone") + rig.fake.called("createAccessGroups"),
        0
    );
    rig.ask(se(ss, "a"), "resize", json!({"size": 5})).await.expect("an offline element");
}

#[tokio::test]
async fn names_are_given_where_the_abilities_say_so() {
    for (ability, given, taken) in
        [("NO", true, false), ("NO", false, true), ("YES", true, true), ("YES", false, false)]
    {
        let (_home, rig, ss) = with(&[("custom_snap_name", ability)]).await;
        let args = if given { json!({"name": "s"}) } else { json!({}) };
        let result = rig.ask(se(ss, "a"), "snapshot", args).await;
        assert_eq!(result.is_ok(), taken, "{ability} {given}: {result:?}");
        if let Err(error) = result {
            assert_eq!(error.kind(), Kind::InvalidValue);
        }
    }
}

#[tokio::test]
async fn a_snapshot_is_meant_by_any_of_its_identities_that_is_its_alone() {
    let (_home, rig, ss) = with(&[]).await;
    for (name, uuid) in
        [("s1", "0004fb00-0005-0000-0000-000000000001"), ("s2", "0004fb00-0005-0000-0000-000000000002")]
    {
        let (page83, id) = (format!("36000{name}"), format!("id-{name}"));
        rig.fake.put(json!({
            "se_type": "Snap", "name": name, "uuid": uuid, "page83_id": page83, "id": id, "array_path": name, "size": 1, "state": 1,
        }));
    }
    rig.fake.put(json!({"se_type": "LUN", "name": "id-s2", "id": "c", "size": 1, "state": 1}));
    rig.ask(Target::Server(ss), "refresh", json!({})).await.expect("refreshed");
    rig.fake.when("snapRestore", |args| Ok(args["se_record"].clone()));
    for word in ["s1", "36000s1", "id-s1", "0004fb00-0005-0000-0000-000000000001"] {
        rig.ask(se(ss, "a"), "restore", json!({"snapshot": word})).await.expect(word);
        assert_eq!(rig.fake.last("snapRestore")["snap_record"]["name"], "s1", "{word}");
    }
    let error =
        rig.ask(se(ss, "a"), "restore", json!({"snapshot": "id-s2"})).await.expect_err("two are meant");
    assert_eq!(error.kind(), Kind::InvalidValue, "{error}");
}

#[tokio::test]
async fn a_request_that_is_wrong_makes_no_operation() {
    let (_home, rig, ss) = with(&[]).await;
    let before = rig.agent.snapshot().operations.len();
    for (target, name, args, kind) in [
        (se(ss, "a"), "resize", json!({"size": "99999999999999999999"}), Kind::InvalidValue),
        (se(ss, "a"), "resize", json!({"size": "16EiB"}), Kind::InvalidValue),
        (se(ss, "a"), "resize", json!({"size": u64::MAX}), Kind::InvalidValue),
        (se(ss, "a"), "resize", json!({"size": -1}), Kind::InvalidValue),
        (se(ss, "a"), "resize", json!({"size": 1.5}), Kind::InvalidValue),
        (se(ss, "a"), "resize", json!({}), Kind::InvalidValue),
        (se(ss, "a"), "resize", json!({"size": 1, "colour": "red"}), Kind::InvalidValue),
        (se(ss, "a"), "snapshot", json!({"name": "x".repeat(256)}), Kind::InvalidValue),
        (se(ss, "a"), "snapshot", json!({"name": "a\nb"}), Kind::InvalidValue),
        (se(ss, "a"), "snapshot", json!({"name": ["a"]}), Kind::InvalidValue),
        (se(ss, "a"), "restore", json!({"snapshot": "none"}), Kind::NotFound),
        (se(ss, "c"), "snapshot", json!({}), Kind::NotFound),
        (Target::Server(uuid::Uuid::nil()), "refresh", json!({}), Kind::NotFound),
        (Target::Server(ss), "create", json!({"record": {"size": 5}}), Kind::MissingKey),
        (Target::Server(ss), "create", json!({"record": {"name": "n"}}), Kind::MissingKey),
        (Target::Server(ss), "create", json!({"record": {"name": "n", "size": "5 fish"}}), Kind::ValueFormat),
        (Target::Server(ss), "create", json!({"record": "n"}), Kind::InvalidValue),
        (
            Target::Server(ss),
            "multi-snapshot",
            json!({"elements": ["a", "b"], "names": ["one"]}),
            Kind::InvalidValue,
        ),
    ] {
        let error = rig.ask(target, name, args.clone()).await.expect_err("a refusal");
        assert_eq!(error.kind(), kind, "{name} {args}: {error}");
    }
    assert_eq!(rig.agent.snapshot().operations.len(), before);
}

#[tokio::test]
async fn sizes_are_taken_with_units_and_records_sent_with_numbers() {
    let (_home, rig, ss) = with(&[]).await;
    rig.ask(se(ss, "a"), "resize", json!({"size": "10GiB"})).await.expect("resized");
    let sent = rig.fake.last("resize");
    assert_eq!((&sent["new_size"], &sent["se_record"]["state"]), (&json!(10_737_418_240_u64), &json!(1)));
    let made = rig.ask(Target::Server(ss), "create", json!({"record": {"name": "n", "size": "1MB"}})).await;
    assert_eq!(made.expect("made")["size"], 1_000_000);
    assert_eq!(rig.fake.last("create")["se_record"]["ss_uuid"], ss.to_string());
}

#[tokio::test]
async fn a_snapshot_is_cloned_and_removed_by_methods_of_its_own() {
    let (_home, rig, ss) = with(&[]).await;
    rig.ask(se(ss, "a"), "snapshot", json!({"name": "s"})).await.expect("a snapshot");
    let shown = rig.agent.snapshot().servers[&ss].elements.by_id["s"].line.clone();
    assert!(shown.contains("\"parent\":\"a\""), "{shown}");
    rig.fake.when("cloneFromSnap", |args| {
        let mut made = element(args["clone_name"].as_str().unwrap_or("?"), 1);
        made["se_type"] = "SnapClone".into();
        Ok(made)
    });
    let clone = rig.ask(se(ss, "s"), "clone", json!({"name": "c"})).await.expect("a clone");
    assert_eq!((&clone["se_type"], rig.fake.called("clone")), (&json!("SnapClone"), 0));
    // This one has no snapRemove: what removes elements removes its snapshots.
    rig.ask(se(ss, "s"), "remove", json!({})).await.expect("removed");
    assert_eq!((rig.fake.called("snapRemove"), rig.fake.called("remove")), (1, 1));
    assert!(!rig.agent.snapshot().servers[&ss].elements.by_id.contains_key("s"));
}

#[tokio::test]
async fn work_that_goes_on_is_followed_to_its_end() {
    let (home, rig, ss) = with(&[("clone_is_sync", "NO")]).await;
    let handle = json!({"$bytes": "gAJ9cQEugf8="});
    let given = handle.clone();
    rig.fake.when("clone", move |_| {
        let mut made = element("c", 1);
        made["state"] = 3.into();
        made["async_handle"] = given.clone();
        Ok(made)
    });
    let asked = AtomicUsize::new(0);
    rig.fake.when("getAsyncProgress", move |args| {
        let mut record = args["record"].clone();
        record["async_progress"] = match asked.fetch_add(1, Ordering::Relaxed) {
            0 => json!(-1),
            1 => json!("40"),
            2 => json!(100),
            _ => {
                record["state"] = 1.into();
                Value::Null
            }
        };
        Ok(record)
    });
    let seq = rig.agent.snapshot().seq;
    let result = rig.ask(se(ss, "a"), "clone", json!({"name": "c"})).await.expect("a clone");
    assert_eq!((&result["state"], rig.fake.called("getAsyncProgress")), (&json!("OFFLINE"), 4));
    assert_eq!(rig.fake.last("getAsyncProgress")["record"]["async_handle"], handle);
    let lines: Vec<_> = rig.agent.events_since(seq).into_iter().map(|(_, line)| line).collect();
    for part in ["BUSY_CLONE", "\"progress\":40", "\"progress\":100", "\"state\":\"succeeded\""] {
        assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains("async_") || line.contains("gAJ9")));
    rig.agent.shutdown().await;
    for file in std::fs::read_dir(home.path()).expect("the state directory").flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        assert!(!bytes.windows(4).any(|window| window == b"gAJ9"), "{:?}", file.path());
    }
}

#[tokio::test]
async fn an_unusable_answer_is_the_plug_ins_fault_and_changes_nothing() {
    let (_home, rig, ss) = with(&[]).await;
    for answer in [Value::Null, json!(5), json!("done"), json!({}), json!({"size": 3})] {
        let given = answer.clone();
        rig.fake.when("createSnap", move |_| Ok(given.clone()));
        let error = rig.ask(se(ss, "a"), "snapshot", json!({"name": "s"})).await.expect_err("a fault");
        assert_eq!(error.kind(), Kind::PluginFault, "{answer}: {error}");
        assert_eq!((error.plugin(), error.method()), (Some(PLUGIN), Some("createSnap")));
    }
    assert_eq!(rig.agent.snapshot().servers[&ss].elements.by_id.len(), 2);
    // A change that answers nothing was made all the same.
    rig.fake.when("resize", |_| Ok(Value::Null));
    rig.ask(se(ss, "a"), "resize", json!({"size": 5})).await.expect("resized");
}

#[tokio::test]
async fn access_groups_are_shown_as_the_array_has_them_afterwards() {
    let (_home, rig, ss) = with(&[]).await;
    let group = json!({"grp_name": "g", "grp_entries": ["h"], "grp_modes": []});
    let groups = json!([group.clone()]);
    let (made, listed) = (groups.clone(), groups.clone());
    rig.fake.when("createAccessGroups", move |_| Ok(made.clone()));
    rig.fake.when("getAccessGroups", move |_| Ok(listed.clone()));
    let result = rig.ask(Target::Server(ss), "create-access-groups", json!({"groups": group})).await;
    assert_eq!(result.expect("made"), groups);
    let record = rig.agent.snapshot().servers[&ss].record.clone();
    assert_eq!(crate::operation::merge::public(&*record)["access_grps"], groups);
    rig.fake.when("removeAccessGroups", |_| Ok(json!([])));
    rig.fake.when("getAccessGroups", |_| Ok(json!([])));
    rig.ask(Target::Server(ss), "remove-access-groups", json!({"groups": "g"})).await.expect("removed");
    assert_eq!(rig.fake.last("removeAccessGroups")["access_grps"], groups);
}

#[tokio::test]
async fn the_error_of_the_plug_in_is_the_operations() {
    let (_home, rig, ss) = with(&[]).await;
    rig.fake.when("createSnap", |_| {
        Err(Error::new(Kind::CreateSnapFailed, "no room")
            .in_method(PLUGIN, "createSnap")
            .with_traceback("Traceback"))
    });
    let id = rig.submit(se(ss, "a"), "snapshot", json!({"name": "s"})).await.expect("accepted");
    let error = rig.agent.wait(id, PATIENCE).await.expect_err("a failure");
    assert_eq!((error.kind(), error.operation()), (Kind::CreateSnapFailed, Some(id)));
    let operation = rig.agent.snapshot().operations[&id].to_json();
    assert_eq!((&operation["state"], &operation["error"]["message"]), (&json!("failed"), &json!("no room")));
    assert_eq!((&operation["uid"], &operation["door"]), (&json!(7), &json!("tree")));
}
