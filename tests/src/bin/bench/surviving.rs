//! What it costs a reader that the tree can outlive the agent, and what a death of the agent costs.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::daemon::Agent;
use tests::eventually;

use crate::reading::{elements, pass, records, restart, with_elements, with_elements_in};
use crate::table::{median, ms, row, us};

const COUNT: usize = 1_000;
const ROUNDS: usize = 9;
/// Passes of which the fastest counts: they take a few milliseconds each, and what else runs only adds. So few that they are over before a
/// successor serves.
const PASSES: usize = 8;

struct Side {
    agent: Agent,
    server: PathBuf,
    files: Vec<CString>,
}

impl Side {
    fn of((agent, server): (Agent, PathBuf)) -> Side {
        let files = records(&server.join("se"), &elements(&server));
        Side { agent, server, files }
    }

    /// The first pass after a start.
    fn cold(&mut self) -> f64 {
        restart(&mut self.agent, &self.server);
        pass(&self.files)
    }
}

/// Microseconds a record, of each side.
struct Round {
    cold: (f64, f64),
    warm: (f64, f64),
}

fn warm(files: &[CString]) -> f64 {
    (0..PASSES).map(|_| pass(files)).fold(f64::INFINITY, f64::min)
}

/// Prints the rows.
pub fn compare() {
    let mut alone = Side::of(with_elements(COUNT, ""));
    let mut agent = Agent::prepare();
    agent.supervise();
    let mut kept = Side::of(with_elements_in(agent, COUNT, ""));
    let mut round = |number: usize| {
        // Who is first may have it easier.
        let cold = if number.is_multiple_of(2) {
            let alone = alone.cold();
            (alone, kept.cold())
        } else {
            let kept = kept.cold();
            (alone.cold(), kept)
        };
        let mut best = (f64::INFINITY, f64::INFINITY);
        for _ in 0..PASSES {
            best = (best.0.min(pass(&alone.files)), best.1.min(pass(&kept.files)));
        }
        Round { cold, warm: best }
    };
    let rounds: Vec<_> = (0..ROUNDS).map(&mut round).collect();
    let of = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    let about =
        |how: &str| format!("open/read/close of each of {COUNT} records, {how}, below `oscd --supervise`");
    row(
        &about("warm"),
        &us(of(&|r| r.warm.1)),
        &format!("plain `oscd` {}", us(of(&|r| r.warm.0))),
        of(&|r| r.warm.1 / r.warm.0),
        "1",
    );
    row(
        &about("cold"),
        &us(of(&|r| r.cold.1)),
        &format!("plain `oscd` {}", us(of(&|r| r.cold.0))),
        of(&|r| r.cold.1 / r.cold.0),
        "1",
    );
    let deaths: Vec<_> = (0..ROUNDS).map(|_| death(&kept)).collect();
    let of = |value: &dyn Fn(&Death) -> f64| median(deaths.iter().map(value).collect());
    row(
        "the same, warm, from the moment that the agent is killed",
        &us(of(&|d| d.during)),
        &format!("before {}", us(of(&|d| d.before))),
        of(&|d| d.during / d.before),
        "1",
    );
    let ready: Vec<_> =
        (0..ROUNDS).map(|_| restart(&mut kept.agent, &kept.server).as_secs_f64() * 1e3).collect();
    let ready = median(ready);
    row(
        "killed, until another agent answers a request in the tree",
        &ms(of(&|d| d.pause)),
        &format!("start to READY {}", ms(ready)),
        of(&|d| d.pause) / ready,
        "",
    );
}

struct Death {
    before: f64,
    /// While nobody serves.
    during: f64,
    /// Milliseconds.
    pause: f64,
}

fn death(side: &Side) -> Death {
    let before = warm(&side.files);
    let killed = serving(&side.agent);
    let start = Instant::now();
    kill(Pid::from_raw(killed as i32), Signal::SIGKILL).expect("it runs");
    let during = warm(&side.files);
    answers(&side.server);
    let pause = start.elapsed().as_secs_f64() * 1e3;
    assert_ne!(serving(&side.agent), killed);
    // Once the refresh after the takeover is over, the next one starts from the same.
    eventually("a refresh", || std::fs::write(side.server.join("refresh"), "now").ok());
    Death { before, during, pause }
}

fn serving(agent: &Agent) -> u32 {
    eventually("an agent", || agent.serving())
}

/// What no cache has.
fn answers(server: &Path) {
    std::fs::read(server.join("state")).expect("a state");
}
