//! `oscctl call OBJECT [COMMAND …]`: every command of the table, on any object that has it.

use super::Session;
use super::act::resolve;
use super::thing::{ELEMENT, FILE_SYSTEM};
use crate::cli::args::Wait;
use crate::cli::client::Contents;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::objects::{Entry, find};
use crate::cli::{view, words};
use crate::command::{self, COMMANDS, Command, Object};

/// Calls a command of an object, or lists those it has.
///
/// # Errors
/// Why it could not be done.
pub async fn run(
    session: &Session,
    object: &str,
    name: Option<&str>,
    args: &[String],
    wait: &Wait,
) -> Outcome {
    let (sort, entry, contents) = locate(session, object).await?;
    let Some(name) = name else { return session.output.text(&list(sort)) };
    let row = command::command(sort, name).ok_or_else(|| {
        let hint = format!("list the commands with: oscctl call {object}");
        Failure::usage(format!("{object} has no command {name:?}")).hint(hint)
    })?;
    let mut args = words::parameters(row, args)?;
    words::complete(row, &args)?;
    resolve(row, &mut args, &contents)?;
    session.perform(&entry, row, &args, wait).await
}

async fn locate(session: &Session, word: &str) -> Outcome<(Object, Entry, Contents)> {
    let root = session.client.root().await?;
    let whole = find("storage server", word, &root.servers);
    let (server, thing) = match (whole, word.split_once('/')) {
        // A server's own name may hold a slash.
        (Ok(server), _) => (server, None),
        (Err(_), Some((server, thing))) => (find("storage server", server, &root.servers)?, Some(thing)),
        (Err(failure), None) => return Err(failure),
    };
    let contents = session.client.contents(server).await?;
    let Some(thing) = thing else { return Ok((Object::Server, server.clone(), contents)) };
    let (sort, entry) = if let Some(element) = thing.strip_prefix("se/") {
        (Object::Element, ELEMENT.find(element, server, &contents)?)
    } else if let Some(fs) = thing.strip_prefix("fs/") {
        (Object::FileSystem, FILE_SYSTEM.find(fs, server, &contents)?)
    } else {
        let element = ELEMENT.find(thing, server, &contents);
        let fs = FILE_SYSTEM.find(thing, server, &contents);
        match (element, fs) {
            (Ok(_), Ok(_)) => {
                return Err(Failure::usage(format!("{word:?} names an element and a file system"))
                    .hint(format!("write {0}/se/{thing} or {0}/fs/{thing}", server.name())));
            }
            (Ok(element), _) => (Object::Element, element),
            (Err(_), Ok(fs)) => (Object::FileSystem, fs),
            (Err(failure), Err(_)) if contents.file_systems.is_empty() => return Err(failure),
            (Err(_), Err(failure)) => return Err(failure),
        }
    };
    let entry = entry.clone();
    Ok((sort, entry, contents))
}

fn list(object: Object) -> String {
    let line = |row: &Command| vec![format!("{} {}", row.name, words::synopsis(row)), row.doc.to_owned()];
    view::lines(COMMANDS.iter().filter(|row| row.object == object).map(line))
}
