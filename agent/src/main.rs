//! `oscd`: the agent as a service, in the foreground.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agent::bus::{self, Bus};
use agent::config::{Config, Source, Standing};
use agent::daemon::args::Args;
use agent::daemon::{journal, manager, watchdog};
use agent::service::Agent;
use agent::survive;
use agent::view::View;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

/// What a refresh of thousands of elements leaves free, glibc's allocator keeps between what is still in use.
#[global_allocator]
static ALLOCATOR: fsview::ReadyBuffers<tikv_jemallocator::Jemalloc> =
    fsview::ReadyBuffers(tikv_jemallocator::Jemalloc);

/// Free memory goes back to the kernel after half a second, by a thread that does nothing else; two heaps for all
/// threads, since one for each keeps what the others could use. Read by jemalloc(3) under this name.
#[unsafe(export_name = "malloc_conf")]
static MALLOC_CONF: &[u8; 85] =
    b"background_thread:true,dirty_decay_ms:500,muzzy_decay_ms:0,narenas:2,tcache_max:4096\0";

/// The only argument of the process that tells the kernel of changes ([`fsview::carry_messages`]).
const MESSENGER: &str = "--messenger";

/// How long a tree that is taken over waits for plug-ins that no process before has kept for it.
const PLUGINS_WAIT: Duration = Duration::from_secs(5);

/// How long operations and plug-ins may take to end before the process ends all the same; with the tree, which
/// goes first, a stop takes less than ten seconds.
const STOP_DEADLINE: Duration = Duration::from_secs(7);

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == MESSENGER) {
        fsview::carry_messages();
        return ExitCode::SUCCESS;
    }
    let args = Args::parse();
    if let Err(message) = journal::start(&args.log) {
        eprintln!("oscd: {message}");
        return ExitCode::from(2);
    }
    keep_secrets_in();
    if args.supervise {
        return survive::supervise(std::env::args_os().skip(1).filter(|arg| arg != "--supervise").collect());
    }
    // SAFETY: called once, and no other thread of ours is there yet.
    let left = unsafe { survive::inherited() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(failure) => {
            error!("cannot start the runtime: {failure}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(args, left));
    // A worker thread that still waits for a hung device must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// The process holds storage administrators' passwords: no core file, no other user's debugger, and
/// no file of ours that others can read.
fn keep_secrets_in() {
    use nix::sys::resource::{Resource, setrlimit};
    let limited = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    let closed = nix::sys::prctl::set_dumpable(false);
    if let Err(errno) = limited.and(closed) {
        warn!("core dumps could not be turned off: {errno}");
    }
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
}

async fn run(args: Args, left: Option<fsview::Handover>) -> agent::Result<()> {
    let source = Source::new(args.config.clone());
    let mut read = source.read()?;
    over(&args, &mut read.config);
    let fail = |error: std::io::Error| agent::Error::internal("cannot watch for signals", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(fail)?;
    let mut replaced = signal(SignalKind::user_defined2()).map_err(fail)?;

    let agent = Agent::start(read.config.clone()).await?;
    agent.standing().store(Arc::new(Standing { files: read.files, ..Standing::default() }));
    let mut options = fsview::Options::new(&args.mountpoint);
    options.gid = group("osc");
    options.messenger = Some(vec!["/proc/self/exe".into(), MESSENGER.into()]);
    let served = serve(&agent, &args.bus, options, left).await;
    let result = match served {
        Ok((view, bus)) => {
            if let Some(messenger) = view.messenger() {
                tokio::spawn(survive::set_apart(messenger));
            }
            let mut watches = agent.watches();
            watches.extend(view.watches(&agent));
            watches.extend(bus.iter().flat_map(|bus| bus.watches()));
            let watchdog = watchdog::start(watches, sd_notify::watchdog_enabled(), manager::alive);
            let manager = manager::ready(agent.clone(), &args.mountpoint, watchdog.stuck());
            info!(mountpoint = %args.mountpoint.display(), bus = %args.bus, "ready");
            let stays = loop {
                tokio::select! {
                    _ = terminate.recv() => info!("told to stop"),
                    _ = interrupt.recv() => info!("interrupted"),
                    _ = replaced.recv() => {
                        info!("told to leave the tree to another agent");
                        break true;
                    }
                    _ = hangup.recv() => {
                        manager.reloading();
                        reload(&agent, &args, source.clone()).await;
                        manager.reloaded();
                        continue;
                    }
                }
                break false;
            };
            manager.stopping();
            drop(watchdog);
            stop(view, bus, stays).await
        }
        Err(error) => Err(error),
    };
    if tokio::time::timeout(STOP_DEADLINE, agent.shutdown()).await.is_err() {
        warn!("operations did not end in time; they will be found interrupted");
    }
    result
}

/// The command line goes over what the files say.
fn over(args: &Args, config: &mut Config) {
    if let Some(dir) = &args.state_dir {
        config.state_dir.clone_from(dir);
    }
    if !args.plugin_dir.is_empty() {
        config.plugin_dirs.clone_from(&args.plugin_dir);
    }
}

async fn reload(agent: &Agent, args: &Args, source: Source) {
    let read = tokio::task::spawn_blocking(move || source.read()).await;
    let read =
        read.unwrap_or_else(|error| Err(agent::Error::internal("reading the configuration ended", error)));
    agent.configure(read.map(|mut read| {
        over(args, &mut read.config);
        read
    }));
}

/// Opens both doors: the tree, then the bus.
async fn serve(
    agent: &Agent,
    address: &str,
    options: fsview::Options,
    left: Option<fsview::Handover>,
) -> agent::Result<(View, Option<Bus>)> {
    let mountpoint = options.mountpoint.clone();
    if left.is_some() {
        agent.plugins_known(PLUGINS_WAIT).await;
    }
    let view = View::mount(agent, options, left)?;
    if view.took_over() {
        info!(mountpoint = %mountpoint.display(), "goes on with the tree of the agent before it");
    }
    if address == "none" {
        return Ok((view, None));
    }
    match bus::serve_behind(agent.clone(), address, &mountpoint, view.shown()).await {
        Ok(bus) => Ok((view, Some(bus))),
        Err(error) => {
            // The tree must not stay behind a daemon that never became ready; one with people in it waits for the next.
            let stays = view.took_over();
            let _ = stop(view, None, stays).await;
            Err(error)
        }
    }
}

/// Closes both doors; where the tree `stays`, it is another agent's to serve.
async fn stop(view: View, bus: Option<Bus>, stays: bool) -> agent::Result<()> {
    if let Some(bus) = bus {
        bus.close().await;
    }
    tokio::task::spawn_blocking(move || if stays { view.leave() } else { view.unmount() })
        .await
        .unwrap_or_else(|error| Err(agent::Error::internal("the unmounting thread ended", error)))
}

/// The group's id; root's where it does not exist.
fn group(name: &str) -> u32 {
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => group.gid.as_raw(),
        Ok(None) | Err(_) => 0,
    }
}
