//! Why a command did not do what was asked: what to say, and the exit status scripts rely on.

use std::fmt;

use crate::error::{Error, Kind};

/// The array or the plug-in said no.
pub const REFUSED: u8 = 1;
/// Bad usage: the command line, an unknown object, a value that cannot be read.
pub const USAGE: u8 = 2;
/// The agent cannot be reached.
pub const UNREACHABLE: u8 = 3;
/// The operation is still in progress.
pub const IN_PROGRESS: u8 = 4;

/// The end of a command that did not succeed.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub status: u8,
    /// What happened, in the agent's words where it said so.
    pub error: Error,
    /// What to do next.
    pub hint: Option<String>,
}

/// The result of everything in `oscctl` that can fail.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// Bad usage.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { status: USAGE, error: Error::invalid(message), hint: None }
    }

    /// An object that does not exist.
    pub fn unknown(message: impl Into<String>) -> Failure {
        Failure { status: USAGE, error: Error::not_found(message), hint: None }
    }

    /// The agent cannot be reached.
    pub fn unreachable(message: impl Into<String>) -> Failure {
        Failure { status: UNREACHABLE, error: Error::new(Kind::TryAgain, message), hint: None }
    }

    /// Something of this host that did not work.
    pub fn local(doing: impl fmt::Display, source: impl fmt::Display) -> Failure {
        Failure { status: REFUSED, error: Error::internal(doing, source), hint: None }
    }

    /// An answer of the agent that cannot be read.
    pub fn answer(what: &str, source: impl fmt::Display) -> Failure {
        Failure::local(format_args!("the agent's answer to {what} cannot be read"), source)
            .hint("is oscctl of the same version as oscd? compare `oscctl --version` with `oscctl status`")
    }

    /// What an operation ended with.
    pub fn of_operation(error: Error) -> Failure {
        let status = if error.kind() == Kind::InProgress { IN_PROGRESS } else { REFUSED };
        Failure { status, error, hint: None }
    }

    /// What the agent answered before anything was asked of a plug-in: a request it does not
    /// understand is bad usage.
    pub fn of_request(error: Error) -> Failure {
        let usage = error.kind() == Kind::NotFound || error.errno() == libc::EINVAL;
        let status = if usage { USAGE } else { Failure::of_operation(error.clone()).status };
        Failure { status, error, hint: None }
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

/// What to do about an error of a kind, where that is the same for every object.
pub fn general_hint(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::NoSuchOperation => "`oscctl server show SERVER` lists what the storage server can do",
        Kind::PluginUnavailable => "`oscctl plugin list` says what is installed and why it is not usable",
        Kind::PluginFault | Kind::WorkerDied => {
            "this is a fault of the plug-in; its traceback is in the journal: journalctl -u oscd"
        }
        Kind::AccessDenied => "run it as root, or let polkit permit it",
        Kind::Interrupted => "the next refresh tells what came of it: oscctl server refresh SERVER",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_tells_who_said_no() {
        let cases = [
            (Failure::of_operation(Error::new(Kind::CloneFailed, "")), REFUSED),
            (Failure::of_operation(Error::invalid("")), REFUSED),
            (Failure::of_operation(Error::new(Kind::InProgress, "")), IN_PROGRESS),
            (Failure::of_request(Error::invalid("")), USAGE),
            (Failure::of_request(Error::new(Kind::MissingKey, "")), USAGE),
            (Failure::of_request(Error::not_found("")), USAGE),
            (Failure::of_request(Error::new(Kind::NoSuchOperation, "")), REFUSED),
            (Failure::of_request(Error::new(Kind::AccessDenied, "")), REFUSED),
            (Failure::unreachable(""), UNREACHABLE),
        ];
        for (failure, status) in cases {
            assert_eq!(failure.status, status, "{failure:?}");
        }
    }
}
