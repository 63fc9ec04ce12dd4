//! The one error of the agent: made where the fault is known, read off at every door.
//!
//! [`TABLE`] is the design's error table. The errno of a file operation, the name of a D-Bus error
//! and the exit status of `oscctl` all come from its rows, and a plug-in's exception class is
//! turned into a row by [`Kind::from_exception`].

use std::fmt;

use uuid::Uuid;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident, $errno:ident, $origin:ident;)*) => {
        /// What went wrong, one variant for each row of [`TABLE`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[doc = $doc])* $kind,)* }

        /// Every kind with its D-Bus suffix, errno and origin.
        pub const TABLE: &[Row] = &[$(Row {
            kind: Kind::$kind,
            name: stringify!($kind),
            exception: concat!(stringify!($kind), "Ex"),
            errno: libc::$errno,
            errno_name: stringify!($errno),
            origin: Origin::$origin,
        },)*];
    };
}

/// One row of the error table.
#[derive(Debug)]
pub struct Row {
    /// The kind the row is for.
    pub kind: Kind,
    /// The D-Bus error's last component.
    pub name: &'static str,
    /// The exception class of that name, which the plug-in API has where `origin` says so.
    pub exception: &'static str,
    /// The errno a control file answers.
    pub errno: i32,
    /// The errno's symbolic name.
    pub errno_name: &'static str,
    /// Who may raise it.
    pub origin: Origin,
}

/// Where an error of a kind can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An exception class of the plug-in API that any method may raise.
    Plugin,
    /// An exception class of the plug-in API that only `validate` may raise.
    Validate,
    /// The agent itself.
    Agent,
}

kinds! {
    /// The plug-in or the storage server does not support the operation.
    NoSuchOperation, EOPNOTSUPP, Plugin;
    /// A record lacks a key; [`Error::key`] names it.
    MissingKey, EINVAL, Plugin;
    /// A key's value is malformed; [`Error::key`] names it.
    ValueFormat, EINVAL, Plugin;
    /// A value is not acceptable, or a request could not be understood.
    InvalidValue, EINVAL, Plugin;
    /// The plug-in needs `storage_name` and the record has none.
    StorageNameRequired, EINVAL, Validate;
    /// The file system type is not one of the plug-in's.
    InvalidFSType, EINVAL, Validate;
    /// The record does not describe a storage array this plug-in can use.
    InvalidStorageArray, ENODEV, Validate;
    /// The storage server lacks a licence for the feature.
    StorageArrayLicense, ENOPKG, Plugin;
    /// The storage server refused the credentials or the action.
    PermissionDenied, EACCES, Plugin;
    /// The element is online, mapped, or has children.
    StorageElementBusy, EBUSY, Plugin;
    /// The file system is mounted or in use.
    FileSystemBusy, EBUSY, Plugin;
    /// The file system is mounted already.
    FileSystemAlreadyMounted, EALREADY, Plugin;
    /// A tool or condition the operation needs is missing.
    OperationPreReqNotMet, ENXIO, Plugin;
    /// Rolling back would affect other elements.
    SnapRestoreNotSafe, ENOTEMPTY, Plugin;
    /// iSCSI targets could not be discovered.
    TargetDiscovery, EHOSTUNREACH, Plugin;
    /// Logging in to a target failed.
    LoginFailed, EKEYREJECTED, Plugin;
    /// Logging out of a target failed.
    LogoutFailed, EREMOTEIO, Plugin;
    /// The SCSI bus could not be refreshed.
    RefreshFailed, EREMOTEIO, Plugin;
    /// Elements could not be listed or updated.
    ListFailed, EREMOTEIO, Plugin;
    /// A snapshot could not be made.
    CreateSnapFailed, EREMOTEIO, Plugin;
    /// Snapshots could not be listed.
    ListSnapFailed, EREMOTEIO, Plugin;
    /// A clone could not be made.
    CloneFailed, EREMOTEIO, Plugin;
    /// Any other failure the plug-in describes in words.
    OperationFailed, EREMOTEIO, Plugin;
    /// The plug-in broke the contract: another Python exception, or a malformed answer.
    PluginFault, EPROTO, Agent;
    /// A deadline passed.
    Timeout, ETIMEDOUT, Agent;
    /// The plug-in's process died in the middle of a call.
    WorkerDied, ECONNRESET, Agent;
    /// The plug-in is not installed, or could not be loaded.
    PluginUnavailable, ENODEV, Agent;
    /// There is no such object.
    NotFound, ENOENT, Agent;
    /// Such an object exists already.
    AlreadyExists, EEXIST, Agent;
    /// The caller may not do this.
    AccessDenied, EPERM, Agent;
    /// The operation was cancelled.
    Cancelled, ECANCELED, Agent;
    /// The agent ended while the operation ran; the next refresh tells what came of it.
    Interrupted, EINTR, Agent;
    /// The operation goes on; [`Error::operation`] names it.
    InProgress, EINPROGRESS, Agent;
    /// The state directory has no room, so the operation was not started.
    NoSpace, ENOSPC, Agent;
    /// The agent is stopping, or has as much to do as it accepts.
    TryAgain, EAGAIN, Agent;
    /// A fault of the agent or of its host.
    Internal, EIO, Agent;
}

/// What every D-Bus error name of the agent begins with.
pub const DBUS_PREFIX: &str = "org.storageconnect.Agent1.Error.";

impl Kind {
    /// The kind's row.
    pub fn row(self) -> &'static Row {
        // `TABLE` and the enum are written by one macro, in one order.
        &TABLE[self as usize]
    }

    /// The kind for an exception class of the plug-in API (`CloneFailedEx`), if it is one that a
    /// plug-in may raise from `method`.
    ///
    /// `None` for the base class, for anything else, and for the classes that only `validate` may
    /// raise when `method` is another: all of these are a [`Kind::PluginFault`].
    pub fn from_exception(class: &str, method: &str) -> Option<Kind> {
        let name = class.strip_suffix("Ex")?;
        let row = TABLE.iter().find(|row| row.name == name)?;
        match row.origin {
            Origin::Plugin => Some(row.kind),
            Origin::Validate if method == "validate" => Some(row.kind),
            Origin::Validate | Origin::Agent => None,
        }
    }

    /// The exception class that tells a plug-in of an error of this kind: its own where the API has one,
    /// else the one of last resort.
    pub fn exception(self) -> &'static str {
        match self.row().origin {
            Origin::Plugin => self.row().exception,
            Origin::Validate | Origin::Agent => Kind::OperationFailed.row().exception,
        }
    }

    /// The kind for a D-Bus error name, as `oscctl` receives it.
    pub fn from_dbus_name(name: &str) -> Option<Kind> {
        let suffix = name.strip_prefix(DBUS_PREFIX)?;
        TABLE.iter().find(|row| row.name == suffix).map(|row| row.kind)
    }
}

/// An error with everything a user needs to act on it.
///
/// The message says what happened, to which object, and what to do next, and never holds a secret.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    message: String,
    plugin: Option<String>,
    method: Option<String>,
    operation: Option<Uuid>,
    key: Option<String>,
    traceback: Option<String>,
}

/// The result of everything in the agent that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            plugin: None,
            method: None,
            operation: None,
            key: None,
            traceback: None,
        }))
    }

    /// A request that cannot be understood or accepted.
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(Kind::InvalidValue, message)
    }

    /// Something that does not exist.
    pub fn not_found(message: impl Into<String>) -> Error {
        Error::new(Kind::NotFound, message)
    }

    /// A fault of the agent or its host, with what was being done.
    pub fn internal(doing: impl fmt::Display, source: impl fmt::Display) -> Error {
        Error::new(Kind::Internal, format!("{doing}: {source}"))
    }

    /// Says which plug-in (implementation name) and method it came from.
    #[must_use]
    pub fn in_method(mut self, plugin: &str, method: &str) -> Error {
        self.0.plugin = Some(plugin.to_owned());
        self.0.method = Some(method.to_owned());
        self
    }

    /// Says which operation it ended.
    #[must_use]
    pub fn of_operation(mut self, operation: Uuid) -> Error {
        self.0.operation = Some(operation);
        self
    }

    /// Names the record's key that is missing or malformed.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Error {
        self.0.key = Some(key.into());
        self
    }

    /// Keeps the plug-in's traceback, for the journal only.
    #[must_use]
    pub fn with_traceback(mut self, traceback: impl Into<String>) -> Error {
        self.0.traceback = Some(traceback.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The bare message, without plug-in and method.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The implementation name of the plug-in it came from.
    pub fn plugin(&self) -> Option<&str> {
        self.0.plugin.as_deref()
    }

    /// The API method it came from.
    pub fn method(&self) -> Option<&str> {
        self.0.method.as_deref()
    }

    /// The operation it ended.
    pub fn operation(&self) -> Option<Uuid> {
        self.0.operation
    }

    /// The record key it is about.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The plug-in's traceback.
    pub fn traceback(&self) -> Option<&str> {
        self.0.traceback.as_deref()
    }

    /// The errno a control file answers.
    pub fn errno(&self) -> i32 {
        self.kind().row().errno
    }

    /// The name of the D-Bus error.
    pub fn dbus_name(&self) -> String {
        format!("{DBUS_PREFIX}{}", self.kind().row().name)
    }

    /// The error as the JSON that operations, `state` files and `oscctl -o json` show.
    pub fn to_json(&self) -> serde_json::Value {
        let row = self.kind().row();
        let mut map = serde_json::Map::new();
        map.insert("error".into(), row.name.into());
        map.insert("errno".into(), row.errno_name.into());
        map.insert("message".into(), self.message().into());
        let options = [
            ("plugin", self.plugin().map(str::to_owned)),
            ("method", self.method().map(str::to_owned)),
            ("operation", self.operation().map(|id| id.to_string())),
            ("key", self.key().map(str::to_owned)),
        ];
        for (name, value) in options {
            if let Some(value) = value {
                map.insert(name.into(), value.into());
            }
        }
        map.into()
    }

    /// The error that [`Error::to_json`] printed; the traceback is not part of it.
    pub fn from_json(value: &serde_json::Value) -> Error {
        let text = |key: &str| value.get(key).and_then(|v| v.as_str());
        let kind = text("error")
            .and_then(|name| TABLE.iter().find(|row| row.name == name))
            .map_or(Kind::Internal, |row| row.kind);
        let mut error = Error::new(kind, text("message").unwrap_or("unknown error"));
        error.0.plugin = text("plugin").map(str::to_owned);
        error.0.method = text("method").map(str::to_owned);
        error.0.key = text("key").map(str::to_owned);
        error.0.operation = text("operation").and_then(|id| id.parse().ok());
        error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(key) = self.key().filter(|key| !self.message().contains(key)) {
            write!(f, ": {key}")?;
        }
        match (self.plugin(), self.method()) {
            (Some(plugin), Some(method)) => write!(f, " ({plugin}, {method})"),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_finds_its_own_row() {
        for row in TABLE {
            assert_eq!(row.kind.row().name, row.name);
            assert_eq!(Kind::from_dbus_name(&format!("{DBUS_PREFIX}{}", row.name)), Some(row.kind));
        }
    }

    #[test]
    fn classes_that_only_validate_may_raise_are_unknown_elsewhere() {
        assert_eq!(
            Kind::from_exception("InvalidStorageArrayEx", "validate"),
            Some(Kind::InvalidStorageArray)
        );
        assert_eq!(Kind::from_exception("InvalidStorageArrayEx", "list"), None);
        assert_eq!(Kind::from_exception("IPluginException", "list"), None);
        assert_eq!(Kind::from_exception("TimeoutEx", "list"), None);
        assert_eq!(Kind::from_exception("CloneFailedEx", "clone"), Some(Kind::CloneFailed));
    }

    #[test]
    fn an_error_survives_its_json() {
        let error = Error::new(Kind::MissingKey, "no size in the record")
            .in_method("osc.filearray.FileArray.FileArray", "create")
            .with_key("size")
            .of_operation(Uuid::nil());
        let back = Error::from_json(&error.to_json());
        assert_eq!(format!("{back:?}"), format!("{error:?}"));
        assert_eq!((back.key(), back.operation()), (Some("size"), Some(Uuid::nil())));
    }
}
