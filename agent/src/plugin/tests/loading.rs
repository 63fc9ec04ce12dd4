//! What becomes of modules that can, cannot or only partly be loaded.

use super::*;
use crate::error::Kind;

const STOCK: &[&str] = &[
    "osc.filearray.FileArray.FileArray", //
    "osc.generic.NFSPlugin.GenericNFSPlugin",
    "osc.generic.SCSIPlugin.GenericPlugin",
    "osc.lio.LIOArray.LIOArray",
    "osc.localfs.LocalFS.LocalFS",
    "osc.ocfs2.OCFS2.OCFS2Plugin",
];

#[tokio::test]
async fn the_stock_plugins_serve_and_a_call_waits_for_them() {
    let mut rig = Setup::new().start().await;
    for name in STOCK {
        let plugin =
            rig.until(name, |plugin| plugin.is_some_and(|plugin| plugin.status.usable)).await.unwrap();
        assert_eq!(plugin.status.problems, [""; 0], "{name}");
        assert!(plugin.status.interpreter.as_deref().unwrap().starts_with("Python 3"));
    }
    assert_eq!(rig.runtime.plugins().len(), STOCK.len());
}

#[tokio::test]
async fn a_call_right_after_start_waits_until_the_module_is_loaded() {
    let rig = Setup::with("time.sleep(0.5)\ndef seven(ss): return 7\n").start().await;
    assert!(rig.runtime.plugins().is_empty());
    assert_eq!(rig.act("seven").await.unwrap(), 7);
}

#[tokio::test]
async fn a_syntax_error_is_told_with_file_and_line_for_each_interpreter_and_hurts_nobody_else() {
    let setup = Setup::with("def one(ss): return 1\n");
    write(&setup.dir, "acme/bad/__init__.py", "osc_isa_plugins = ['acme.bad.X.X']\n");
    write(&setup.dir, "acme/bad/deep/x.py", "a = 1\nb = = 2\n");
    let mut rig = setup.start().await;
    let error = rig.until_error("acme.bad").await;
    let place = rig.dir.join("acme/bad/deep/x.py:2");
    let places = error.matches(&*place.to_string_lossy()).count();
    assert_eq!(places, pythons().len(), "{error}");
    let plugin = rig.plugin("acme.bad").unwrap();
    assert_eq!((plugin.plugin_type, plugin.status.usable), (None, false));
    let refused =
        rig.runtime.call("acme.bad.X.X", call_of("list", json!({})), &mut |_| {}).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::PluginUnavailable);
    assert!(refused.message().contains("x.py:2"), "{refused}");
    assert_eq!(rig.act("one").await.unwrap(), 1);
}

#[tokio::test]
async fn a_module_of_2010_runs_under_python_2() {
    if !has_python2() {
        return;
    }
    let setup = Setup::with(
        "def old(ss):\n    try: 1/0\n    except ZeroDivisionError, error: return {'a': 1}.has_key('a')\n",
    );
    let mut rig = setup.start().await;
    assert!(rig.until_usable().await.status.interpreter.as_deref().unwrap().starts_with("Python 2.7"));
    assert_eq!(rig.act("old").await.unwrap(), true);
}

#[tokio::test]
async fn what_compiles_under_python_3_and_imports_only_under_2_runs_under_2() {
    if !has_python2() {
        return;
    }
    let setup = Setup::with("def old(ss): return sys.version_info[0]\nimport cPickle, StringIO, urllib2\n");
    let rig = setup.start().await;
    assert_eq!(rig.act("old").await.unwrap(), 2);
}

#[tokio::test]
async fn no_interpreter_is_the_error_of_that_module_alone() {
    let setup = Setup::with("def one(ss): return 1\n").under(Path::new("/nowhere/python3"));
    let mut rig = setup.start().await;
    let error = rig.until_error(MODULE).await;
    assert!(error.contains("/nowhere/python3"), "{error}");
    let stock = "osc.filearray.FileArray.FileArray";
    rig.until(stock, |plugin| plugin.is_some_and(|plugin| plugin.status.usable)).await;
}

#[tokio::test]
async fn an_import_that_hangs_is_ended_at_its_deadline() {
    let mut setup = Setup::with("");
    write(&setup.dir, "acme/rig/__init__.py", "import os, time\nopen('/dev/null')\ntime.sleep(3600)\n");
    setup.config.import_deadline = Duration::from_millis(700);
    let mut rig = setup.start().await;
    let error = rig.until_error(MODULE).await;
    assert!(error.contains("importing acme.rig did not end within 700ms"), "{error}");
    eventually("nothing of it is left", || {
        !std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            let words = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            words.contains("osc_worker.py") && words.contains(&*rig.dir.to_string_lossy())
        })
    })
    .await;
}

#[tokio::test]
async fn a_missing_class_and_a_missing_method_are_told_and_the_other_classes_serve() {
    let setup = Setup::with("def one(ss): return 1\n");
    let names = "['acme.rig.Rig.Rig', 'acme.rig.Rig.Ghost', 'acme.rig.Poor.Poor']";
    write(&setup.dir, "acme/rig/__init__.py", &format!("osc_isa_plugins = {names}\n"));
    let poor = RIG.replace("class Rig", "class Poor").replace("    def validate", "    def validated");
    write(&setup.dir, "acme/rig/Poor.py", &poor);
    let mut rig = setup.start().await;
    assert_eq!(rig.act("one").await.unwrap(), 1);
    let ghost = rig.until_error("acme.rig.Rig.Ghost").await;
    assert!(ghost.contains("acme.rig.Rig.Ghost") && ghost.contains("Ghost"), "{ghost}");
    let poor = rig.until_error("acme.rig.Poor.Poor").await;
    assert!(poor.contains("acme.rig.Poor.Poor") && poor.contains("validate"), "{poor}");
    assert_eq!(rig.plugin("acme.rig.Poor.Poor").unwrap().plugin_type, Some(PluginType::StorageArray));
    let call = call_of("list", json!({}));
    let error = rig.runtime.call("acme.rig.Poor.Poor", call, &mut |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), Kind::PluginUnavailable);
    assert!(error.message().contains("validate"), "{error}");
}

#[tokio::test]
async fn an_import_that_exits_or_dies_is_told() {
    let setup = Setup::new();
    write(&setup.dir, "acme/dies/__init__.py", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n");
    write(&setup.dir, "acme/exits/__init__.py", "import sys\nsys.exit('no licence')\n");
    write(&setup.dir, "acme/raises/__init__.py", "1/0\n");
    let mut rig = setup.start().await;
    for (name, text) in [
        ("acme.dies", "was killed by SIGKILL"),
        ("acme.exits", "no licence"),
        ("acme.raises", "ZeroDivisionError in "),
    ] {
        let error = rig.until_error(name).await;
        assert!(error.contains(text) && error.contains(name), "{error}");
    }
}

#[tokio::test]
async fn printing_is_told_once() {
    let mut rig =
        Setup::with("print('hello')\ndef say(ss):\n    print('x' * 100000)\n    return 1\n").start().await;
    for _ in 0..3 {
        rig.act("say").await.unwrap();
    }
    let prints = |plugin: Option<&Plugin>| plugin.is_some_and(|plugin| !plugin.status.problems.is_empty());
    rig.until(IMPL, prints).await;
    rig.act("say").await.unwrap();
    assert_eq!(rig.plugin(IMPL).unwrap().status.problems, ["prints to standard output"]);
}

#[tokio::test]
async fn the_first_directory_that_has_a_module_wins_and_says_so() {
    let mut setup = Setup::with("def who(ss): return 'first'\n");
    let second = setup.home.path().join("second");
    write(&second, "acme/rig/__init__.py", INIT);
    write(&second, "acme/rig/Rig.py", &format!("{RIG}def who(ss): return 'second'\n"));
    setup.config.plugin_dirs.push(second.clone());
    let mut rig = setup.start().await;
    assert_eq!(rig.act("who").await.unwrap(), "first");
    let plugin = rig.until_usable().await;
    assert!(plugin.status.problems[0].contains(&*second.to_string_lossy()), "{:?}", plugin.status);
}
