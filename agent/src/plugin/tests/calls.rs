//! What a call returns, raises, keeps and leaves behind.

use super::*;
use crate::error::Kind;

async fn each(functions: &str, test: impl AsyncFn(&mut Rig)) {
    for python in pythons() {
        let mut rig = Setup::with(functions).under(python).start().await;
        test(&mut rig).await;
        rig.runtime.shutdown().await;
    }
}

#[tokio::test]
async fn values_arrive_as_they_were_returned() {
    let functions = r#"
def values(ss): return {"n": None, "t": True, "i": -5, "f": 1.5, "l": [1, (2, 3)], "u": u"\xe9", "e": SE_STATES.ONLINE}
def none(ss): return None
def big(ss): return "x" * (10 << 20)
def many(ss): return [{"name": "e%d" % n} for n in range(10000)]
def empty(ss): return []
def args(ss): return ss["given"]
"#;
    each(functions, async |rig| {
        let values = rig.act("values").await.unwrap();
        assert_eq!(values["l"], json!([1, [2, 3]]));
        assert_eq!((&values["u"], &values["n"], &values["f"]), (&json!("é"), &Value::Null, &json!(1.5)));
        assert!(values["e"].is_number());
        assert_eq!(rig.act("big").await.unwrap().as_str().unwrap().len(), 10 << 20);
        assert_eq!(rig.act("none").await.unwrap(), Value::Null);
        let (result, items) = rig.list("many").await;
        assert_eq!((result.unwrap(), items.len()), (Value::Null, 10000));
        assert_eq!(items[9999], json!({"name": "e9999"}));
        assert_eq!(rig.list("empty").await.0.unwrap(), Value::Null);
        let given = json!({"text": "ü\n\u{0}", "handle": {"$bytes": "gAL/"}, "list": [[], {}]});
        assert_eq!(rig.act_with("args", "given", given.clone()).await.unwrap()["list"], given["list"]);
        let handle = &rig.act_with("args", "given", given.clone()).await.unwrap()["handle"];
        assert_eq!(*handle, given["handle"], "byte for byte");
    })
    .await;
}

#[tokio::test]
async fn an_answer_of_the_wrong_form_is_a_fault_told_once() {
    let functions = r#"
def none(ss): return None
def number(ss): return 7
def mixed(ss): return [{}, None]
def object_(ss): return object()
"#;
    each(functions, async |rig| {
        for (what, text) in
            [("none", "returned None"), ("number", "returned a number"), ("mixed", "a list with None in it")]
        {
            for _ in 0..2 {
                let error = rig.list(what).await.0.unwrap_err();
                assert_eq!(error.kind(), Kind::PluginFault);
                assert!(error.message().contains(text), "{error}");
                assert_eq!((error.plugin(), error.method()), (Some(IMPL), Some("list")));
                assert!(error.operation().is_some());
            }
        }
        let error = rig.make(call_of("validate", json!({"do": "none"}))).await.unwrap_err();
        assert_eq!(error.message(), "validate has to return a dict (ss_record), and returned None");
        let error = rig.act("object_").await.unwrap_err();
        assert_eq!(error.kind(), Kind::PluginFault);
        assert!(error.message().contains("TypeError"), "{error}");
        assert_eq!(rig.problems().len(), 5, "one for each kind of fault");
        assert_eq!(rig.plugin(IMPL).unwrap().status.problems.len(), 5);
    })
    .await;
}

#[tokio::test]
async fn exceptions_arrive_as_their_kinds_with_key_and_traceback() {
    let functions = r#"
class Own(OperationFailedEx): pass
def missing(ss): raise MissingKeyEx("no such key", "size")
def busy(ss): raise StorageElementBusyEx("mapped to h1")
def license(ss): raise InvalidStorageArrayEx("not mine")
def own(ss): raise Own("strange")
def other(ss): return {}["x"]
def leave(ss): sys.exit(3)
"#;
    each(functions, async |rig| {
        let error = rig.act("missing").await.unwrap_err();
        assert_eq!(
            (error.kind(), error.key(), error.message()),
            (Kind::MissingKey, Some("size"), "no such key")
        );
        assert!(error.traceback().unwrap().contains("Rig.py"));
        assert_eq!(rig.act("busy").await.unwrap_err().kind(), Kind::StorageElementBusy);
        assert_eq!(rig.act("license").await.unwrap_err().kind(), Kind::PluginFault);
        let validated = rig.make(call_of("validate", json!({"do": "license"}))).await;
        assert_eq!(validated.unwrap_err().kind(), Kind::InvalidStorageArray);
        for (what, text) in
            [("own", "Own, a class of its own"), ("other", "KeyError"), ("leave", "sys.exit(3)")]
        {
            let error = rig.act(what).await.unwrap_err();
            assert_eq!(error.kind(), Kind::PluginFault);
            assert!(error.message().contains(text), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_cache_is_shared_by_calls_workers_and_interpreters() {
    let functions = r#"
SS = "11111111-2222-3333-4444-555555555555"
def keep(ss): IPlugin.cache.set(SS, "k", "v" + "\n1"); return 1
def kept(ss): return IPlugin.cache.get(SS, "k")
def clear(ss): IPlugin.cache.clear(SS)
"#;
    let mut setup = Setup::with(functions);
    let second = functions.to_owned();
    write(&setup.dir, "acme/other/__init__.py", "osc_isa_plugins = ['acme.other.Rig.Rig']\n");
    write(&setup.dir, "acme/other/Rig.py", &format!("{RIG}{second}"));
    let last = pythons().last().unwrap();
    setup.config.interpreters.insert("acme.other".into(), last.clone());
    let rig = setup.under(&pythons()[0]).start().await;
    let other = async |what: &str| {
        let call = call_of("getStorageNames", json!({"do": what}));
        rig.runtime.call("acme.other.Rig.Rig", call, &mut |_| {}).await.unwrap()
    };
    assert_eq!(rig.act("kept").await.unwrap(), Value::Null);
    rig.act("keep").await.unwrap();
    assert_eq!(rig.act("kept").await.unwrap(), "v\n1");
    assert_eq!(other("kept").await, "v\n1");
    rig.runtime.reload(Some("acme.other")).await.unwrap();
    assert_eq!(other("kept").await, "v\n1", "a new worker");
    other("clear").await;
    assert_eq!(rig.act("kept").await.unwrap(), Value::Null);
    other("keep").await;
    rig.runtime.forget_cache("11111111-2222-3333-4444-555555555555".parse().unwrap());
    assert_eq!(rig.act("kept").await.unwrap(), Value::Null);
}

#[tokio::test]
async fn a_hundred_calls_at_once_do_not_see_each_other() {
    let functions = r#"
LEFT = []
def add(ss):
    LEFT.append(ss["n"])
    time.sleep(0.02)
    return LEFT
"#;
    each(functions, async |rig| {
        let calls = (0..100).map(|number| rig.act_with("add", "n", number));
        let answers = futures_util::future::join_all(calls).await;
        for (number, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.unwrap(), json!([number]));
        }
    })
    .await;
}

#[tokio::test]
async fn a_call_runs_in_a_clean_process() {
    let functions = r#"
def look(ss):
    fds = [int(n) for n in os.listdir("/proc/self/fd")]
    links = {}
    for n in fds:
        try: links[str(n)] = os.readlink("/proc/self/fd/%d" % n)
        except OSError: pass
    old = os.umask(0o22)
    return {"env": sorted(os.environ), "fds": links, "umask": old, "cwd": os.getcwd(),
            "oom": open("/proc/self/oom_score_adj").read().strip(),
            "stdin": sys.stdin.read(), "group": os.getpgrp() == os.getpid()}
"#;
    each(functions, async |rig| {
        let seen = rig.act("look").await.unwrap();
        assert_eq!(seen["env"], json!(["HOME", "LANG", "PATH", "TMPDIR"]));
        assert_eq!((&seen["umask"], &seen["cwd"]), (&json!(0o077), &json!("/")));
        assert_eq!(seen["oom"], "500");
        assert_eq!((&seen["stdin"], &seen["group"]), (&json!(""), &json!(true)));
        let fds = seen["fds"].as_object().unwrap();
        assert_eq!(fds["0"], "/dev/null");
        let others = fds.iter().filter(|(number, _)| number.parse::<u32>().unwrap() > 2);
        let sockets = others.filter(|(_, link)| link.as_str().unwrap().starts_with("socket:")).count();
        assert_eq!(sockets, 1, "{fds:?}");
        // Python 2 keeps its source of random numbers open.
        let expected = |link: &str| {
            ["pipe:", "socket:", "/dev/null", "/dev/urandom"].iter().any(|start| link.starts_with(start))
        };
        assert!(fds.values().all(|link| expected(link.as_str().unwrap())), "{fds:?}");
    })
    .await;
}

#[tokio::test]
async fn credentials_are_in_no_command_line_environment_or_error() {
    let functions = r#"
def look(ss):
    found = []
    for pid in (os.getpid(), os.getppid()):
        for name in ("cmdline", "environ"):
            if b"Tr0ub4dor" in open("/proc/%d/%s" % (pid, name), "rb").read(): found.append(name)
    return found
def leak(ss): raise ValueError("cannot log in with " + ss["admin_passwd"])
"#;
    each(functions, async |rig| {
        let found = rig.act_with("look", "admin_passwd", "Tr0ub4dor&3").await.unwrap();
        assert_eq!(found, json!([]));
        let error = rig.act_with("leak", "admin_passwd", "Tr0ub4dor&3").await.unwrap_err();
        assert!(error.message().contains("cannot log in with"), "{error}");
        assert!(!format!("{error:?} {:?}", error.traceback()).contains("Tr0ub4dor"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn too_large_an_answer_is_a_fault_that_names_the_limit() {
    let functions = r#"
def big(ss): return "x" * (3 << 20)
def many(ss): return [{"x": "y" * (1 << 19)} for _ in range(10)]
def endless(ss):
    while True: IPlugin.logger.info("x" * 60000)
def small(ss): return 1
"#;
    let mut setup = Setup::with(functions);
    (setup.config.limits.value, setup.config.limits.output) = (2 << 20, 4 << 20);
    let rig = setup.start().await;
    for (error, limit) in [
        (rig.act("big").await.unwrap_err(), "2097152 bytes"),
        (rig.list("many").await.0.unwrap_err(), "4194304 bytes"),
        (rig.act("endless").await.unwrap_err(), "4194304 bytes"),
    ] {
        assert_eq!(error.kind(), Kind::PluginFault);
        assert!(error.message().contains(limit), "{error}");
    }
    assert_eq!(rig.act("small").await.unwrap(), 1);
}

#[tokio::test]
async fn calls_beyond_the_limit_wait_for_a_place() {
    let functions = "def nap(ss):\n    time.sleep(0.1)\n    return 1\n";
    let mut setup = Setup::with(functions);
    setup
        .config
        .module_limits
        .insert(MODULE.into(), crate::config::Limits { calls: 2, ..Default::default() });
    let rig = setup.start().await;
    let answers = futures_util::future::join_all((0..7).map(|_| rig.act("nap"))).await;
    assert!(answers.into_iter().all(|answer| answer.is_ok()));
}
