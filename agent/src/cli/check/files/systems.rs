//! File systems: backing devices, creating, mounting, destroying.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Stage, mounted, now, remember, system};
use crate::cli::check::bench::{Bench, Stop, Verdict, done, ensure, list, optional, refused};
use crate::cli::client::Contents;
use crate::error::Kind;

fn ids(contents: &Contents) -> BTreeSet<String> {
    contents.file_systems.iter().map(|fs| fs.id.clone()).collect()
}

/// Two refreshes list the same.
pub async fn stable(bench: &Bench) -> Verdict {
    let (first, second) = (ids(&bench.refreshed().await?), ids(&bench.refreshed().await?));
    ensure(first == second, || format!("the first refresh lists {first:?}, the second {second:?}"))?;
    Ok(format!("{} file systems", first.len()))
}

async fn devices(bench: &Bench) -> Result<Value, Stop> {
    optional("backing-devices", bench.ask("backing-devices", json!({})).await?)
}

fn offers(devices: &Value, device: &str) -> bool {
    list(devices).iter().any(|found| found["value"] == device)
}

/// `getFileSystemBackingDevices`.
pub async fn backing(bench: &Bench) -> Verdict {
    let devices = devices(bench).await?;
    for device in list(&devices) {
        let (total, free) =
            (device["total_sz"].as_i64().unwrap_or(-1), device["free_sz"].as_i64().unwrap_or(-1));
        ensure(device["value"].is_string() && free <= total, || format!("a backing device is {device}"))?;
    }
    match &bench.wishes.device {
        Some(device) if !offers(&devices, device) => {
            Err(Stop::Warn(format!("{device} is not among the {} that are told", list(&devices).len())))
        }
        _ => Ok(format!("{} devices", list(&devices).len())),
    }
}

/// `createFileSystem`.
pub async fn create(bench: &Bench) -> Verdict {
    let Stage { fs, .. } = system(bench).await?;
    let listed = bench.refreshed().await?;
    let listed = listed.file_systems.iter().find(|found| found.id == fs.id);
    let listed =
        listed.ok_or_else(|| Stop::Fail("a refresh does not list it under the same identity".into()))?;
    let number = |key: &str| listed.record[key].as_i64().unwrap_or(-1);
    ensure(number("size") > 0 && number("free_sz") <= number("size"), || {
        format!("{} of its {} bytes are free", number("free_sz"), number("size"))
    })?;
    ensure(listed.text("state") == "UNMOUNTED", || format!("its state is {:?}", listed.text("state")))?;
    Ok(format!("{} bytes", number("size")))
}

/// A device that is taken.
pub async fn taken(bench: &Bench) -> Verdict {
    let Stage { fs, .. } = system(bench).await?;
    let record = json!({"name": bench.name("fs"), "backing_device": [bench.wishes.device]});
    let note = refused(
        "a second file system on its device",
        bench.ask("create", json!({"record": record})).await?,
        &[],
    )?;
    bench.refreshed().await?;
    now(bench, &fs).await?;
    Ok(note)
}

fn mounts_on(stage: &Stage) -> usize {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let point = stage.mount_point.display().to_string();
    table.lines().filter(|line| line.split(' ').nth(4) == Some(point.as_str())).count()
}

async fn told(bench: &Bench, stage: &Stage) -> Result<usize, Stop> {
    let mounts = done("mounts", bench.file_system(&stage.fs, "mounts", json!({})).await?)?;
    let point = stage.mount_point.display().to_string();
    Ok(list(&mounts).iter().filter(|mount| mount["mount_point"] == point.as_str()).count())
}

/// `mount` and `listMountPoints`.
pub async fn mount(bench: &Bench) -> Verdict {
    let stage = mounted(bench).await?;
    ensure(mounts_on(&stage) == 1, || format!("nothing is mounted on {}", stage.mount_point.display()))?;
    ensure(told(bench, &stage).await? == 1, || "its mount is not told".to_owned())?;
    let state = now(bench, &stage.fs).await?;
    ensure(state.text("state").starts_with("MOUNTED"), || format!("its state is {:?}", state.text("state")))?;
    Ok(stage.mount_point.display().to_string())
}

/// The same once more.
pub async fn again(bench: &Bench) -> Verdict {
    let stage = mounted(bench).await?;
    let args = json!({"mount_point": stage.mount_point});
    let note = match bench.file_system(&stage.fs, "mount", args).await? {
        Ok(_) => String::new(),
        answer => refused("mounting it again", answer, &[Kind::FileSystemAlreadyMounted])?,
    };
    ensure(mounts_on(&stage) == 1, || format!("it is mounted {} times", mounts_on(&stage)))?;
    Ok(note)
}

/// Destroying what is mounted.
pub async fn busy(bench: &Bench) -> Verdict {
    let stage = mounted(bench).await?;
    let note = refused("destroying it", bench.file_system(&stage.fs, "destroy", json!({})).await?, &[])?;
    ensure(mounts_on(&stage) == 1, || "it is not mounted any more".to_owned())?;
    Ok(note)
}

/// `resizeFileSystem`.
pub async fn resize(bench: &Bench) -> Verdict {
    bench.need("resize")?;
    let stage = mounted(bench).await?;
    let size = now(bench, &stage.fs).await?.record["size"].as_u64().unwrap_or(0);
    let mut notes = Vec::new();
    for (what, wanted) in
        [("growing it beyond its device", size.saturating_mul(1 << 10)), ("shrinking it", size / 2)]
    {
        let answer = bench.file_system(&stage.fs, "resize", json!({"size": wanted})).await?;
        notes.push(refused(what, answer, &[])?);
    }
    let after = now(bench, &stage.fs).await?.record["size"].as_u64().unwrap_or(0);
    ensure(after == size, || format!("its size was {size} and is {after}"))?;
    Ok(notes.join("; "))
}

/// `unmount`.
pub async fn unmount(bench: &Bench) -> Verdict {
    let stage = mounted(bench).await?;
    let args = json!({"mount_point": stage.mount_point});
    done("unmount", bench.file_system(&stage.fs, "unmount", args).await?)?;
    remember(bench, false).await;
    ensure(mounts_on(&stage) == 0, || "it is mounted still".to_owned())?;
    ensure(told(bench, &stage).await? == 0, || "its mount is told still".to_owned())?;
    let answer = bench.file_system(&stage.fs, "file-list", json!({})).await?;
    refused("listing its files", answer, &[])
}

/// `destroyFileSystem`.
pub async fn destroy(bench: &Bench) -> Verdict {
    let stage = system(bench).await?;
    if stage.mounted {
        let args = json!({"mount_point": stage.mount_point});
        done("unmount", bench.file_system(&stage.fs, "unmount", args).await?)?;
        remember(bench, false).await;
    }
    done("destroy", bench.file_system(&stage.fs, "destroy", json!({})).await?)?;
    bench.stage.lock().await.take();
    let _ = std::fs::remove_dir(&stage.mount_point);
    let contents = bench.refreshed().await?;
    ensure(!ids(&contents).contains(&stage.fs.id), || "it is listed still".to_owned())?;
    let device = bench.wishes.device.as_deref().unwrap_or("");
    match devices(bench).await {
        Ok(devices) if !offers(&devices, device) => {
            Err(Stop::Warn(format!("{device} is not told as a backing device")))
        }
        Ok(_) | Err(Stop::Skip(_)) => Ok(String::new()),
        Err(stop) => Err(stop),
    }
}
