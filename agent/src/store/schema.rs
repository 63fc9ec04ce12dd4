//! The database: opened, checked and brought up to date.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, ffi};

use super::directory::from_io;
use crate::error::{Error, Kind, Result};

/// What takes the database from one version to the next; its version is how many were applied.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE servers (
        uuid BLOB PRIMARY KEY, plugin TEXT NOT NULL, plugin_type TEXT NOT NULL, line TEXT NOT NULL,
        sealed BLOB NOT NULL, refresh_interval INTEGER, abilities TEXT NOT NULL, qos TEXT NOT NULL);
    CREATE TABLE elements (ss BLOB NOT NULL, id TEXT NOT NULL, line TEXT NOT NULL, PRIMARY KEY (ss, id));
    CREATE TABLE file_systems (ss BLOB NOT NULL, id TEXT NOT NULL, line TEXT NOT NULL, PRIMARY KEY (ss, id));
    CREATE TABLE mounts (
        ss BLOB NOT NULL, fs TEXT NOT NULL, uuid BLOB NOT NULL, line TEXT NOT NULL, PRIMARY KEY (ss, fs, uuid));
    CREATE TABLE operations (id BLOB PRIMARY KEY, state TEXT NOT NULL, line TEXT NOT NULL) WITHOUT ROWID;
"];

/// Opens the database at `path`, and makes it where there is none.
pub fn open(path: &Path) -> Result<Connection> {
    // SQLite would make it with the umask's mode; its -wal and -shm take this one's.
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(|source| {
        let doing = format!("cannot open the state database {}", path.display());
        from_io(&source, Error::internal(doing, &source))
    })?;
    prepare(path)
        .map_err(|source| explain(&source, &format!("opening {}", path.display()), path))?
        .ok_or_else(|| {
            let advice =
                "start the newer agent again, or move the file aside and register the storage servers anew";
            Error::new(
                Kind::Internal,
                format!("the state database {} was written by a newer agent: {advice}", path.display()),
            )
        })
}

fn prepare(path: &Path) -> rusqlite::Result<Option<Connection>> {
    let mut database = Connection::open(path)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.pragma_update(None, "wal_autocheckpoint", 2000)?;
    // 10,000 lines are read once, and from then on only written.
    database.pragma_update(None, "cache_size", -1024)?;
    let version: u32 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let version = version as usize;
    if version > MIGRATIONS.len() {
        return Ok(None);
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(version) {
        let change = database.transaction()?;
        change.execute_batch(migration)?;
        change.pragma_update(None, "user_version", index as u32 + 1)?;
        change.commit()?;
    }
    Ok(Some(database))
}

/// What a failure of the database means to whoever runs the agent.
pub fn explain(source: &rusqlite::Error, doing: &str, path: &Path) -> Error {
    let dir = path.parent().unwrap_or(path).display();
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::new(
            Kind::NoSpace,
            format!("the state directory {dir} is full ({doing}): make room, and repeat"),
        ),
        Some(ErrorCode::SystemIoFailure) if is_full(path) => Error::new(
            Kind::NoSpace,
            format!("the state directory {dir} is full ({doing}): make room, and repeat"),
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(path, source),
        // A table or a column that is not there: somebody else's database, or half of one.
        Some(ErrorCode::Unknown) if matches!(source, rusqlite::Error::SqliteFailure(code, _) if code.extended_code == ffi::SQLITE_ERROR) => {
            damaged(path, source)
        }
        _ => Error::internal(format!("the state database {} ({doing})", path.display()), source),
    }
}

/// The error for a database that cannot be trusted.
pub fn damaged(path: &Path, what: &dyn std::fmt::Display) -> Error {
    let path = path.display();
    Error::new(
        Kind::Internal,
        format!(
            "the state database {path} is damaged ({what}): move it aside (mv {path} {path}.damaged; rm -f {path}-wal {path}-shm), \
             start again, and register the storage servers anew"
        ),
    )
}

fn is_full(path: &Path) -> bool {
    nix::sys::statvfs::statvfs(path.parent().unwrap_or(path)).is_ok_and(|room| room.blocks_available() < 16)
}
