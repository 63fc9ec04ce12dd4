//! Snapshots, and rolling back to them.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::device::{present, unpresent};
use crate::cli::check::bench::{Bench, Stop, Verdict, done, ensure, list, optional, refused, said};
use crate::cli::objects::Entry;
use crate::error::Kind;

/// `createSnap`.
pub async fn snapshot(bench: &Bench) -> Verdict {
    bench.need("snapshot")?;
    let source = bench.source().await?;
    let snap = bench.snapshot(&source).await?;
    ensure(snap.text("se_type") == "Snap", || format!("its type is {:?}, not Snap", snap.text("se_type")))?;
    ensure(snap.id != source.id, || "it has its parent's identity".to_owned())?;
    ensure(snap.record["size"] == source.record["size"], || {
        format!("it has {} bytes and its parent {}", snap.record["size"], source.record["size"])
    })?;
    let after = bench.refreshed().await?;
    ensure(after.elements.iter().any(|element| element.id == snap.id), || {
        "a refresh does not list it under the same identity".to_owned()
    })?;
    known(bench, &source, &snap, "snapshots").await
}

/// Whether the element's own list of copies holds the copy.
pub async fn known(bench: &Bench, parent: &Entry, copy: &Entry, command: &str) -> Verdict {
    match bench.element(parent, command, json!({})).await? {
        Err(error) if error.kind() == Kind::NoSuchOperation => {
            Err(Stop::Warn(format!("nothing tells whose it is: {}", said(&error))))
        }
        answer => {
            let all = done(command, answer)?;
            let same = |record: &Value| {
                ["uuid", "page83_id", "id"]
                    .iter()
                    .any(|key| !copy.text(key).is_empty() && record[key] == copy.record[key])
            };
            ensure(list(&all).iter().any(same), || {
                format!("{command} of its parent has {} others, and not it", list(&all).len())
            })?;
            Ok(String::new())
        }
    }
}

/// `custom_snap_name`.
pub async fn naming(bench: &Bench) -> Verdict {
    bench.need("snapshot")?;
    names(bench, "snapshot", "custom_snap_name").await
}

/// Whether a copy is named as the ability says.
pub async fn names(bench: &Bench, command: &str, ability: &str) -> Verdict {
    let source = bench.source().await?;
    bench.ready(&source, command).await?;
    let name = bench.name("name");
    bench.made().names.push(name.clone());
    match bench.ability(ability) {
        "YES" => {
            let entry = bench
                .entry(&done(command, bench.element(&source, command, json!({"name": name})).await?)?)
                .await?;
            ensure(entry.text("name") == name, || {
                format!("{name} was asked for, and it is {}", entry.text("name"))
            })?;
            refused(
                "a missing name",
                bench.element(&source, command, json!({})).await?,
                &[Kind::InvalidValue],
            )
        }
        "" => Err(Stop::Skip(format!("the plug-in does not tell {ability}"))),
        _ => {
            let note = refused(
                "a name",
                bench.element(&source, command, json!({"name": name})).await?,
                &[Kind::InvalidValue],
            )?;
            let entry =
                bench.entry(&done(command, bench.element(&source, command, json!({})).await?)?).await?;
            ensure(!entry.text("name").is_empty(), || "it has no name".to_owned())?;
            Ok(note)
        }
    }
}

/// A name that is taken.
pub async fn duplicate(bench: &Bench) -> Verdict {
    bench.need("snapshot")?;
    twice(bench, "snapshot", "custom_snap_name").await
}

/// Whether a copy's name that is taken is refused.
pub async fn twice(bench: &Bench, command: &str, ability: &str) -> Verdict {
    bench.need(ability)?;
    let source = bench.source().await?;
    bench.ready(&source, command).await?;
    let (name, args) = bench.copy_name(ability, "twin");
    done(command, bench.element(&source, command, args.clone()).await?)?;
    let note = refused("a name that is taken", bench.element(&source, command, args).await?, &[])?;
    let name = name.unwrap_or_default();
    let there =
        bench.refreshed().await?.elements.iter().filter(|element| element.text("name") == name).count();
    ensure(there == 1, || format!("{there} elements have the name now"))?;
    Ok(note)
}

/// `getSnapLimits`.
pub async fn limits(bench: &Bench) -> Verdict {
    bench.need("snapshot")?;
    counted(bench, "snap-limits", "snapshot", "custom_snap_name").await
}

/// Whether limits count one more after a copy.
pub async fn counted(bench: &Bench, limits: &str, command: &str, ability: &str) -> Verdict {
    let source = bench.source().await?;
    let ask = || async {
        let answer = optional(limits, bench.element(&source, limits, json!({})).await?)?;
        let number =
            |key: &str| answer[key].as_i64().ok_or_else(|| Stop::Fail(format!("{limits} are {answer}")));
        Ok::<_, Stop>((number("current")?, number("max")?))
    };
    let before = ask().await?;
    bench.ready(&source, command).await?;
    let (_, args) = bench.copy_name(ability, "one");
    bench.entry(&done(command, bench.element(&source, command, args).await?)?).await?;
    let after = ask().await?;
    ensure(after.0 == before.0 + 1, || {
        format!("current was {} before and is {} after one more", before.0, after.0)
    })?;
    ensure(after.1 < 0 || after.0 <= after.1, || {
        format!("there are {} and can be only {}", after.0, after.1)
    })?;
    Ok(format!("{} of {}", after.0, after.1))
}

/// Eight at once.
pub async fn concurrent(bench: &Bench) -> Verdict {
    bench.need("snapshot")?;
    let source = bench.source().await?;
    bench.ready(&source, "snapshot").await?;
    let ids = |elements: &[Entry]| elements.iter().map(|element| element.id.clone()).collect::<Vec<_>>();
    let before = ids(&bench.refreshed().await?.elements);
    let asked: Vec<_> = (0..8).map(|_| bench.copy_name("custom_snap_name", "many").1).collect();
    let answers = join_all(asked.iter().map(|args| bench.element(&source, "snapshot", args.clone()))).await;
    let (mut taken, mut turned_down) = (0, Vec::new());
    for answer in answers {
        match answer? {
            Ok(record) => {
                bench.entry(&record).await?;
                taken += 1;
            }
            answer => turned_down.push(refused("one of eight snapshots at once", answer, &[])?),
        }
    }
    let after = ids(&bench.refreshed().await?.elements);
    let new = after.iter().filter(|id| !before.contains(id)).count();
    ensure(new == taken, || format!("{taken} snapshots were answered, and {new} are there"))?;
    match turned_down.first() {
        None => Ok("8 taken".into()),
        Some(why) => Err(Stop::Warn(format!("only {taken} of 8 were taken: {why}"))),
    }
}

/// `createMultiSnap`.
pub async fn multi(bench: &Bench) -> Verdict {
    bench.need("snapshot")?;
    let sources = [bench.lun().await?, bench.lun().await?];
    for source in &sources {
        bench.ready(source, "snapshot").await?;
    }
    let pairs = [(); 2].map(|()| bench.copy_name("custom_snap_name", "multi").0);
    let names: Vec<String> = pairs.into_iter().flatten().collect();
    let args = json!({"elements": sources.each_ref().map(|source| source.id.as_str()), "names": names});
    let answer = optional("multi-snapshot", bench.ask("multi-snapshot", args).await?)?;
    ensure(list(&answer).len() == 2, || format!("two elements, and {} snapshots", list(&answer).len()))?;
    for (source, record) in sources.iter().zip(list(&answer)) {
        let snap = bench.entry(record).await?;
        known(bench, source, &snap, "snapshots").await?;
    }
    Ok(String::new())
}

/// `snapRemove`.
pub async fn remove(bench: &Bench) -> Verdict {
    bench.need("snapshot")?;
    let source = bench.source().await?;
    let snap = bench.snapshot(&source).await?;
    done("remove", bench.element(&snap, "remove", json!({})).await?)?;
    let contents = bench.refreshed().await?;
    ensure(contents.elements.iter().all(|element| element.id != snap.id), || {
        "it is listed still".to_owned()
    })?;
    ensure(contents.elements.iter().any(|element| element.id == source.id), || {
        "its parent went with it".to_owned()
    })?;
    Ok(String::new())
}

/// `snapRestore`.
pub async fn restore(bench: &Bench) -> Verdict {
    bench.need("snapshot")?;
    let lun = bench.lun().await?;
    // Without a device it is tried all the same, and nobody looks at the data.
    let device = match present(bench, &lun).await {
        Ok(device) => {
            device.write(b'a')?;
            unpresent(bench, &lun).await?;
            true
        }
        Err(Stop::Skip(_)) => false,
        Err(stop) => return Err(stop),
    };
    let snap = bench.snapshot(&lun).await?;
    if bench.again(&lun).await?.text("state") == "OFFLINE" {
        done("online", bench.element(&lun, "online", json!({})).await?)?;
    }
    if device {
        present(bench, &lun).await?.write(b'b')?;
        unpresent(bench, &lun).await?;
    }
    let args = json!({"snapshot": snap.id});
    let mut offline = false;
    let mut answer = bench.element(&lun, "restore", args.clone()).await?;
    if let Err(error) = &answer
        && matches!(error.kind(), Kind::SnapRestoreNotSafe | Kind::StorageElementBusy)
        && bench.element(&lun, "offline", json!({})).await?.is_ok()
    {
        offline = true;
        answer = bench.element(&lun, "restore", args).await?;
    }
    if let Err(error) = &answer
        && error.kind() == Kind::SnapRestoreNotSafe
    {
        return Ok(format!("refused: {}", said(error)));
    }
    optional("restore", answer)?;
    if offline {
        done("online", bench.element(&lun, "online", json!({})).await?)?;
    }
    let after = bench.refreshed().await?;
    for entry in [&lun, &snap] {
        ensure(after.elements.iter().any(|element| element.id == entry.id), || {
            format!("{} is gone", entry.name())
        })?;
    }
    if !device {
        return Ok("without looking at the data".into());
    }
    let device = present(bench, &lun).await?;
    ensure(device.holds(b'a')?, || "the data is not that of the snapshot".to_owned())?;
    unpresent(bench, &lun).await?;
    Ok("the data is back".into())
}

/// Another element's snapshot.
pub async fn foreign(bench: &Bench) -> Verdict {
    bench.need("snapshot")?;
    let (lun, other) = (bench.lun().await?, bench.lun().await?);
    let snap = bench.snapshot(&other).await?;
    let able = bench.element(&lun, "is-restorable", json!({"snapshot": snap.id})).await?;
    ensure(!matches!(&able, Ok(Value::Bool(true))), || "isRestorable says that it can be done".to_owned())?;
    let answer = bench.element(&lun, "restore", json!({"snapshot": snap.id})).await?;
    refused("a restore from another element's snapshot", answer, &[])
}
