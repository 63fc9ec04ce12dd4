//! `oscctl plugin check`: the stock plug-ins pass it, misfits fail it by name, and it takes along
//! whatever it made.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tests::array::{Array, NEEDS, PLUGIN};
use tests::daemon::Agent;
use tests::need::{Need, Python, test};
use tests::program;
use tests::shell::{Ran, run};

pub fn tests() -> Vec<Trial> {
    let both = |more: &[Need]| [&[Need::Fuse, Need::Dbus, Need::Python(Python::Three)][..], more].concat();
    let mut all = vec![
        test("misfits_fail_their_check_without_an_agent", &[Need::Python(Python::Three)], misfits),
        test("misfits_fail_their_check_on_a_storage_server", &both(&[]), live_misfits),
        test("a_check_that_is_interrupted_leaves_nothing", &both(&NEEDS), interrupted),
        test("a_check_says_what_it_needs", &[Need::Python(Python::Three)], usage),
    ];
    for python in Python::ALL {
        let needs = both(&[&NEEDS[..], &[Need::Python(python)]].concat());
        let name = |what: &str| format!("{what}_passes_its_check_under_{}", python.name());
        all.push(test(name("the_stock_array"), &needs, move || stock_array(python)));
        all.push(test(name("the_stock_file_system"), &needs, move || stock_file_system(python)));
    }
    all
}

/// Outcome and reason by the check's name.
type Checks = BTreeMap<String, (String, String)>;

fn checks(ran: &Ran) -> Checks {
    let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let row = |row: &Value| (text(&row["name"]), (text(&row["outcome"]), text(&row["reason"])));
    answer["checks"].as_array().unwrap().iter().map(row).collect()
}

#[track_caller]
fn passed(checks: &Checks, least: usize, these: &[&str]) {
    let failed: Vec<_> = checks.iter().filter(|check| check.1.0 == "FAIL").collect();
    assert!(failed.is_empty(), "{failed:#?}");
    for name in these {
        assert_eq!(checks[*name].0, "PASS", "{name}: {:?}", checks[*name]);
    }
    let passed = checks.values().filter(|check| check.0 == "PASS").count();
    assert!(passed >= least, "only {passed} passed: {checks:#?}");
}

fn stock_array(python: Python) {
    let agent = Agent::under(python);
    let array = Array::create(&agent.home().join("array"), "1GiB");
    let server = agent.register(PLUGIN, &array.record("demo"));
    let own = agent.create(&server, "data", 1 << 20);
    let before = agent.record(&own);
    let junit = agent.home().join("junit.xml");
    let junit = junit.to_str().unwrap();
    let path = python.path().unwrap().to_str().unwrap();
    let ran = agent.oscctl([
        "-o", "json", "plugin", "check", PLUGIN, "--server", "demo", "--junit", junit, "--python", path,
    ]);
    let checks = checks(&ran);
    passed(
        &checks,
        40,
        &["snapshot", "restore", "clone", "split", "resize", "present", "access-groups", "data"],
    );
    assert_eq!((ran.status, checks["restore"].1.as_str()), (0, "the data is back"), "{ran:?}");
    let python = if python == Python::Two { "2.7" } else { "3." };
    for check in ["contract", "imports"] {
        assert!(checks[check].1.contains(python), "{check}: {:?}", checks[check]);
    }
    // What was there before is as it was, and nothing else is.
    assert_eq!(agent.record(&own), before);
    assert_eq!(server.join("se").read_dir().unwrap().count(), 1);
    let xml = std::fs::read_to_string(junit).unwrap();
    assert_eq!(xml.matches("<testcase ").count(), checks.len(), "{xml}");
}

/// A loop device on a file; it is detached when this is dropped.
struct Disk(String);

impl Disk {
    fn create(image: &Path) -> Disk {
        std::fs::File::create(image).unwrap().set_len(1 << 30).unwrap();
        Disk(run(Command::new("losetup").args(["--find", "--show"]).arg(image)).ok().trim().to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(Command::new("losetup").args(["--detach", &self.0]));
    }
}

fn stock_file_system(python: Python) {
    let agent = Agent::under(python);
    let disk = Disk::create(&agent.home().join("disk"));
    let record = json!({
        "name": "host", "storage_type": "LocalFS", "admin_host": "", "admin_user": "", "admin_passwd": "",
        "extra_info": format!("devices={}", disk.0),
    });
    let server = agent.register("osc.localfs.LocalFS.LocalFS", &record);
    let ran =
        agent.oscctl(["-o", "json", "plugin", "check", "LocalFS", "--server", "host", "--device", &disk.0]);
    let checks = checks(&ran);
    passed(&checks, 38, &["fs-create", "fs-mount", "file-snapshot", "file-clone", "fs-destroy", "contract"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_eq!(server.join("fs").read_dir().unwrap().count(), 0);
    // Without a device, what needs one is skipped, and nothing is made.
    let ran =
        agent.oscctl(["-o", "json", "plugin", "check", "LocalFS", "--server", "host", "--only", "fs-create"]);
    assert_eq!(self::checks(&ran)["fs-create"].0, "SKIP", "{ran:?}");
}

fn install(plugins: &Path, misfit: &str) -> std::path::PathBuf {
    let source = tests::project().join("tests/plugins/misfits");
    let module = plugins.join("misfits").join(misfit);
    std::fs::create_dir_all(&module).unwrap();
    let names = format!("osc_isa_plugins = ['misfits.{misfit}.Misfit.Misfit']\n");
    std::fs::write(module.join("__init__.py"), names).unwrap();
    std::fs::copy(source.join("good.py"), module.join("Good.py")).unwrap();
    std::fs::copy(source.join(misfit).with_extension("py"), module.join("Misfit.py")).unwrap();
    module
}

fn misfits() {
    const MISFITS: &[(&str, &str, &str)] = &[
        ("syntax_error", "compiles", "Misfit.py"),
        ("import_raises", "classes", "ZeroDivisionError"),
        ("import_dies", "imports", "ended"),
        ("class_missing", "classes", "Misfit"),
        ("not_a_class", "classes", "Misfit"),
        ("wrong_plugin_type", "classes", "plugin_type"),
        ("required_method_missing", "methods", "list"),
        ("method_not_static", "methods", "static"),
        ("wrong_parameters", "methods", "colour"),
        ("newer_api", "api-version", "1.3.0"),
        ("import_prints", "stdout", "while it is imported"),
        ("list_prints", "stdout", "Misfit.py:12"),
        ("reads_stdin", "stdin", "Misfit.py"),
        ("own_exception", "exceptions", "ArrayOnFire"),
        ("own_exception_of_ours", "exceptions", "ArrayOnFire"),
        ("reconfigures_the_logger", "logger", "Misfit.py"),
    ];
    let home = tempfile::tempdir().unwrap();
    for (misfit, check, says) in MISFITS {
        let module = install(home.path(), misfit);
        let ran = run(Command::new(program("oscctl"))
            .args(["--bus", "unix:path=/nonexistent/bus", "-o", "json", "plugin", "check"])
            .arg(&module));
        let checks = checks(&ran);
        let (outcome, reason) = &checks[*check];
        assert!(outcome == "FAIL" && reason.contains(says) && ran.status == 1, "{misfit}: {checks:#?}");
    }
    // The others would fail each check if it were wrong about them.
    let module = install(home.path(), "state_out_of_range");
    let ran = run(Command::new(program("oscctl")).args(["-o", "json", "plugin", "check"]).arg(&module));
    passed(&checks(&ran), 15, &["layout", "indentation", "compiles", "methods"]);
    assert_eq!(ran.status, 0, "{ran:?}");

    std::fs::write(module.join("Good.py"), "if 1:\n\tx = 1\nif 1:\n    x = 2\n").unwrap();
    let ran = run(Command::new(program("oscctl")).args(["-o", "json", "plugin", "check"]).arg(&module));
    assert_eq!(checks(&ran)["indentation"].0, "FAIL", "{ran:?}");
}

fn live_misfits() {
    const MISFITS: &[(&str, &str, &str)] = &[
        ("snapshot_none", "snapshot", "None"),
        ("snapshot_dies", "snapshot", "WorkerDied"),
        ("progress_raises", "snapshot", "the job is lost"),
        ("list_prints", "contract", "standard output"),
        ("changes_storage_type", "contract", "storage_type"),
    ];
    let mut agent = Agent::prepare();
    for (misfit, ..) in MISFITS {
        install(agent.plugins(), misfit);
    }
    agent.launch();
    for (misfit, check, says) in MISFITS {
        let plugin = format!("misfits.{misfit}.Misfit.Misfit");
        let record = json!({
            "name": misfit, "storage_type": "SAN", "admin_host": "h", "admin_user": "u", "admin_passwd": "p",
            "refresh_interval": 0,
        });
        agent.register(&plugin, &record);
        let ran =
            agent.oscctl(["-o", "json", "plugin", "check", &plugin, "--server", misfit, "--element", "one"]);
        let checks = checks(&ran);
        let (outcome, reason) = &checks[*check];
        assert!(outcome == "FAIL" && reason.contains(says) && ran.status == 1, "{misfit}: {checks:#?}");
        assert_eq!(checks["list-stable"].0, "PASS", "{misfit}: {checks:#?}");
    }
}

fn interrupted() {
    let agent = Agent::start();
    let array = Array::create(&agent.home().join("array"), "1GiB");
    let server = agent.register(PLUGIN, &array.record("demo"));
    let bus = agent.bus.as_ref().unwrap().address.clone();
    let mut check = Command::new(program("oscctl"))
        .args(["--bus", &bus, "plugin", "check", PLUGIN, "--server", "demo"])
        .args(["--only", "create,snapshot-concurrent,clone,split"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(check.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("PASS  create")));
    // In the middle of the next one.
    let _ = tests::eventually("an element", || server.join("se").read_dir().unwrap().next());
    kill(Pid::from_raw(check.id() as i32), Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.collect();
    assert_eq!(check.wait().unwrap().code(), Some(1), "{rest:#?}");
    assert!(rest.iter().any(|line| line.contains("interrupted")), "{rest:#?}");
    assert_eq!(server.join("se").read_dir().unwrap().count(), 0, "{rest:#?}");
}

fn usage() {
    let check = |args: &[&str]| {
        let mut command = Command::new(program("oscctl"));
        run(command.args(["--bus", "unix:path=/nonexistent/bus", "plugin", "check"]).args(args))
    };
    assert_eq!(check(&[]).status, 2);
    assert_eq!(check(&["/nonexistent/vendor/module"]).status, 2);
    assert_eq!(check(&["osc.filearray", "--only", "painting"]).status, 2);
    assert_eq!(check(&["osc.filearray"]).status, 3);
    let listed = check(&["--list"]);
    assert!(listed.status == 0 && listed.stdout.contains("snapshot-concurrent"), "{listed:?}");
}
