//! A plug-in's request for a host operation, from the table's row to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::operation::{Args, Operation, Task};
use super::{Host, Scope, operation};
use crate::error::{Error, Kind, Result};

/// How long taking back what an operation began may take.
const TAKING_BACK: Duration = Duration::from_secs(60);

/// A request as the wire carries it.
#[derive(Debug, Default, Deserialize)]
pub struct Request {
    /// Group and name of the operation.
    pub op: String,
    /// Its arguments by keyword.
    #[serde(flatten)]
    pub args: Map<String, Value>,
}

impl Host {
    /// Does what a call asks for. Dropping the future ends the operation, and has what it began
    /// taken back behind the caller's back.
    ///
    /// # Errors
    /// Why it was refused or failed: [`Kind::NoSuchOperation`] for an operation that this agent does not
    /// have, [`Kind::PermissionDenied`] outside the storage server of the call, or the operation's own.
    pub async fn ask(&self, scope: &Arc<Scope>, request: Request) -> Result<Value> {
        let Some(row) = operation(&request.op) else {
            let text = format!("this agent does not do host.{} for plug-ins", request.op);
            return Err(Error::new(Kind::NoSuchOperation, text));
        };
        let args = Args::check(row, request.args)?;
        for need in row.needs {
            self.command(need)?;
        }
        let shown = args.shown();
        let task = Task::new(self.clone(), scope.clone(), args);
        let gone = CancellationToken::new();
        let _guard = gone.clone().drop_guard();
        let (tell, answer) = oneshot::channel();
        let mut waiting = Waiting { answer, task: task.clone() };
        tokio::spawn(carry_out(row, task, gone, shown, tell));
        let answer = (&mut waiting.answer).await;
        answer.unwrap_or_else(|error| Err(Error::internal(format!("host.{}", row.name), error)))
    }
}

/// Who asked, until the answer is there. Dropped before that, what was done in the very last moment is
/// taken back too.
struct Waiting {
    answer: oneshot::Receiver<Result<Value>>,
    task: Task,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.answer.close();
        if let (Ok(Ok(_)), Ok(runtime)) = (self.answer.try_recv(), tokio::runtime::Handle::try_current()) {
            let task = self.task.clone();
            drop(runtime.spawn(async move { task.take_back().await }));
        }
    }
}

async fn carry_out(
    row: &'static Operation,
    task: Task,
    gone: CancellationToken,
    shown: String,
    tell: oneshot::Sender<Result<Value>>,
) {
    let began = Instant::now();
    let result = tokio::select! {
        biased;
        () = gone.cancelled() => Err(Error::new(Kind::Cancelled, "the call that asked for it has ended")),
        result = (row.run)(task.clone()) => result,
        () = tokio::time::sleep(row.deadline) => Err(Error::new(
            Kind::OperationFailed,
            format!("host.{} did not end within {} s and was given up", row.name, row.deadline.as_secs()),
        )),
    };
    if result.is_err() {
        take_back(row, &task).await;
    }
    let scope = &task.scope;
    let (op, plugin, method, operation) = (row.name, &scope.plugin, scope.method, scope.operation);
    let took = began.elapsed();
    match &result {
        Ok(_) if row.changes => {
            tracing::info!(op, plugin, method, %operation, ?took, args = shown, "done on this host");
        }
        Ok(_) => tracing::debug!(op, plugin, method, %operation, ?took, args = shown, "asked of this host"),
        Err(error) => {
            tracing::warn!(op, plugin, method, %operation, ?took, args = shown, %error, "not done on this host");
        }
    }
    if let Err(Ok(_)) = tell.send(result) {
        // It was done, and nobody is left who knows.
        take_back(row, &task).await;
    }
}

async fn take_back(row: &Operation, task: &Task) {
    if tokio::time::timeout(TAKING_BACK, task.take_back()).await.is_err() {
        tracing::warn!(op = row.name, "what the operation began could not be taken back in time");
    }
}
