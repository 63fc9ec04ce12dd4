//! Modules that come, change and go while the agent runs.

use super::*;
use crate::error::Kind;

#[tokio::test]
async fn a_module_can_be_installed_replaced_and_erased_while_the_agent_runs() {
    let mut rig = Setup::new().start().await;
    assert_eq!(rig.act("who").await.unwrap_err().kind(), Kind::PluginUnavailable);

    // The plug-in directory itself does not exist yet.
    write(&rig.dir, "acme/rig/Rig.py", &format!("{RIG}def who(ss): return 1\n"));
    write(&rig.dir, "acme/rig/__init__.py", INIT);
    rig.until_usable().await;
    assert_eq!(rig.act("who").await.unwrap(), 1);

    write(&rig.dir, "acme/rig/Rig.py", &format!("{RIG}def who(ss): return 2\n"));
    until_answers(&rig, "who", json!(2)).await;

    std::fs::remove_dir_all(rig.dir.join("acme")).unwrap();
    rig.until(IMPL, |plugin| plugin.is_none()).await;
    assert_eq!(rig.act("who").await.unwrap_err().kind(), Kind::PluginUnavailable);

    write(&rig.dir, "acme/rig/Rig.py", &format!("{RIG}def who(ss): return 3\n"));
    write(&rig.dir, "acme/rig/__init__.py", INIT);
    rig.until_usable().await;
    assert_eq!(rig.act("who").await.unwrap(), 3);
}

async fn until_answers(rig: &Rig, what: &str, wanted: Value) {
    let waiting = async {
        while rig.act(what).await.ok().as_ref() != Some(&wanted) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "{what} never answered {wanted}");
}

#[tokio::test]
async fn a_directory_moved_into_place_is_noticed() {
    let mut rig = Setup::new().start().await;
    let aside = rig.dir.with_extension("aside");
    write(&aside, "acme/rig/Rig.py", &format!("{RIG}def who(ss): return 1\n"));
    write(&aside, "acme/rig/__init__.py", INIT);
    std::fs::rename(&aside, &rig.dir).unwrap();
    rig.until_usable().await;
    write(&rig.dir, "acme/rig/Rig.py", &format!("{RIG}def who(ss): return 2\n"));
    until_answers(&rig, "who", json!(2)).await;
}

#[tokio::test]
async fn a_call_in_flight_ends_on_the_version_it_began_on() {
    let slow = "def who(ss):\n    time.sleep(ss.get('nap', 0))\n    return VERSION\n";
    let mut rig = Setup::with(&format!("VERSION = 1\n{slow}")).start().await;
    rig.until_usable().await;
    let old = rig.act_with("who", "nap", 3);
    tokio::pin!(old);
    // Until the worker has it.
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut old).await.is_err());
    write(&rig.dir, "acme/rig/Rig.py", &format!("{RIG}VERSION = 2\n{slow}"));
    tokio::select! {
        _ = &mut old => panic!("the new version did not come while the old one's call ran"),
        () = until_answers(&rig, "who", json!(2)) => {}
    }
    assert_eq!(old.await.unwrap(), 1);
}

#[tokio::test]
async fn a_broken_version_leaves_the_old_one_serving_and_says_why() {
    let good = format!("{RIG}def who(ss): return 1\n");
    let mut rig = Setup::with("def who(ss): return 1\n").start().await;
    rig.until_usable().await;
    for (broken, reason) in [
        ("def who(ss) return 2\n".to_owned(), "SyntaxError"),
        (format!("{RIG}import nowhere_to_be_found\n"), "nowhere_to_be_found"),
        (good.replace("def list", "def lists"), "list"),
    ] {
        write(&rig.dir, "acme/rig/Rig.py", &broken);
        let error = rig.until_error(IMPL).await;
        assert!(error.contains("still serves") && error.contains(reason), "{error}");
        assert!(rig.plugin(IMPL).unwrap().status.usable);
        assert_eq!(rig.act("who").await.unwrap(), 1);
        let error = rig.runtime.reload(Some(MODULE)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::PluginUnavailable);
        assert!(error.message().contains(reason), "{error}");

        write(&rig.dir, "acme/rig/Rig.py", &good);
        rig.until(IMPL, |plugin| plugin.is_some_and(|plugin| plugin.status.error.is_none())).await;
    }
}

#[tokio::test]
async fn compiled_files_and_unchanged_content_load_nothing() {
    let rig = Setup::with("def pid(ss): return os.getppid()\n").start().await;
    let worker = rig.act("pid").await.unwrap();
    write(&rig.dir, "acme/rig/__pycache__/Rig.cpython-311.pyc", "x");
    write(&rig.dir, "acme/rig/Rig.pyc", "x");
    write(&rig.dir, "acme/rig/__init__.py", INIT);
    // What comes after them has been noticed, so they have been.
    write(&rig.dir, "acme/other/__init__.py", "1/0\n");
    let mut rig = rig;
    rig.until_error("acme.other").await;
    assert_eq!(rig.act("pid").await.unwrap(), worker);
    rig.runtime.reload(Some(MODULE)).await.unwrap();
    assert_ne!(rig.act("pid").await.unwrap(), worker, "reloading by name always does");
}

#[tokio::test]
async fn reloading_what_is_not_installed_is_not_found() {
    let rig = Setup::with("").start().await;
    let error = rig.runtime.reload(Some("acme.ghost")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.message().contains("acme.ghost"), "{error}");
    rig.runtime.reload(None).await.unwrap();
}

#[tokio::test]
async fn no_call_is_lost_while_versions_are_exchanged() {
    let mut rig = Setup::with("def who(ss): return 0\n").start().await;
    rig.until_usable().await;
    let runtime = rig.runtime.clone();
    let calls = tokio::spawn(async move {
        let mut answers = Vec::new();
        while answers.last().is_none_or(|last| *last != 5) {
            let call = call_of("getStorageNames", json!({"do": "who"}));
            answers.push(runtime.call(IMPL, call, &mut |_| {}).await.unwrap());
        }
        answers
    });
    for version in 1..=5 {
        write(&rig.dir, "acme/rig/Rig.py", &format!("{RIG}def who(ss): return {version}\n"));
        rig.runtime.reload(Some(MODULE)).await.unwrap();
    }
    let answers = tokio::time::timeout(PATIENCE, calls).await.unwrap().unwrap();
    assert!(answers.is_sorted_by_key(|answer| answer.as_i64()), "{answers:?}");
}
