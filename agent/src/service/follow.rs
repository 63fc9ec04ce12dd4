//! Work that goes on after its call has returned (`*_is_sync` is NO): asked for until it is done.
//!
//! The handle that the plug-in gave lives here and nowhere else, and goes back as it came.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::apply::About;
use super::core::Errand;
use super::refresh;
use super::run::update;
use crate::error::{Error, Kind, Result};
use crate::operation::call::{plugin_of, server_of};
use crate::plugin::api::{Answer, Method, method};
use crate::record::{FieldType as _, Problem};

/// The first pause between two questions, and the longest.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How many questions in a row may fail before the work is given up.
const FAILURES: u32 = 5;

/// Waits until what `answer` started is done; returns the result that shows it.
///
/// # Errors
/// What the plug-in says of the work; [`Kind::Timeout`] when nothing has moved for as long as the
/// method may take; [`Kind::Cancelled`].
pub async fn until_done(about: &About<'_>, answer: Value, result: Value, errand: &Errand) -> Result<Value> {
    let list = matches!(about.method.answer, Answer::Elements);
    let mut records = match answer {
        Value::Array(records) if list => records,
        one => vec![one],
    };
    let mut results = match result {
        Value::Array(results) if list => results,
        one => vec![one],
    };
    let all = records.len();
    for index in 0..all {
        let done = Share { before: index, all };
        let record = std::mem::take(&mut records[index]);
        if let Some(result) = one(about, record, done, errand).await? {
            results[index] = result;
        }
    }
    Ok(if list { results.into() } else { results.pop().unwrap_or_default() })
}

/// Which part of an operation a record's progress is.
#[derive(Clone, Copy)]
struct Share {
    before: usize,
    all: usize,
}

impl Share {
    fn percent(self, progress: i64) -> Option<u8> {
        let progress = usize::try_from(progress).ok()?.min(100);
        u8::try_from((self.before * 100 + progress) / self.all).ok()
    }
}

async fn one(about: &About<'_>, mut record: Value, share: Share, errand: &Errand) -> Result<Option<Value>> {
    let Some(ask) = method(about.method.plugin_type, "getAsyncProgress") else { return Ok(None) };
    // A plug-in that answered no record has nothing to be asked with.
    if !record.is_object() {
        return Ok(None);
    }
    let patience = about.core.deadline(about.method);
    let (mut pause, mut failures, mut moved, mut last) = (PAUSE, 0, Instant::now(), None);
    let mut result = None;
    loop {
        tokio::select! {
            () = errand.cancel.cancelled() => return Err(Error::new(Kind::Cancelled, "cancelled while it went on")),
            () = tokio::time::sleep(pause) => {}
        }
        pause = pause.mul_f64(1.5).min(PAUSE_MAX);
        let mut answer = match question(about, ask, &record, errand).await {
            Ok(answer) => answer,
            // Nothing to ask: it was done when it returned.
            Err(error) if error.kind() == Kind::NoSuchOperation => return Ok(result),
            Err(error) if matches!(error.kind(), Kind::Timeout | Kind::WorkerDied) && failures < FAILURES => {
                failures += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        failures = 0;
        let Value::Object(map) = &mut answer else {
            let error = crate::operation::merge::unusable("a record with async_progress", &answer);
            return Err(error.in_method(&plugin(about)?, ask.name));
        };
        let told = map.get("async_progress").map_or(Ok(None), i64::parse);
        let progress = match told {
            Ok(None) => None,
            Ok(Some(percent)) if (-1..=100).contains(&percent) => Some(percent),
            // No progress that could be shown, and not the end either.
            _ => {
                let text = "is neither -1, nor 0 to 100, nor None".to_owned();
                let problem = Problem { field: "async_progress".into(), text };
                about.core.report(&plugin(about)?, ask, [problem]);
                map.remove("async_progress");
                Some(-1)
            }
        };
        if !map.contains_key("async_handle")
            && let Some(handle) = record.get("async_handle")
        {
            map.insert("async_handle".into(), handle.clone());
        }
        result = Some(take_in(about, ask, &answer)?);
        let Some(progress) = progress else { return Ok(result) };
        record = answer;
        if last != Some(progress) {
            (last, moved) = (Some(progress), Instant::now());
            let percent = share.percent(progress);
            let known =
                about.core.inventory.snapshot().operations.get(&errand.id).and_then(|known| known.progress);
            if percent.is_some() && percent != known {
                update(about.core, errand.id, |operation| operation.progress = percent);
            }
        }
        if moved.elapsed() > patience {
            let text = format!("{} went on without progress for {} s", about.method.name, patience.as_secs());
            return Err(Error::new(Kind::Timeout, text).in_method(&plugin(about)?, about.method.name));
        }
    }
}

fn plugin(about: &About<'_>) -> Result<String> {
    Ok(server_of(&about.core.inventory.snapshot(), about.target)?.plugin.clone())
}

async fn question(about: &About<'_>, ask: &'static Method, record: &Value, errand: &Errand) -> Result<Value> {
    let snapshot = about.core.inventory.snapshot();
    let server = server_of(&snapshot, about.target)?;
    let plugin = plugin_of(&snapshot, &server.plugin)?;
    let args = [refresh::about(server, plugin), vec![("record", record.clone())]].concat();
    about.core.call(server, ask, args, errand).await
}

/// Takes the record in that came with the progress, as the answer of the method itself.
fn take_in(about: &About<'_>, ask: &'static Method, answer: &Value) -> Result<Value> {
    let one = match about.method.answer {
        // One of them at a time: an element like any other.
        Answer::Elements => method(about.method.plugin_type, "createSnap").unwrap_or(ask),
        _ => about.method,
    };
    About { method: one, ..*about }.take_in(answer)
}
