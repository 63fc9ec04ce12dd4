//! The files in a file system, their snapshots and clones.

use std::path::PathBuf;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Stage, mounted};
use crate::cli::check::bench::{Bench, Stop, Verdict, done, ensure, list, optional, refused};
use crate::error::Kind;

/// The size of a test file.
const SIZE: u64 = 1 << 20;

/// A file made for one check. They go with the file system.
struct File<'a> {
    bench: &'a Bench,
    stage: Stage,
    /// Its path below the mount point.
    path: String,
}

impl<'a> File<'a> {
    async fn make(bench: &'a Bench) -> Result<File<'a>, Stop> {
        let stage = mounted(bench).await?;
        let file = File { bench, stage, path: bench.name("file") };
        let record = done("file-create", file.ask("file-create", json!({"size": SIZE})).await?)?;
        ensure(record["file_sz"].as_u64() == Some(SIZE), || {
            format!("{SIZE} bytes were asked for, and it has {}", record["file_sz"])
        })?;
        Ok(file)
    }

    /// Asks for a command on the file; `more` are its other parameters.
    async fn ask(&self, command: &str, mut more: Value) -> Result<Result<Value, crate::error::Error>, Stop> {
        more["path"] = self.path.as_str().into();
        self.bench.file_system(&self.stage.fs, command, more).await
    }

    async fn must(&self, command: &str, more: Value) -> Result<Value, Stop> {
        done(command, self.ask(command, more).await?)
    }

    fn real(&self) -> PathBuf {
        self.stage.mount_point.join(&self.path)
    }

    fn write(&self, letter: u8) -> Result<(), Stop> {
        use std::io::Write;
        let write = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new().write(true).open(self.real())?;
            file.write_all(&vec![letter; 65536])?;
            file.sync_all()
        };
        write().map_err(|error| Stop::Fail(format!("{}: {error}", self.real().display())))
    }

    fn copy_args(&self, ability: &str) -> Value {
        match self.bench.ability(ability) {
            "NO" | "UNSUPPORTED" => json!({}),
            _ => json!({"name": self.bench.name("copy")}),
        }
    }

    /// Takes a snapshot; its path.
    async fn snapshot(&self) -> Result<String, Stop> {
        let record = self.must("file-snapshot", self.copy_args("custom_snap_name")).await?;
        path_of(&record)
    }
}

fn path_of(record: &Value) -> Result<String, Stop> {
    let path = record["file_path"].as_str().filter(|path| !path.is_empty());
    path.map(str::to_owned).ok_or_else(|| Stop::Fail(format!("the record has no file_path: {record}")))
}

/// A path in a record, which can be relative to the mount point.
fn place(stage: &Stage, path: &str) -> PathBuf {
    let path = std::path::Path::new(path);
    if path.starts_with(&stage.mount_point) {
        return path.to_owned();
    }
    stage.mount_point.join(path.strip_prefix("/").unwrap_or(path))
}

fn first(path: &PathBuf) -> Result<u8, Stop> {
    use std::io::Read;
    let mut letter = [0];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut letter));
    read.map(|()| letter[0]).map_err(|error| Stop::Fail(format!("{}: {error}", path.display())))
}

fn holds(path: &PathBuf, letter: u8, whose: &str) -> Result<(), Stop> {
    let found = first(path)?;
    ensure(found == letter, || format!("{} does not have the content of {whose}", path.display()))
}

/// `create`.
pub async fn create(bench: &Bench) -> Verdict {
    let file = File::make(bench).await?;
    let length = std::fs::metadata(file.real()).map(|found| found.len()).unwrap_or(0);
    ensure(length == SIZE, || format!("{} has {length} bytes", file.real().display()))?;
    let folder = bench.name("dir");
    let args = json!({"path": folder, "type": "Directory"});
    match bench.file_system(&file.stage.fs, "file-create", args).await? {
        Err(error) if error.kind() == Kind::NoSuchOperation => Ok("files only".into()),
        answer => {
            let record = done("creating a directory", answer)?;
            ensure(record["fr_type"] == "Directory", || format!("a directory is a {}", record["fr_type"]))?;
            Ok(String::new())
        }
    }
}

/// A name that is taken.
pub async fn duplicate(bench: &Bench) -> Verdict {
    let file = File::make(bench).await?;
    file.write(b'k')?;
    let note = refused("creating it again", file.ask("file-create", json!({"size": SIZE})).await?, &[])?;
    holds(&file.real(), b'k', "before")?;
    Ok(note)
}

async fn named(bench: &Bench, stage: &Stage, args: Value) -> Result<Vec<String>, Stop> {
    let files = done("file-list", bench.file_system(&stage.fs, "file-list", args).await?)?;
    let name = |record: &Value| {
        record["file_path"].as_str().and_then(|path| path.rsplit('/').next()).map(str::to_owned)
    };
    Ok(list(&files).iter().filter_map(name).collect())
}

/// `list`.
pub async fn listing(bench: &Bench) -> Verdict {
    let (one, two) = (File::make(bench).await?, File::make(bench).await?);
    let all = named(bench, &one.stage, json!({})).await?;
    for file in [&one, &two] {
        ensure(all.contains(&file.path), || format!("{} is not among {}", file.path, all.join(", ")))?;
    }
    let some = named(bench, &one.stage, json!({"pattern": format!("{}$", one.path)})).await?;
    ensure(some == [one.path.clone()], || {
        format!("the pattern of {} matches {}", one.path, some.join(", "))
    })?;
    Ok(format!("{} files", all.len()))
}

/// `getFileInfo`.
pub async fn info(bench: &Bench) -> Verdict {
    let file = File::make(bench).await?;
    let record = file.must("file-info", json!({})).await?;
    ensure(record["file_sz"].as_u64() == Some(SIZE) && record["fr_type"] == "File", || {
        format!("it is {record}")
    })?;
    let args = json!({"path": bench.name("missing")});
    refused("an unknown file", bench.file_system(&file.stage.fs, "file-info", args).await?, &[])
}

/// Paths that lead out.
pub async fn escape(bench: &Bench) -> Verdict {
    let stage = mounted(bench).await?;
    let name = bench.name("escape");
    let args = json!({"path": format!("../{name}"), "size": 4096});
    let note = refused(
        "a path out of the file system",
        bench.file_system(&stage.fs, "file-create", args).await?,
        &[],
    )?;
    let outside = stage.mount_point.with_file_name(&name);
    let made = outside.exists();
    if made {
        let _ = std::fs::remove_file(&outside);
    }
    ensure(!made, || format!("{} was made", outside.display()))?;
    Ok(note)
}

/// `resize`.
pub async fn resize(bench: &Bench) -> Verdict {
    bench.need("resize")?;
    let file = File::make(bench).await?;
    optional("file-resize", file.ask("file-resize", json!({"size": 2 * SIZE})).await?)?;
    let length = std::fs::metadata(file.real()).map(|found| found.len()).unwrap_or(0);
    ensure(length == 2 * SIZE, || format!("{} bytes were asked for, and it has {length}", 2 * SIZE))?;
    Ok(String::new())
}

/// `createSnap`, `getCurrentSnaps` and `snapRemove`.
pub async fn snapshot(bench: &Bench) -> Verdict {
    bench.need("snapshot")?;
    let file = File::make(bench).await?;
    file.write(b'a')?;
    let snap = file.snapshot().await?;
    file.write(b'b')?;
    holds(&place(&file.stage, &snap), b'a', "its snapshot")?;
    let snaps = || async {
        let all = file.must("file-snapshots", json!({})).await?;
        Ok::<_, Stop>(list(&all).iter().any(|record| record["file_path"] == snap.as_str()))
    };
    ensure(snaps().await?, || format!("{snap} is not among the file's snapshots"))?;
    let answer = bench.file_system(&file.stage.fs, "file-snap-remove", json!({"snapshot": snap})).await?;
    optional("file-snap-remove", answer)?;
    ensure(!snaps().await?, || "it is listed still".to_owned())?;
    holds(&file.real(), b'b', "before")?;
    Ok(snap.clone())
}

/// `snapRestore`.
pub async fn restore(bench: &Bench) -> Verdict {
    bench.need("snapshot")?;
    let file = File::make(bench).await?;
    file.write(b'a')?;
    let snap = file.snapshot().await?;
    file.write(b'b')?;
    let answer = file.ask("file-restore", json!({"snapshot": snap})).await?;
    if let Err(error) = &answer
        && error.kind() == Kind::SnapRestoreNotSafe
    {
        return Ok("refused as not safe".into());
    }
    optional("file-restore", answer)?;
    holds(&file.real(), b'a', "its snapshot")?;
    Ok(String::new())
}

/// `clone`.
pub async fn clone(bench: &Bench) -> Verdict {
    bench.need("clone")?;
    let file = File::make(bench).await?;
    file.write(b'a')?;
    let record = file.must("file-clone", file.copy_args("custom_clone_name")).await?;
    let copy = place(&file.stage, &path_of(&record)?);
    holds(&copy, b'a', "its file")?;
    file.write(b'b')?;
    holds(&copy, b'a', "its file when it was cloned")?;
    Ok(String::new())
}

/// `cloneFromSnap`.
pub async fn from_snapshot(bench: &Bench) -> Verdict {
    bench.need("snapshot")?;
    bench.need("snapclone")?;
    let file = File::make(bench).await?;
    file.write(b'a')?;
    let snap = file.snapshot().await?;
    file.write(b'b')?;
    let mut args = file.copy_args("custom_clone_name");
    args["snapshot"] = snap.into();
    let answer = bench.file_system(&file.stage.fs, "file-clone-snapshot", args).await?;
    let record = optional("file-clone-snapshot", answer)?;
    holds(&place(&file.stage, &path_of(&record)?), b'a', "its snapshot")?;
    Ok(String::new())
}

/// `getFileSystemSnapLimits` and `getFileSystemCloneLimits`.
pub async fn limits(bench: &Bench) -> Verdict {
    bench.need("snapshot")?;
    let file = File::make(bench).await?;
    let ask = || async {
        let answer =
            optional("snap-limits", bench.file_system(&file.stage.fs, "snap-limits", json!({})).await?)?;
        answer["current"].as_i64().ok_or_else(|| Stop::Fail(format!("snap-limits are {answer}")))
    };
    let before = ask().await?;
    file.snapshot().await?;
    let after = ask().await?;
    ensure(after == before + 1, || format!("current was {before} before and is {after} after one more"))?;
    Ok(String::new())
}

/// Several at once.
pub async fn concurrent(bench: &Bench) -> Verdict {
    let stage = mounted(bench).await?;
    let names: Vec<String> = (0..8).map(|_| bench.name("many")).collect();
    let make = |name: &String| {
        let args = json!({"path": name, "size": 4096});
        let stage = &stage;
        async move { bench.file_system(&stage.fs, "file-create", args).await }
    };
    for answer in join_all(names.iter().map(make)).await {
        done("one of eight files at once", answer?)?;
    }
    let all = named(bench, &stage, json!({})).await?;
    let lacking: Vec<&String> = names.iter().filter(|name| !all.contains(*name)).collect();
    ensure(lacking.is_empty(), || format!("{} of 8 are not there", lacking.len()))?;
    Ok(String::new())
}

/// `destroy`.
pub async fn remove(bench: &Bench) -> Verdict {
    let file = File::make(bench).await?;
    file.must("file-remove", json!({})).await?;
    ensure(!file.real().exists(), || format!("{} is there still", file.real().display()))?;
    refused("removing it again", file.ask("file-remove", json!({})).await?, &[])
}

/// What the abilities rule out.
pub async fn unsupported(bench: &Bench) -> Verdict {
    const ROWS: &[(&str, &str)] = &[
        ("snapshot", "file-snapshot"),
        ("clone", "file-clone"),
        ("splitclone", "file-split"),
        ("resize", "file-resize"),
    ];
    let rows: Vec<_> =
        ROWS.iter().filter(|(ability, _)| matches!(bench.ability(ability), "UNSUPPORTED" | "NO")).collect();
    if rows.is_empty() {
        return Err(Stop::Skip("everything is supported".into()));
    }
    let file = File::make(bench).await?;
    for (_, command) in &rows {
        let more = if *command == "file-resize" { json!({"size": SIZE}) } else { json!({}) };
        refused(command, file.ask(command, more).await?, &[Kind::NoSuchOperation])?;
    }
    Ok(rows.iter().map(|row| row.0).collect::<Vec<_>>().join(", "))
}
