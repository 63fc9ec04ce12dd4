//! Who may do what: polkit decides where it is on the bus, by the action of each command; else root and the
//! group `osc` may change things, and anybody may ask.

use std::collections::HashMap;
use std::time::Duration;

use zbus::message::Flags;
use zbus::message::Header;
use zbus::{Connection, Variant, fdo};

use super::clients::Client;
use crate::command::Command;
use crate::error::{Error, Kind, Result};
use crate::inventory::Caller;

/// What the names of our actions begin with.
pub const PREFIX: &str = "org.storageconnect.agent1.";

/// Asks that change nothing and cost nobody anything.
pub const READ: &str = "read";
/// How long polkit may take to answer, and how long somebody to type a password.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(25), Duration::from_secs(300));

/// What is not a command: loading plug-ins afresh, and what their packages announce.
pub const PLUGIN_MANAGE: &str = "plugin.manage";

/// Every action but those two, and the commands that it takes. A cancellation takes the cancelled command's.
pub const ACTIONS: &[(&str, &[&str])] = &[
    ("refresh", &["refresh", "update-records"]),
    (
        "element.snapshot",
        &["snapshot", "clone", "multi-snapshot", "file-snapshot", "file-clone", "file-clone-snapshot"],
    ),
    (
        "element.modify",
        &[
            "create",
            "restore",
            "split",
            "resize",
            "online",
            "offline",
            "present",
            "unpresent",
            "qos",
            "remove",
            "destroy",
            "file-create",
            "file-remove",
            "file-resize",
            "file-restore",
            "file-snap-remove",
            "file-split",
        ],
    ),
    (
        "server.manage",
        &[
            "register",
            "unregister",
            "start",
            "stop",
            "create-access-groups",
            "rename-access-group",
            "remove-access-groups",
            "add-to-access-group",
            "remove-from-access-group",
        ],
    ),
    ("host.mount", &["mount", "unmount", "device-teardown", "device-resize", "device-size-refresh"]),
];

/// The action that a command takes.
pub fn action(command: &Command) -> &'static str {
    if command.open_to_readers() {
        return READ;
    }
    let row = ACTIONS.iter().find(|(_, commands)| commands.contains(&command.name));
    // A test goes through the command table; what nobody thought of takes the most.
    row.map_or("server.manage", |(action, _)| action)
}

/// Who calls, where it may do that.
///
/// # Errors
/// [`Kind::AccessDenied`], which the journal has with who asked.
pub async fn check(
    connection: &Connection,
    client: &Client,
    call: &Header<'_>,
    action: &str,
) -> Result<Caller> {
    let (caller, member) = client.caller(connection).await?;
    if caller.uid == 0 {
        return Ok(caller);
    }
    let interactive = call.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH);
    let answer = tokio::select! {
        answer = ask(connection, client.name(), action, interactive) => answer,
        () = client.gone.cancelled() => Answer::No("the caller left the bus".to_owned()),
    };
    let why = match answer {
        Answer::Yes => return Ok(caller),
        Answer::Nobody if member || action == READ => return Ok(caller),
        Answer::Nobody => "only root and the group osc may".to_owned(),
        Answer::No(why) => why,
    };
    tracing::warn!(
        action = format!("{PREFIX}{action}"),
        member = call.member().map(|name| name.as_str()),
        path = call.path().map(|path| path.as_str()),
        uid = caller.uid,
        pid = caller.pid,
        door = caller.door,
        "refused: {why}"
    );
    let text = format!("the user with the id {} may not do this ({PREFIX}{action}): {why}", caller.uid);
    Err(Error::new(Kind::AccessDenied, text))
}

/// What polkit says.
enum Answer {
    Yes,
    No(String),
    /// It is not on this bus.
    Nobody,
}

/// Asks polkit.
async fn ask(connection: &Connection, name: &str, action: &str, interactive: bool) -> Answer {
    const POLKIT: &str = "org.freedesktop.PolicyKit1";
    let id = format!("{PREFIX}{action}");
    let subject = ("system-bus-name", HashMap::from([("name", Variant::from(name))]));
    let details = HashMap::<&str, &str>::new();
    let body = (subject, id.as_str(), details, u32::from(interactive), "");
    let authority = "org.freedesktop.PolicyKit1.Authority";
    let path = "/org/freedesktop/PolicyKit1/Authority";
    let call = connection.call_method(Some(POLKIT), path, Some(authority), "CheckAuthorization", &body);
    let patience = if interactive { PATIENCE.1 } else { PATIENCE.0 };
    let Ok(reply) = tokio::time::timeout(patience, call).await else {
        return Answer::No(format!("polkit did not answer within {} s", patience.as_secs()));
    };
    let broken = |error: &dyn std::fmt::Display| Answer::No(format!("polkit does not answer: {error}"));
    let reply = match reply {
        Ok(reply) => reply,
        Err(zbus::Error::FDO(error)) if is_absence(&error) => return Answer::Nobody,
        // One that is there and broken is no reason to let anybody through.
        Err(error) => return broken(&error),
    };
    match reply.body().deserialize::<((bool, bool, HashMap<String, String>),)>() {
        Ok(((true, ..),)) => Answer::Yes,
        Ok(((false, true, _),)) => {
            Answer::No("polkit wants a password, and there was nobody to ask".to_owned())
        }
        Ok(((false, false, _),)) => Answer::No("polkit does not permit it".to_owned()),
        Err(error) => broken(&error),
    }
}

/// Whether the error says that there is no polkit, nor anything that would start it.
fn is_absence(error: &fdo::Error) -> bool {
    matches!(error, fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::command::{COMMANDS, Object};

    #[test]
    fn every_command_that_is_not_for_everybody_takes_one_action() {
        for command in COMMANDS.iter().filter(|row| !row.open_to_readers() && row.object != Object::Operation)
        {
            let rows = ACTIONS.iter().filter(|(_, commands)| commands.contains(&command.name)).count();
            assert_eq!(rows, 1, "{}", command.name);
        }
        for name in ACTIONS.iter().flat_map(|(_, commands)| *commands) {
            assert!(COMMANDS.iter().any(|row| row.name == *name && !row.open_to_readers()), "{name}");
        }
    }

    #[test]
    fn the_policy_that_is_installed_knows_every_action_and_no_other() {
        let policy = include_str!("../../../systemd/polkit/org.storageconnect.agent1.policy");
        let ids =
            policy.split("<action id=\"").skip(1).map(|rest| rest.split('"').next().unwrap_or_default());
        let known: BTreeSet<_> = ids.map(str::to_owned).collect();
        let ours = ACTIONS.iter().map(|(action, _)| *action).chain([READ, PLUGIN_MANAGE]);
        assert_eq!(known, ours.map(|action| format!("{PREFIX}{action}")).collect());
    }
}
