//! Plug-in modules that change while the agent runs.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use tests::daemon::Agent;
use tests::eventually;
use tests::need::Python;
use tests::shell::sh;

use crate::puppet::{self, Puppet};

fn status(agent: &Agent) -> Value {
    let file = agent.root().join("plugins/puppet.stage.Array.Array/status");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap_or_default()).unwrap_or_default()
}

fn version(agent: &Agent) -> String {
    let file = agent.root().join("plugins/puppet.stage.Array.Array/info");
    let info: Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap_or_default()).unwrap_or_default();
    info["plugin_version"].as_str().unwrap_or_default().to_owned()
}

/// Gives every class of the module that version, and its Strings a word to note.
fn rewrite(module: &Path, version: &str) {
    let line = format!(
        "sed -i 's/plugin_version = \"[^\"]*\"/plugin_version = \"{version}\"/' {0}/Common.py && \
         sed -i 's/^WORD = .*//; $ a WORD = \"{version}\"' {0}/Strings.py",
        module.display()
    );
    sh(&line).ok();
}

pub fn replaced(python: Python) {
    let agent = puppet::agent(python);
    let module = agent.plugins().join("puppet/stage");
    let puppet = Puppet::register(&agent, "Array.Array", "served");
    rewrite(&module, "1.0.1");
    eventually("the first version", || (version(&agent) == "1.0.1").then_some(()));
    // Both note which code they run, at their end.
    let code = "import sys, time\nnote(home, {'method': 'begun', 'args': 1})\ntime.sleep(WAIT)\n\
                note(home, {'method': 'ran', 'args': sys.modules['puppet.stage.Strings'].WORD})";
    puppet.script("getStatus", &code.replace("WAIT", "4"));
    let bus = agent.bus.as_ref().unwrap().address.clone();
    let mut flying = std::process::Command::new(tests::program("oscctl"))
        .args(["--bus", &bus, "call", "served", "status"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("the call has begun", || puppet.calls("begun", 0).pop());
    rewrite(&module, "2.0.0");
    let written = Instant::now();
    eventually("the new version", || (version(&agent) == "2.0.0").then_some(()));
    eprintln!("a new version served {} ms after the last write", written.elapsed().as_millis());
    puppet.script("getStatus", &code.replace("WAIT", "0"));
    agent.oscctl(["call", "served", "status"]).ok();
    assert!(flying.wait().unwrap().success());
    let ran = puppet.calls("ran", 0);
    assert_eq!(ran.len(), 2);
    assert!(ran.contains(&"1.0.1".into()) && ran.contains(&"2.0.0".into()), "{ran:?}");

    // Half of it copied, and the rest a while later: one change, and no complaint of a half.
    let (fresh, from) =
        (agent.plugins().join("puppet/second"), tests::project().join("tests/plugins/puppet/stage"));
    std::fs::create_dir(&fresh).unwrap();
    for file in ["__init__.py", "Array.py", "Common.py", "Strings.py", "Files.py"] {
        let text = std::fs::read_to_string(from.join(file)).unwrap().replace("puppet.stage", "puppet.second");
        let (one, two) = text.split_at(text.len() / 2);
        std::fs::write(fresh.join(file), one).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(60));
        std::fs::write(fresh.join(file), format!("{one}{two}")).unwrap();
    }
    let written = Instant::now();
    let usable = agent.root().join("plugins/puppet.second.Array.Array/status");
    eventually("the second module", || {
        std::fs::read_to_string(&usable).ok().filter(|text| text.contains("\"usable\":true"))
    });
    eprintln!("a module was there {} ms after the last write", written.elapsed().as_millis());
    assert!(!agent.log().contains("puppet.second cannot be loaded"), "half a module was loaded");

    // A broken version: the old one serves, and its status says why.
    let whole = std::fs::read_to_string(module.join("Array.py")).unwrap();
    std::fs::write(module.join("Array.py"), format!("{whole}\ndef broken(:\n")).unwrap();
    let told = eventually("the complaint", || status(&agent)["error"].as_str().map(str::to_owned));
    assert!(
        told.contains("still serves") && told.contains("SyntaxError") && told.contains("Array.py"),
        "{told}"
    );
    agent.oscctl(["call", "served", "status"]).ok();
    assert_eq!(puppet.calls("ran", 0).last(), Some(&"2.0.0".into()));
    std::fs::write(module.join("Array.py"), &whole).unwrap();
    eventually("no complaint", || status(&agent)["error"].is_null().then_some(()));

    // Erased: what is registered stays readable and says so, and comes back.
    let away = agent.home().join("away");
    std::fs::rename(&module, &away).unwrap();
    let written = Instant::now();
    let state = || std::fs::read_to_string(puppet.server.join("state")).unwrap();
    eventually("the plug-in is gone", || state().contains("\"plugin_available\":false").then_some(()));
    eprintln!("a module was gone {} ms after it was moved away", written.elapsed().as_millis());
    let record = agent.record(&agent.element(&puppet.server, "lun"));
    assert_eq!(record["name"], "lun");
    let (errno, told) = agent.refused(&puppet.server.join("se-by-name/lun/snapshot"), "s");
    assert_eq!(errno, agent::Kind::PluginUnavailable.row().errno, "{told}");
    assert!(told.contains("puppet.stage.Array.Array"), "{told}");
    std::fs::rename(&away, &module).unwrap();
    eventually("the plug-in is back", || state().contains("\"plugin_available\":true").then_some(()));
    agent.write(&puppet.server.join("refresh"), "now");
    agent.write(&puppet.server.join("se-by-name/lun/snapshot"), "s");
}
