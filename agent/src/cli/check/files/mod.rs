//! Checks of file system plug-ins. They share one file system, made on the device that the command
//! line gives, and mounted on a directory of our own.

pub mod content;
pub mod systems;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::bench::{Bench, Stop, done, said};
use crate::cli::objects::Entry;
use crate::command::Object;
use crate::error::Kind;

/// The file system under test.
#[derive(Clone, Debug)]
pub struct Stage {
    /// It.
    pub fs: Entry,
    /// Where it is mounted, or is to be.
    pub mount_point: PathBuf,
    /// Whether it is mounted.
    pub mounted: bool,
}

/// The file system of this run, made now if it is not there yet.
pub async fn system(bench: &Bench) -> Result<Stage, Stop> {
    let mut stage = bench.stage.lock().await;
    if let Some(stage) = &*stage {
        return Ok(stage.clone());
    }
    let Some(device) = &bench.wishes.device else {
        return Err(Stop::Skip(
            "it needs a file system of its own: give a blank device with --device".into(),
        ));
    };
    bench.need("backing_device_type")?;
    let name = bench.name("fs");
    let record = json!({"name": name, "backing_device": [device]});
    let record = match bench.ask("create", json!({"record": record})).await? {
        Err(error) if error.kind() == Kind::NoSuchOperation => {
            return Err(Stop::Skip(said(&error)));
        }
        answer => done("createFileSystem", answer)?,
    };
    let contents = bench.contents().await?;
    let same = |fs: &&Entry| fs.record["uuid"] == record["uuid"] || fs.text("name") == name;
    let fs = contents.file_systems.iter().find(same).cloned();
    let fs = fs.ok_or_else(|| Stop::Fail("the new file system is not listed".into()))?;
    let made = Stage { fs, mount_point: std::env::temp_dir().join(name), mounted: false };
    *stage = Some(made.clone());
    Ok(made)
}

/// The same, mounted.
pub async fn mounted(bench: &Bench) -> Result<Stage, Stop> {
    let found = system(bench).await?;
    if found.mounted {
        return Ok(found);
    }
    std::fs::create_dir_all(&found.mount_point)
        .map_err(|error| Stop::Fail(format!("{}: {error}", found.mount_point.display())))?;
    let args = json!({"mount_point": found.mount_point});
    done("mount", bench.file_system(&found.fs, "mount", args).await?)?;
    Ok(remember(bench, true).await.unwrap_or(found))
}

/// Notes whether the file system is mounted now.
pub async fn remember(bench: &Bench, mounted: bool) -> Option<Stage> {
    let mut stage = bench.stage.lock().await;
    let stage = stage.as_mut()?;
    stage.mounted = mounted;
    Some(stage.clone())
}

/// The file system as it is now.
pub async fn now(bench: &Bench, fs: &Entry) -> Result<Entry, Stop> {
    let contents = bench.contents().await?;
    let found = contents.file_systems.into_iter().find(|found| found.id == fs.id);
    found.ok_or_else(|| Stop::Fail(format!("{} is gone", fs.name())))
}

/// Unmounts and destroys what is left of the run; what could not be removed, and why.
pub async fn strike(bench: &Bench) -> Result<Vec<String>, Stop> {
    let Some(stage) = bench.stage.lock().await.take() else { return Ok(Vec::new()) };
    let mut left = Vec::new();
    let mut commands: Vec<(&str, Value)> = vec![("destroy", json!({}))];
    if stage.mounted {
        commands.insert(0, ("unmount", json!({"mount_point": stage.mount_point})));
    }
    for (command, args) in commands {
        let answer = bench.carry_out(&stage.fs, Object::FileSystem, command, args, &mut Vec::new()).await?;
        left.extend(answer.err().map(|error| format!("{} {}: {}", command, stage.fs.name(), said(&error))));
    }
    let _ = std::fs::remove_dir(&stage.mount_point);
    Ok(left)
}
