//! The method table of the plug-in API: what each method is called, takes, answers and depends on.
//!
//! Written once; the worker's arguments, the ability checks, the deadlines, D-Bus, `oscctl` and the
//! documentation read it.

use std::time::Duration;

/// The two kinds of plug-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginType {
    /// A storage array (`IStorageArrayPlugin`, "isa").
    StorageArray,
    /// A file system (`IFileSystemPlugin`, "ifs").
    FileSystem,
}

impl PluginType {
    /// What `getPluginType` answers.
    pub fn as_str(self) -> &'static str {
        match self {
            PluginType::StorageArray => "isa",
            PluginType::FileSystem => "ifs",
        }
    }

    /// The type that `getPluginType` names.
    pub fn from_name(name: &str) -> Option<PluginType> {
        [PluginType::StorageArray, PluginType::FileSystem].into_iter().find(|ty| ty.as_str() == name)
    }
}

/// Where the agent takes an argument from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The storage server's record, with its secrets.
    Server,
    /// The record of the element the call is about; for a call about the storage server, None.
    Element,
    /// The record of the file system the call is about.
    FileSystem,
    /// The record of whichever object the call is about; None for the storage server itself.
    Record,
    /// The record of another element, named in the request by its id.
    OtherElement,
    /// The records of several elements, named in the request by their ids.
    Elements,
    /// The record of a file, named in the request by its path.
    File,
    /// A value of the request, given on as it is.
    Value,
}

/// One argument of a method.
#[derive(Debug)]
pub struct Arg {
    /// The parameter's name in the plug-in API.
    pub name: &'static str,
    /// Where it comes from.
    pub source: Source,
}

/// What a method answers, and so what the agent does with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing of interest.
    Nothing,
    /// The storage server's updated record.
    Server,
    /// The element's updated record.
    Element,
    /// The record of an element that the call made.
    NewElement,
    /// Records of elements that the call made or updated.
    Elements,
    /// Every element there is: what is not among them is gone.
    AllElements,
    /// Nothing; the element is gone.
    ElementGone,
    /// The file system's updated record.
    FileSystem,
    /// The record of a file system that the call made.
    NewFileSystem,
    /// Every file system there is.
    AllFileSystems,
    /// Nothing; the file system is gone.
    FileSystemGone,
    /// The file system's record or a mount record; None where it was mounted already.
    Mount,
    /// Every mount of the file system.
    Mounts,
    /// The updated record of whichever object the call is about.
    Record,
    /// A file's record.
    File,
    /// Records of files.
    Files,
    /// Access groups.
    AccessGroups,
    /// Quality-of-service values.
    QosValues,
    /// Backing devices.
    BackingDevices,
    /// An ability dict.
    Abilities,
    /// Anything that is JSON: strings, truth values, limits.
    Plain,
}

/// How long a method may take before its process is killed. Every deadline can be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Answers from what the storage server says at once.
    Query,
    /// Lists everything.
    List,
    /// Changes something.
    Change,
    /// May copy data before it returns.
    Copy,
}

impl Deadline {
    /// The default.
    pub fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Deadline::Query => 60,
            Deadline::List => 120,
            Deadline::Change => 300,
            Deadline::Copy => 3600,
        })
    }
}

/// One row of the method table.
#[derive(Debug)]
pub struct Method {
    /// The method's name.
    pub name: &'static str,
    /// The plug-in type it is a method of.
    pub plugin_type: PluginType,
    /// Its arguments, in the order of the API.
    pub args: &'static [Arg],
    /// What it answers.
    pub answer: Answer,
    /// The ability that must not be UNSUPPORTED or NO, and whose OFFLINE forbids an online element.
    pub ability: Option<&'static str>,
    /// The ability that says NO where the work goes on after the method has returned.
    pub is_sync: Option<&'static str>,
    /// Whether it changes anything: such calls are journaled, and made one at a time per element.
    pub changes: bool,
    /// How long it may take.
    pub deadline: Deadline,
}

// Most arguments come from where their name says; `name: Source` in a row says otherwise.
macro_rules! source {
    ($name:ident : $source:ident) => {
        Source::$source
    };
    (ss_record) => {
        Source::Server
    };
    (se_record) => {
        Source::Element
    };
    (fs_record) => {
        Source::FileSystem
    };
    (record) => {
        Source::Record
    };
    (snap_record) => {
        Source::OtherElement
    };
    (se_records) => {
        Source::Elements
    };
    (file_record) => {
        Source::File
    };
    (file_comp_record) => {
        Source::File
    };
    ($other:ident) => {
        Source::Value
    };
}

macro_rules! ability {
    (-) => {
        None
    };
    ($name:ident) => {
        Some(stringify!($name))
    };
}

macro_rules! changes {
    (reads) => {
        false
    };
    (changes) => {
        true
    };
}

macro_rules! rows {
    ($($ty:ident { $($name:ident($($arg:ident $(: $source:ident)?),*) -> $answer:ident, $ability:tt, $sync:tt, $changes:ident, $deadline:ident;)* })*) => {
        &[$($(Method {
            name: stringify!($name),
            plugin_type: PluginType::$ty,
            args: &[$(Arg { name: stringify!($arg), source: source!($arg $(: $source)?) }),*],
            answer: Answer::$answer,
            ability: ability!($ability),
            is_sync: ability!($sync),
            changes: changes!($changes),
            deadline: Deadline::$deadline,
        },)*)*]
    };
}

macro_rules! methods {
    (Both { $($both:tt)* } StorageArray { $($isa:tt)* } FileSystem { $($ifs:tt)* }) => {
        /// Every method of the API; those of both types once for each.
        pub const METHODS: &[Method] =
            rows! { StorageArray { $($both)* $($isa)* } FileSystem { $($both)* $($ifs)* } };
    };
}

methods! {
    Both {
        validate(ss_record) -> Server, -, -, reads, Query;
        getCapabilities(ss_record) -> Abilities, -, -, reads, Query;
        getStorageNames(ss_record) -> Plain, -, -, reads, Query;
        getAccessGroups(ss_record, record) -> AccessGroups, -, -, reads, Query;
        createAccessGroups(ss_record, access_grps) -> AccessGroups, access_control, -, changes, Change;
        renameAccessGroup(ss_record, access_grp_name, new_access_grp_name) -> AccessGroups, access_control, -, changes, Change;
        removeAccessGroups(ss_record, access_grps) -> AccessGroups, access_control, -, changes, Change;
        addToAccessGroup(ss_record, access_grp_name, grp_entries) -> AccessGroups, access_control, -, changes, Change;
        removeFromAccessGroup(ss_record, access_grp_name, grp_entries) -> AccessGroups, access_control, -, changes, Change;
        getStatus(ss_record, record) -> Record, -, -, reads, Query;
        getQoSList(ss_record) -> QosValues, -, -, reads, Query;
        setQoS(ss_record, record, qos) -> Record, -, -, changes, Change;
        start(ss_record) -> Server, -, -, changes, Change;
        stop(ss_record) -> Server, -, -, changes, Change;
        refresh(ss_record) -> Nothing, -, -, reads, List;
        getAsyncProgress(ss_record, record) -> Record, -, -, reads, Query;
        startPresent(ss_record, record, access_grp_names) -> Record, -, -, changes, Change;
        stopPresent(ss_record, record, access_grp_names) -> Record, -, -, changes, Change;
    }
    StorageArray {
        getInfo(ss_record, se_record) -> Record, -, -, reads, Query;
        discover(ss_record) -> Server, -, -, reads, Query;
        list(ss_record) -> AllElements, -, -, reads, List;
        updateSERecords(ss_record, se_records) -> Elements, -, -, reads, List;
        create(ss_record, se_record) -> NewElement, -, -, changes, Change;
        remove(ss_record, se_record) -> ElementGone, -, -, changes, Change;
        resize(ss_record, se_record, new_size) -> Element, resize, resize_is_sync, changes, Change;
        online(ss_record, se_record) -> Element, -, -, changes, Change;
        offline(ss_record, se_record) -> Element, -, -, changes, Change;
        isSnapable(ss_record, se_record) -> Plain, -, -, reads, Query;
        isCloneable(ss_record, se_record) -> Plain, -, -, reads, Query;
        isRestorable(ss_record, se_record, snap_record) -> Plain, -, -, reads, Query;
        createSnap(ss_record, se_record, snap_name) -> NewElement, snapshot, snap_is_sync, changes, Copy;
        createMultiSnap(ss_record, se_records, snap_names) -> Elements, snapshot, snap_is_sync, changes, Copy;
        getCurrentSnaps(ss_record, se_record) -> Elements, -, -, reads, Query;
        getSnapLimits(ss_record, se_record) -> Plain, -, -, reads, Query;
        snapRestore(ss_record, se_record, snap_record) -> Element, snapshot, -, changes, Copy;
        snapRemove(ss_record, snap_record: Element) -> ElementGone, snapshot, -, changes, Change;
        clone(ss_record, se_record, clone_name) -> NewElement, clone, clone_is_sync, changes, Copy;
        cloneFromSnap(ss_record, snap_record: Element, clone_name) -> NewElement, snapclone, snapclone_is_sync, changes, Copy;
        splitClone(ss_record, se_record) -> Element, splitclone, splitclone_is_sync, changes, Copy;
        getCurrentClones(ss_record, se_record) -> Elements, -, -, reads, Query;
        getCloneLimits(ss_record, se_record) -> Plain, -, -, reads, Query;
        deviceTeardown(ss_record, se_record) -> Element, -, -, changes, Change;
        deviceResize(ss_record, se_record) -> Element, -, -, changes, Change;
        deviceSizeRefresh(ss_record, se_record) -> Element, -, -, changes, Change;
    }
    FileSystem {
        getStorageServerInfo(ss_record) -> Server, -, -, reads, Query;
        getFileSystemInfo(ss_record, fs_record) -> FileSystem, -, -, reads, Query;
        getFileInfo(ss_record, fs_record, file_record, file_comp_record) -> File, -, -, reads, Query;
        listFileSystems(ss_record) -> AllFileSystems, -, -, reads, List;
        getFileSystemBackingDevices(ss_record) -> BackingDevices, -, -, reads, Query;
        createFileSystem(ss_record, fs_record) -> NewFileSystem, -, -, changes, Copy;
        destroyFileSystem(ss_record, fs_record) -> FileSystemGone, -, -, changes, Change;
        resizeFileSystem(ss_record, fs_record, new_size) -> FileSystem, resize, resize_is_sync, changes, Change;
        mount(ss_record, fs_record, mount_point, share_path, active, options) -> Mount, -, -, changes, Change;
        unmount(ss_record, fs_record, mount_point, active) -> Mount, -, -, changes, Change;
        listMountPoints(ss_record, fs_record) -> Mounts, -, -, reads, Query;
        list(ss_record, fs_record, file_record) -> Files, -, -, reads, List;
        create(ss_record, fs_record, file_path, file_type, size) -> File, -, -, changes, Change;
        destroy(ss_record, fs_record, file_record) -> Nothing, -, -, changes, Change;
        resize(ss_record, fs_record, file_record, new_size) -> File, -, -, changes, Change;
        createSnap(ss_record, fs_record, file_record, snap_name) -> File, snapshot, snap_is_sync, changes, Copy;
        snapRestore(ss_record, fs_record, file_record, snap_record: File) -> File, snapshot, -, changes, Copy;
        snapRemove(ss_record, fs_record, snap_record: File) -> Nothing, snapshot, -, changes, Change;
        getCurrentSnaps(ss_record, fs_record, file_record) -> Files, -, -, reads, Query;
        clone(ss_record, fs_record, file_record, clone_name) -> File, clone, clone_is_sync, changes, Copy;
        cloneFromSnap(ss_record, fs_record, snap_record: File, clone_name) -> File, snapclone, snapclone_is_sync, changes, Copy;
        splitClone(ss_record, fs_record, file_record) -> File, splitclone, splitclone_is_sync, changes, Copy;
        isSnapable(ss_record, fs_record, file_record) -> Plain, -, -, reads, Query;
        isCloneable(ss_record, fs_record, file_record) -> Plain, -, -, reads, Query;
        isRestorable(ss_record, fs_record, file_record, snap_record: File) -> Plain, -, -, reads, Query;
        getFileSystemSnapLimits(ss_record, fs_record) -> Plain, -, -, reads, Query;
        getFileSystemCloneLimits(ss_record, fs_record) -> Plain, -, -, reads, Query;
    }
}

/// The method of that name and plug-in type.
pub fn method(plugin_type: PluginType, name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|row| row.plugin_type == plugin_type && row.name == name)
}
