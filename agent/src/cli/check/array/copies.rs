//! Clones, of elements and of snapshots, and splitting them off.

use serde_json::json;

use super::device::{present, unpresent};
use super::snapshots::{counted, known, names, twice};
use crate::cli::check::bench::{Bench, Stop, Verdict, done, ensure, optional};
use crate::cli::objects::Entry;
use crate::command::Object;

async fn cloned(bench: &Bench, of: &Entry, ability: &str) -> Result<Entry, Stop> {
    bench.ready(of, ability).await?;
    let (_, args) = bench.copy_name("custom_clone_name", "clone");
    bench.entry(&done("clone", bench.element(of, "clone", args).await?)?).await
}

/// `clone`.
pub async fn clone(bench: &Bench) -> Verdict {
    bench.need("clone")?;
    let source = bench.source().await?;
    let own = bench.wishes.element.is_none();
    let device = match present(bench, &source).await {
        Ok(device) if own => {
            device.write(b'c')?;
            unpresent(bench, &source).await?;
            true
        }
        Ok(_) => false,
        Err(Stop::Skip(_)) => false,
        Err(stop) => return Err(stop),
    };
    let copy = cloned(bench, &source, "clone").await?;
    right(bench, &source, &copy, &["Clone", "SnapClone", "LUN"]).await?;
    known(bench, &source, &copy, "clones").await?;
    if !device {
        return Ok(String::new());
    }
    let device = present(bench, &copy).await?;
    ensure(device.holds(b'c')?, || "its content is not that of its parent".to_owned())?;
    device.write(b'd')?;
    unpresent(bench, &copy).await?;
    if bench.again(&source).await?.text("state") == "OFFLINE" {
        done("online", bench.element(&source, "online", json!({})).await?)?;
    }
    let device = present(bench, &source).await?;
    ensure(device.holds(b'c')?, || "a write to it changed its parent".to_owned())?;
    unpresent(bench, &source).await?;
    Ok("content compared".into())
}

async fn right(bench: &Bench, source: &Entry, copy: &Entry, types: &[&str]) -> Result<(), Stop> {
    ensure(types.contains(&copy.text("se_type")), || format!("its type is {:?}", copy.text("se_type")))?;
    ensure(copy.id != source.id, || "it has its parent's identity".to_owned())?;
    ensure(copy.record["size"] == source.record["size"], || {
        format!("it has {} bytes and its parent {}", copy.record["size"], source.record["size"])
    })?;
    let after = bench.refreshed().await?;
    ensure(after.elements.iter().any(|element| element.id == copy.id), || {
        "a refresh does not list it under the same identity".to_owned()
    })
}

/// `custom_clone_name`.
pub async fn naming(bench: &Bench) -> Verdict {
    bench.need("clone")?;
    names(bench, "clone", "custom_clone_name").await
}

/// A name that is taken.
pub async fn duplicate(bench: &Bench) -> Verdict {
    bench.need("clone")?;
    twice(bench, "clone", "custom_clone_name").await
}

/// `getCloneLimits`.
pub async fn limits(bench: &Bench) -> Verdict {
    bench.need("clone")?;
    counted(bench, "clone-limits", "clone", "custom_clone_name").await
}

/// `cloneFromSnap`.
pub async fn from_snapshot(bench: &Bench) -> Verdict {
    bench.need("snapclone")?;
    let source = bench.source().await?;
    let snap = bench.snapshot(&source).await?;
    let copy = cloned(bench, &snap, "snapclone").await?;
    right(bench, &snap, &copy, &["SnapClone", "Clone", "LUN"]).await?;
    Ok(String::new())
}

/// `splitClone`, followed to its end.
pub async fn split(bench: &Bench) -> Verdict {
    bench.need("splitclone")?;
    bench.need("clone")?;
    let source = bench.source().await?;
    let copy = cloned(bench, &source, "clone").await?;
    bench.ready(&copy, "splitclone").await?;
    let mut progress = Vec::new();
    let answer = bench.watch(&copy, Object::Element, "split", json!({}), &mut progress).await?;
    optional("split", answer)?;
    ensure(progress.is_sorted(), || format!("its progress went back: {progress:?}"))?;
    ensure(progress.iter().all(|percent| *percent <= 100), || format!("its progress: {progress:?}"))?;
    bench.refreshed().await?;
    let now = bench.again(&copy).await?;
    ensure(now.record["size"] == copy.record["size"], || format!("it has {} bytes now", now.record["size"]))?;
    if bench.wishes.element.is_none() {
        // What is independent outlives what it came from.
        done("removing its former parent", bench.element(&source, "remove", json!({})).await?)?;
        bench.refreshed().await?;
        bench.again(&copy).await?;
    }
    Ok(match progress.len() {
        0 => String::new(),
        seen => format!("progress seen {seen} times"),
    })
}
