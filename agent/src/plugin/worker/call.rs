//! The conversation with a call's process, from its first frame to its answer.

use std::io;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use nix::sys::socket::{MsgFlags, recv};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;

use super::child::Child;
use super::{Worker, redact};
use crate::config::Limits;
use crate::error::{Error, Kind, Result};
use crate::host::{self, Host, Scope};
use crate::plugin::cache::Cache;
use crate::plugin::wire::{self, CallFrame, Frame, Lines};
use crate::plugin::{Call, contract};

/// Longer messages of a plug-in are cut.
const MESSAGE_BYTES: usize = 16 << 10;

/// One call and what it needs of the agent.
pub struct Job<'a> {
    /// The class.
    pub impl_name: &'a str,
    /// The call; its arguments' credentials are wiped once they have been sent.
    pub call: &'a mut Call,
    /// What its process may use up.
    pub limits: &'a Limits,
    /// What it may keep for later calls.
    pub cache: &'a Cache,
    /// What it may ask to be done on this host.
    pub host: &'a Host,
    /// Where its directory for temporary files goes.
    pub tmp: &'a Path,
    /// Takes the elements of a list of records.
    pub item: &'a mut (dyn FnMut(&RawValue) + Send),
}

/// What came of a call.
pub enum Outcome {
    /// The plug-in ran.
    Ended(Result<Value>),
    /// It never began, so that it may be tried again; why.
    NotBegun(String),
}

/// Makes a call. Dropping the future ends the call's process.
pub async fn run(worker: &Arc<Worker>, job: Job<'_>, permit: OwnedSemaphorePermit) -> Outcome {
    static CALLS: AtomicU64 = AtomicU64::new(1);
    let not_begun = |error: io::Error| Outcome::NotBegun(error.to_string());
    let stream = match worker.connect().await {
        Ok(stream) => stream,
        Err(error) => return not_begun(error),
    };
    let number = CALLS.fetch_add(1, Ordering::Relaxed);
    let tmpdir = job.tmp.join(format!("{}-{number}", job.call.id.simple()));
    // The state directory's path is the agent's own and is text in all but the strangest setups.
    let tmpdir_text = tmpdir.to_string_lossy().into_owned();
    let child = match Child::expect(worker, tmpdir, permit) {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            let text = "the state directory has no room for the call's temporary files";
            return Outcome::Ended(Err(Error::new(Kind::NoSpace, text)));
        }
        Err(error) => return not_begun(error),
    };
    let frame = CallFrame {
        id: job.call.id.to_string(),
        impl_name: job.impl_name,
        method: job.call.method.name,
        args: &job.call.args,
        tmpdir: &tmpdir_text,
        limits: job.limits.into(),
    };
    let line = match frame.to_line() {
        Ok(line) => line,
        Err(error) => return Outcome::Ended(Err(Error::internal("the call cannot be written", error))),
    };
    job.call.args.iter().for_each(|(_, value)| worker.redactor.learn(value));
    let scope = Scope::new(job.impl_name, job.call.method.name, job.call.id, &job.call.args);
    let mut talk = Talk {
        stream,
        lines: Lines::default(),
        child,
        received: 0,
        exited: false,
        limits: job.limits,
        host: job.host,
        scope: Arc::new(scope),
    };
    // Its process greets before it reads: what was sent before a greeting that never came never began.
    // One that ends early is found out by what it said.
    let _ = talk.stream.write_all(&line).await;
    drop(line);
    let pid = match talk.greeting().await {
        Ok(pid) => pid,
        Err(outcome) => return outcome,
    };
    job.call.args.iter_mut().for_each(|(_, value)| redact::wipe(value));
    if let Err(error) = talk.child.adopt(pid) {
        let text = format!("the plug-in's process cannot be watched, so it was ended: {error}");
        return Outcome::Ended(Err(Error::new(Kind::WorkerDied, text)));
    }
    let result = talk.answer(worker, job.impl_name, job.call, job.cache, job.item).await;
    if !result.as_ref().is_err_and(|error| error.kind() == Kind::PluginFault) {
        // After a fault it may be anywhere; nobody waits for it then.
        talk.child.has_answered();
    }
    Outcome::Ended(result)
}

struct Talk<'a> {
    stream: UnixStream,
    lines: Lines,
    child: Child,
    received: usize,
    exited: bool,
    limits: &'a Limits,
    host: &'a Host,
    scope: Arc<Scope>,
}

impl Talk<'_> {
    /// The process id that the first frame tells.
    async fn greeting(&mut self) -> Result<i32, Outcome> {
        loop {
            if let Some(line) = self.lines.next_line() {
                return match serde_json::from_slice(line) {
                    Ok(Frame::Hello { pid }) => Ok(pid),
                    Ok(Frame::Error(raised)) => {
                        let text = format!("no process can be forked for the call: {}", raised.message);
                        Err(Outcome::Ended(Err(Error::new(Kind::TryAgain, text))))
                    }
                    _ => Err(Outcome::NotBegun("its process does not speak the agent's language".into())),
                };
            }
            match self.stream.read_buf(self.lines.room()).await {
                Ok(0) => return Err(Outcome::NotBegun("its process ended before the call began".into())),
                Ok(_) => {}
                Err(error) => return Err(Outcome::NotBegun(error.to_string())),
            }
        }
    }

    /// Reads more; 0 is the end.
    async fn fill(&mut self) -> io::Result<usize> {
        if !self.exited {
            tokio::select! {
                biased;
                read = self.stream.read_buf(self.lines.room()) => return read,
                () = self.child.exited() => self.exited = true,
            }
        }
        // Whoever still holds the other end, the process itself will say no more than is here.
        let mut buffer = [0; 16 << 10];
        match recv(self.stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(read) => {
                self.lines.room().extend_from_slice(&buffer[..read]);
                Ok(read)
            }
            Err(nix::Error::EAGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    async fn answer(
        &mut self,
        worker: &Worker,
        impl_name: &str,
        call: &Call,
        cache: &Cache,
        item: &mut (dyn FnMut(&RawValue) + Send),
    ) -> Result<Value> {
        let fault = |text: String| Error::new(Kind::PluginFault, text);
        let mut answer = contract::Answering::new(call.method);
        loop {
            while let Some(line) = self.lines.next_line() {
                if line.len() > self.limits.value {
                    return Err(too_much("one value", self.limits.value));
                }
                let frame: Frame<'_> = serde_json::from_slice(line)
                    .map_err(|error| fault(format!("the plug-in's process sent no valid frame: {error}")))?;
                let reply = match frame {
                    Frame::Log { level, message } => {
                        log(&level, shorten(worker.redactor.redact(message)), impl_name, call);
                        continue;
                    }
                    Frame::Cache(request) => {
                        let value = cache.answer(request, Instant::now());
                        wire::reply(value.as_deref())
                    }
                    Frame::Host(request) => match self.host_operation(worker, request).await {
                        Some(reply) => reply,
                        None => break,
                    },
                    Frame::Item(value) => {
                        answer.item(value, item)?;
                        continue;
                    }
                    Frame::ResultList(count) => return answer.list(count),
                    Frame::Result(value) => return answer.value(value),
                    Frame::Error(mut raised) => {
                        raised.message = shorten(worker.redactor.redact(raised.message));
                        raised.traceback = shorten(worker.redactor.redact(raised.traceback));
                        return Err(contract::raised(raised, call.method));
                    }
                    Frame::Hello { .. } => continue,
                };
                // As above: a process that is gone is found out by what it said.
                let _ = self.stream.write_all(&reply).await;
            }
            if self.lines.pending() > self.limits.value {
                return Err(too_much("one value", self.limits.value));
            }
            match self.fill().await {
                Ok(read) if read > 0 => self.received += read,
                _ => break,
            }
            if self.received > self.limits.output {
                return Err(too_much("all it says", self.limits.output));
            }
        }
        let end = self.child.end().await;
        Err(Error::new(
            Kind::WorkerDied,
            format!("the plug-in's process {end} before {} had answered", call.method.name),
        ))
    }
}

impl Talk<'_> {
    /// Does what the plug-in asks of this host; None when its process ended meanwhile, and the
    /// operation with it.
    async fn host_operation(&mut self, worker: &Worker, request: host::Request) -> Option<Vec<u8>> {
        request.args.iter().for_each(|(name, value)| worker.redactor.learn_field(name, value));
        let answer = tokio::select! {
            biased;
            answer = self.host.ask(&self.scope, request) => answer,
            () = self.child.exited(), if !self.exited => {
                self.exited = true;
                return None;
            }
        };
        Some(match answer {
            Ok(value) => wire::replied(&value),
            Err(error) => {
                let message = worker.redactor.redact(error.message().to_owned());
                wire::refused(error.kind().exception(), &shorten(message))
            }
        })
    }
}

fn too_much(what: &str, limit: usize) -> Error {
    Error::new(
        Kind::PluginFault,
        format!(
            "the plug-in's answer is too large: {what} may take {} MiB on the wire ({limit} bytes)",
            limit >> 20
        ),
    )
}

fn shorten(mut text: String) -> String {
    if text.len() > MESSAGE_BYTES {
        // A character has at most four bytes, so one of four neighbours is a boundary.
        let end = (MESSAGE_BYTES - 3..=MESSAGE_BYTES).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

fn log(level: &str, message: String, plugin: &str, call: &Call) {
    let (operation, method) = (&call.id, call.method.name);
    match level {
        "debug" => tracing::debug!(plugin, method, %operation, "{message}"),
        "info" => tracing::info!(plugin, method, %operation, "{message}"),
        "warning" => tracing::warn!(plugin, method, %operation, "{message}"),
        _ => tracing::error!(plugin, method, %operation, "{message}"),
    }
}
