//! The tree against the same files on tmpfs, and against libfuse's example over that tmpfs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tests::eventually;

use crate::reading::{elements, pass, records, restart, wakeups, with_elements};
use crate::table::{median, row, us};

const ROUNDS: usize = 5;

/// Descriptors that passthrough_ll has beside those for the files compared.
const SPARE: u64 = 500;

/// One round: ours, tmpfs and theirs, interleaved.
struct Round {
    cold: f64,
    warm: f64,
    tmpfs: f64,
    theirs: Option<(f64, f64)>,
}

/// Prints the rows about `count` elements. `passthrough` is libfuse's example, built.
pub fn compare(count: usize, passthrough: Option<&Path>) {
    let (mut agent, server) = with_elements(count, "");
    let names = elements(&server);
    assert_eq!(names.len(), count);
    let shm = tempfile::Builder::new().prefix("osc-bench.").tempdir_in("/dev/shm").expect("a tmpfs");
    for name in &names {
        let folder = shm.path().join(name);
        std::fs::create_dir(&folder).expect("the tmpfs can be written");
        let record = std::fs::read(server.join("se").join(name).join("record")).expect("a record");
        std::fs::write(folder.join("record"), record).expect("the tmpfs can be written");
    }
    let tmpfs = records(shm.path(), &names);
    let ours = records(&server.join("se"), &names);
    let fitting = passthrough.map_or(0, |_| room(count));
    let mut asked = 0;
    let mut round = || {
        restart(&mut agent, &server);
        let cold = pass(&ours);
        let theirs = passthrough.map(|program| {
            let mount = Passthrough::mount(program, shm.path(), agent.home());
            let files = records(&mount.at, &names[..fitting]);
            (pass(&files), pass(&files))
        });
        // Warm is what was read just now: the host may reclaim what has lain idle during the passes before.
        pass(&ours);
        pass(&tmpfs);
        let before = wakeups(agent.pid());
        let warm = pass(&ours);
        asked += wakeups(agent.pid()) - before;
        Round { cold, warm, tmpfs: pass(&tmpfs), theirs }
    };
    let rounds: Vec<Round> = (0..ROUNDS).map(|_| round()).collect();
    let of = |value: &dyn Fn(&Round) -> Option<f64>| median(rounds.iter().filter_map(value).collect());
    row(
        &format!("open/read/close of each of {count} records, warm"),
        &us(of(&|r| Some(r.warm))),
        &format!("tmpfs {}", us(of(&|r| Some(r.tmpfs)))),
        of(&|r| Some(r.warm / r.tmpfs)),
        "≤ 1.5",
    );
    row(
        &format!("wake-ups of the agent in {ROUNDS} such passes"),
        &asked.to_string(),
        &format!("{} records", ROUNDS * count),
        asked as f64 / (ROUNDS * count) as f64,
        "0",
    );
    if passthrough.is_some() {
        row(
            &format!("the same, cold (the first pass after a start), {count} records"),
            &us(of(&|r| Some(r.cold))),
            &format!("passthrough_ll, {fitting} of them, {}", us(of(&|r| Some(r.theirs?.0)))),
            of(&|r| Some(r.cold / r.theirs?.0)),
            "≤ 0.6",
        );
        row(
            &format!("the same, warm, {count} records"),
            &us(of(&|r| Some(r.warm))),
            &format!("passthrough_ll, {fitting} of them, {}", us(of(&|r| Some(r.theirs?.1)))),
            of(&|r| Some(r.warm / r.theirs?.1)),
            "",
        );
    }
}

/// How many of `count` files passthrough_ll can be asked for: it holds a descriptor for each file and each
/// directory, and not every root may raise the limit, which it inherits.
fn room(count: usize) -> usize {
    let wanted = 2 * count as u64 + SPARE;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit can be asked for");
    let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard);
    if wanted > hard {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted);
    }
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit can be asked for");
    count.min((limit.saturating_sub(SPARE) / 2) as usize)
}

/// libfuse's example over a folder.
struct Passthrough {
    daemon: Child,
    at: PathBuf,
}

impl Passthrough {
    fn mount(program: &Path, source: &Path, home: &Path) -> Passthrough {
        let at = home.join("passthrough");
        std::fs::create_dir_all(&at).expect("the bench's directory can be written");
        let option = format!("source={},cache=always", source.display());
        let mut command = Command::new(program);
        command.args(["-f", "-o", &option]).arg(&at).stdin(Stdio::null());
        let daemon = command.spawn().expect("passthrough_ll starts");
        eventually("passthrough_ll", || at.read_dir().ok()?.next().map(drop));
        Passthrough { daemon, at }
    }
}

impl Drop for Passthrough {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.at, nix::mount::MntFlags::MNT_DETACH);
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
