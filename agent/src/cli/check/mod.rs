//! `oscctl plugin check`: holds a plug-in against the guide.
//!
//! `table` says what is checked, once. `statics` looks at a module without calling it; the live
//! checks (`array`, `files`) make things on a storage server through the agent, see whether the
//! plug-in does what its abilities claim, and remove them (`made`). `report` tells.

mod array;
mod bench;
mod contract;
mod files;
mod made;
mod report;
mod server;
mod statics;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::args::PluginCheck;
use super::client::Client;
use super::failure::{Failure, Outcome as Done, REFUSED};
use super::objects::{Entry, find};
use super::output::Output;
use super::{view, words};
use bench::{Bench, Stop, Verdict, Wishes};
use report::{Outcome, Report, Row};
use statics::{Module, Statics};
use table::{CHECKS, Check, How};

/// Carries out `oscctl plugin check`; returns the exit status.
///
/// # Errors
/// Bad usage, no agent where one is needed, or output that cannot be written.
pub async fn run(bus: &str, output: Output, args: &PluginCheck) -> Done<u8> {
    if args.list {
        return list(output).map(|()| 0);
    }
    if let Some(name) = args.only.iter().find(|name| CHECKS.iter().all(|check| check.name != **name)) {
        return Err(Failure::usage(format!("there is no check {name:?}"))
            .hint("list them with: oscctl plugin check --list"));
    }
    let word = args.plugin.as_deref().ok_or_else(|| Failure::usage("which plug-in?"))?;
    let size = words::size(&args.size)?;
    let module = as_path(word).map(Module::at).transpose()?;
    let agent = match (&module, &args.server) {
        (Some(_), None) => None,
        _ => Some(Subject::find(bus, module.as_ref(), word, args.server.as_deref()).await?),
    };
    let name = match (&agent, &module) {
        (Some(subject), _) => subject.plugin.id.clone(),
        (None, Some(module)) => module.name.clone(),
        (None, None) => word.to_owned(),
    };
    let wanted = |check: &Check| args.only.is_empty() || args.only.iter().any(|name| name == check.name);
    let mut report = Report::new(output, name);
    let module = module.or_else(|| agent.as_ref().and_then(Subject::module));
    statically(&mut report, module, &args.python, &wanted).await?;
    let mut outcome = Ok(());
    if let Some(Subject { client, plugin, server }) = agent {
        let wishes = Wishes {
            size,
            vol_group: args.vol_group.clone(),
            element: args.element.clone(),
            device: args.device.clone(),
            timeout: Duration::from_secs(args.timeout),
        };
        outcome = live(&mut report, client, &plugin, server, wishes, &wanted).await;
    }
    report.end(args.junit.as_deref())?;
    outcome?;
    Ok(if report.good() { 0 } else { REFUSED })
}

fn list(output: Output) -> Done {
    if output.json() {
        let row = |check: &Check| serde_json::json!({"name": check.name, "kind": check.how.kind(), "doc": check.doc});
        return output.value(&CHECKS.iter().map(row).collect());
    }
    let line = |check: &Check| vec![check.name.to_owned(), check.how.kind().to_owned(), check.doc.to_owned()];
    output.text(&view::lines(CHECKS.iter().map(line)))
}

/// A word that can only be a path.
fn as_path(word: &str) -> Option<&Path> {
    let path = Path::new(word);
    (word.contains('/') || path.is_dir()).then_some(path)
}

/// The plug-in as a running agent has it.
struct Subject {
    client: Client,
    plugin: Entry,
    server: Option<Entry>,
}

impl Subject {
    async fn find(bus: &str, module: Option<&Module>, word: &str, server: Option<&str>) -> Done<Subject> {
        let client = Client::connect(bus, true).await?;
        let root = client.root().await?;
        let server = server.map(|word| find("storage server", word, &root.servers).cloned()).transpose()?;
        let of_server = server.as_ref().map(|server| {
            let path = server.property("Plugin").as_str().unwrap_or("");
            let none = || Failure::usage(format!("the plug-in of {} is not installed", server.name()));
            root.plugins.iter().find(|plugin| plugin.path == path).cloned().ok_or_else(none)
        });
        let of_server = of_server.transpose()?;
        let plugin = match (module, of_server) {
            (Some(module), Some(plugin)) => {
                if module_of(&plugin) != module.name {
                    return Err(Failure::usage(format!(
                        "{} is a storage server of {}, not of {}",
                        args_name(server.as_ref()),
                        plugin.id,
                        module.name
                    )));
                }
                plugin
            }
            (None, Some(plugin)) => {
                let named = find("plug-in", word, &root.plugins)?;
                if named.id != plugin.id {
                    return Err(Failure::usage(format!(
                        "{} is a storage server of {}, not of {}",
                        args_name(server.as_ref()),
                        plugin.id,
                        named.id
                    )));
                }
                plugin
            }
            (_, None) => find("plug-in", word, &root.plugins)?.clone(),
        };
        Ok(Subject { client, plugin, server })
    }

    /// Where its module is, as the agent tells.
    fn module(&self) -> Option<Module> {
        let dir = self.plugin.property("Status")["directory"].as_str()?;
        Some(Module { name: module_of(&self.plugin).to_owned(), dir: PathBuf::from(dir) })
    }
}

fn args_name(server: Option<&Entry>) -> &str {
    server.map_or("it", Entry::name)
}

fn module_of(plugin: &Entry) -> &str {
    plugin.property("Status")["module"].as_str().unwrap_or("")
}

async fn statically(
    report: &mut Report,
    module: Option<Module>,
    pythons: &[PathBuf],
    wanted: &impl Fn(&Check) -> bool,
) -> Done {
    let checks: Vec<&Check> =
        CHECKS.iter().filter(|check| matches!(check.how, How::Static) && wanted(check)).collect();
    if checks.is_empty() {
        return Ok(());
    }
    let begun = Instant::now();
    let readable = module.filter(|module| std::fs::read_dir(module.folder()).is_ok());
    let statics = match readable {
        Some(module) => Some(Statics::gather(module, pythons).await?),
        None => None,
    };
    let mut took = begun.elapsed();
    for check in checks {
        let (outcome, reason) = match &statics {
            Some(statics) => statics.judge(check.name),
            None => (Outcome::Skip, "the module's directory cannot be read".to_owned()),
        };
        // One look serves all of them, and is counted once.
        report.add(Row { name: check.name, outcome, reason, took: std::mem::take(&mut took) })?;
    }
    Ok(())
}

/// Runs what needs the agent; removes everything made, whatever happens.
async fn live(
    report: &mut Report,
    client: Client,
    plugin: &Entry,
    server: Option<Entry>,
    wishes: Wishes,
    wanted: &impl Fn(&Check) -> bool,
) -> Done {
    let Some(server) = server else {
        return contract::told(report, &client, plugin, wanted).await;
    };
    let kind = plugin.property("Status")["plugin_type"].as_str().unwrap_or("").to_owned();
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let watcher = tokio::spawn(async move {
        while interrupted().await {
            if flag.swap(true, Ordering::Relaxed) {
                // Twice means now.
                std::process::exit(i32::from(REFUSED));
            }
            eprintln!("oscctl: removing what was made; once more to leave it there");
        }
    });
    let bench = Bench::new(client, server, wishes, stop);
    let mut outcome = match bench.begun().await {
        Err(Stop::Gone(failure)) => return Err(failure),
        _ => Ok(()),
    };
    for check in CHECKS.iter().filter(|check| wanted(check) && check.how.applies(&kind)) {
        if let Err(failure) = one(report, &bench, check).await {
            outcome = Err(failure);
            break;
        }
    }
    let left = match files::strike(&bench).await {
        Ok(left) => left,
        Err(Stop::Gone(failure)) => return outcome.and(Err(failure)),
        Err(_) => Vec::new(),
    };
    if !left.is_empty() {
        let reason = format!("could not be removed: {}", left.join("; "));
        report.add(Row { name: "cleanup", outcome: Outcome::Fail, reason, took: Duration::ZERO })?;
    }
    watcher.abort();
    outcome?;
    contract::told(report, &bench.client, plugin, wanted).await
}

/// SIGINT or SIGTERM; false where neither can be waited for.
async fn interrupted() -> bool {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return false };
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.is_ok(),
        _ = terminate.recv() => true,
    }
}

async fn one(report: &mut Report, bench: &Bench, check: &Check) -> Done {
    let (How::Array(run) | How::Files(run)) = check.how else { return Ok(()) };
    let begun = Instant::now();
    let verdict: Verdict = if bench.stopped() { Err(Stop::Interrupted) } else { run(bench).await };
    let (mut outcome, mut reason) = match verdict {
        Ok(seen) => (Outcome::Pass, seen),
        Err(Stop::Fail(why)) => (Outcome::Fail, why),
        Err(Stop::Warn(why)) => (Outcome::Warn, why),
        Err(Stop::Skip(why)) => (Outcome::Skip, why),
        Err(Stop::Interrupted) => (Outcome::Fail, "interrupted".into()),
        Err(Stop::Gone(failure)) => return Err(failure),
    };
    match bench.clean().await {
        Ok(left) if left.is_empty() => {}
        Ok(left) => {
            outcome = Outcome::Fail;
            let and = if reason.is_empty() { "" } else { "; and " };
            reason = format!("{reason}{and}could not be removed: {}", left.join("; "));
        }
        Err(Stop::Gone(failure)) => return Err(failure),
        Err(_) => {}
    }
    report.add(Row { name: check.name, outcome, reason, took: begun.elapsed() })
}
