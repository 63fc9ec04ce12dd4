//! What the tree shows, as the agent provides it: strings by identity, one method for each kind of object.
//!
//! The tree asks when the kernel asks, from its own threads, and keeps nothing but what the kernel still refers to. A method must answer
//! from memory in O(log n): a reader waits for it.

use std::sync::Arc;

/// Answers what the tree shows and takes the commands that are written into it.
///
/// Lines (`record`, `abilities`, …) come without their final newline; the tree adds it. Return the same `Arc` for as long as a line has not
/// changed: the tree holds on to it while the kernel knows the file, so that a copy made for every call would be held twice.
///
/// The order is fixed: first the new state is visible through these methods, then [`Tree::changed`](crate::Tree::changed) is called,
/// then the command that caused it is answered. A reader that comes after the answer then sees the new state.
pub trait Model: Send + Sync + 'static {
    /// The whole text of `/README`.
    fn readme(&self) -> Arc<str>;
    /// The line of `/version`.
    fn version(&self) -> Arc<str>;

    /// Implementation names of all plug-ins, in any order.
    fn plugins(&self) -> Vec<Arc<str>>;
    /// The plug-in of that implementation name.
    fn plugin(&self, impl_name: &str) -> Option<Plugin>;

    /// Identities of all storage servers (`ss_uuid`), in any order.
    fn servers(&self) -> Vec<Arc<str>>;
    /// The storage server of that identity.
    fn server(&self, ss: &str) -> Option<Server>;
    /// Volume groups of a storage server: name and record line.
    fn vol_groups(&self, ss: &str) -> Vec<(Arc<str>, Arc<str>)>;
    /// Access groups of a storage server: name and record line.
    fn access_groups(&self, ss: &str) -> Vec<(Arc<str>, Arc<str>)>;
    /// QoS values of a storage server: value and record line.
    fn qos_values(&self, ss: &str) -> Vec<(Arc<str>, Arc<str>)>;

    /// Identities of all storage elements of a storage server, in any order.
    fn elements(&self, ss: &str) -> Vec<Arc<str>>;
    /// The record line of a storage element; `None` where there is no such element.
    fn element_record(&self, ss: &str, se: &str) -> Option<Arc<str>>;
    /// Under which names the links (`by-page83`, `by-device`, `se-by-name`) lead to a storage element.
    fn element_names(&self, ss: &str, se: &str) -> Option<ElementNames>;

    /// Identities of all file systems of a storage server, in any order.
    fn file_systems(&self, ss: &str) -> Vec<Arc<str>>;
    /// The record line of a file system.
    fn file_system_record(&self, ss: &str, fs: &str) -> Option<Arc<str>>;
    /// The mounts of a file system: identity and record line.
    fn mounts(&self, ss: &str, fs: &str) -> Vec<(Arc<str>, Arc<str>)>;

    /// `attr/`: every field of an element's or a file system's record with its bare value (no newline), in any order. Other targets have none.
    fn attrs(&self, target: &Target) -> Vec<(Arc<str>, Arc<str>)>;
    /// One field of [`attrs`](Self::attrs); worth overriding where making all of them costs more.
    fn attr(&self, target: &Target, field: &str) -> Option<Arc<str>> {
        let attrs = self.attrs(target);
        attrs.into_iter().find(|(name, _)| &**name == field).map(|(_, value)| value)
    }

    /// Identities of the operations to show, in any order.
    fn operations(&self) -> Vec<Arc<str>>;
    /// The operation of that identity.
    fn operation(&self, op: &str) -> Option<Operation>;

    /// What has come by now of an operation whose writer did not wait for its end: [`Outcome::Done`] or [`Outcome::Failed`]. `None` while it
    /// goes on, and where nobody knows any more.
    fn outcome(&self, op: &str) -> Option<Outcome>;

    /// Retained events with a sequence number above `after`, oldest first, each one line of JSON. Numbers only ever grow.
    fn events(&self, after: u64) -> Vec<(u64, Arc<str>)>;

    /// How to use a control file: what reading it shows first. Lines, each ended.
    fn usage(&self, target: &Target, verb: Verb) -> String;

    /// Carries out one write to a control file and calls `done` exactly once, from any thread, when the write may return.
    ///
    /// Called on a thread that serves the control files: return at once, and do the work elsewhere. How long a writer waits is decided
    /// here ([`Outcome::InProgress`] lets it go). A writer that was interrupted is not told to the model: the operation goes on.
    /// Dropping `done` without calling it answers EIO.
    ///
    /// `begun` is to be called once the request is where a crash cannot lose it, and before it has any effect. Should this process die, the
    /// writer is told EINPROGRESS from then on; until then, the request is handed to the successor as if nothing had been.
    fn command(
        &self,
        request: Request,
        begun: Box<dyn FnOnce() + Send>,
        done: Box<dyn FnOnce(Outcome) + Send>,
    );
}

/// The files of `/plugins/<impl_name>/`, each a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugin {
    /// Everything `getPluginInfo` says, as JSON.
    pub info: Arc<str>,
    /// The abilities, as JSON.
    pub abilities: Arc<str>,
    /// Whether it can be used, and why not.
    pub status: Arc<str>,
}

/// The files of `/ss/<ss_uuid>/`, each a line, and what the links need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The ss_record as JSON.
    pub record: Arc<str>,
    /// The abilities, as JSON.
    pub abilities: Arc<str>,
    /// How fresh the data is, and why the last refresh failed.
    pub state: Arc<str>,
    /// Implementation name of its plug-in: where the link `plugin` leads.
    pub plugin: Arc<str>,
    /// Its name: the link in `/by-name`. Empty for none.
    pub name: Arc<str>,
}

/// Under which names links lead to a storage element; empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElementNames {
    /// `/ss/<ss>/se-by-name/<name>`.
    pub name: Arc<str>,
    /// `/by-page83/<id>`.
    pub page83: Arc<str>,
    /// `/by-device/<name>`: kernel names on this host (`sda`, `dm-3`, `loop0`), without `/dev/`.
    pub devices: Vec<Arc<str>>,
}

/// The files of `/op/<op_id>/`, each a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The operation as JSON.
    pub record: Arc<str>,
    /// Its progress.
    pub progress: Arc<str>,
}

/// What a control file or an attribute belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// The agent itself: `/register`.
    Agent,
    /// The storage server of that identity.
    Server(Arc<str>),
    /// A storage element.
    Element {
        /// Its storage server.
        ss: Arc<str>,
        /// Its identity.
        se: Arc<str>,
    },
    /// A file system.
    FileSystem {
        /// Its storage server.
        ss: Arc<str>,
        /// Its identity.
        fs: Arc<str>,
    },
    /// The operation of that identity.
    Operation(Arc<str>),
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a control file does; its name in the tree.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Verb { $($(#[$doc])* $name,)* }
        impl Verb {
            /// Every verb there is.
            pub const ALL: &'static [Verb] = &[$(Verb::$name,)*];
            /// The control file's name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Verb::$name => $text,)* }
            }
        }
    };
}
verbs! {
    /// `/register`.
    Register = "register",
    /// Of a server or a file system.
    Refresh = "refresh",
    /// Of a server.
    Start = "start",
    /// Of a server.
    Stop = "stop",
    /// Of a server: a new element or file system.
    Create = "create",
    /// Of a server.
    Unregister = "unregister",
    /// Of an element.
    Snapshot = "snapshot",
    /// Of an element.
    Clone = "clone",
    /// Of an element.
    Restore = "restore",
    /// Of an element.
    Split = "split",
    /// Of an element or a file system.
    Resize = "resize",
    /// Of an element.
    Online = "online",
    /// Of an element.
    Offline = "offline",
    /// Of an element.
    Present = "present",
    /// Of an element.
    Unpresent = "unpresent",
    /// Of an element.
    Qos = "qos",
    /// Of an element.
    Remove = "remove",
    /// Of a file system.
    Mount = "mount",
    /// Of a file system.
    Unmount = "unmount",
    /// Of a file system: its files.
    File = "file",
    /// Of a file system.
    Destroy = "destroy",
    /// Of an operation.
    Cancel = "cancel",
}

/// One write to a control file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it was written to.
    pub target: Target,
    /// Which of its control files.
    pub verb: Verb,
    /// The bytes as written, at most [`PAYLOAD_MAX`]; a final newline is still there.
    pub payload: Vec<u8>,
    /// Who wrote.
    pub caller: Caller,
    /// Opened O_NONBLOCK: answer [`Outcome::Started`] as soon as the operation has its identity.
    pub nonblock: bool,
}

/// The most that one write to a control file may carry, in bytes; more is EMSGSIZE.
pub const PAYLOAD_MAX: usize = 64 * 1024;

/// The process that wrote, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// File system user id.
    pub uid: u32,
    /// File system group id.
    pub gid: u32,
    /// Process id in the agent's pid namespace, 0 where it has none there.
    pub pid: u32,
}

/// What a write returns with, and what reading the control file then shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done: the write succeeds.
    Done {
        /// The operation's identity, if there was one.
        op: Option<String>,
        /// What came of it, for a person; may be empty.
        message: String,
    },
    /// It failed: the write returns `errno`.
    Failed {
        /// A positive errno of errno(3).
        errno: i32,
        /// Why, for a person.
        message: String,
        /// The operation's identity, if there was one.
        op: Option<String>,
    },
    /// It goes on under `/op/<op>` after the writer has waited long enough: EINPROGRESS.
    InProgress {
        /// The operation's identity.
        op: String,
    },
    /// It has begun, and the writer did not want to wait: the write succeeds.
    Started {
        /// The operation's identity.
        op: String,
    },
}

/// Something that is different now, or may be: what the tree compares with what the kernel knows. Telling of a thing that has not
/// changed costs a comparison and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A plug-in came, went or changed.
    Plugin(Arc<str>),
    /// A storage server came or went, with all that is below it, or changed: its record, abilities, state, name, groups, QoS values. What
    /// changes below a server that stays is told for itself. To be told while it is gone, even if it is to come back at once.
    Server(Arc<str>),
    /// A storage element came, went or changed.
    Element {
        /// Its storage server.
        ss: Arc<str>,
        /// Its identity.
        se: Arc<str>,
    },
    /// A file system or one of its mounts came, went or changed.
    FileSystem {
        /// Its storage server.
        ss: Arc<str>,
        /// Its identity.
        fs: Arc<str>,
    },
    /// An operation came, went or changed.
    Operation(Arc<str>),
    /// There are new events.
    Events,
    /// Anything: compares all that the kernel knows. For a start from the store or a stream that was cut off.
    Everything,
}
