//! The tree on a real mount.

mod common;

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Mount, element, fake, out, sh};
use fsview::{Change, Count};

fn read_all(mount: &Mount, count: usize) {
    for n in 0..count {
        assert!(fs::read(mount.se(n).join("record")).unwrap().ends_with(b"}\n"));
    }
}

#[test]
fn a_warm_read_of_every_record_sends_no_request() {
    let Some(mount) = Mount::new("a_warm_read_of_every_record_sends_no_request", fake(200, 1024)) else {
        return;
    };
    read_all(&mount, 200);
    let tree = mount.tree();
    let before = tree.record_stats().requests();
    read_all(&mount, 200);
    assert_eq!(tree.record_stats().requests(), before);
}

#[test]
fn a_record_is_one_line_and_all_of_them_are_ndjson() {
    let Some(mount) = Mount::new("a_record_is_one_line_and_all_of_them_are_ndjson", fake(30, 100)) else {
        return;
    };
    let text = out("cat se/*/record", &mount.ss());
    assert_eq!(text.lines().count(), 30);
    assert!(text.lines().all(|line| line.starts_with("{\"id\"") && line.ends_with('}')));
    assert_eq!(out("ls se | wc -l", &mount.ss()).trim(), "30");
    assert_eq!(out("cat attr/id", &mount.se(3)), "se-00003\n");
    assert_eq!(out("cat README version", &mount.root()), "How to use this tree.\n0.1.0\n");
    assert_eq!(
        out("cat 'access_grps/a%2Fb' vol_groups/*", &mount.ss()),
        "{\"name\":\"a/b\"}\n{\"name\":\"fast\"}\n"
    );
}

#[test]
fn a_change_is_seen_by_the_next_reader_and_an_open_file_keeps_its_version() {
    let name = "a_change_is_seen_by_the_next_reader_and_an_open_file_keeps_its_version";
    let Some(mount) = Mount::new(name, fake(3, 5000)) else {
        return;
    };
    let path = mount.se(1).join("record");
    let old = fs::read(&path).unwrap();
    let open = fs::File::open(&path).unwrap();
    mount.update("se-00001", Some(element("se-00001", 7, 300)));
    let new = fs::read_to_string(&path).unwrap();
    assert!(new.contains("\"version\":7"), "{new}");
    assert_eq!(fs::metadata(&path).unwrap().len(), 300 + 1);
    assert_eq!(out("cat attr/length", &mount.se(1)), "300\n");
    let mut still = vec![0; old.len()];
    open.read_exact_at(&mut still, 0).unwrap();
    assert_eq!(still, old);
}

#[test]
fn an_unchanged_thing_causes_no_notification_and_one_change_one() {
    let name = "an_unchanged_thing_causes_no_notification_and_one_change_one";
    let Some(mount) = Mount::new(name, fake(50, 1024)) else {
        return;
    };
    read_all(&mount, 50);
    let tree = mount.tree();
    for n in 0..50 {
        tree.changed(Change::Element { ss: common::SS.into(), se: format!("se-{n:05}").into() });
    }
    tree.changed(Change::Everything);
    tree.changed(Change::Server(common::SS.into()));
    tree.settle();
    assert_eq!(tree.record_stats().notices(), 0);
    mount.update("se-00009", Some(element("se-00009", 1, 1024)));
    assert_eq!(tree.record_stats().notices(), 1);
    let before = tree.record_stats().requests();
    read_all(&mount, 50);
    // The changed record alone was looked up and read again, its directory's attributes asked for, its old inode forgotten.
    assert!(tree.record_stats().requests() - before <= 4, "{:?}", tree.record_stats());
}

#[test]
fn what_comes_and_goes_is_listed_and_linked_at_once() {
    let Some(mount) = Mount::new("what_comes_and_goes_is_listed_and_linked_at_once", fake(3, 100)) else {
        return;
    };
    let ls = |dir: &str| out(&format!("ls {dir}"), &mount.ss());
    let seen = |dir: &str| ls(dir).lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(seen("se"), ["se-00000", "se-00001", "se-00002"]);
    assert_eq!(seen("se-by-name"), ["vol-se-00000", "vol-se-00001", "vol-se-00002"]);
    assert!(fs::metadata(mount.ss().join("se/new")).is_err());
    mount.update("new", Some(element("new", 0, 100)));
    assert_eq!(seen("se"), ["new", "se-00000", "se-00001", "se-00002"]);
    assert!(
        out("cat se-by-name/vol-new/record ../../by-page83/36000new/record", &mount.ss()).contains("\"new\"")
    );
    let mut twin = element("se-00002", 0, 100);
    twin.names.name = "vol-new".into();
    twin.names.devices = vec!["loop7".into()];
    mount.update("se-00002", Some(twin));
    assert_eq!(seen("se-by-name"), ["vol-new", "vol-new~se-00002", "vol-se-00000", "vol-se-00001"]);
    assert_eq!(out("readlink by-device/loop7", &mount.root()), format!("../ss/{}/se/se-00002\n", common::SS));
    mount.update("new", None);
    assert_eq!(seen("se"), ["se-00000", "se-00001", "se-00002"]);
    assert_eq!(seen("se-by-name"), ["vol-new", "vol-se-00000", "vol-se-00001"]);
    assert_eq!(out("readlink se-by-name/vol-new", &mount.ss()), "../se/se-00002\n");
    assert!(fs::metadata(mount.ss().join("se/new")).is_err());
    assert_eq!(out("readlink ../../by-name/array*; readlink plugin", &mount.ss()).lines().count(), 2);
    mount.fake.state().servers.clear();
    mount.tree().changed(Change::Server(common::SS.into()));
    mount.tree().settle();
    assert_eq!(out("ls ss by-name", &mount.root()), "by-name:\n\nss:\n");
}

#[test]
fn a_reader_never_sees_a_torn_record_while_it_is_rewritten() {
    let name = "a_reader_never_sees_a_torn_record_while_it_is_rewritten";
    let Some(mount) = Mount::new(name, fake(1, 9000)) else {
        return;
    };
    let path = mount.se(0).join("record");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let text = fs::read_to_string(&path).unwrap();
                    let pad = text.split("\"pad\":\"").nth(1).unwrap().trim_end_matches("\"}\n");
                    let first = pad.as_bytes()[0];
                    assert!(text.ends_with("\"}\n") && pad.bytes().all(|byte| byte == first), "torn: {text}");
                }
            });
        }
        for version in 0..400 {
            mount.update("se-00000", Some(element("se-00000", version, 6000 + 37 * (version % 100))));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(fs::read_to_string(&path).unwrap().contains("\"version\":399"));
}

#[test]
fn ordinary_tools_walk_the_tree() {
    let Some(mount) = Mount::new("ordinary_tools_walk_the_tree", fake(5, 200)) else {
        return;
    };
    mount.fake.state().file_systems.insert((common::SS.into(), "fs1".into()), "{\"fs\":1}".into());
    assert_eq!(out("find . -type f -name record | wc -l", &mount.root()).trim(), "8");
    assert_eq!(out("grep -r version ss | wc -l", &mount.root()).trim(), "5");
    let listing = out("ls -lR .", &mount.root());
    assert!(listing.contains("snapshot -> ../../../../.ctl/ss/"), "{listing}");
    assert!(!listing.contains(".ctl:"));
    assert_eq!(
        out("find .ctl -name snapshot | wc -l; find .ctl | wc -l", &mount.root()).lines().next(),
        Some("5")
    );
    assert_eq!(out("find -L . -name snapshot | wc -l", &mount.root()).trim().parse::<u32>().unwrap() % 5, 0);
    assert_eq!(out("df --output=fstype . | tail -1", &mount.root()).trim(), "fuse.oscd");
    for refused in [
        "touch x",
        "mkdir x",
        "rm README",
        "mv README y",
        "ln -s a b",
        "echo x > version",
        "chmod 777 README",
    ] {
        let output = sh(refused, &mount.root());
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("Read-only file system"),
            "{refused}: {output:?}"
        );
    }
    assert!(!sh("touch .ctl/x", &mount.root()).status.success());
}

#[test]
fn a_large_directory_is_listed_whole_while_it_changes() {
    let Some(mount) = Mount::new("a_large_directory_is_listed_whole_while_it_changes", fake(3000, 60)) else {
        return;
    };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                mount.update("extra", (n % 2 == 0).then(|| element("extra", n, 60)));
            }
        });
        for _ in 0..20 {
            let names: Vec<String> = fs::read_dir(mount.ss().join("se"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name != "extra")
                .collect();
            let distinct: std::collections::BTreeSet<_> = names.iter().collect();
            assert_eq!((names.len(), distinct.len()), (3000, 3000));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn others_may_read_only_what_is_for_everybody() {
    let Some(mount) = Mount::new("others_may_read_only_what_is_for_everybody", fake(1, 100)) else {
        return;
    };
    fs::set_permissions(mount.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |script: &str| {
        use std::os::unix::process::CommandExt;
        let mut command = std::process::Command::new("sh");
        command.arg("-c").arg(script).current_dir(mount.root()).uid(65534).gid(65534);
        command.output().unwrap()
    };
    assert!(as_nobody("cat README version plugins/*/info; ls ss/*/se").status.success());
    for refused in [
        "cat ss/*/se/*/record",
        "cat events",
        "cat ss/*/se/*/snapshot",
        "for f in ss/*/se/se-00000/snapshot; do echo x > $f; done",
    ] {
        let output = as_nobody(refused);
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("Permission denied"),
            "{refused}: {output:?}"
        );
    }
    let meta = fs::metadata(mount.se(0).join("record")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o440, 0, 0));
    assert_eq!(fs::metadata(mount.se(0).join("snapshot")).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn inodes_are_made_when_looked_up_and_go_when_forgotten() {
    let name = "inodes_are_made_when_looked_up_and_go_when_forgotten";
    let Some(mount) = Mount::new(name, fake(500, 100)) else {
        return;
    };
    let tree = mount.tree();
    assert!(tree.inodes() < 10);
    read_all(&mount, 500);
    assert!(tree.inodes() >= 1000);
    mount.fake.state().elements.clear();
    tree.changed(Change::Everything);
    tree.settle();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while tree.inodes() > 10 && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(tree.inodes() <= 10, "{} left; {:?}", tree.inodes(), tree.record_stats());
    assert!(tree.record_stats().get(Count::Forget) > 0);
}
