//! Access groups, and the devices that presented elements are on this host.

use serde_json::json;

use super::device::{group_names, present as to_this_host, unpresent};
use crate::cli::check::bench::{Bench, Stop, Verdict, done, ensure, list, optional, refused};

/// Create, rename, add, remove.
pub async fn groups(bench: &Bench) -> Verdict {
    bench.need("access_control")?;
    let names = [bench.name("grp"), bench.name("grp")];
    let before = group_names(bench).await?;
    bench.made().groups.push(names[0].clone());
    let wanted = json!([{"grp_name": names[0], "grp_entries": ["osc-check-host-1"], "grp_modes": []}]);
    optional("create-access-groups", bench.ask("create-access-groups", json!({"groups": wanted})).await?)?;
    let mut expected = before.clone();
    expected.push(names[0].clone());
    same(&group_names(bench).await?, &expected, "creating")?;
    let again = bench.ask("create-access-groups", json!({"groups": wanted})).await?;
    let note = refused("a second access group of one name", again, &[])?;
    let renamed = bench.ask("rename-access-group", json!({"name": names[0], "new_name": names[1]})).await?;
    let name = match renamed {
        Err(error) if error.kind() == crate::error::Kind::NoSuchOperation => names[0].clone(),
        answer => {
            bench.made().groups.push(names[1].clone());
            done("rename-access-group", answer)?;
            bench.made().groups.retain(|group| *group != names[0]);
            let last = expected.len() - 1;
            expected[last] = names[1].clone();
            same(&group_names(bench).await?, &expected, "renaming")?;
            names[1].clone()
        }
    };
    let both = ["osc-check-host-1", "osc-check-host-2"];
    for (command, entry, left) in
        [("add-to-access-group", both[1], &both[..]), ("remove-from-access-group", both[0], &both[1..])]
    {
        done(command, bench.ask(command, json!({"name": name, "entries": [entry]})).await?)?;
        let all = done("access-groups", bench.ask("access-groups", json!({})).await?)?;
        let group = list(&all).iter().find(|group| group["grp_name"] == name.as_str());
        let mut entries: Vec<&str> = group
            .map(|group| list(&group["grp_entries"]).iter().filter_map(|entry| entry.as_str()).collect())
            .unwrap_or_default();
        entries.sort_unstable();
        ensure(entries == left, || format!("after {command} its entries are {entries:?}"))?;
    }
    done("remove-access-groups", bench.ask("remove-access-groups", json!({"groups": [name]})).await?)?;
    bench.made().groups.retain(|group| *group != name);
    same(&group_names(bench).await?, &before, "removing")?;
    Ok(note)
}

fn same(found: &[String], expected: &[String], after: &str) -> Result<(), Stop> {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort_unstable();
        names
    };
    let (found, expected) = (sorted(found), sorted(expected));
    ensure(found == expected, || format!("after {after}, the groups are {found:?} and not {expected:?}"))
}

/// `startPresent` and `stopPresent`.
pub async fn present(bench: &Bench) -> Verdict {
    let lun = bench.lun().await?;
    let device = to_this_host(bench, &lun).await?;
    let (size, right) = (device.size()?, lun.record["size"].as_u64().unwrap_or(0));
    ensure(size == right, || format!("{} has {size} bytes, and the element {right}", device.0.display()))?;
    bench.refreshed().await?;
    let now = bench.again(&lun).await?;
    ensure(!list(&now.record["path"]).is_empty(), || "a refresh takes its path away".to_owned())?;
    unpresent(bench, &lun).await?;
    let now = bench.again(&lun).await?;
    ensure(list(&now.record["path"]).is_empty(), || format!("its path is {} still", now.record["path"]))?;
    Ok(format!("{}, {size} bytes", device.0.display()))
}

/// An access group that does not exist.
pub async fn unknown(bench: &Bench) -> Verdict {
    bench.need("access_control")?;
    let lun = bench.lun().await?;
    let args = json!({"groups": [bench.name("no-such-group")]});
    let note = refused("an unknown access group", bench.element(&lun, "present", args).await?, &[])?;
    let now = bench.again(&lun).await?;
    ensure(list(&now.record["access_grp_names"]).is_empty(), || {
        format!("it is presented to {}", now.record["access_grp_names"])
    })?;
    Ok(note)
}

/// Data that stays.
pub async fn data(bench: &Bench) -> Verdict {
    let lun = bench.lun().await?;
    to_this_host(bench, &lun).await?.write(b'x')?;
    unpresent(bench, &lun).await?;
    let device = to_this_host(bench, &lun).await?;
    ensure(device.holds(b'x')?, || format!("{} does not hold what was written", device.0.display()))?;
    if !matches!(bench.ability("resize"), "UNSUPPORTED" | "OFFLINE") {
        let larger = device.size()? * 2;
        done("resize", bench.element(&lun, "resize", json!({"size": larger})).await?)?;
        done("device-resize", bench.element(&lun, "device-resize", json!({})).await?)?;
        let now = device.size()?;
        ensure(now == larger, || format!("{larger} bytes were asked for, and the device has {now}"))?;
    }
    unpresent(bench, &lun).await?;
    Ok(String::new())
}
