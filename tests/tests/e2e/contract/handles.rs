//! Work that goes on after its call (`*_is_sync` is NO), and the handle that it goes by.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tests::daemon::Agent;
use tests::need::Python;
use tests::shell::sh;
use tests::{eventually, program};

use crate::puppet::{self, Puppet, plugin};

/// Every byte, in a string that Python 2 pickles as its users did, with a mark to look for.
const HANDLE: &str = "import pickle\n\
    every = bytes(bytearray(range(256)))\n\
    handle = 'handle-mark' + every if str is bytes else b'handle-mark' + every\n\
    pickled = pickle.dumps({'a': every, 'b': (1, 2.5, None), 'm': 'handle-mark'}, 0)\n";

fn asynchronous(agent: &Agent, name: &str) -> Puppet {
    let puppet = Puppet::strings(agent, name);
    puppet.script(
        "getCapabilities",
        "answer = dict(answer, snap_is_sync=ABILITY_TYPES.NO, clone_is_sync=ABILITY_TYPES.NO)",
    );
    agent.register(&plugin("Array.Array"), &puppet.record("Array.Array"));
    puppet
}

pub fn bytes(python: Python) {
    let agent = puppet::agent(python);
    let puppet = asynchronous(&agent, "handles");
    for (number, kind) in ["handle", "pickled"].into_iter().enumerate() {
        puppet
            .script("createSnap", &format!("{HANDLE}answer.update(async_handle={kind}, async_progress=-1)"));
        // Unknown at first, then in percent, then done; and the handle judged where it came from.
        puppet.script(
            "getAsyncProgress",
            &format!(
                "import os\n{HANDLE}place = os.path.join(home, 'asked{number}')\n\
                 asked = os.path.getsize(place) if os.path.exists(place) else 0\n\
                 open(place, 'a').write('x')\n\
                 note(home, {{'method': 'judged', 'args': record['async_handle'] == {kind} and type(record['async_handle']) is type({kind})}})\n\
                 answer = dict(record, async_progress=[-1, 0, 55, 100, None][min(asked, 4)])"
            ),
        );
        let from = puppet.notes().len();
        let snapshot = puppet.server.join("se-by-name/lun/snapshot");
        let seen = watch_while(&agent, || agent.write(&snapshot, &format!("s{number}")));
        let judged = puppet.calls("judged", from);
        assert_eq!(judged, vec![json!(true); 5], "{kind} came back as something else");
        assert!(seen.contains(&55) || seen.contains(&100), "{seen:?}");
        assert!(seen.iter().all(|percent| [0, 55, 100].contains(percent)), "{seen:?}");
    }
    // Nowhere that anybody could see it.
    let address = &agent.bus.as_ref().unwrap().address;
    let bus = sh(&format!(
        "busctl --address='{address}' tree --list org.storageconnect.Agent1 | grep ^/ | while read -r path; do \
         gdbus call --address '{address}' --dest org.storageconnect.Agent1 --object-path $path \
         --method org.freedesktop.DBus.Properties.GetAll ''; done"
    ))
    .stdout;
    assert!(bus.contains("succeeded"), "{bus}");
    let tree = sh(&format!("find {} -type f | xargs cat", agent.root().display())).stdout;
    let listed = agent.oscctl(["-o", "json", "op", "list"]).stdout;
    for (place, text) in
        [("D-Bus", &bus), ("the tree", &tree), ("the log", &agent.log()), ("oscctl", &listed)]
    {
        for word in ["handle-mark", "async_handle", "aGFuZGxlLW1hcms"] {
            assert!(!text.contains(word), "{word} is in {place}");
        }
    }
    let kept = sh(&format!("grep -rlaE 'handle-mark|async_handle|aGFuZGxlLW1hcms' {}", kept(&agent)));
    assert_eq!(kept.stdout, "", "the state directory holds the handle");
}

/// The same for a file, whose record the agent keeps nowhere.
pub fn files(python: Python) {
    let agent = puppet::agent(python);
    let puppet = Puppet::strings(&agent, "files");
    puppet.script("getCapabilities", "answer = dict(answer, snap_is_sync=ABILITY_TYPES.NO)");
    puppet.script("createSnap", &format!("{HANDLE}answer.update(async_handle=handle, async_progress=0)"));
    puppet.script(
        "getAsyncProgress",
        &format!(
            "import os\n{HANDLE}assert record['async_handle'] == handle, record\n\
             place = os.path.join(home, 'asked')\n\
             done = os.path.exists(place)\nopen(place, 'a').close()\n\
             answer = dict(record, async_progress=None if done else 50, file_sz=4242)"
        ),
    );
    agent.register(&plugin("Files.Files"), &puppet.record("Files.Files"));
    let told = agent.oscctl(["-o", "json", "call", "files/one", "file-snapshot", "path=a", "name=s"]).ok();
    assert!(told.contains("4242") && !told.contains("async_handle"), "{told}");
    assert_eq!(puppet.calls("getAsyncProgress", 0).len(), 2);
    assert!(!agent.oscctl(["-o", "json", "op", "list"]).ok().contains("handle-mark"));

    // The file system that a file is in is not the plug-in's to change.
    puppet.script("getFileInfo", "answer['fs_uuid'] = '99999999-8888-7777-6666-555555555555'");
    let told = agent.oscctl(["-o", "json", "call", "files/one", "file-info", "a"]).ok();
    assert!(!told.contains("99999999"), "{told}");
    agent.logged("getFileInfo answered fs_uuid: ");
}

/// What of the state directory outlives a run: not the SDK's code in `run`, nor the strings.
fn kept(agent: &Agent) -> String {
    let all = agent.state().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let kept: Vec<_> =
        all.filter(|path| !path.ends_with("run")).map(|path| path.display().to_string()).collect();
    assert!(!kept.is_empty());
    kept.join(" ")
}

/// The progress that operations show meanwhile.
fn watch_while(agent: &Agent, act: impl FnOnce() + Send) -> Vec<i64> {
    let root = agent.root().join("op");
    std::thread::scope(|scope| {
        let acting = scope.spawn(act);
        let mut seen = Vec::new();
        while !acting.is_finished() {
            for entry in root.read_dir().unwrap().flatten() {
                let record = std::fs::read_to_string(entry.path().join("record")).unwrap_or_default();
                let record: Value = serde_json::from_str(&record).unwrap_or_default();
                if record["state"] == "running"
                    && let Some(percent) = record["progress"].as_i64()
                {
                    seen.push(percent);
                }
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        acting.join().unwrap();
        seen.dedup();
        seen
    })
}

pub fn killed(python: Python) {
    let mut agent = puppet::agent(python);
    let puppet = asynchronous(&agent, "killed");
    puppet.script("clone", "answer.update(async_handle='h', async_progress=-1)");
    puppet.script("getAsyncProgress", "answer = dict(record, async_progress=10)");
    let bus = agent.bus.as_ref().unwrap().address.clone();
    let mut waiting = std::process::Command::new(program("oscctl"))
        .args(["--bus", &bus, "call", "killed/lun", "clone", "c1"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("the first question", || puppet.calls("getAsyncProgress", 0).pop());
    agent.end(Signal::SIGKILL);
    let _ = waiting.wait();
    // The work was done while nobody looked.
    puppet.script("list", "answer.append(dict(answer[0], name='c1', id='c1', se_type='Clone', page83_id='36c1',\n uuid='11111111-2222-3333-4444-777777777777'))");
    agent.launch();
    let ops = agent.oscctl(["-o", "json", "op", "list"]).ok();
    let ops: Value = serde_json::from_str(&ops).unwrap();
    let clone =
        ops.as_array().unwrap().iter().find(|op| op.to_string().contains("\"clone\"")).unwrap().to_string();
    assert!(clone.contains("interrupted") && clone.contains("the next refresh tells"), "{clone}");
    agent.write(&puppet.server.join("refresh"), "now");
    assert_eq!(agent.record(&agent.element(&puppet.server, "c1"))["se_type"], "Clone");
}
