//! Real mounts of this host: tmpfs and loop devices below a directory of the test's own.

use super::*;

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

const LONG: Duration = Duration::from_secs(60);

/// A directory; what a test mounts below it is unmounted with it.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Option<Bench> {
        let dir = tempfile::Builder::new().prefix("osc-mount-").tempdir().unwrap();
        let bench = Bench(dir);
        let at = bench.path("probe");
        std::fs::create_dir(&at).unwrap();
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&at).status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("skipped: nothing can be mounted here");
            return None;
        }
        Some(bench)
    }

    fn root(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn wanted(&self, source: &str, at: &str, options: &[&str]) -> Wanted {
        let options = options.iter().map(|&option| option.into()).collect();
        Wanted { source: source.into(), at: self.text(at), kind: "tmpfs".into(), options }
    }
}

/// A process that has a file open in a directory: ended with it, and open in nobody else. What this process had open,
/// a command that another test starts at that moment would have open too.
struct Holder(std::process::Child);

impl Holder {
    fn open(file: &Path) -> Holder {
        let script = "echo >\"$1\"; exec sleep 600 <\"$1\"";
        let child = std::process::Command::new("sh").args(["-c", script, "sh"]).arg(file).spawn().unwrap();
        let link = format!("/proc/{}/fd/0", child.id());
        while std::fs::read_link(&link).is_ok_and(|open| open != file) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Holder(child)
    }

    fn name(&self) -> String {
        format!("process {} (", self.0.id())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let table = Table::read().unwrap();
        for mount in table.0.iter().rev().filter(|mount| mount.at.starts_with(self.root())) {
            let _ = nix::mount::umount2(&mount.at, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}

fn kind_of<T: std::fmt::Debug>(result: Result<T>) -> Kind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn mounting_and_unmounting_again_changes_nothing() {
    let Some(bench) = Bench::new() else { return };
    let wanted = bench.wanted("nas:/a", "deep/er place", &["size=1m", "noatime"]);
    let first = mount(&wanted, LONG).await.unwrap();
    assert!(!first.already && first.mounted.options.contains(&"noatime".into()));
    assert_eq!(first.mounted.at, bench.path("deep/er place"));
    let second = mount(&wanted, LONG).await.unwrap();
    assert!(second.already && second.mounted.id == first.mounted.id);
    assert_eq!(unmount(&wanted.at, LONG).await.unwrap(), Unmounted::Done);
    assert_eq!(unmount(&wanted.at, LONG).await.unwrap(), Unmounted::NotMounted);
    assert_eq!(unmount(&bench.text("never/was"), LONG).await.unwrap(), Unmounted::NotMounted);
}

#[tokio::test]
async fn what_is_mounted_otherwise_is_left_as_it_is() {
    let Some(bench) = Bench::new() else { return };
    mount(&bench.wanted("nas:/a", "a", &["ro"]), LONG).await.unwrap();
    let again = mount(&bench.wanted("nas:/a/", "a", &["ro"]), LONG).await.unwrap();
    assert!(again.already && again.mounted.read_only);
    let other = mount(&bench.wanted("nas:/b", "a", &["ro"]), LONG).await;
    assert_eq!(kind_of(other), Kind::FileSystemAlreadyMounted);
    let writable = mount(&bench.wanted("nas:/a", "a", &[]), LONG).await;
    assert_eq!(kind_of(writable), Kind::FileSystemAlreadyMounted);
}

#[tokio::test]
async fn a_link_leads_to_the_place_that_the_kernel_shows() {
    let Some(bench) = Bench::new() else { return };
    std::fs::create_dir(bench.path("real")).unwrap();
    std::os::unix::fs::symlink("real", bench.path("link")).unwrap();
    let done = mount(&bench.wanted("nas:/a", "link", &[]), LONG).await.unwrap();
    assert_eq!(done.mounted.at, bench.path("real"));
    assert_eq!(unmount(&bench.text("link"), LONG).await.unwrap(), Unmounted::Done);
}

#[tokio::test]
async fn a_mount_that_fails_leaves_no_mount_point() {
    let Some(bench) = Bench::new() else { return };
    let wanted = bench.wanted("nas:/a", "made", &["no-such-option=1"]);
    let error = mount(&wanted, LONG).await.unwrap_err();
    assert_eq!(error.kind(), Kind::OperationFailed, "{error}");
    assert!(!bench.path("made").exists());
    std::fs::create_dir(bench.path("made")).unwrap();
    mount(&wanted, LONG).await.unwrap_err();
    assert!(bench.path("made").exists(), "a directory that was there is gone");
}

#[tokio::test]
async fn nothing_is_mounted_over_the_system() {
    let Some(bench) = Bench::new() else { return };
    for at in ["/", "/etc", "//usr/", "/proc/x", "/dev/shm/x", "relative", "/mnt/../etc", "/mnt/a\nb", ""] {
        let wanted = Wanted { at: at.into(), ..bench.wanted("nas:/a", "a", &[]) };
        assert_eq!(kind_of(mount(&wanted, LONG).await), Kind::InvalidValue, "{at}");
    }
    for at in ["/", "/proc"] {
        assert_eq!(kind_of(unmount(at, LONG).await), Kind::InvalidValue, "{at}");
    }
    File::create(bench.path("file")).unwrap();
    assert_eq!(kind_of(mount(&bench.wanted("nas:/a", "file", &[]), LONG).await), Kind::InvalidValue);
}

#[tokio::test]
async fn words_are_never_taken_for_options() {
    let Some(bench) = Bench::new() else { return };
    let good = bench.wanted("nas:/a", "a", &[]);
    let bad = [
        Wanted { source: "-a".into(), ..good.clone() },
        Wanted { source: "".into(), ..good.clone() },
        Wanted { kind: "tmpfs,x".into(), ..good.clone() },
        Wanted { kind: "-F".into(), ..good.clone() },
        Wanted { options: vec!["a,b".into()], ..good.clone() },
        Wanted { options: vec!["-a".into()], ..good.clone() },
        Wanted { options: vec!["a\nb".into()], ..good },
    ];
    for wanted in bad {
        assert_eq!(kind_of(mount(&wanted, LONG).await), Kind::InvalidValue, "{wanted:?}");
    }
}

#[tokio::test]
async fn a_busy_mount_names_who_uses_it() {
    let Some(bench) = Bench::new() else { return };
    let wanted = bench.wanted("nas:/a", "a", &[]);
    let at = mount(&wanted, LONG).await.unwrap().mounted.at;

    let holder = Holder::open(&at.join("open"));
    let error = unmount(&wanted.at, LONG).await.unwrap_err();
    assert_eq!(error.kind(), Kind::FileSystemBusy);
    assert!(error.message().contains(&holder.name()), "{error}");
    drop(holder);

    let mut stands = std::process::Command::new("sleep").arg("600").current_dir(&at).spawn().unwrap();
    let error = unmount(&wanted.at, LONG).await.unwrap_err();
    assert!(error.message().contains(&format!("process {} (sleep)", stands.id())), "{error}");
    stands.kill().unwrap();
    stands.wait().unwrap();

    let below = bench.wanted("nas:/b", "a/below", &[]);
    mount(&below, LONG).await.unwrap();
    let error = unmount(&wanted.at, LONG).await.unwrap_err();
    assert!(error.message().contains(&format!("the mount on {}", below.at)), "{error}");
    unmount(&below.at, LONG).await.unwrap();
    assert_eq!(unmount(&wanted.at, LONG).await.unwrap(), Unmounted::Done);
}

#[tokio::test]
async fn what_anybody_mounts_or_unmounts_is_told() {
    let Some(bench) = Bench::new() else { return };
    let at = bench.path("by-hand");
    std::fs::create_dir(&at).unwrap();
    let watch = Watch::start().unwrap();
    // Others mount and unmount beside this test: what counts is that each change of ours is among those told.
    let seen = async |there: bool| {
        while Table::read().unwrap().has(&at) != there {
            watch.changed().await.unwrap();
        }
    };
    let by_hand = |program: &str, words: &[&str]| {
        let status = std::process::Command::new(program).args(words).arg(&at).status();
        assert!(status.unwrap().success(), "{program}");
    };
    let done = AtomicBool::new(false);
    let changes = async {
        for there in [true, false, true] {
            seen(there).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let hand = async {
        // After the watch has begun to wait.
        tokio::task::yield_now().await;
        by_hand("mount", &["-t", "tmpfs", "tmpfs"]);
        tokio::time::sleep(Duration::from_millis(20)).await;
        by_hand("umount", &[]);
        tokio::time::sleep(Duration::from_millis(20)).await;
        by_hand("mount", &["-t", "tmpfs", "tmpfs"]);
    };
    tokio::time::timeout(LONG, async { tokio::join!(changes, hand) }).await.expect("a change was not told");
    assert!(done.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_loop_device_is_the_same_source_under_each_of_its_names() {
    let bench = tempfile::tempdir().unwrap();
    let link = bench.path().join("disk");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let mounted = Mounted {
        id: 1,
        parent: 0,
        device: (0, 99),
        root: "/".into(),
        at: "/x".into(),
        options: vec![],
        read_only: false,
        kind: "xfs".into(),
        source: "/dev/null".into(),
    };
    assert!(same_source(&mounted, "/dev/null") && !same_source(&mounted, "/dev/zero"));
    assert!(same_source(&Mounted { device: (1, 5), ..mounted.clone() }, "/dev/zero"));
    let nfs = Mounted { source: "nas:/".into(), ..mounted };
    assert!(same_source(&nfs, "nas:/") && same_source(&nfs, "nas:") && !same_source(&nfs, "nas:/a"));
}

mod operations {
    //! The group of host operations, with tmpfs in the place of exports.

    use std::sync::Arc;

    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::host::{Host, Request, Scope};

    const FS: &str = "0004fb00-0005-0000-1e3c-9d6a2c5b7f30";

    fn scope(fs: Option<&str>) -> Arc<Scope> {
        let server =
            json!({"uuid": Uuid::nil(), "storage_type": "NetworkFS", "access_host": "nas.example.org"});
        let mut args = vec![("ss_record", server)];
        if let Some(access) = fs {
            args.push(("fs_record", json!({"uuid": FS, "access_path": access})));
        }
        Arc::new(Scope::new("acme.box.Box.Box", "mount", Uuid::nil(), &args))
    }

    async fn ask(scope: &Arc<Scope>, op: &str, args: Value) -> Result<Value> {
        let args = args.as_object().cloned().unwrap();
        Host::linux().ask(scope, Request { op: op.into(), args }).await
    }

    #[tokio::test]
    async fn a_plug_in_mounts_lists_and_unmounts_its_file_system() {
        let Some(bench) = Bench::new() else { return };
        let scope = scope(Some("nas.example.org:/export"));
        let at = bench.text("a");
        let args =
            json!({"mount_point": at, "share_path": "/pool/", "fstype": "tmpfs", "options": ["size=1m"]});
        let made = ask(&scope, "mount.mount", args.clone()).await.unwrap();
        assert_eq!((&made["mount_point"], &made["share_path"]), (&json!(at), &json!("pool")));
        assert_eq!((&made["fs_uuid"], &made["status"]), (&json!(FS), &json!("Mounted")));
        assert_eq!(made["uuid"], json!(Uuid::new_v5(&FS.parse().unwrap(), at.as_bytes())));
        assert_eq!(made["source"], "nas.example.org:/export/pool");
        assert_eq!(ask(&scope, "mount.mount", args).await.unwrap(), Value::Null);
        let mut listed = ask(&scope, "mount.list", json!({})).await.unwrap();
        listed.as_array_mut().unwrap().retain(|mount| mount["mount_point"] == json!(at));
        assert_eq!(listed, json!([made]));

        let holder = Holder::open(&Path::new(&at).join("open"));
        let users = ask(&scope, "mount.users", json!({"mount_point": at})).await.unwrap();
        assert!(users.to_string().contains(&holder.name()), "{users}");
        drop(holder);
        let gone = ask(&scope, "mount.unmount", json!({"mount_point": at})).await.unwrap();
        assert_eq!(gone["state"], "unmounted");
        let again = ask(&scope, "mount.unmount", json!({"mount_point": at})).await.unwrap();
        assert_eq!(again["state"], "not_mounted");
    }

    #[tokio::test]
    async fn what_is_not_its_storage_servers_is_left_alone() {
        let Some(bench) = Bench::new() else { return };
        mount(&bench.wanted("other.example.org:/export", "a", &[]), LONG).await.unwrap();
        mount(&bench.wanted("nas.example.org:/other", "b", &[]), LONG).await.unwrap();
        let own = scope(Some("nas.example.org:/export"));
        for at in ["a", "b"] {
            for op in ["mount.unmount", "mount.users"] {
                let asked = ask(&own, op, json!({"mount_point": bench.text(at)})).await;
                assert_eq!(kind_of(asked), Kind::PermissionDenied, "{op} {at}");
            }
        }
        for source in ["other.example.org:/export", "/dev/null", "tmpfs", "nas.example.org.evil:/export"] {
            let args = json!({"mount_point": bench.text("c"), "source": source, "fstype": "tmpfs"});
            assert_eq!(kind_of(ask(&own, "mount.mount", args).await), Kind::PermissionDenied, "{source}");
        }
        for (key, value) in [("share_path", "../x"), ("source", "nas.example.org:/export/../x")] {
            let args = json!({"mount_point": bench.text("c"), key: value, "fstype": "tmpfs"});
            assert_eq!(kind_of(ask(&own, "mount.mount", args).await), Kind::InvalidValue, "{value}");
        }
        assert!(!bench.path("c").exists());
        let nothing = scope(None);
        let args = json!({"mount_point": bench.text("c")});
        assert_eq!(kind_of(ask(&nothing, "mount.mount", args).await), Kind::MissingKey);
    }

    #[tokio::test]
    async fn a_call_about_the_server_sees_its_network_mounts_only() {
        let listed = ask(&scope(None), "mount.list", json!({})).await.unwrap();
        assert_eq!(listed, json!([]));
    }

    #[tokio::test]
    async fn a_call_that_dies_leaves_no_mount_behind() {
        let Some(bench) = Bench::new() else { return };
        let at = bench.path("a");
        let args = json!({"mount_point": at, "fstype": "tmpfs"});
        let scope = scope(Some("nas.example.org:/export"));
        // However far it had got.
        for patience in 0..12 {
            let asked = tokio::time::timeout(
                Duration::from_millis(patience * 2),
                ask(&scope, "mount.mount", args.clone()),
            );
            if asked.await.is_ok() {
                ask(&scope, "mount.unmount", json!({"mount_point": at})).await.unwrap();
            }
            let none = async {
                // Neither a mount, nor a process that might still mount.
                while Table::read().unwrap().has(&at) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(LONG, none).await.expect("the mount stays");
        }
    }
}
