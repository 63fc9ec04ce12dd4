//! People at work in a tree, and the account of what they saw.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tests::array::{Array, PLUGIN};
use tests::daemon::Agent;
use tests::eventually;

use crate::work;

/// Elements that are there from the beginning to the end.
const STEADY: usize = 6;
/// How long an answer may take, once nobody is killed any more, before its caller counts as hung: many times what it takes on a busy machine.
const HUNG: Duration = Duration::from_secs(60);

/// What the workers saw.
#[derive(Default)]
pub struct Seen {
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// What nobody should see.
    wrong: Mutex<BTreeMap<String, u64>>,
    /// Elements that must be there, and must not; of others it is not known what became.
    elements: Mutex<BTreeMap<String, bool>>,
}

impl Seen {
    /// One more of these.
    pub fn count(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    /// How many of these, all together.
    fn of(&self, what: &[&str]) -> u64 {
        let counts = self.counts.lock().unwrap();
        what.iter().filter_map(|what| counts.get(what)).sum()
    }

    /// Something that nobody should see.
    pub fn wrong(&self, what: impl Into<String>) {
        *self.wrong.lock().unwrap().entry(what.into()).or_default() += 1;
    }

    /// What was acknowledged of an element: that it is, or that it is not. `None`: the writer was told that this is still in progress.
    pub fn settled(&self, name: &str, there: Option<bool>) {
        let mut elements = self.elements.lock().unwrap();
        match there {
            Some(there) => elements.insert(name.to_owned(), there),
            None => elements.remove(name),
        };
    }
}

/// The workers on one tree.
pub struct Campaign {
    seen: Arc<Seen>,
    server: PathBuf,
    began: Instant,
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<()>>,
    // Unmounted last.
    _arrays: [Array; 2],
}

impl Campaign {
    /// Starts the agent, an array with some elements, and everybody's work.
    pub fn start(agent: &mut Agent) -> Campaign {
        agent.launch();
        let array = Array::create(&agent.home().join("array"), "1GiB");
        let other = Array::create(&agent.home().join("other"), "64MiB");
        let mut record = array.record("demo");
        record["refresh_interval"] = 2.into();
        let server = agent.register(PLUGIN, &record);
        let elements: Vec<_> =
            (0..STEADY).map(|n| agent.create(&server, &format!("steady-{n}"), 1 << 20)).collect();
        let root = agent.root();
        let mut campaign = Campaign {
            seen: Arc::default(),
            server: server.clone(),
            began: Instant::now(),
            stop: Arc::default(),
            workers: Vec::new(),
            _arrays: [array, other],
        };
        for reader in 0..2 {
            let elements = elements.clone();
            campaign.work(move |round, seen| work::read(&elements, round * (reader + 3) + reader, seen));
        }
        let (dir, names) = (server.join("se"), elements.clone());
        campaign.work(move |_, seen| work::list(&dir, &names, seen));
        let (under, id) = (root.clone(), server.file_name().unwrap().display().to_string());
        campaign.work(move |_, seen| work::find(&under, &id, STEADY, seen));
        let (under, dir) = (root.clone(), server.clone());
        campaign.work(move |round, seen| work::ask(&under, &dir, round, seen));
        for (writer, element) in elements.into_iter().enumerate().take(2) {
            let (under, dir) = (root.clone(), server.clone());
            let mut mine = Vec::new();
            campaign.work(move |round, seen| {
                work::snapshot(&under, &dir, &element, &format!("w{writer}-{round}"), &mut mine, seen);
            });
        }
        let record = campaign._arrays[1].record("coming-and-going");
        campaign.work(move |_, seen| work::register(&root, &record, seen));
        campaign
    }

    fn work(&mut self, mut act: impl FnMut(usize, &Seen) + Send + 'static) {
        let (seen, stop) = (self.seen.clone(), self.stop.clone());
        let worker = std::thread::spawn(move || {
            for round in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                act(round, &seen);
                // Two processors are for others as well.
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        self.workers.push(worker);
    }

    /// Waits until somebody answers what no cache does.
    pub fn is_served(&self) {
        if let Err(error) = std::fs::read_to_string(self.server.join("state")) {
            self.seen.wrong(format!("asking for the state: {error}"));
        }
    }

    /// Waits until writers have got something done, for which their plug-in has to be loaded again.
    pub fn works(&self) {
        let done = || self.seen.of(&["snapshots", "removals", "registrations", "unregistrations"]);
        let (before, until) = (done(), Instant::now() + HUNG);
        while done() < before + 2 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the work, holds what was acknowledged against what there is.
    ///
    /// # Panics
    /// When anything is not as it must be.
    pub fn end(self, agent: &Agent, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let until = Instant::now() + HUNG;
        while Instant::now() < until && self.workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let hung = self.workers.iter().filter(|worker| !worker.is_finished()).count();
        eventually("a refresh", || std::fs::write(self.server.join("refresh"), "now").ok());
        // The same for the other one, where it happens to be registered.
        let endless = || work::operations(&agent.root()).filter(|op| op["ended"].is_null()).count();
        let started = Instant::now();
        while endless() > 0 && started.elapsed() < HUNG {
            std::thread::sleep(Duration::from_millis(50));
        }
        let endless = endless();
        while !stuck().is_empty() && started.elapsed() < 2 * HUNG {
            std::thread::sleep(Duration::from_millis(50));
        }
        let stuck = stuck();
        if !agent.root().join("by-name/demo/record").exists() {
            self.seen.wrong("a lost registration");
        }
        let listed = std::fs::read_dir(self.server.join("se-by-name")).unwrap();
        let there: BTreeSet<_> =
            listed.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        for (name, expected) in self.seen.elements.lock().unwrap().iter() {
            match (there.contains(name), expected) {
                (true, false) => self.seen.wrong("a snapshot that was removed is there"),
                (false, true) => self.seen.wrong("a snapshot that was made is not there"),
                _ => {}
            }
        }
        let steady = (0..STEADY).filter(|n| there.contains(&format!("steady-{n}"))).count();
        let wrong = self.seen.wrong.lock().unwrap();
        let counts = self.seen.counts.lock().unwrap();
        println!(
            "{what} in {} s: {counts:?}; hung: {hung}, in state D: {}, without an end: {endless}, wrong: {wrong:?}",
            self.began.elapsed().as_secs(),
            stuck.len()
        );
        assert!(wrong.is_empty(), "{wrong:?}\n{}", agent.log());
        assert_eq!((hung, endless, steady), (0, 0, STEADY));
        assert!(stuck.is_empty(), "not even SIGKILL ends {stuck:?}");
        drop(counts);
        for needed in [&["records read"][..], &["listings"], &["snapshots", "told in progress"]] {
            assert!(self.seen.of(needed) > 0, "idle workers prove nothing: {needed:?}");
        }
    }
}

/// The threads of this test, its programs and its agents (a process group) that are in state D, which proc_pid_stat(5) tells.
fn stuck() -> Vec<String> {
    let group = nix::unistd::getpgrp().to_string();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let tasks =
        processes.flat_map(|process| std::fs::read_dir(process.path().join("task")).into_iter().flatten());
    let stat = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("stat")).ok()
    };
    tasks
        .filter_map(stat)
        .filter(|stat| {
            // The name, in parentheses, may hold anything.
            let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            fields.next() == Some("D") && fields.nth(1) == Some(&group)
        })
        .collect()
}

impl Drop for Campaign {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
