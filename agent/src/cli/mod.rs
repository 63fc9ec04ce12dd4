//! `oscctl`: the command line of the agent, and only a client of its D-Bus interface.
//!
//! `args` is what can be typed, `commands` what is done about it, `client` the agent at the other
//! end; `words`, `objects` and `view` are the pure parts in between.

pub mod args;
mod check;
mod client;
mod commands;
mod doctor;
mod failure;
mod objects;
mod output;
mod secret;
mod value;
mod view;
mod wait;
mod words;

use std::io::Write;

use clap::Parser;

use args::{Cli, Command, Format};
use failure::{Failure, Outcome};
use output::Output;

/// Runs the command line and returns the exit status that the design promises.
pub fn run() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(failure::USAGE);
        }
    };
    let format = cli.output;
    match dispatch(cli) {
        Ok(status) => status,
        Err(failure) => {
            report(&failure, format);
            failure.status
        }
    }
}

fn dispatch(cli: Cli) -> Outcome<u8> {
    let output = Output { format: cli.output };
    if let Command::Completions { shell } = cli.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut <Cli as clap::CommandFactory>::command(), "oscctl", &mut script);
        return output.text(&String::from_utf8_lossy(&script)).map(|()| 0);
    }
    if matches!(cli.command, Command::Announce { .. }) {
        commands::announce::bound();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local("the program cannot start", error))?;
    runtime.block_on(commands::run(cli.bus, output, cli.command))
}

fn report(failure: &Failure, format: Format) {
    let text = match format {
        Format::Table => format!("oscctl: {failure}"),
        Format::Json => {
            let mut error = failure.error.to_json();
            if let (Some(hint), Some(map)) = (&failure.hint, error.as_object_mut()) {
                map.insert("hint".into(), hint.as_str().into());
            }
            error.to_string()
        }
    };
    // Nothing can be done where standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}
