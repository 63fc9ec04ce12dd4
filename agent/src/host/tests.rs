//! The table, and what every request goes through before an operation runs.

use super::*;
use std::collections::HashSet;

#[test]
fn every_operation_is_documented_and_has_a_name_of_its_own() {
    let mut names = HashSet::new();
    for row in OPERATIONS.iter().copied().flatten() {
        assert!(names.insert(row.name), "{} twice", row.name);
        assert_eq!(row.name.split('.').count(), 2, "{}: group and name", row.name);
        assert!(!row.doc.is_empty() && !row.answer.is_empty(), "{}", row.name);
        assert!(row.args.iter().all(|arg| !arg.doc.is_empty()), "{}", row.name);
    }
}

/// A tree of ordinary files that looks like sysfs.
pub mod tree {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use crate::host::{Host, Roots};

    /// A host of such a tree, and the tree, which is removed when dropped.
    pub struct Tree {
        /// Where it is.
        pub dir: TempDir,
        /// The host.
        pub host: Host,
    }

    impl Tree {
        /// An empty one.
        pub fn new() -> Tree {
            let dir = tempfile::tempdir().unwrap();
            let host = Host::at(Roots::below(dir.path()));
            Tree { dir, host }
        }

        /// Writes a file; its path is relative to the tree.
        pub fn put(&self, path: &str, text: impl AsRef<[u8]>) {
            let path = self.path(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        /// A path in the tree.
        pub fn path(&self, path: &str) -> PathBuf {
            self.dir.path().join(path)
        }

        /// Makes `path` a symbolic link to another place in the tree.
        pub fn link(&self, path: &str, to: &str) {
            let path = self.path(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(self.path(to), path).unwrap();
        }

        /// A disk of `size` bytes below `place` (`session1/target2:0:0`), with a NAA identity.
        pub fn disk(&self, place: &str, hctl: &str, name: &str, naa: &str, size: u64) {
            let number = hctl.split(':').next().unwrap();
            let dir = format!("sys/devices/host{number}/{place}/{hctl}");
            self.identity(&dir, naa);
            self.put(&format!("{dir}/vendor"), "LIO-ORG \n");
            self.put(&format!("{dir}/model"), "disk            \n");
            self.put(&format!("{dir}/state"), "running\n");
            self.put(&format!("{dir}/delete"), "");
            self.put(&format!("{dir}/rescan"), "");
            self.put(&format!("{dir}/block/{name}/dev"), format!("8:{}\n", 16 * (name.as_bytes()[2] - b'a')));
            self.put(&format!("{dir}/block/{name}/size"), format!("{}\n", size / 512));
            std::fs::create_dir_all(self.path(&format!("{dir}/block/{name}/holders"))).unwrap();
            self.link(&format!("sys/bus/scsi/devices/{hctl}"), &dir);
            self.link(&format!("sys/block/{name}"), &format!("{dir}/block/{name}"));
            self.put(&format!("sys/class/scsi_host/host{number}/scan"), "");
        }

        /// Writes a NAA identity into the directory of a disk.
        pub fn identity(&self, dir: &str, naa: &str) {
            let mut page = vec![0, 0x83, 0, 4 + naa.len() as u8 / 2, 1, 3, 0, naa.len() as u8 / 2];
            page.extend(
                (0..naa.len()).step_by(2).map(|at| u8::from_str_radix(&naa[at..at + 2], 16).unwrap()),
            );
            self.put(&format!("{dir}/vpd_pg83"), page);
        }

        /// A multipath map over disks, or what there was of it with other values.
        pub fn map(&self, name: &str, alias: &str, wwid: &str, disks: &[&str], size: u64) {
            let dir = format!("sys/block/{name}");
            self.put(&format!("{dir}/dm/uuid"), format!("mpath-{wwid}\n"));
            self.put(&format!("{dir}/dm/name"), format!("{alias}\n"));
            self.put(&format!("{dir}/size"), format!("{}\n", size / 512));
            self.put(&format!("{dir}/dev"), "254:0\n");
            for disk in disks {
                self.put(&format!("{dir}/slaves/{disk}"), "");
                self.put(&format!("sys/block/{disk}/holders/{name}"), "");
            }
        }

        /// A session with a target, on a SCSI host of its own.
        pub fn session(&self, number: u32, target: &str, address: &str, state: &str) {
            let dir = format!(
                "sys/devices/platform/host{}/session{number}/iscsi_session/session{number}",
                number + 1
            );
            self.put(&format!("{dir}/targetname"), format!("{target}\n"));
            self.put(&format!("{dir}/state"), format!("{state}\n"));
            self.put(&format!("{dir}/ifacename"), "osc\n");
            self.put(&format!("{dir}/target_id"), "0\n");
            self.link(&format!("sys/class/iscsi_session/session{number}"), &dir);
            let (host, port) = address.rsplit_once(':').unwrap();
            let connection = format!("sys/class/iscsi_connection/connection{number}:0");
            self.put(&format!("{connection}/persistent_address"), format!("{host}\n"));
            self.put(&format!("{connection}/persistent_port"), format!("{port}\n"));
        }
    }
}

mod asking {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::super::*;
    use super::tree::Tree;

    const OWN: &str = "iqn.2024-01.org.example:own";

    fn scope(ss_record: Value) -> Arc<Scope> {
        Arc::new(Scope::new("a.b.C.D", "start", Uuid::nil(), &[("ss_record", ss_record)]))
    }

    async fn ask(host: &Host, ss_record: Value, op: &str, args: Value) -> Result<Value> {
        let request = Request { op: op.into(), args: args.as_object().unwrap().clone() };
        host.ask(&scope(ss_record), request).await
    }

    fn names(answer: &Value) -> Vec<&str> {
        answer.as_array().unwrap().iter().map(|each| each["name"].as_str().unwrap()).collect()
    }

    fn two_arrays() -> Tree {
        let tree = Tree::new();
        tree.session(1, OWN, "192.0.2.1:3260", "LOGGED_IN");
        tree.session(2, "iqn.2024-01.org.example:other", "192.0.2.2:3260", "LOGGED_IN");
        tree.disk("session1/target2:0:0", "2:0:0:0", "sda", "6001405a1b2c3d4e5f60718293a4b5c6", 1 << 26);
        tree.disk("session2/target3:0:0", "3:0:0:0", "sdb", "6001405000000000000000000000000b", 1 << 26);
        tree.disk("target0:0:0", "0:0:0:1", "sdc", "5000000000000001", 1 << 20);
        tree.disk("rport-5:0-2/target5:0:0", "5:0:0:3", "sdd", "5000000000000002", 1 << 20);
        tree.put("sys/class/fc_remote_ports/rport-5:0-2/port_name", "0x50000000000000AA\n");
        tree
    }

    #[tokio::test]
    async fn a_plug_in_sees_its_own_storage_server_s_disks_and_no_other() {
        let tree = two_arrays();
        let iscsi = json!({"storage_type": "iSCSI", "storage_id": [OWN]});
        let answer = ask(&tree.host, iscsi, "scsi.devices", json!({})).await.unwrap();
        assert_eq!(names(&answer), ["sda"]);
        assert_eq!(answer[0]["page83_id"], "36001405a1b2c3d4e5f60718293a4b5c6");
        assert_eq!((&answer[0]["size"], &answer[0]["target"]), (&json!(1 << 26), &json!(OWN)));
        let san = json!({"storage_type": "SAN"});
        assert_eq!(names(&ask(&tree.host, san, "scsi.devices", json!({})).await.unwrap()), ["sdc", "sdd"]);
        let fabric = json!({"storage_type": "SAN", "storage_id": ["50:00:00:00:00:00:00:aa"]});
        assert_eq!(names(&ask(&tree.host, fabric, "scsi.devices", json!({})).await.unwrap()), ["sdd"]);
        let files = json!({"storage_type": "LocalFS"});
        assert_eq!(names(&ask(&tree.host, files, "scsi.devices", json!({})).await.unwrap()), [""; 0]);
    }

    #[tokio::test]
    async fn a_request_is_held_against_the_table() {
        let tree = Tree::new();
        let kind = async |op: &str, args: Value| {
            ask(&tree.host, json!({"storage_type": "SAN"}), op, args).await.unwrap_err().kind()
        };
        assert_eq!(kind("scsi.explode", json!({})).await, Kind::NoSuchOperation);
        assert_eq!(kind("scsi.devices", json!({"colour": "red"})).await, Kind::InvalidValue);
        assert_eq!(kind("scsi.devices", json!({"page83_id": 7})).await, Kind::InvalidValue);
    }

    #[tokio::test]
    async fn a_scan_goes_to_the_storage_server_s_targets_and_nowhere_else() {
        let tree = two_arrays();
        let rport = "sys/class/fc_remote_ports/rport-5:0-2";
        tree.put(&format!("{rport}/port_state"), "Online\n");
        tree.put(&format!("{rport}/scsi_target_id"), "4\n");
        let scanned = |host: u32| {
            let file = tree.path(&format!("sys/class/scsi_host/host{host}/scan"));
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::write(file, "").unwrap();
            text
        };
        let iscsi = json!({"storage_type": "iSCSI", "storage_id": [OWN]});
        let units = ask(&tree.host, iscsi.clone(), "scsi.scan", json!({"lun": 7})).await.unwrap();
        assert_eq!(units[0]["path"], json!(["/dev/sda"]));
        assert_eq!([2, 3, 0, 5].map(scanned), ["0 0 7", "", "", ""]);
        let fabric = json!({"storage_type": "SAN", "storage_id": ["0x50000000000000aa"]});
        ask(&tree.host, fabric.clone(), "scsi.scan", json!({})).await.unwrap();
        assert_eq!([2, 3, 0, 5].map(scanned), ["", "", "", "0 4 -"]);
        let san = json!({"storage_type": "SAN"});
        ask(&tree.host, san.clone(), "scsi.scan", json!({"hctl": "0:0:0:2"})).await.unwrap();
        assert_eq!([2, 3, 0, 5].map(scanned), ["", "", "0 0 2", ""]);
        for (record, args) in [
            (&iscsi, json!({"targets": ["iqn.2024-01.org.example:other"]})),
            (&iscsi, json!({"hctl": "3:0:0:1"})),
            (&san, json!({"hctl": "2:-:-:-"})),
            (&fabric, json!({"hctl": "0:0:0:1"})),
            (&fabric, json!({"targets": ["0x50000000000000bb"]})),
        ] {
            let error = ask(&tree.host, record.clone(), "scsi.scan", args.clone()).await.unwrap_err();
            assert_eq!(error.kind(), Kind::PermissionDenied, "{args}: {error}");
        }
        assert_eq!([2, 3, 0, 5].map(scanned), [""; 4]);
    }

    /// One unit by two paths with a map, and a `multipath` that takes the map down if no path has been deleted.
    fn mapped(naa: &str) -> Tree {
        use std::os::unix::fs::PermissionsExt as _;
        let tree = Tree::new();
        for (number, name) in [(1, "sda"), (2, "sdb")] {
            tree.session(number, OWN, &format!("192.0.2.{number}:3260"), "LOGGED_IN");
            let host = number + 1;
            let place = format!("session{number}/target{host}:0:0");
            tree.disk(&place, &format!("{host}:0:0:0"), name, naa, 1 << 20);
        }
        tree.map("dm-0", "mpatha", &format!("3{naa}"), &["sda", "sdb"], 1 << 20);
        let root = tree.dir.path().display();
        let script = format!(
            "#!/bin/sh\n[ \"$1 $2\" = '-f mpatha' ] && ! grep -q 1 {root}/sys/bus/scsi/devices/*/delete && rm -r {root}/sys/block/dm-0\n"
        );
        tree.put("bin/multipath", script);
        let program = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(tree.path("bin/multipath"), program).unwrap();
        tree
    }

    #[tokio::test]
    async fn a_unit_goes_map_first_then_each_path_and_not_while_somebody_uses_it() {
        let naa = "6001405a1b2c3d4e5f60718293a4b5c6";
        let tree = mapped(naa);
        let iscsi = json!({"storage_type": "iSCSI", "storage_id": [OWN]});
        let remove = async |record: &Value| {
            ask(&tree.host, record.clone(), "scsi.remove", json!({"page83_id": format!("naa.{naa}")})).await
        };
        let deleted = || {
            [2, 3].map(|host| {
                std::fs::read_to_string(tree.path(&format!("sys/bus/scsi/devices/{host}:0:0:0/delete")))
                    .unwrap()
            })
        };
        tree.put("proc/self/mountinfo", "36 35 254:0 / /mnt/data rw - ext4 /dev/mapper/mpatha rw\n");
        let error = remove(&iscsi).await.unwrap_err();
        assert_eq!(error.kind(), Kind::StorageElementBusy);
        assert!(error.message().contains("/mnt/data"), "{error}");
        tree.put("proc/self/mountinfo", "");
        let other = json!({"storage_type": "iSCSI", "storage_id": ["iqn.2024-01.org.example:other"]});
        assert_eq!(remove(&other).await.unwrap_err().kind(), Kind::PermissionDenied);
        assert_eq!(
            (deleted(), tree.path("sys/block/dm-0").exists()),
            (["".into(), "".into()], true),
            "nothing has happened"
        );
        assert_eq!(remove(&iscsi).await.unwrap(), json!(true));
        assert_eq!((deleted(), tree.path("sys/block/dm-0").exists()), (["1".into(), "1".into()], false));
    }

    #[tokio::test]
    async fn a_map_that_was_made_since_the_devices_were_listed_goes_first_too() {
        let tree = mapped("6001405a1b2c3d4e5f60718293a4b5c6");
        let mut listed = device::all(&tree.host).await.unwrap();
        listed[0].map = None;
        device::remove(&tree.host, listed).await.unwrap();
        assert!(!tree.path("sys/block/dm-0").exists());
    }

    #[tokio::test]
    async fn a_wait_is_over_when_the_device_is_there_and_ends_without_it() {
        let naa = "6001405a1b2c3d4e5f60718293a4b5c6";
        let tree = Tree::new();
        tree.session(1, OWN, "192.0.2.1:3260", "LOGGED_IN");
        let iscsi = json!({"storage_type": "iSCSI", "storage_id": [OWN]});
        let wait = async |seconds: u64| {
            ask(&tree.host, iscsi.clone(), "scsi.wait", json!({"page83_id": naa, "seconds": seconds})).await
        };
        assert_eq!(wait(0).await.unwrap_err().kind(), Kind::OperationFailed);
        let arrive = async {
            tokio::task::yield_now().await;
            tree.disk("session1/target2:0:0", "2:0:0:0", "sda", naa, 1 << 20);
            tree.put("dev/sda", "");
            tree.host.tell("add", "/devices/x/block/sda");
        };
        let (found, ()) = tokio::join!(wait(60), arrive);
        assert_eq!(found.unwrap()["path"], json!(["/dev/sda"]));
    }
}
