//! Control files: what opening, writing and reading one means, without a kernel.
//!
//! One write(2) is one request, whatever its offset; the C library's buffered output (a shell's `echo` too) cuts above 8 KiB, `cat` above 128 KiB.
//! The size shown is that of any sysfs file, not the length of what is read. A new descriptor reads how to use the file and what came of the last request to it. On
//! a descriptor that has been written to, reading gives two lines, from where the write left its position as well as from the beginning
//! (`exec 3<>snapshot; echo x >&3; cat <&3`): the operation's identity (`-` if there was none), and the outcome.
//!
//! A write that a signal cuts short returns EINTR and its operation goes on. Programs repeat such a write (Python does by itself): the same
//! bytes on the same descriptor, while the operation runs, wait for it instead of starting another.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::{Errno, random_start};
use crate::events::{Cursor, EventLog};
use crate::model::{Caller, Model, Outcome, PAYLOAD_MAX, Request, Target, Verb};
use crate::storage::Place;

/// How many control files' last outcomes are remembered.
const REMEMBERED: usize = 1024;

/// Answers a write: bytes taken, or an errno.
pub type WriteReply = Box<dyn FnOnce(Result<u32, Errno>) + Send>;
/// Takes note that a write may not be begun again.
pub type WriteBegun = Box<dyn FnOnce() + Send>;
/// Runs a reply once the kernel has been told of every change so far.
pub type Post = Box<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>;

/// All open control files.
pub struct Desk {
    model: Arc<dyn Model>,
    events: EventLog,
    handles: Mutex<HashMap<u64, Arc<Handle>>>,
    next: AtomicU64,
    shared: Arc<Shared>,
}

struct Shared {
    post: Post,
    last: Mutex<Last>,
}

type File = (Target, Verb);

#[derive(Default)]
struct Last {
    said: HashMap<File, Report>,
    order: VecDeque<File>,
}

struct Handle {
    place: Place,
    state: Mutex<HandleState>,
}

#[derive(Default)]
struct HandleState {
    /// What this descriptor's last request came to.
    report: Option<Report>,
    running: Option<Running>,
    /// File position that the last write left, where reading of the report begins.
    base: u64,
    reading: Option<Reading>,
    cursor: Cursor,
}

struct Running {
    payload: Vec<u8>,
    waiting: Vec<WriteReply>,
    /// Who is to be told when it has begun; `None` once it has.
    to_begin: Option<Vec<WriteBegun>>,
}

/// A text in the middle of being read: a continuing read gets the same one.
struct Reading {
    text: Arc<str>,
    offset: u64,
    at: usize,
}

#[derive(Clone)]
struct Report {
    op: Option<String>,
    text: String,
    /// The operation went on when this was said.
    open: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each critical section leaves its state whole at every step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("open", &lock(&self.handles).len()).finish_non_exhaustive()
    }
}

impl Desk {
    /// A desk for the commands of `model`; replies to writes go through `post`.
    pub fn new(model: Arc<dyn Model>, post: Post) -> Self {
        Self {
            events: EventLog::new(model.clone()),
            model,
            handles: Mutex::default(),
            // Another process's descriptors may still be open.
            next: AtomicU64::new(random_start()),
            shared: Arc::new(Shared { post, last: Mutex::default() }),
        }
    }

    /// The log of events.
    pub fn events(&self) -> &EventLog {
        &self.events
    }

    /// Opens a place; the answer names it in all that follows.
    pub fn open(&self, place: Place) -> u64 {
        let fh = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.handles).insert(fh, Arc::new(Handle { place, state: Mutex::default() }));
        fh
    }

    /// Takes note of a descriptor that a predecessor opened, if it is one.
    pub fn know(&self, fh: u64, place: impl FnOnce() -> Option<Place>) {
        let known = lock(&self.handles).contains_key(&fh);
        if !known && let Some(place) = place() {
            lock(&self.handles)
                .entry(fh)
                .or_insert_with(|| Arc::new(Handle { place, state: Mutex::default() }));
        }
    }

    /// Closes it. An operation that it started goes on.
    pub fn close(&self, fh: u64) {
        lock(&self.handles).remove(&fh);
    }

    fn handle(&self, fh: u64) -> Result<Arc<Handle>, Errno> {
        lock(&self.handles).get(&fh).cloned().ok_or(libc::ESTALE)
    }

    /// One request. `begun` is called when nobody may begin it again, and `reply` exactly once, now or when the model is done, from any
    /// thread.
    #[allow(clippy::too_many_arguments)]
    pub fn write(
        &self,
        fh: u64,
        offset: u64,
        payload: &[u8],
        nonblock: bool,
        caller: Caller,
        begun: WriteBegun,
        reply: WriteReply,
    ) {
        let handle = match self.handle(fh) {
            Ok(handle) => handle,
            Err(errno) => return reply(Err(errno)),
        };
        let Place::Control(target, verb) = &handle.place else {
            return reply(Err(libc::EBADF));
        };
        if payload.len() > PAYLOAD_MAX {
            let message = format!("a request is at most {PAYLOAD_MAX} bytes long");
            let done = Completion::new(self.shared.clone(), handle, Some((payload.len(), reply)));
            return done.finish(Outcome::Failed { errno: libc::EMSGSIZE, message, op: None });
        }
        {
            let mut state = lock(&handle.state);
            state.reading = None;
            state.base = offset.saturating_add(payload.len() as u64);
            if let Some(running) = &mut state.running
                && running.payload == payload
            {
                running.waiting.push(reply);
                match &mut running.to_begin {
                    Some(to_begin) => to_begin.push(begun),
                    None => begun(),
                }
                return;
            }
            if state.running.is_none() {
                let to_begin = Some(vec![begun]);
                state.running = Some(Running { payload: payload.to_vec(), waiting: vec![reply], to_begin });
                state.report = None;
            } else {
                // Another request on the same descriptor (pwrite from two threads): it runs on its own, unrepeatable.
                drop(state);
                let done = Completion::new(self.shared.clone(), handle.clone(), Some((payload.len(), reply)));
                return self.command(target, *verb, payload, nonblock, caller, begun, done);
            }
        }
        let done = Completion::new(self.shared.clone(), handle.clone(), None);
        let begins = handle.clone();
        let begun = move || {
            let mut state = lock(&begins.state);
            let to_begin = state.running.as_mut().and_then(|running| running.to_begin.take());
            to_begin.into_iter().flatten().for_each(|begun| begun());
        };
        self.command(target, *verb, payload, nonblock, caller, Box::new(begun), done);
    }

    #[allow(clippy::too_many_arguments)]
    fn command(
        &self,
        target: &Target,
        verb: Verb,
        payload: &[u8],
        nonblock: bool,
        caller: Caller,
        begun: WriteBegun,
        done: Completion,
    ) {
        let request = Request { target: target.clone(), verb, payload: payload.to_vec(), caller, nonblock };
        self.model.command(request, begun, Box::new(move |outcome| done.finish(outcome)));
    }

    /// Up to `size` bytes to show at `offset`.
    ///
    /// # Errors
    /// EBADF; ESTALE for a descriptor that nobody knows any more.
    pub fn read(&self, fh: u64, offset: u64, size: u32) -> Result<Vec<u8>, Errno> {
        let handle = self.handle(fh)?;
        let mut state = lock(&handle.state);
        if handle.place == Place::Events {
            return Ok(self.events.read(&mut state.cursor, offset, size));
        }
        let (text, at) = match &state.reading {
            Some(reading) if reading.offset == offset && offset != 0 => (reading.text.clone(), reading.at),
            _ => {
                let text: Arc<str> = match (&handle.place, &state.report) {
                    (Place::Control(..), Some(report)) => self.today(report).of_descriptor().into(),
                    (Place::Control(target, verb), None) => self.introduction(target, *verb).into(),
                    (Place::State(ss), _) => {
                        format!("{}\n", self.model.server(ss).ok_or(libc::ESTALE)?.state).into()
                    }
                    _ => return Err(libc::EBADF),
                };
                let base = if state.base > 0 && offset >= state.base { state.base } else { 0 };
                (text, usize::try_from(offset - base).unwrap_or(usize::MAX))
            }
        };
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        let bytes = rest[..rest.len().min(size as usize)].to_vec();
        state.reading =
            Some(Reading { text, offset: offset + bytes.len() as u64, at: at.saturating_add(bytes.len()) });
        Ok(bytes)
    }

    fn introduction(&self, target: &Target, verb: Verb) -> String {
        let mut text = self.model.usage(target, verb);
        if let Some(last) = lock(&self.shared.last).said.get(&(target.clone(), verb)) {
            let last = self.today(last);
            text.push_str(&format!("last request: {}", last.text));
            if let Some(op) = &last.op {
                text.push_str(&format!(" (op/{op})"));
            }
            text.push('\n');
        }
        text
    }

    /// What came since of a request whose writer did not stay for its end.
    fn today(&self, report: &Report) -> Report {
        let outcome = report.op.as_deref().filter(|_| report.open).and_then(|op| self.model.outcome(op));
        outcome.map_or_else(|| report.clone(), |outcome| Report::new(&outcome))
    }

    /// Whether a reader of events has some to read; other files always have.
    pub fn readable(&self, fh: u64) -> bool {
        self.handle(fh).is_ok_and(|handle| match handle.place {
            Place::Events => self.events.has_more(&lock(&handle.state).cursor),
            _ => true,
        })
    }
}

impl Report {
    fn new(outcome: &Outcome) -> Self {
        let (op, text) = match outcome {
            Outcome::Done { op, message } if message.is_empty() => (op.clone(), "done".to_owned()),
            Outcome::Done { op, message } => (op.clone(), format!("done: {message}")),
            Outcome::Failed { errno, message, op } => {
                let errno = nix::errno::Errno::from_raw(*errno);
                (op.clone(), format!("failed: {errno:?}: {message}"))
            }
            Outcome::InProgress { op } => (Some(op.clone()), "in progress".to_owned()),
            Outcome::Started { op } => (Some(op.clone()), "started".to_owned()),
        };
        let open = matches!(outcome, Outcome::InProgress { .. } | Outcome::Started { .. });
        Self { op, text, open }
    }

    fn of_descriptor(&self) -> String {
        format!("{}\n{}\n", self.op.as_deref().unwrap_or("-"), self.text)
    }
}

/// The errno that a write returns with.
fn errno(outcome: &Outcome) -> Result<(), Errno> {
    match outcome {
        Outcome::Done { .. } | Outcome::Started { .. } => Ok(()),
        Outcome::InProgress { .. } => Err(libc::EINPROGRESS),
        // Only 1..=511 can be told to the kernel; anything else would fail the reply itself.
        Outcome::Failed { errno, .. } if (1..512).contains(errno) => Err(*errno),
        Outcome::Failed { .. } => Err(libc::EIO),
    }
}

/// What a request owes: called or dropped, it answers every writer that waits for it.
struct Completion {
    shared: Arc<Shared>,
    handle: Option<Arc<Handle>>,
    /// A writer that is not in the handle's `running`.
    alone: Option<(usize, WriteReply)>,
}

impl Completion {
    fn new(shared: Arc<Shared>, handle: Arc<Handle>, alone: Option<(usize, WriteReply)>) -> Self {
        Self { shared, handle: Some(handle), alone }
    }

    fn finish(mut self, outcome: Outcome) {
        self.settle(&outcome);
    }

    fn settle(&mut self, outcome: &Outcome) {
        let Some(handle) = self.handle.take() else {
            return;
        };
        let report = Report::new(outcome);
        if let Place::Control(target, verb) = &handle.place {
            lock(&self.shared.last).put((target.clone(), *verb), report.clone());
        }
        let (taken, waiting) = {
            let mut state = lock(&handle.state);
            state.report = Some(report);
            state.reading = None;
            match self.alone.take() {
                Some((taken, reply)) => (taken, vec![reply]),
                None => state
                    .running
                    .take()
                    .map_or((0, Vec::new()), |running| (running.payload.len(), running.waiting)),
            }
        };
        // At most PAYLOAD_MAX.
        let result = errno(outcome).map(|()| taken as u32);
        (self.shared.post)(Box::new(move || waiting.into_iter().for_each(|reply| reply(result))));
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.settle(&Outcome::Failed {
            errno: libc::EIO,
            message: "the agent dropped the request; see its log".into(),
            op: None,
        });
    }
}

impl Last {
    fn put(&mut self, file: File, report: Report) {
        if self.said.insert(file.clone(), report).is_none() {
            self.order.push_back(file);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.said.remove(&oldest);
        }
    }
}
