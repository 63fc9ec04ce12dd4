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

    let open = File::create(at.join("open")).unwrap();
    let error = unmount(&wanted.at, LONG).await.unwrap_err();
    assert_eq!(error.kind(), Kind::FileSystemBusy);
    assert!(error.message().contains(&format!("process {} (", std::process::id())), "{error}");
    drop(open);

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
