//! What abilities rule out is refused before the plug-in is called.

use serde_json::{Value, json};
use tests::daemon::Agent;
use tests::need::Python;

use crate::puppet::{self, Puppet, plugin};

/// What `oscctl call` is asked, the storage server's abilities, and the error's name; empty where
/// the call has to be made.
type Row = (&'static str, &'static [&'static str], &'static str, &'static str);

/// On an array: `lun` is online, `snap` is a snapshot of it.
const ARRAY: &[Row] = &[
    ("snapshot='UNSUPPORTED'", &["A/lun", "snapshot", "s"], "createSnap", "NoSuchOperation"),
    ("snapshot='NO'", &["A/lun", "snapshot", "s"], "createSnap", "NoSuchOperation"),
    ("snapshot='OFFLINE'", &["A/lun", "snapshot", "s"], "createSnap", "StorageElementBusy"),
    ("snapshot='OFFLINE'", &["A/off", "snapshot", "s"], "createSnap", ""),
    (
        "snapshot='OFFLINE'",
        &["A", "multi-snapshot", "elements=off,lun", "names=a,b"],
        "createMultiSnap",
        "StorageElementBusy",
    ),
    ("clone='UNSUPPORTED'", &["A/lun", "clone", "c"], "clone", "NoSuchOperation"),
    ("clone='UNSUPPORTED'", &["A/snap", "clone", "c"], "cloneFromSnap", ""),
    ("snapclone='UNSUPPORTED'", &["A/snap", "clone", "c"], "cloneFromSnap", "NoSuchOperation"),
    ("splitclone='OFFLINE'", &["A/lun", "split"], "splitClone", "StorageElementBusy"),
    ("splitclone='UNSUPPORTED'", &["A/lun", "split"], "splitClone", "NoSuchOperation"),
    ("resize='OFFLINE'", &["A/lun", "resize", "2MiB"], "resize", "StorageElementBusy"),
    (
        "access_control='NO'",
        &["A", "rename-access-group", "hosts", "new_name=b"],
        "renameAccessGroup",
        "NoSuchOperation",
    ),
    ("custom_snap_name='NO'", &["A/lun", "snapshot", "s"], "createSnap", "InvalidValue"),
    ("custom_snap_name='NO'", &["A/lun", "snapshot"], "createSnap", ""),
    ("custom_snap_name='YES'", &["A/lun", "snapshot"], "createSnap", "InvalidValue"),
    ("custom_clone_name='NO'", &["A/lun", "clone", "c"], "clone", "InvalidValue"),
    ("custom_clone_name='NO'", &["A/snap", "clone"], "cloneFromSnap", ""),
    ("custom_clone_name='YES'", &["A/lun", "clone"], "clone", "InvalidValue"),
];

const ONE: &str = "record={\"name\":\"n\",\"size\":4096,\"backing_device\":\"pool/fast\"}";
const LIST: &str = "record={\"name\":\"n\",\"size\":4096,\"backing_device\":[\"pool/fast\"]}";
const TWO: &str = "record={\"name\":\"n\",\"size\":4096,\"backing_device\":[\"pool/fast\",\"pool/slow\"]}";
const OTHER: &str = "record={\"name\":\"n\",\"size\":4096,\"backing_device\":\"/dev/sdz\"}";
const NONE: &str = "record={\"name\":\"n\",\"size\":4096}";

const FILES: &[Row] = &[
    ("backing_device_type='UNSUPPORTED'", &["F", "create", ONE], "createFileSystem", "NoSuchOperation"),
    ("backing_device_type='DEVICE_SINGLE'", &["F", "create", OTHER], "createFileSystem", ""),
    ("backing_device_type='DEVICE_SINGLE'", &["F", "create", TWO], "createFileSystem", "InvalidValue"),
    ("backing_device_type='DEVICE_MULTI'", &["F", "create", TWO], "createFileSystem", ""),
    ("backing_device_type='DEVICE_MULTI'", &["F", "create", NONE], "createFileSystem", "MissingKey"),
    ("backing_device_type='PLUGIN_SINGLE'", &["F", "create", ONE], "createFileSystem", ""),
    ("backing_device_type='PLUGIN_SINGLE'", &["F", "create", LIST], "createFileSystem", ""),
    ("backing_device_type='PLUGIN_SINGLE'", &["F", "create", TWO], "createFileSystem", "InvalidValue"),
    ("backing_device_type='PLUGIN_SINGLE'", &["F", "create", OTHER], "createFileSystem", "InvalidValue"),
    ("backing_device_type='PLUGIN_MULTI'", &["F", "create", TWO], "createFileSystem", ""),
    ("backing_device_type='PLUGIN_MULTI'", &["F", "create", OTHER], "createFileSystem", "InvalidValue"),
    ("resize='OFFLINE'", &["F/one", "resize", "2MiB"], "resizeFileSystem", ""),
    ("resize='OFFLINE'", &["F/mounted", "resize", "2MiB"], "resizeFileSystem", "FileSystemBusy"),
    ("snapshot='UNSUPPORTED'", &["F/one", "file-snapshot", "a", "name=s"], "createSnap", "NoSuchOperation"),
    ("splitclone='UNSUPPORTED'", &["F/one", "file-split", "a"], "splitClone", "NoSuchOperation"),
    ("splitclone_while_open='NO'", &["F/one", "file-split", "closed"], "splitClone", ""),
    ("splitclone_while_open='NO'", &["F/one", "file-split", "open"], "splitClone", "FileSystemBusy"),
    ("splitclone_while_open='YES'", &["F/one", "file-split", "open"], "splitClone", ""),
    ("custom_snap_name='NO'", &["F/one", "file-snapshot", "a", "name=s"], "createSnap", "InvalidValue"),
];

pub fn decide(python: Python) {
    let agent = puppet::agent(python);
    let array = Puppet::strings(&agent, "A");
    array.script(
        "list",
        "off = dict(answer[0], name='off', id='off', state=SE_STATES.OFFLINE, page83_id='36off',\n\
         uuid='11111111-2222-3333-4444-555555555555')\nanswer.append(off)",
    );
    // Where the plug-in names what it makes.
    for (method, name) in
        [("createSnap", "snap_name"), ("clone", "clone_name"), ("cloneFromSnap", "clone_name")]
    {
        array.script(method, &format!("answer.update(name={name} or 'own', id={name} or 'own')"));
    }
    agent.register(&plugin("Array.Array"), &array.record("Array.Array"));
    let files = Puppet::strings(&agent, "F");
    let point = agent.home().join("point");
    std::fs::create_dir(&point).unwrap();
    let _open = std::fs::File::create(point.join("open")).unwrap();
    files.script(
        "listFileSystems",
        "answer.append(dict(answer[0], name='mounted', state=FS_STATES.MOUNTED, array_path='/m',\n\
         uuid='11111111-2222-3333-4444-666666666666'))",
    );
    files.script("listMountPoints", &format!("answer[0]['mount_point'] = {:?}", point.display().to_string()));
    agent.register(&plugin("Files.Files"), &files.record("Files.Files"));
    let mut failures = Vec::new();
    for (puppet, row) in ARRAY.iter().map(|row| (&array, row)).chain(FILES.iter().map(|row| (&files, row))) {
        if let Err(failure) = holds(&agent, puppet, row) {
            failures.push(format!("{} {:?}: {failure}", row.0, row.1));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    storage_name(&agent);
}

fn holds(agent: &Agent, puppet: &Puppet, row: &Row) -> Result<(), String> {
    let (abilities, asked, method, error) = *row;
    let script = format!(
        "def told(name): return getattr(BACKING_DEVICE_TYPES if name in vars(BACKING_DEVICE_TYPES) and '_' in name else ABILITY_TYPES, name)\n\
         answer = dict(answer, **dict((key, told(name)) for key, name in dict({abilities}).items()))"
    );
    puppet.script("getCapabilities", &script);
    agent.write(&puppet.server.join("refresh"), "now");
    let before = puppet.notes().len();
    let bus = &agent.bus.as_ref().unwrap().address;
    let mut command = std::process::Command::new(tests::program("oscctl"));
    let ran = tests::shell::run(command.args(["--bus", bus, "-o", "json", "call"]).args(asked));
    let called = !puppet.calls(method, before).is_empty();
    let told = format!("{}{}", ran.stdout, ran.stderr);
    match error {
        "" if ran.status != 0 => Err(format!("refused: {told}")),
        "" if !called => Err(format!("{method} was not called")),
        "" => Ok(()),
        _ if called => Err(format!("{method} was called")),
        _ if ran.status == 0 => Err("was done".into()),
        error if !told.contains(&format!("\"{error}\"")) => Err(format!("not {error}: {told}")),
        _ => Ok(()),
    }
}

/// A server behind a manager of several is registered with one of their names.
fn storage_name(agent: &Agent) {
    let puppet = Puppet::strings(agent, "managed");
    puppet.script("getCapabilities", "answer = dict(answer, require_storage_name=ABILITY_TYPES.YES)");
    let mut record = puppet.record("Array.Array");
    let request = |record: &Value| json!({"plugin": plugin("Array.Array"), "record": record}).to_string();
    let (errno, told) = agent.refused(&agent.root().join("register"), request(&record));
    assert_eq!(errno, agent::Kind::StorageNameRequired.row().errno);
    for word in ["StorageNameRequired", "left", "right"] {
        assert!(told.contains(word), "{word} is missing: {told}");
    }
    assert!(!puppet.server.exists());
    record["storage_name"] = "left".into();
    agent.write(&agent.root().join("register"), &request(&record));
    assert_eq!(agent.record(&puppet.server)["storage_name"], "left");
}
