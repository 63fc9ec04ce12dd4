//! Calls and workers that end badly, and what ends with them.

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
async fn a_call_that_kills_itself_takes_nobody_along() {
    let functions = r#"
def die(ss): os.kill(os.getpid(), signal.SIGKILL)
def leave(ss): os._exit(7)
def seven(ss): return 7
"#;
    each(functions, async |rig| {
        let error = rig.act("die").await.unwrap_err();
        assert_eq!(error.kind(), Kind::WorkerDied);
        assert!(error.message().contains("getStorageNames"), "{error}");
        assert_eq!(rig.act("leave").await.unwrap_err().kind(), Kind::WorkerDied);
        assert_eq!(rig.act("seven").await.unwrap(), 7);
    })
    .await;
}

const FAMILY: &str = r#"
def family(ss):
    """A child, and a grandchild that has left the session; both hold every descriptor."""
    read, write = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
        else:
            time.sleep(0.2)
        os.write(write, ("%d " % os.getpid()).encode())
        time.sleep(3600)
    pids = b""
    while pids.count(b" ") < 2:
        pids += os.read(read, 100)
    with open(ss["pids"] + ".new", "w") as out:
        out.write("%d %s" % (os.getpid(), pids.decode()))
    os.rename(ss["pids"] + ".new", ss["pids"])
    if ss.get("hang"):
        time.sleep(3600)
    if ss.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    return 1
"#;

async fn pids_in(path: &Path) -> Vec<i64> {
    eventually("the family is there", || path.exists()).await;
    let text = std::fs::read_to_string(path).unwrap();
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

#[tokio::test]
async fn children_and_grandchildren_end_with_the_call_however_it_ends() {
    each(FAMILY, async |rig| {
        for how in ["deadline", "cancel", "drop", "die", "return"] {
            let path = rig.dir.join(how);
            let mut ss_record = json!({"do": "family", "pids": path.to_str().unwrap()});
            if how != "return" {
                ss_record[if how == "die" { "die" } else { "hang" }] = true.into();
            }
            let mut call = call_of("getStorageNames", ss_record);
            let cancel = call.cancel.clone();
            if how == "deadline" {
                // Long enough for a busy machine to start the family.
                call.deadline = Duration::from_secs(6);
            }
            let running = rig.make(call);
            let stop = async {
                let pids = pids_in(&path).await;
                assert_eq!(pids.len(), 3);
                if how == "cancel" {
                    cancel.cancel();
                }
                if how != "drop" {
                    std::future::pending::<()>().await;
                }
            };
            let result = tokio::select! {
                result = running => Some(result),
                () = stop => None,
            };
            let kind = result.map(|result| result.map_err(|error| error.kind()));
            let wanted = match how {
                "deadline" => Some(Err(Kind::Timeout)),
                "cancel" => Some(Err(Kind::Cancelled)),
                "drop" => None,
                "die" => Some(Err(Kind::WorkerDied)),
                _ => Some(Ok(json!(1))),
            };
            assert_eq!(kind, wanted, "{how}");
            let pids = pids_in(&path).await;
            eventually(&format!("all are gone after {how}"), || !pids.iter().any(|pid| is_alive(*pid))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn temporary_files_go_with_the_call_however_it_ends() {
    let functions = r#"
def files(ss):
    keep = IPlugin.getNamedTemporaryFile(delete=False)
    os.mkdir(os.path.join(os.path.dirname(keep.name), "deep"))
    open(os.path.join(os.path.dirname(keep.name), "deep", "er"), "w").close()
    if ss.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    return keep.name
"#;
    each(functions, async |rig| {
        let tmp = rig.config.state_dir.join("run/tmp");
        let name = rig.act("files").await.unwrap();
        assert!(Path::new(name.as_str().unwrap()).starts_with(tmp.canonicalize().unwrap()), "{name}");
        assert_eq!(rig.act_with("files", "die", true).await.unwrap_err().kind(), Kind::WorkerDied);
        eventually("it is empty", || std::fs::read_dir(&tmp).unwrap().count() == 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_is_killed_is_started_again() {
    let functions = "def worker(ss): return os.getppid()\n";
    each(functions, async |rig| {
        for _ in 0..2 {
            let pid = rig.act("worker").await.unwrap().as_i64().unwrap();
            // SAFETY: two numbers; the process is a worker of this test.
            unsafe { libc::kill(pid as i32, libc::SIGKILL) };
            eventually("it is gone", || !is_alive(pid)).await;
            let waiting = async {
                loop {
                    match rig.act("worker").await {
                        Ok(other) if other != pid => return,
                        Ok(_) => panic!("the dead worker answered"),
                        Err(error) => {
                            assert_eq!(error.kind(), Kind::PluginUnavailable, "{error}");
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                    }
                }
            };
            assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok());
        }
    })
    .await;
}

#[tokio::test]
async fn a_call_whose_worker_is_killed_says_so_at_once() {
    let functions = "def kill(ss):\n    os.kill(os.getppid(), signal.SIGKILL)\n    time.sleep(3600)\n";
    each(functions, async |rig| {
        assert_eq!(rig.act("kill").await.unwrap_err().kind(), Kind::WorkerDied);
    })
    .await;
}

#[tokio::test]
async fn shutting_down_ends_everything() {
    let mut setup = Setup::with(FAMILY);
    setup.config.interpreters.insert(MODULE.into(), pythons().last().unwrap().clone());
    let rig = setup.start().await;
    let path = rig.dir.join("pids");
    let running = rig.make(call_of(
        "getStorageNames",
        json!({"do": "family", "hang": true, "pids": path.to_str().unwrap()}),
    ));
    let ending = async {
        let pids = pids_in(&path).await;
        rig.runtime.shutdown().await;
        pids
    };
    let (result, pids) = tokio::join!(running, ending);
    assert_eq!(result.unwrap_err().kind(), Kind::Interrupted);
    eventually("the whole family has ended", || !pids.iter().any(|pid| is_alive(*pid))).await;
    assert!(rig.act("family").await.is_err());
}

#[tokio::test]
async fn a_worker_that_has_to_be_killed_takes_its_calls_families_along() {
    let rig = Setup::with(FAMILY).start().await;
    let path = rig.dir.join("pids");
    let running = rig.make(call_of(
        "getStorageNames",
        json!({"do": "family", "hang": true, "pids": path.to_str().unwrap()}),
    ));
    let ending = async {
        let pids = pids_in(&path).await;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pids[0])).unwrap();
        let worker: i32 = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap();
        // It cannot end by itself any more.
        let worker = nix::unistd::Pid::from_raw(worker);
        nix::sys::signal::kill(worker, nix::sys::signal::Signal::SIGSTOP).unwrap();
        rig.runtime.shutdown().await;
        pids
    };
    let (result, pids) = tokio::join!(running, ending);
    assert_eq!(result.unwrap_err().kind(), Kind::Interrupted);
    eventually("the whole family has ended", || !pids.iter().any(|pid| is_alive(*pid))).await;
}

#[tokio::test]
async fn limits_of_memory_and_files_end_in_an_error_of_the_call() {
    let functions = r#"
def memory(ss): return len(bytearray(1 << 30))
def files(ss): return len([open("/dev/null") for _ in range(500)])
"#;
    for python in pythons() {
        let mut setup = Setup::with(functions).under(python);
        (setup.config.limits.memory, setup.config.limits.open_files) = (Some(512 << 20), Some(100));
        let rig = setup.start().await;
        for (what, text) in [("memory", "MemoryError"), ("files", "Too many open files")] {
            let error = rig.act(what).await.unwrap_err();
            assert_eq!(error.kind(), Kind::PluginFault);
            assert!(error.message().contains(text), "{error}");
        }
    }
}
