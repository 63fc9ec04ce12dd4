//! Listing, creating, resizing, switching and removing elements.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::cli::check::bench::{Bench, PREFIX, Stop, Verdict, done, ensure, list, optional, refused};
use crate::cli::client::Contents;
use crate::cli::objects::Entry;
use crate::error::Kind;

/// What changes by itself.
const LIVELY: &[&str] = &["status", "state", "async_progress", "path"];

fn lines(contents: &Contents) -> BTreeMap<String, Value> {
    let elements = contents.elements.iter().filter(|element| !element.name().starts_with(PREFIX));
    elements.map(|element| (element.id.clone(), element.record.clone())).collect()
}

/// Two refreshes list the same.
pub async fn stable(bench: &Bench) -> Verdict {
    let first = lines(&bench.refreshed().await?);
    let second = lines(&bench.refreshed().await?);
    compare(&first, &second)?;
    Ok(format!("{} elements", first.len()))
}

fn compare(first: &BTreeMap<String, Value>, second: &BTreeMap<String, Value>) -> Result<(), Stop> {
    let gone: Vec<&str> = first.keys().filter(|id| !second.contains_key(*id)).map(String::as_str).collect();
    let new = second.keys().filter(|id| !first.contains_key(*id)).count();
    ensure(gone.is_empty() && new == 0, || {
        format!("{} elements went and {new} came, such as {}", gone.len(), gone.first().unwrap_or(&"none"))
    })?;
    for (id, record) in first {
        let fields = record.as_object().into_iter().flatten();
        let mut changed =
            fields.filter(|(key, value)| second[id][key.as_str()] != **value).map(|(key, _)| key);
        if let Some(key) = changed.find(|key| !LIVELY.contains(&key.as_str())) {
            return Err(Stop::Warn(format!(
                "{key} of {id} changed from {} to {}",
                record[key.as_str()],
                second[id][key.as_str()]
            )));
        }
    }
    Ok(())
}

/// Every element is one of its own.
pub async fn identity(bench: &Bench) -> Verdict {
    let contents = bench.refreshed().await?;
    for key in ["uuid", "page83_id", "id"] {
        let mut seen = BTreeSet::new();
        let mut twice = contents
            .elements
            .iter()
            .filter(|element| !element.text(key).is_empty() && !seen.insert(element.text(key)));
        if let Some(element) = twice.next() {
            return Err(Stop::Fail(format!("{key} {} is that of several elements", element.text(key))));
        }
    }
    let nameless: Vec<&str> = contents
        .elements
        .iter()
        .filter(|element| ["uuid", "page83_id", "id"].iter().all(|key| element.text(key).is_empty()))
        .map(Entry::name)
        .collect();
    ensure(nameless.is_empty(), || {
        format!("no uuid, page83_id or id tells which element is which: {}", nameless.join(", "))
    })?;
    Ok(format!("{} elements", contents.elements.len()))
}

/// `create`.
pub async fn create(bench: &Bench) -> Verdict {
    let before: Vec<String> =
        bench.refreshed().await?.elements.into_iter().map(|element| element.id).collect();
    let lun = bench.lun().await?;
    let right = |element: &Entry| -> Result<(), Stop> {
        let size = element.record["size"].as_i64().unwrap_or(-1);
        let asked = i64::try_from(bench.wishes.size).unwrap_or(i64::MAX);
        ensure(size >= asked, || format!("{asked} bytes were asked for and {size} made"))?;
        ensure(element.text("se_type") == "LUN", || format!("its type is {:?}", element.text("se_type")))?;
        ensure(element.text("name").starts_with(PREFIX), || format!("its name is {:?}", element.text("name")))
    };
    right(&lun)?;
    if let Some((group, _)) = bench.vol_group().await? {
        ensure(lun.text("vol_group_name") == group, || {
            format!("its volume group is {:?} and not {group:?}", lun.text("vol_group_name"))
        })?;
    }
    let after = bench.refreshed().await?;
    let listed = after.elements.iter().find(|element| element.id == lun.id);
    let listed =
        listed.ok_or_else(|| Stop::Fail("a refresh does not list it under the same identity".into()))?;
    right(listed)?;
    let strangers =
        after.elements.iter().filter(|element| element.id != lun.id && !before.contains(&element.id)).count();
    ensure(strangers == 0, || format!("{strangers} more elements appeared with it"))?;
    let size = &listed.record["size"];
    let size = if *size == bench.wishes.size { String::new() } else { format!("{size} bytes") };
    Ok(size)
}

/// A name that is taken.
pub async fn duplicate(bench: &Bench) -> Verdict {
    let lun = bench.lun().await?;
    let record = bench.wanted(lun.text("name"), bench.wishes.size).await?;
    let note =
        refused("a second element of one name", bench.ask("create", json!({"record": record})).await?, &[])?;
    let named = bench
        .refreshed()
        .await?
        .elements
        .iter()
        .filter(|element| element.text("name") == lun.text("name"))
        .count();
    ensure(named == 1, || format!("{named} elements have the name now"))?;
    Ok(note)
}

/// Sizes that cannot be.
pub async fn impossible(bench: &Bench) -> Verdict {
    // Whether anything can be created at all.
    drop(bench.lun().await?);
    let before = lines(&bench.refreshed().await?);
    let free = bench.vol_group().await?.map(|group| group.1);
    let mut notes = Vec::new();
    let mut thin = false;
    let more = free.filter(|free| *free >= 0).and_then(|free| u64::try_from(free).ok());
    let cases = [
        ("an element of 4 EiB", Some(1 << 62)),
        ("an element larger than its volume group's free space", more.map(|free| free + (1 << 30))),
    ];
    for (what, size) in cases {
        let Some(size) = size else { continue };
        let name = bench.name("huge");
        let record = bench.wanted(&name, size).await?;
        match (bench.ask("create", json!({"record": record})).await?, size == 1 << 62) {
            (Ok(_), false) => thin = true,
            (answer, _) => notes.push(refused(what, answer, &[])?),
        }
    }
    if !thin {
        let after = lines(&bench.refreshed().await?);
        ensure(after == before, || "the refusal changed the list of elements".to_owned())?;
        let now = bench.vol_group().await?.map(|group| group.1);
        ensure(now == free, || format!("the refusal changed the free space from {free:?} to {now:?}"))?;
        return Ok(notes.join("; "));
    }
    Err(Stop::Warn("more than the volume group's free space was promised: thin provisioning?".into()))
}

/// Several at once.
pub async fn concurrent(bench: &Bench) -> Verdict {
    drop(bench.lun().await?);
    let mut records = Vec::new();
    for _ in 0..4 {
        records.push(bench.wanted(&bench.name("one"), bench.wishes.size.min(1 << 24)).await?);
    }
    let answers = join_all(records.iter().map(|record| bench.ask("create", json!({"record": record})))).await;
    for answer in answers {
        done("one of four elements at once", answer?)?;
    }
    let contents = bench.refreshed().await?;
    for record in &records {
        let there =
            contents.elements.iter().filter(|element| element.record["name"] == record["name"]).count();
        ensure(there == 1, || format!("{} is there {there} times", record["name"]))?;
    }
    Ok(String::new())
}

/// `remove`.
pub async fn remove(bench: &Bench) -> Verdict {
    bench.refreshed().await?;
    let before = bench.vol_group().await?;
    let lun = bench.lun().await?;
    done("remove", bench.element(&lun, "remove", json!({})).await?)?;
    let contents = bench.refreshed().await?;
    ensure(contents.elements.iter().all(|element| element.id != lun.id), || "it is listed still".to_owned())?;
    let after = bench.vol_group().await?;
    match (before, after) {
        (Some((name, before)), Some((_, after))) if after < before => {
            Err(Stop::Warn(format!("{name} has {} bytes less free space than before", before - after)))
        }
        _ => Ok(String::new()),
    }
}

/// `resize`.
pub async fn resize(bench: &Bench) -> Verdict {
    bench.need("resize")?;
    let lun = bench.lun().await?;
    bench.ready(&lun, "resize").await?;
    let size = lun.record["size"].as_u64().unwrap_or(bench.wishes.size);
    let larger = size * 2;
    done("growing", bench.element(&lun, "resize", json!({"size": larger})).await?)?;
    bench.refreshed().await?;
    let now = bench.again(&lun).await?.record["size"].as_u64().unwrap_or(0);
    ensure(now >= larger, || format!("{larger} bytes were asked for, and it has {now}"))?;
    let answer = bench.element(&lun, "resize", json!({"size": size})).await?;
    if answer.is_ok() {
        return Err(Stop::Warn("it was shrunk, with whatever was at its end".into()));
    }
    let note = refused("shrinking", answer, &[])?;
    bench.refreshed().await?;
    let after = bench.again(&lun).await?.record["size"].as_u64().unwrap_or(0);
    ensure(after == now, || format!("the refusal to shrink changed its size from {now} to {after}"))?;
    Ok(note)
}

/// `offline` and `online`.
pub async fn offline_online(bench: &Bench) -> Verdict {
    let lun = bench.lun().await?;
    for (command, state) in [("offline", "OFFLINE"), ("online", "ONLINE")] {
        optional(command, bench.element(&lun, command, json!({})).await?)?;
        bench.refreshed().await?;
        let now = bench.again(&lun).await?;
        ensure(now.text("state") == state, || format!("after {command} its state is {}", now.text("state")))?;
    }
    Ok(String::new())
}

/// `getQoSList` and `setQoS`.
pub async fn qos(bench: &Bench) -> Verdict {
    let values = optional("qos-list", bench.ask("qos-list", json!({})).await?)?;
    let values: Vec<&str> = list(&values).iter().filter_map(|value| value["value"].as_str()).collect();
    if values.is_empty() {
        return Err(Stop::Skip("there is no quality of service to choose".into()));
    }
    let lun = bench.lun().await?;
    for value in &values {
        done("qos", bench.element(&lun, "qos", json!({"value": value})).await?)?;
        let now = bench.again(&lun).await?;
        ensure(now.text("qos") == *value, || format!("{value} was set, and it is {:?}", now.text("qos")))?;
    }
    let none = json!({"value": "osc-check-no-such-quality"});
    let note = refused("an unknown quality of service", bench.element(&lun, "qos", none).await?, &[])?;
    Ok(format!("{}; {note}", values.join(", ")))
}

/// What the abilities rule out.
pub async fn unsupported(bench: &Bench) -> Verdict {
    const ROWS: &[(&str, &str)] =
        &[("snapshot", "snapshot"), ("clone", "clone"), ("splitclone", "split"), ("resize", "resize")];
    let rows: Vec<_> =
        ROWS.iter().filter(|(ability, _)| matches!(bench.ability(ability), "UNSUPPORTED" | "NO")).collect();
    let mut tried = Vec::new();
    if bench.ability("access_control") == "NO" || bench.ability("access_control") == "UNSUPPORTED" {
        let args = json!({"groups": [{"grp_name": bench.name("grp"), "grp_entries": []}]});
        let answer = bench.ask("create-access-groups", args).await?;
        refused("create-access-groups", answer, &[Kind::NoSuchOperation])?;
        tried.push("access_control");
    }
    if !rows.is_empty() {
        let element = bench.source().await?;
        for (ability, command) in rows {
            let args = if *command == "resize" { json!({"size": 1_u64 << 40}) } else { json!({}) };
            refused(command, bench.element(&element, command, args).await?, &[Kind::NoSuchOperation])?;
            tried.push(ability);
        }
    }
    match tried.is_empty() {
        true => Err(Stop::Skip("everything is supported".into())),
        false => Ok(tried.join(", ")),
    }
}

/// Nothing of ours is left.
pub async fn untouched(bench: &Bench) -> Verdict {
    let contents = bench.refreshed().await?;
    let run = bench.name("");
    let mine = run.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let left: Vec<&str> =
        contents.elements.iter().map(Entry::name).filter(|name| name.starts_with(mine)).collect();
    ensure(left.is_empty(), || format!("left behind: {}", left.join(", ")))?;
    let older: Vec<&str> =
        contents.elements.iter().map(Entry::name).filter(|name| name.starts_with(PREFIX)).collect();
    if !older.is_empty() {
        return Err(Stop::Warn(format!("an earlier run left behind: {}", older.join(", "))));
    }
    let before = bench.begun().await?;
    compare(&before, &lines(&contents))?;
    Ok(format!("{} elements", before.len()))
}

/// The elements that were there before anything was tried.
pub async fn census(bench: &Bench) -> Result<BTreeMap<String, Value>, Stop> {
    Ok(lines(&bench.contents().await?))
}
