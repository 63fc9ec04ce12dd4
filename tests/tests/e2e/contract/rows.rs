//! What each command is asked with, and the arguments that its method gets.

use agent::command::{Object, command};
use serde_json::{Value, json};

/// The object, the command, the parameters, the method, and its arguments behind the storage
/// server's record. `@name` stands for the record that the plug-in listed under that name.
pub type Row = (&'static str, &'static str, Value, &'static str, Value);

pub fn array() -> Vec<Row> {
    let groups = json!([{"grp_name": "g", "grp_entries": ["a", "b"]}]);
    vec![
        ("", "validate", json!({}), "validate", json!({})),
        ("", "discover", json!({}), "discover", json!({})),
        ("", "info", json!({}), "getInfo", json!({"se_record": null})),
        ("", "status", json!({}), "getStatus", json!({"record": null})),
        ("", "capabilities", json!({}), "getCapabilities", json!({})),
        ("", "storage-names", json!({}), "getStorageNames", json!({})),
        ("", "access-groups", json!({}), "getAccessGroups", json!({"record": null})),
        ("", "qos-list", json!({}), "getQoSList", json!({})),
        (
            "",
            "update-records",
            json!({"elements": ["lun", "snap"]}),
            "updateSERecords",
            json!({"se_records": ["@lun", "@snap"]}),
        ),
        ("", "refresh", json!({}), "refresh", json!({})),
        ("", "start", json!({}), "start", json!({})),
        ("", "stop", json!({}), "stop", json!({})),
        (
            "",
            "create-access-groups",
            json!({"groups": groups}),
            "createAccessGroups",
            json!({"access_grps": groups}),
        ),
        (
            "",
            "rename-access-group",
            json!({"name": "hosts", "new_name": "b"}),
            "renameAccessGroup",
            json!({"access_grp_name": "hosts", "new_access_grp_name": "b"}),
        ),
        (
            "",
            "add-to-access-group",
            json!({"name": "hosts", "entries": ["x", "y"]}),
            "addToAccessGroup",
            json!({"access_grp_name": "hosts", "grp_entries": ["x", "y"]}),
        ),
        (
            "",
            "remove-from-access-group",
            json!({"name": "hosts", "entries": ["x"]}),
            "removeFromAccessGroup",
            json!({"access_grp_name": "hosts", "grp_entries": ["x"]}),
        ),
        (
            "",
            "remove-access-groups",
            json!({"groups": ["hosts"]}),
            "removeAccessGroups",
            json!({"access_grps": [{"grp_name": "hosts", "grp_entries": ["iqn.2010-01.org:a"], "grp_modes": ["rw"]}]}),
        ),
        (
            "",
            "multi-snapshot",
            json!({"elements": ["lun", "lun2"], "names": ["m1", "m2"]}),
            "createMultiSnap",
            json!({"se_records": ["@lun", "@lun2"], "snap_names": ["m1", "m2"]}),
        ),
        (
            "",
            "create",
            json!({"record": {"name": "new", "size": 4096, "vol_group_name": "vg"}}),
            "create",
            json!({"se_record": {"se_type": "LUN", "name": "new", "size": 4096, "vol_group_name": "vg", "ss_uuid": "@ss"}}),
        ),
        ("lun", "info", json!({}), "getInfo", json!({"se_record": "@lun"})),
        ("lun", "status", json!({}), "getStatus", json!({"record": "@lun"})),
        ("lun", "access-groups", json!({}), "getAccessGroups", json!({"record": "@lun"})),
        ("lun", "snapshots", json!({}), "getCurrentSnaps", json!({"se_record": "@lun"})),
        ("lun", "clones", json!({}), "getCurrentClones", json!({"se_record": "@lun"})),
        ("lun", "snap-limits", json!({}), "getSnapLimits", json!({"se_record": "@lun"})),
        ("lun", "clone-limits", json!({}), "getCloneLimits", json!({"se_record": "@lun"})),
        ("lun", "is-snapable", json!({}), "isSnapable", json!({"se_record": "@lun"})),
        ("lun", "is-cloneable", json!({}), "isCloneable", json!({"se_record": "@lun"})),
        (
            "lun",
            "is-restorable",
            json!({"snapshot": "snap"}),
            "isRestorable",
            json!({"se_record": "@lun", "snap_record": "@snap"}),
        ),
        (
            "lun",
            "snapshot",
            json!({"name": "s1"}),
            "createSnap",
            json!({"se_record": "@lun", "snap_name": "s1"}),
        ),
        ("lun", "clone", json!({"name": "c1"}), "clone", json!({"se_record": "@lun", "clone_name": "c1"})),
        (
            "snap",
            "clone",
            json!({"name": "c2"}),
            "cloneFromSnap",
            json!({"snap_record": "@snap", "clone_name": "c2"}),
        ),
        (
            "lun",
            "restore",
            json!({"snapshot": "snap"}),
            "snapRestore",
            json!({"se_record": "@lun", "snap_record": "@snap"}),
        ),
        ("clone", "split", json!({}), "splitClone", json!({"se_record": "@clone"})),
        (
            "lun",
            "resize",
            json!({"size": "2MiB"}),
            "resize",
            json!({"se_record": "@lun", "new_size": 2 << 20}),
        ),
        ("lun", "online", json!({}), "online", json!({"se_record": "@lun"})),
        ("lun", "offline", json!({}), "offline", json!({"se_record": "@lun"})),
        (
            "lun",
            "present",
            json!({"groups": ["hosts", "b"]}),
            "startPresent",
            json!({"record": "@lun", "access_grp_names": ["hosts", "b"]}),
        ),
        ("lun", "unpresent", json!({}), "stopPresent", json!({"record": "@lun", "access_grp_names": []})),
        ("lun", "qos", json!({"value": "gold"}), "setQoS", json!({"record": "@lun", "qos": "gold"})),
        ("lun", "device-teardown", json!({}), "deviceTeardown", json!({"se_record": "@lun"})),
        ("lun", "device-resize", json!({}), "deviceResize", json!({"se_record": "@lun"})),
        ("lun", "device-size-refresh", json!({}), "deviceSizeRefresh", json!({"se_record": "@lun"})),
        ("snap", "remove", json!({}), "snapRemove", json!({"snap_record": "@snap"})),
        ("lun", "remove", json!({}), "remove", json!({"se_record": "@lun"})),
    ]
}

pub fn files() -> Vec<Row> {
    let file = |path: &str| json!({"fr_type": "File", "file_path": path, "fs_uuid": "@fs"});
    let snap = |path: &str| json!({"fr_type": "Snap", "file_path": path, "fs_uuid": "@fs"});
    let dir = json!({"fr_type": "Directory", "file_path": "d", "name_pattern": "^a", "fs_uuid": "@fs"});
    let with = |path: &str, more: Value| {
        let mut args = json!({"fs_record": "@one", "file_record": file(path)});
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };
    // What both kinds of plug-in do for a storage server, they are asked alike.
    let shared = array()
        .into_iter()
        .filter(|row| row.0.is_empty() && command(Object::Server, row.1).unwrap().ifs == Some(row.3));
    let own = vec![
        ("", "info", json!({}), "getStorageServerInfo", json!({})),
        ("", "backing-devices", json!({}), "getFileSystemBackingDevices", json!({})),
        (
            "",
            "create",
            json!({"record": {"name": "new", "size": 4096, "backing_device": "pool/fast"}}),
            "createFileSystem",
            json!({"fs_record": {"name": "new", "size": 4096, "backing_device": "pool/fast", "ss_uuid": "@ss"}}),
        ),
        ("one", "status", json!({}), "getStatus", json!({"record": "@one"})),
        ("one", "access-groups", json!({}), "getAccessGroups", json!({"record": "@one"})),
        ("one", "mounts", json!({}), "listMountPoints", json!({"fs_record": "@one"})),
        ("one", "snap-limits", json!({}), "getFileSystemSnapLimits", json!({"fs_record": "@one"})),
        ("one", "clone-limits", json!({}), "getFileSystemCloneLimits", json!({"fs_record": "@one"})),
        (
            "one",
            "file-list",
            json!({"path": "d", "pattern": "^a"}),
            "list",
            json!({"fs_record": "@one", "file_record": dir}),
        ),
        (
            "one",
            "file-info",
            json!({"path": "a"}),
            "getFileInfo",
            with("a", json!({"file_comp_record": null})),
        ),
        (
            "one",
            "file-info",
            json!({"path": "a", "compare": "b"}),
            "getFileInfo",
            with("a", json!({"file_comp_record": file("b")})),
        ),
        ("one", "file-snapshots", json!({"path": "a"}), "getCurrentSnaps", with("a", json!({}))),
        ("one", "file-is-snapable", json!({"path": "a"}), "isSnapable", with("a", json!({}))),
        ("one", "file-is-cloneable", json!({"path": "a"}), "isCloneable", with("a", json!({}))),
        (
            "one",
            "file-is-restorable",
            json!({"path": "a", "snapshot": "s"}),
            "isRestorable",
            with("a", json!({"snap_record": snap("s")})),
        ),
        ("one", "refresh", json!({}), "getFileSystemInfo", json!({"fs_record": "@one"})),
        (
            "one",
            "mount",
            json!({"mount_point": "/mnt/p", "share_path": "/s", "options": ["ro", "noatime"]}),
            "mount",
            json!({"fs_record": "@one", "mount_point": "/mnt/p", "share_path": "/s", "active": true, "options": ["ro", "noatime"]}),
        ),
        (
            "one",
            "unmount",
            json!({"mount_point": "/mnt/p"}),
            "unmount",
            json!({"fs_record": "@one", "mount_point": "/mnt/p", "active": true}),
        ),
        (
            "one",
            "resize",
            json!({"size": "2MiB"}),
            "resizeFileSystem",
            json!({"fs_record": "@one", "new_size": 2 << 20}),
        ),
        (
            "one",
            "present",
            json!({"groups": ["hosts"]}),
            "startPresent",
            json!({"record": "@one", "access_grp_names": ["hosts"]}),
        ),
        ("one", "unpresent", json!({}), "stopPresent", json!({"record": "@one", "access_grp_names": []})),
        ("one", "qos", json!({"value": "gold"}), "setQoS", json!({"record": "@one", "qos": "gold"})),
        (
            "one",
            "file-create",
            json!({"path": "n", "type": "Directory", "size": "1KiB"}),
            "create",
            json!({"fs_record": "@one", "file_path": "n", "file_type": "Directory", "size": 1024}),
        ),
        (
            "one",
            "file-create",
            json!({"path": "n"}),
            "create",
            json!({"fs_record": "@one", "file_path": "n", "file_type": "File", "size": 0}),
        ),
        ("one", "file-remove", json!({"path": "a"}), "destroy", with("a", json!({}))),
        (
            "one",
            "file-resize",
            json!({"path": "a", "size": 8192}),
            "resize",
            with("a", json!({"new_size": 8192})),
        ),
        (
            "one",
            "file-snapshot",
            json!({"path": "a", "name": "s"}),
            "createSnap",
            with("a", json!({"snap_name": "s"})),
        ),
        (
            "one",
            "file-restore",
            json!({"path": "a", "snapshot": "s"}),
            "snapRestore",
            with("a", json!({"snap_record": snap("s")})),
        ),
        (
            "one",
            "file-snap-remove",
            json!({"snapshot": "s"}),
            "snapRemove",
            json!({"fs_record": "@one", "snap_record": snap("s")}),
        ),
        (
            "one",
            "file-clone",
            json!({"path": "a", "name": "c"}),
            "clone",
            with("a", json!({"clone_name": "c"})),
        ),
        (
            "one",
            "file-clone-snapshot",
            json!({"snapshot": "s", "name": "c"}),
            "cloneFromSnap",
            json!({"fs_record": "@one", "snap_record": snap("s"), "clone_name": "c"}),
        ),
        ("one", "file-split", json!({"path": "a"}), "splitClone", with("a", json!({}))),
        ("two", "destroy", json!({}), "destroyFileSystem", json!({"fs_record": "@two"})),
    ];
    shared.chain(own).collect()
}
