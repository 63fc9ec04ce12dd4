//! Plug-in packages made from the template, from the build to the last file's removal.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;
use tests::daemon::Agent;
use tests::eventually;
use tests::need::{Need, Python, test};
use tests::packages::{Root, Spec, Userland};
use tests::shell::run;

pub fn tests() -> Vec<Trial> {
    let rpm = [Need::Tool("rpmbuild"), Need::Tool("rpm"), Need::Fuse];
    let with = |more: &[Need]| rpm.iter().chain(more).copied().collect::<Vec<_>>();
    let busybox = with(&[Need::Tool("busybox")]);
    let mut all = vec![
        test("packages_announce_each_step_with_five_arguments_at_its_moment", &busybox, announcements),
        test("an_announcement_without_an_agent_changes_nothing_and_ends_at_once", &rpm, nobody_listens),
        test("a_split_plug_ins_requirer_goes_only_where_its_needs_are_met", &busybox, requirer),
    ];
    for (userland, name) in [(Userland::Busybox, "without_python"), (Userland::Host, "with_python")] {
        let needs = if userland == Userland::Busybox { busybox.clone() } else { rpm.to_vec() };
        let name = format!("a_vendors_last_package_takes_everything_along_{name}");
        all.push(test(name, &needs, move || two_modules(userland)));
    }
    for python in Python::ALL {
        let name = format!("a_plug_in_serves_and_goes_with_its_package_under_{}", python.name());
        let needs = with(&[Need::Tool("busybox"), Need::Dbus, Need::Python(python)]);
        all.push(test(name, &needs, move || served(python)));
        let name = format!("the_vendors_module_counts_under_{}", python.name());
        all.push(test(name, &with(&[Need::Tool("busybox"), Need::Python(python)]), move || counts(python)));
    }
    all
}

const VENDOR: &str = "/opt/storage-connect/plugins/acme";

fn spec<'a>(module: &'a str, version: &'a str, release: &'a str) -> Spec<'a> {
    Spec { module, version, plugin_version: version, release }
}

/// An announce command that notes what it was told, and what was installed at that moment.
fn recorder() -> tempfile::NamedTempFile {
    script(
        "#!/bin/sh\nmodule=$3\nvendor=no; [ -e \"$module/../__init__.py\" ] && vendor=yes\n\
         version=$(grep -s '^    plugin_version' \"$module/Shelf.py\" | grep -o '[0-9][0-9.]*[0-9]')\n\
         echo \"${0##*/}|$#|$*|files=$version|vendor=$vendor\" >>/announced\n",
    )
}

fn script(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    file
}

fn announced(root: &Root) -> Vec<String> {
    let log = root.join("/announced");
    let told = std::fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_owned).collect();
    let _ = std::fs::remove_file(log);
    told
}

fn announcements() {
    let recorder = recorder();
    let root = Root::new(Userland::Busybox, recorder.path());
    let (first, _) = root.build_plugin(&spec("sample", "1.0.0", "1"));
    let (second, _) = root.build_plugin(&spec("sample", "1.1.0", "2"));
    let about = |version: &str| format!("5|osc-acme-sample {version} {VENDOR}/sample acme sample");

    root.rpm(["-i".as_ref(), first.as_os_str()]).ok();
    let expected = format!("announce_install|{}|files=1.0.0|vendor=no", about("1.0.0-1"));
    assert_eq!(announced(&root), [expected]);

    root.rpm(["-U".as_ref(), second.as_os_str()]).ok();
    // The old package's scriptlet announces the upgrade, under its own version, when the new files are there.
    let install = format!("announce_install|{}|files=1.1.0|vendor=yes", about("1.1.0-2"));
    let upgrade = format!("announce_upgrade|{}|files=1.1.0|vendor=yes", about("1.0.0-1"));
    assert_eq!(announced(&root), [install, upgrade]);

    root.rpm(["-e", "osc-acme-sample"]).ok();
    let expected = format!("announce_erase|{}|files=1.1.0|vendor=yes", about("1.1.0-2"));
    assert_eq!(announced(&root), [expected]);
    assert_eq!(root.tree("/opt/storage-connect/plugins"), Vec::<String>::new());
}

fn two_modules(userland: Userland) {
    let nothing = script("#!/bin/sh\nexit 0\n");
    let root = Root::new(userland, nothing.path());
    let before = root.tree("/opt");
    let (sample, _) = root.build_plugin(&spec("sample", "1.0.0", "1"));
    let (other, _) = root.build_plugin(&spec("other", "2.0.0", "1"));
    let init = root.join(VENDOR).join("__init__.py");

    root.rpm(["-i".as_ref(), sample.as_os_str()]).ok();
    let written = std::fs::read(&init).unwrap();
    root.rpm(["-i".as_ref(), other.as_os_str()]).ok();
    assert_eq!(std::fs::read(&init).unwrap(), written, "the second module leaves the file alone");
    root.rpm(["-e", "osc-acme-sample"]).ok();
    assert_eq!(std::fs::read(&init).unwrap(), written, "the other module still needs it");
    assert_eq!(root.tree(VENDOR), ["__init__.py", "other", "other/Shelf.py", "other/__init__.py"]);

    // What running the plug-in left behind is no reason to stay.
    for place in ["__pycache__", "other/__pycache__"] {
        let cache = root.join(VENDOR).join(place);
        std::fs::create_dir(&cache).unwrap();
        std::fs::write(cache.join("x.cpython-311.pyc"), "").unwrap();
    }
    std::fs::write(root.join(VENDOR).join("other/Shelf.pyc"), "").unwrap();
    // Nor is a file that another package wrote for Python 2 alone.
    std::fs::write(&init, "print \"counting\"\nraise SystemExit, 1\n").unwrap();
    root.rpm(["-e", "osc-acme-other"]).ok();
    assert_eq!(root.tree("/opt"), before, "nothing is left behind");
    assert_eq!(root.rpm(["-qa", "osc-acme*"]).ok(), "");
}

fn requirer() {
    let nothing = script("#!/bin/sh\nexit 0\n");
    let root = Root::new(Userland::Busybox, nothing.path());
    let (plugin, requirer) = root.build_plugin(&spec("sample", "1.0.0", "1"));
    let lacking = root.rpm(["-i".as_ref(), requirer.as_os_str()]);
    assert!(lacking.status != 0 && lacking.stderr.contains("osc-acme-sample = 1.0.0-1"), "{lacking:?}");
    root.rpm(["-i".as_ref(), plugin.as_os_str(), requirer.as_os_str()]).ok();
    assert_eq!(
        root.rpm(["-q", "--requires", "osc-requirer-acme-sample"]).ok().lines().next(),
        Some("coreutils")
    );
    assert_eq!(root.rpm(["-ql", "osc-requirer-acme-sample"]).ok(), "(contains no files)");
    assert_ne!(root.rpm(["-e", "osc-acme-sample"]).status, 0, "the requirer holds it");
    root.rpm(["-e", "osc-requirer-acme-sample", "osc-acme-sample"]).ok();

    let without = Root::new(Userland::Busybox, nothing.path());
    without.rpm(["-e", "--nodeps", "osc-plugin-manager"]).ok();
    let refused = without.rpm(["-i".as_ref(), plugin.as_os_str()]);
    assert!(refused.status != 0 && refused.stderr.contains("osc-plugin-manager >= 1.2.0"), "{refused:?}");
}

fn counts(python: Python) {
    let nothing = script("#!/bin/sh\nexit 0\n");
    let root = Root::new(Userland::Busybox, nothing.path());
    let (sample, _) = root.build_plugin(&spec("sample", "1.0.0", "1"));
    let (other, _) = root.build_plugin(&spec("other", "1.0.0", "1"));
    let vendor = root.join(VENDOR);
    let asked = |arguments: &[&Path]| {
        run(Command::new(python.path().unwrap()).arg("-B").arg(vendor.join("__init__.py")).args(arguments))
            .status
    };
    root.rpm(["-i".as_ref(), sample.as_os_str()]).ok();
    assert_eq!(asked(&[&vendor]), 0);
    std::fs::create_dir(vendor.join("__pycache__")).unwrap();
    assert_eq!(asked(&[&vendor]), 0, "what Python left is no module");
    root.rpm(["-i".as_ref(), other.as_os_str()]).ok();
    assert_eq!(asked(&[&vendor]), 2);
    assert_eq!((asked(&[]), asked(&[Path::new("/nowhere")])), (1, 1));
}

/// Puts the real announce command's client into the root, with the libraries it needs.
fn bring_oscctl(root: &Root) {
    let oscctl = tests::program("oscctl");
    let needed = run(Command::new("ldd").arg(&oscctl)).ok();
    let libraries = needed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    std::fs::create_dir_all(root.join("/usr/bin")).unwrap();
    std::fs::copy(&oscctl, root.join("/usr/bin/oscctl")).unwrap();
    for library in libraries {
        let place = root.join(library.to_str().unwrap());
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(&library, place).unwrap();
    }
}

fn announce_command() -> PathBuf {
    tests::project().join("systemd/announce")
}

fn nobody_listens() {
    let nothing = tempfile::tempdir().unwrap();
    let words = ["osc-acme-sample", "1.0.0-1", "/opt/storage-connect/plugins/acme/sample", "acme", "sample"];
    // Neither where no oscctl is installed, nor where it finds no bus.
    let root = Root::new(Userland::Host, &announce_command());
    let (sample, _) = root.build_plugin(&spec("sample", "1.0.0", "1"));
    let installed = root.rpm(["-i".as_ref(), sample.as_os_str()]);
    assert_eq!((installed.status, installed.stdout.as_str()), (0, ""), "{installed:?}");
    root.rpm(["-e", "osc-acme-sample"]).ok();
    // Nor is a bus that accepts and then says nothing waited for.
    let _silent = std::os::unix::net::UnixListener::bind(nothing.path().join("silent")).unwrap();
    for bus in ["no-bus", "silent"] {
        let address = format!("unix:path={}", nothing.path().join(bus).display());
        let mut oscctl = Command::new(tests::program("oscctl"));
        oscctl.args(["--bus", &address, "announce", "install"]).args(words);
        let ran = run(&mut oscctl);
        assert_eq!(ran.status, 0, "{ran:?}");
        assert!(ran.stderr.contains("finds out by itself"), "{ran:?}");
    }
}

fn status(agent: &Agent, module: &str) -> Option<Value> {
    let folder = agent.root().join("plugins").join(format!("acme.{module}.Shelf.Shelf"));
    let text = std::fs::read_to_string(folder.join("status")).ok()?;
    let mut status: Value = serde_json::from_str(&text).ok()?;
    let info: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("info")).ok()?).ok()?;
    status["version"] = info["plugin_version"].clone();
    Some(status)
}

fn served(python: Python) {
    let root = Root::new(Userland::Busybox, &announce_command());
    bring_oscctl(&root);
    let mut agent = Agent::prepare();
    let interpreter = python.path().unwrap().display().to_string();
    agent.configure(&format!("[interpreters]\n\"acme.sample\" = {interpreter:?}\n"));
    agent.add_plugin_dir(&root.join("/opt/storage-connect/plugins"));
    agent.launch();
    // The same socket, where the root's programs look for the system's bus.
    std::fs::hard_link(agent.home().join("bus.sock"), root.join("/run/dbus/system_bus_socket")).unwrap();
    let until = |label: &str, is: &dyn Fn(Option<Value>) -> bool| {
        eventually(label, || is(status(&agent, "sample")).then_some(()));
    };
    let serves = |version: &'static str| {
        move |status: Option<Value>| status.is_some_and(|s| s["usable"] == true && s["version"] == version)
    };

    let (first, _) = root.build_plugin(&spec("sample", "1.0.0", "1"));
    root.rpm(["-i".as_ref(), first.as_os_str()]).ok();
    until("the plug-in serves", &serves("1.0.0"));
    agent.logged("1.0.0-1");

    let array = agent.home().join("shelf");
    std::fs::create_dir(&array).unwrap();
    let record = serde_json::json!({
        "name": "shelf", "storage_type": "SAN", "admin_host": "", "admin_user": "", "admin_passwd": "",
        "extra_info": format!("path={}", array.display()), "refresh_interval": 0,
    });
    let server = agent.register("acme.sample.Shelf.Shelf", &record);
    agent.write(&server.join("create"), r#"{"name": "data", "size": 4096}"#);
    agent.write(&agent.element(&server, "data").join("snapshot"), "s1");
    assert_eq!(agent.record(&agent.element(&server, "s1"))["se_type"], "Snap");

    let (second, _) = root.build_plugin(&spec("sample", "1.1.0", "1"));
    root.rpm(["-U".as_ref(), second.as_os_str()]).ok();
    until("the new version serves", &serves("1.1.0"));
    agent.write(&server.join("refresh"), "now");

    let wrong = Spec { module: "sample", version: "1.2.0", plugin_version: "1.1.5", release: "7" };
    let (wrong, _) = root.build_plugin(&wrong);
    root.rpm(["-U".as_ref(), wrong.as_os_str()]).ok();
    until("both versions are named", &|status| {
        let error = status.and_then(|status| status["error"].as_str().map(str::to_owned)).unwrap_or_default();
        error.contains("1.1.5") && error.contains("1.2.0-7")
    });

    root.rpm(["-e", "osc-acme-sample"]).ok();
    until("the plug-in is gone", &|status| status.is_none());
    assert_eq!(agent.record(&server)["name"], "shelf", "its server stays, readable");
    assert_eq!(root.tree("/opt/storage-connect/plugins"), Vec::<String>::new());

    root.rpm(["-i".as_ref(), second.as_os_str()]).ok();
    until("the plug-in is back", &serves("1.1.0"));
    agent.write(&server.join("refresh"), "now");
}
