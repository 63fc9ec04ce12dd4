//! The main job in the tree: list, create, snapshot, clone, and what is refused.

use libtest_mimic::Trial;
use tests::array::{Array, NEEDS, PLUGIN};
use tests::daemon::Agent;
use tests::need::{Need, Python, test};
use tests::shell::sh;

pub fn tests() -> Vec<Trial> {
    let mut all = Vec::new();
    for python in Python::ALL {
        let needs = [&[Need::Fuse, Need::Dbus, Need::Python(python)][..], &NEEDS].concat();
        all.push(test(format!("the_main_job_works_under_{}", python.name()), &needs, move || {
            main_job(python)
        }));
    }
    let needs = [&[Need::Fuse, Need::Dbus, Need::Python(Python::Three)][..], &NEEDS].concat();
    all.push(test("garbage_is_refused_and_changes_nothing", &needs, garbage));
    all
}

fn main_job(python: Python) {
    let agent = Agent::under(python);
    let array = Array::create(&agent.home().join("array"), "1GiB");
    let server = agent.register(PLUGIN, &array.record("demo"));
    let lun = agent.create(&server, "data", 64 << 20);
    agent.write(&lun.join("snapshot"), "s1\n");
    let snapshot = agent.element(&server, "s1");
    let parent = agent.record(&lun);
    let record = agent.record(&snapshot);
    assert_eq!(record["se_type"], "Snap");
    assert!(record.to_string().contains(parent["uuid"].as_str().unwrap()), "who the parent is: {record}");
    agent.write(&snapshot.join("clone"), "c1");
    assert_eq!(agent.record(&agent.element(&server, "c1"))["se_type"], "SnapClone");
    let names =
        sh(&format!("cat {}/ss/*/se/*/record | jq -r .name | sort | tr '\\n' ' '", agent.root().display()));
    assert_eq!(names.ok(), "c1 data s1 ");
    assert_eq!(std::fs::read_to_string(lun.join("attr/size")).unwrap(), format!("{}\n", 64 << 20));
}

fn garbage() {
    let agent = Agent::start();
    let array = Array::create(&agent.home().join("array"), "1GiB");
    let server = agent.register(PLUGIN, &array.record("demo"));
    let lun = agent.create(&server, "data", 1 << 20);
    let before = agent.record(&lun);
    let operations = std::fs::read_dir(agent.root().join("op")).unwrap().count();
    let long = "n".repeat(300);
    let cases: &[(&str, &[u8], &str)] = &[
        ("snapshot", b"name=a colour=red", "colour"),
        ("snapshot", b"\n", "name"),
        ("snapshot", long.as_bytes(), "255"),
        ("snapshot", b"\xff\xfe", "UTF-8"),
        ("snapshot", b"{\"name\": ", "JSON"),
        ("resize", b"99999999999999999999999", "size"),
        ("resize", b"16EiB", "size"),
        ("resize", b"-5", "size"),
        ("resize", b"many", "size"),
        ("restore", b"no-such-snapshot", "no-such-snapshot"),
    ];
    for (file, request, word) in cases {
        let (errno, told) = agent.refused(&lun.join(file), request);
        let request = String::from_utf8_lossy(request);
        let expected = [libc::EINVAL, libc::ENOENT];
        assert!(expected.contains(&errno), "{file} {request:?}: errno {errno}\n{told}");
        assert!(told.contains(word), "{file} {request:?} should speak of {word}:\n{told}");
    }
    assert_eq!(agent.record(&lun), before);
    let after = std::fs::read_dir(agent.root().join("op")).unwrap().count();
    assert_eq!(after, operations, "a refused request leaves no operation");
}
