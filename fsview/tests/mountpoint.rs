//! What can stand in the way of mounting, and what is said about it.

mod common;

use std::fs;
use std::process::{Command, Stdio};

use common::{fake, have_fuse, out};
use fsview::{Options, mount};

fn refusal(at: &std::path::Path) -> String {
    mount(Options::new(at), fake(1, 10)).expect_err("must be refused").to_string()
}

#[test]
fn a_missing_mount_point_is_made_where_its_parent_is() {
    if !have_fuse("a_missing_mount_point_is_made_where_its_parent_is") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mounted = mount(Options::new(dir.path().join("osc")), fake(1, 10)).unwrap();
    assert!(dir.path().join("osc/README").exists());
    drop(mounted);
    assert!(!dir.path().join("osc/README").exists());
    let said = refusal(&dir.path().join("no/osc"));
    assert!(said.contains("no/osc") && said.contains("parent"), "{said}");
}

#[test]
fn a_mount_point_that_would_hide_something_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    let said = refusal(dir.path());
    assert!(said.contains("not empty") && said.contains("\"file\""), "{said}");
    let said = refusal(&dir.path().join("file"));
    assert!(said.contains("not a directory"), "{said}");
    assert!(refusal(std::path::Path::new("/proc")).contains("type proc"));
}

#[test]
fn a_second_agent_is_told_who_serves_the_mount_point() {
    if !have_fuse("a_second_agent_is_told_who_serves_the_mount_point") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let _first = mount(Options::new(dir.path()), fake(1, 10)).unwrap();
    let said = refusal(dir.path());
    assert!(said.contains(&format!("already served by pid {}", std::process::id())), "{said}");
}

#[test]
fn a_dead_mount_is_replaced() {
    if !have_fuse("a_dead_mount_is_replaced") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // This test again, in a process that serves the mount point and is killed.
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "serve_until_killed", "--ignored", "--nocapture"])
        .env("FSVIEW_TEST_SERVE", dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !dir.path().join(".ctl/events").exists() {
        assert!(server.try_wait().unwrap().is_none(), "the server ended early");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    fs::read(dir.path().join("README")).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap_err().raw_os_error(), Some(libc::ENOTCONN));
    let mounted = mount(Options::new(dir.path()), fake(1, 10)).unwrap();
    assert_eq!(out("ls ss | wc -l; ls .ctl", dir.path()), "1\nevents\nop\nregister\nss\n");
    drop(mounted);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(dir.path().to_str().unwrap()), "{mounts}");
}

#[test]
#[ignore = "the other process of a_dead_mount_is_replaced"]
fn serve_until_killed() {
    if let Some(at) = std::env::var_os("FSVIEW_TEST_SERVE") {
        let _mounted = mount(Options::new(at), fake(1, 10)).unwrap();
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}

#[test]
fn someone_who_stays_in_the_tree_does_not_keep_it_mounted() {
    if !have_fuse("someone_who_stays_in_the_tree_does_not_keep_it_mounted") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mounted = mount(Options::new(dir.path()), fake(1, 10)).unwrap();
    let stays = fs::File::open(dir.path().join("README")).unwrap();
    mounted.unmount().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    drop(stays);
}
