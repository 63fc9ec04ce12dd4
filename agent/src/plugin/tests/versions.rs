//! The versions of plug-ins, of the packages they came with, and of the API.

use super::*;
use crate::error::Kind;
use crate::plugin::announcement::Announcement;

impl Rig {
    async fn announce(&self, action: &str, version: &str) {
        let dir = self.dir.join("acme/rig").display().to_string();
        let words = [action, "osc-acme-rig", version, &dir, "acme", "rig"].map(str::to_owned);
        self.runtime.announce(Announcement::parse(&words).unwrap()).await;
    }

    async fn restart(&mut self) {
        self.runtime.shutdown().await;
        let (send, events) = mpsc::unbounded_channel();
        self.runtime = Runtime::start(&self.config, send).await.unwrap();
        self.events = events;
    }
}

#[tokio::test]
async fn a_plug_in_whose_version_is_not_its_packages_is_refused_with_both_named() {
    let mut rig = Setup::with("def who(ss): return 1\n").start().await;
    rig.until_usable().await;
    rig.announce("install", "1.1-3").await;
    let error = rig.until_error(IMPL).await;
    assert!(
        error.contains("plugin_version 1.0,") && error.contains("osc-acme-rig is version 1.1-3"),
        "{error}"
    );
    let refused = rig.act("who").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::PluginUnavailable);
    assert!(refused.message().contains("1.1-3"), "{refused}");

    // The same package again, made right.
    write(
        &rig.dir,
        "acme/rig/Rig.py",
        &format!("{RIG}def who(ss): return 2\n").replace("\"1.0\"", "\"1.1\""),
    );
    rig.announce("install", "1.1-3").await;
    rig.until_usable().await;
    assert_eq!(rig.act("who").await.unwrap(), 2);
}

#[tokio::test]
async fn a_refused_version_is_refused_after_a_restart_too() {
    let mut rig = Setup::with("def who(ss): return 1\n").start().await;
    rig.until_usable().await;
    rig.announce("install", "1.1-3").await;
    rig.until_error(IMPL).await;
    rig.restart().await;
    let error = rig.until_error(IMPL).await;
    assert!(error.contains("plugin_version 1.0,") && error.contains("1.1-3"), "{error}");

    // What was changed while nobody listened is another matter.
    rig.runtime.shutdown().await;
    write(
        &rig.dir,
        "acme/rig/Rig.py",
        &format!("{RIG}def who(ss): return 2\n").replace("\"1.0\"", "\"1.2\""),
    );
    rig.restart().await;
    rig.until_usable().await;
    assert_eq!(rig.act("who").await.unwrap(), 2);
}

#[tokio::test]
async fn the_version_before_a_refused_one_goes_on_serving() {
    let mut rig = Setup::with("def who(ss): return 1\n").start().await;
    rig.until_usable().await;
    rig.announce("install", "1.0-1").await;
    write(
        &rig.dir,
        "acme/rig/Rig.py",
        &format!("{RIG}def who(ss): return 2\n").replace("\"1.0\"", "\"1.2\""),
    );
    let error = rig.until_error(IMPL).await;
    assert!(error.contains("still serves") && error.contains("1.2") && error.contains("1.0-1"), "{error}");
    assert_eq!(rig.act("who").await.unwrap(), 1);
}

#[tokio::test]
async fn what_a_leaving_package_announces_is_not_held_against_what_is_there() {
    let mut rig = Setup::with("def who(ss): return 1\n").start().await;
    rig.until_usable().await;
    rig.announce("install", "1.0-1").await;
    rig.announce("upgrade", "0.9-1").await;
    rig.announce("erase", "1.0-1").await;
    write(
        &rig.dir,
        "acme/rig/Rig.py",
        &format!("{RIG}def who(ss): return 2\n").replace("\"1.0\"", "\"1.5\""),
    );
    let waiting = async {
        while rig.act("who").await.ok() != Some(json!(2)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it serves");
}

#[tokio::test]
async fn an_api_above_the_agents_is_refused() {
    let setup = Setup::new();
    write(&setup.dir, "acme/rig/__init__.py", INIT);
    write(&setup.dir, "acme/rig/Rig.py", &RIG.replace(r#"["1", "2", "7"]"#, r#"["1", "3", "0"]"#));
    let mut rig = setup.start().await;
    let error = rig.until_error(IMPL).await;
    assert!(error.contains("1.3.0") && error.contains("1.2.9"), "{error}");
}

#[tokio::test]
async fn plug_ins_of_a_module_that_differ_are_told_so_and_served() {
    let other = "\nclass Other(Rig):\n    plugin_version = '1.1'\n";
    let setup = Setup::with(&format!("def who(ss): return 1\n{other}"));
    write(
        &setup.dir,
        "acme/rig/__init__.py",
        "osc_isa_plugins = ['acme.rig.Rig.Rig', 'acme.rig.Rig.Other']\n",
    );
    let mut rig = setup.start().await;
    let plugin = rig.until_usable().await;
    let told = plugin.status.problems.join("\n");
    assert!(told.contains("says 1.0") && told.contains("says 1.1"), "{told}");
}
