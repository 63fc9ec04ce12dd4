//! What lasts from one call to the next: the cache, and nothing else.

use serde_json::{Value, json};
use tests::daemon::Agent;
use tests::need::Python;
use tests::shell::sh;
use tests::{eventually, install, program};

use crate::puppet::{self, Puppet};

/// What a script noted under a name.
fn noted(puppet: &Puppet, name: &str) -> Vec<Value> {
    puppet.calls(name, 0)
}

pub fn cache() {
    let mut agent = Agent::prepare();
    install(&agent, "puppet/stage");
    // The same module under another name, for the other Python.
    let other = agent.plugins().join("puppet/twin");
    let line = format!(
        "cp -r {0}/puppet/stage {1} && sed -i s/puppet.stage/puppet.twin/ {1}/__init__.py",
        agent.plugins().display(),
        other.display()
    );
    sh(&line).ok();
    for (module, python) in [("stage", Python::Two), ("twin", Python::Three)] {
        let path = python.path().unwrap().display().to_string();
        agent.configure(&format!(
            "{}\"puppet.{module}\" = {path:?}\n",
            if module == "stage" { "[interpreters]\n" } else { "" }
        ));
    }
    agent.launch();
    let two = Puppet::register(&agent, "Array.Array", "two");
    let three = Puppet::strings(&agent, "three");
    agent.register("puppet.twin.Array.Array", &three.record("Array.Array"));
    let ss = agent.record(&two.server)["uuid"].as_str().unwrap().to_owned();
    let ask = |puppet: &Puppet, script: &str| {
        puppet.script("getStatus", script);
        agent.oscctl(["call", &puppet.name, "status"]).ok();
    };
    let look = format!("note(home, {{'method': 'got', 'args': IPlugin.cache.get({ss:?}, 'k')}})");
    // Bytes that are no text, from Python 2 to Python 3 and back, across calls.
    ask(&two, &format!("IPlugin.cache.set({ss:?}, 'k', ''.join(map(chr, range(256))), 600)"));
    let every: String = (0..256).map(|byte| format!("{byte:02x}")).collect();
    for puppet in [&two, &three] {
        ask(puppet, &look);
        assert_eq!(noted(puppet, "got").last(), Some(&json!({"hex": every})), "{}", puppet.name);
    }
    // Another process of the module: the old one is ended.
    let workers =
        sh(&format!("pgrep -f -- '--module puppet.stage --dir {}'", agent.plugins().display())).ok();
    for worker in workers.lines() {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(worker.parse().unwrap()),
            nix::sys::signal::Signal::SIGKILL,
        );
    }
    ask(&two, &look);
    assert_eq!(noted(&two, "got").len(), 2);
    assert_eq!(noted(&two, "got").last(), Some(&json!({"hex": every})));
    // Bounded: what was not used for longest goes first.
    ask(
        &three,
        &format!(
            "for n in range(40):\n    IPlugin.cache.set({ss:?}, 'n%d' % n, b'x' * (512 << 10), 600)\n    IPlugin.cache.get({ss:?}, 'k')\n\
         note(home, {{'method': 'left', 'args': [IPlugin.cache.get({ss:?}, k) is not None for k in ('k', 'n0', 'n39')]}})"
        ),
    );
    assert_eq!(noted(&three, "left").last(), Some(&json!([true, false, true])));
    // Gone with the registration.
    agent.write(&two.server.join("unregister"), "yes");
    ask(&three, &look);
    assert_eq!(noted(&three, "got").last(), Some(&Value::Null));
}

pub fn stateless(python: Python) {
    let agent = puppet::agent(python);
    let puppet = Puppet::register(&agent, "Array.Array", "calls");
    let script = "import sys, os, time, OSCPlugin, json, logging, tempfile\n\
        seen = [getattr(m, 'left', None) for m in (OSCPlugin, sys, json, logging)] + [os.environ.get('LEFT'), os.getcwd()]\n\
        for m in (OSCPlugin, sys, json, logging): m.left = os.getpid()\n\
        os.environ['LEFT'] = 'x'\nos.chdir('/tmp')\nold = os.umask(0)\n\
        temporary = IPlugin.getNamedTemporaryFile(delete=False)\n\
        fds = [fd for fd in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + fd)]\n\
        note(home, {'method': 'seen', 'args': seen + [old, sys.stdin.read(), sorted(os.environ), len(fds), os.path.dirname(temporary.name)]})\n\
        time.sleep(0.3)\n\
        assert IStorageArrayPlugin.__module__ and OSCPlugin.left == os.getpid()";
    puppet.script("getStatus", script);
    let bus = &agent.bus.as_ref().unwrap().address;
    // One after another, then together.
    for at_once in [1, 1, 8] {
        let calls: Vec<_> = (0..at_once)
            .map(|_| {
                let mut command = std::process::Command::new(program("oscctl"));
                command
                    .args(["--bus", bus, "call", "calls", "status"])
                    .stdout(std::process::Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for mut call in calls {
            assert!(call.wait().unwrap().success(), "calls saw each other");
        }
    }
    let seen = noted(&puppet, "seen");
    assert_eq!(seen.len(), 10);
    let mut folders = std::collections::BTreeSet::new();
    for call in &seen {
        for place in 0..5 {
            assert_eq!(call[place], Value::Null, "something of an earlier call is there: {call}");
        }
        assert_eq!((&call[6], &call[7]), (&json!(0o77), &json!("")), "umask and standard input: {call}");
        let environment: Vec<&str> = call[8].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let allowed = ["HOME", "LANG", "LC_CTYPE", "LEFT", "PATH", "TMPDIR"];
        assert!(environment.iter().all(|name| allowed.contains(name)), "{environment:?}");
        assert!(call[9].as_i64().unwrap() <= 8, "descriptors are open: {call}");
        let folder = call[10].as_str().unwrap();
        assert!(folders.insert(folder.to_owned()), "two calls have one temporary directory: {folder}");
        // What it held goes right after the answer.
        eventually(&format!("{folder} to go"), || (!std::path::Path::new(folder).exists()).then_some(()));
    }
}

pub fn limits(python: Python) {
    let mut agent = puppet::prepare(python);
    agent.configure(
        "[limits]\nopen_files = 400\n[module_limits.\"puppet.stage\"]\nmemory = \"600MiB\"\ncpu = 1\nopen_files = 60\n\
         value = \"1MiB\"\noutput = \"2MiB\"\n",
    );
    agent.launch();
    let puppet = Puppet::register(&agent, "Array.Array", "limits");
    // What a call does, the errors that may meet it, and a word of the message.
    let cases = [
        ("x = bytearray(1 << 30)", "PluginFault", "MemoryError"),
        ("files = [open('/dev/null') for _ in range(100)]", "PluginFault", "Too many open files"),
        ("files = [open('/dev/null') for _ in range(30)]", "", ""),
        ("while True: pass", "OperationFailed", "used up its 1 s of processor time"),
        ("answer = dict(answer, extra='x' * (3 << 19))", "PluginFault", "1 MiB"),
        ("for _ in range(300): IPlugin.logger.info('x' * 10000)", "PluginFault", "2 MiB"),
    ];
    let mut failures = Vec::new();
    for (script, error, word) in cases {
        puppet.script("getStatus", script);
        let ran = agent.oscctl(["-o", "json", "call", "limits", "status"]);
        let met = if error.is_empty() {
            ran.status == 0
        } else {
            ran.status == 1 && ran.stderr.contains(&format!("\"{error}\"")) && ran.stderr.contains(word)
        };
        if !met {
            failures.push(format!("{script}: {ran:?}"));
        }
        puppet.unscript("getStatus");
        agent.oscctl(["call", "limits", "status"]).ok();
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // Killed in the middle, a call leaves no temporary file either.
    puppet.script(
        "getStatus",
        "import os, signal\nnames = [IPlugin.getNamedTemporaryFile(delete=False, prefix='left-').name for _ in range(3)]\n\
         note(home, {'method': 'left', 'args': names})\nos.kill(os.getpid(), signal.SIGKILL)",
    );
    assert_eq!(agent.oscctl(["call", "limits", "status"]).status, 1);
    let left = noted(&puppet, "left").pop().unwrap();
    for file in left.as_array().unwrap() {
        let file = std::path::Path::new(file.as_str().unwrap());
        assert!(file.starts_with(agent.state()), "{}", file.display());
        eventually(&format!("{} to go", file.display()), || (!file.parent().unwrap().exists()).then_some(()));
    }
}
