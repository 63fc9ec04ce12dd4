//! Checks of the storage server as a whole, for plug-ins of either kind.

use serde_json::{Value, json};

use super::bench::{Bench, Stop, Verdict, done, ensure, optional};

/// `validate`.
pub async fn validate(bench: &Bench) -> Verdict {
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(done("validate", bench.ask("validate", json!({})).await?)?);
    }
    for key in ["uuid", "storage_server_id", "storage_type"] {
        ensure(answers[0][key] == answers[1][key], || {
            format!("{key} is {} and then {}", answers[0][key], answers[1][key])
        })?;
    }
    Ok(String::new())
}

/// `getInfo` or `getStorageServerInfo`, `getStatus`, `getCapabilities`.
pub async fn info(bench: &Bench) -> Verdict {
    let record = done("info", bench.ask("info", json!({})).await?)?;
    ensure(record["uuid"] == bench.server.record["uuid"], || {
        format!("the record's uuid is {}, not that of the storage server", record["uuid"])
    })?;
    done("status", bench.ask("status", json!({})).await?)?;
    let able = optional("capabilities", bench.ask("capabilities", json!({})).await?)?;
    let pairs = able.as_object().ok_or_else(|| Stop::Fail(format!("capabilities are {able}")))?;
    for (key, value) in pairs {
        let known = bench.ability(key);
        let same = |text: &str| text.eq_ignore_ascii_case(known);
        ensure(!value.as_str().is_some_and(|text| !known.is_empty() && !same(text)), || {
            format!("{key} is {value} now, and was {known}")
        })?;
    }
    let sizes = ["total_sz", "free_sz"].map(|key| record[key].as_i64());
    if let [Some(total), Some(free)] = sizes {
        ensure(total < 0 || free <= total, || format!("{free} bytes of {total} are free"))?;
    }
    let lacking: Vec<&str> =
        ["name", "status"].into_iter().filter(|key| record[*key] == Value::Null).collect();
    if lacking.is_empty() {
        Ok(String::new())
    } else {
        Err(Stop::Warn(format!("the record says no {}", lacking.join(", "))))
    }
}
