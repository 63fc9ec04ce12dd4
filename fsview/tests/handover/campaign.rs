//! Readers, listers and writers at work while the serving process is killed again and again.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::child::{ELEMENTS, STEADY, Served, is_whole};

/// How long an answer may take before its caller counts as hung: many times what a succession takes on a busy machine.
const HUNG: Duration = Duration::from_secs(60);

/// What the workers saw.
#[derive(Debug, Default)]
pub struct Seen {
    pub reads: AtomicU64,
    pub lists: AtomicU64,
    pub writes: AtomicU64,
    pub in_progress: AtomicU64,
    /// Reads of a version that no process knows any more.
    pub stale: AtomicU64,
    /// Writers told "in progress" of what the process had taken on and not journaled when it died.
    pub lost: AtomicU64,
    /// What nobody should see.
    pub wrong: Mutex<BTreeMap<String, u64>>,
    /// How each write ended, by its payload.
    pub ended: Mutex<HashMap<String, Result<(), i32>>>,
}

impl Seen {
    fn wrong(&self, what: String) {
        *self.wrong.lock().unwrap().entry(what).or_default() += 1;
    }
}

/// The workers on one tree.
pub struct Campaign {
    pub seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    workers: Vec<(JoinHandle<()>, Arc<AtomicU64>)>,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

impl Campaign {
    /// Starts them.
    pub fn start(served: &Served) -> Self {
        let mut campaign = Self { seen: Arc::default(), stop: Arc::default(), workers: vec![] };
        let files: Vec<PathBuf> = (0..ELEMENTS).map(|n| served.se(n).join("record")).collect();
        let dir = served.se(0).parent().unwrap().to_owned();
        for reader in 0..3_usize {
            let files = files.clone();
            campaign.work(move |round, seen| {
                let n = (round * (reader + 7) + reader) % files.len();
                match read_slowly(&files[n], round % 5 == 0) {
                    Ok(record) if is_whole(&record) => drop(seen.reads.fetch_add(1, Ordering::Relaxed)),
                    Ok(record) => seen.wrong(format!("a torn record of {} bytes", record.len())),
                    // Its version died with the process, between its opening and its reading.
                    Err(error) if n >= STEADY && error.raw_os_error() == Some(libc::ESTALE) => {
                        seen.stale.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => seen.wrong(format!("reading: {error}")),
                }
            });
        }
        let list = dir.clone();
        let operations = served.root().join("op");
        campaign.work(move |_, seen| match fs::read_dir(&operations).map(Iterator::count) {
            Ok(0..=3) => {}
            other => seen.wrong(format!("listing operations: {other:?}")),
        });
        campaign.work(move |_, seen| {
            match fs::read_dir(&list).and_then(|dir| dir.collect::<Result<Vec<_>, _>>()) {
                Ok(names) if names.len() == ELEMENTS => drop(seen.lists.fetch_add(1, Ordering::Relaxed)),
                Ok(names) => seen.wrong(format!("a listing of {}", names.len())),
                Err(error) => seen.wrong(format!("listing: {error}")),
            }
        });
        let root = served.root();
        campaign.work(move |_, seen| {
            let found = std::process::Command::new("find")
                .arg(root.join("ss"))
                .args(["-name", "record"])
                .output()
                .unwrap();
            let lines = found.stdout.iter().filter(|byte| **byte == b'\n').count();
            if !found.status.success() || lines != ELEMENTS + 1 {
                seen.wrong(format!("find: {lines}: {}", String::from_utf8_lossy(&found.stderr)));
            }
            seen.lists.fetch_add(1, Ordering::Relaxed);
        });
        for writer in 0..4_usize {
            let dir = dir.clone();
            campaign.work(move |round, seen| {
                let control = dir.join(format!("se-{:05}", (round + writer) % STEADY)).join("snapshot");
                let payload =
                    format!("{writer}-{round}{}", "x".repeat(if round % 50 == 0 { 6000 } else { 0 }));
                let written =
                    File::options().write(true).open(control).and_then(|mut file| write(&mut file, &payload));
                let ended = match written {
                    Ok(()) => Ok(()),
                    Err(error) => Err(error.raw_os_error().unwrap_or(0)),
                };
                match ended {
                    Ok(()) => drop(seen.writes.fetch_add(1, Ordering::Relaxed)),
                    Err(libc::EINPROGRESS) => drop(seen.in_progress.fetch_add(1, Ordering::Relaxed)),
                    Err(errno) => {
                        seen.wrong(format!("writing: {}", std::io::Error::from_raw_os_error(errno)))
                    }
                }
                seen.ended.lock().unwrap().insert(payload, ended);
            });
        }
        campaign
    }

    fn work(&mut self, act: impl Fn(usize, &Seen) + Send + 'static) {
        let (seen, stop) = (self.seen.clone(), self.stop.clone());
        let began = Arc::new(AtomicU64::new(now()));
        let pulse = began.clone();
        let worker = thread::spawn(move || {
            for round in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                pulse.store(now(), Ordering::Relaxed);
                act(round, &seen);
            }
        });
        self.workers.push((worker, began));
    }

    /// How many wait for longer than they should ever have to.
    pub fn hung(&self) -> usize {
        let late = |began: &AtomicU64| now() > began.load(Ordering::Relaxed) + HUNG.as_millis() as u64;
        self.workers.iter().filter(|(worker, began)| !worker.is_finished() && late(began)).count()
    }

    /// Stops them; those that hang are left behind, and counted.
    pub fn stop(&mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let until = Instant::now() + HUNG;
        while Instant::now() < until && self.workers.iter().any(|(worker, _)| !worker.is_finished()) {
            thread::sleep(Duration::from_millis(5));
        }
        self.workers.iter().filter(|(worker, _)| !worker.is_finished()).count()
    }

    /// Holds what writers were told against what was commanded: nothing twice, nothing acknowledged and not begun.
    pub fn settle(&self, journal: &str) {
        let mut commanded: HashMap<&str, usize> = HashMap::new();
        journal.lines().for_each(|line| *commanded.entry(line).or_default() += 1);
        for (payload, ended) in self.seen.ended.lock().unwrap().iter() {
            match (commanded.get(payload.as_str()), ended) {
                (Some(1), Ok(()) | Err(libc::EINPROGRESS)) => {}
                (None, Err(libc::EINPROGRESS)) => drop(self.seen.lost.fetch_add(1, Ordering::Relaxed)),
                (None, Ok(())) => self.seen.wrong("acknowledged, and never begun".into()),
                (Some(1), Err(_)) | (None, Err(_)) => {}
                (Some(_), _) => self.seen.wrong("begun twice".into()),
            }
        }
    }
}

impl Drop for Campaign {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// One write(2); what a signal cuts short or what says that nothing was begun is repeated, as programs do.
fn write(file: &mut File, payload: &str) -> std::io::Result<()> {
    loop {
        match file.write(payload.as_bytes()) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A record in two reads with a pause between, or, past the kernel's cache of its beginning, at once.
fn read_slowly(file: &PathBuf, slowly: bool) -> std::io::Result<String> {
    let mut file = File::options().read(true).custom_flags(libc::O_CLOEXEC).open(file)?;
    let mut bytes = vec![0; 1000];
    if slowly {
        let size = file.read(&mut bytes)?;
        bytes.truncate(size);
        thread::sleep(Duration::from_millis(3));
    } else {
        bytes.clear();
    }
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Numbers that are spread well enough.
pub fn random() -> usize {
    static STATE: AtomicUsize = AtomicUsize::new(0);
    if STATE.load(Ordering::Relaxed) == 0 {
        STATE.store(now() as usize | 1, Ordering::Relaxed);
    }
    let mut x = STATE.load(Ordering::Relaxed);
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    STATE.store(x, Ordering::Relaxed);
    x
}
