//! Logging in to every portal of the storage server's targets.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::admin::{Admin, Found};
use super::record::{self, Node};
use super::session::{self, Session, portal_text, same_address};
use super::{discover_all, netdevs};
use crate::error::{Error, Kind, Result};
use crate::host::Portal;
use crate::host::operation::Task;

/// Logins that run at the same time.
const AT_ONCE: usize = 4;

/// What every node record of the agent says. A login is the agent's to make, so none happens at boot by itself; what
/// is scanned is what was asked for; and a portal that is down is given up before the call's deadline.
const SETTINGS: &[(&str, &str)] = &[
    ("node.startup", "manual"),
    ("node.conn[0].startup", "manual"),
    ("node.session.scan", "manual"),
    ("node.session.initial_login_retry_max", "2"),
];

/// A portal that could not be logged in to.
struct Failure {
    target: String,
    portal: String,
    error: Error,
}

pub async fn login(task: Task) -> Result<Value> {
    let admin = Admin::of(&task.host)?;
    let wanted = wanted(&task)?;
    let (found, untold) = discover_all(&task, &admin).await?;
    let own = task.host.targets_of(&task.scope);
    if let Some(foreign) = wanted.iter().find(|target| !own.contains(*target)) {
        let text = format!("{foreign} is not a target of this storage server, so it is not logged in to");
        return Err(Error::new(Kind::PermissionDenied, text));
    }
    let netdevs = netdevs(&task);
    let nodes = nodes(&found, &wanted, &netdevs);
    let logins = nodes.into_iter().map(|(node, portal, netdev)| log_in(&task, &admin, node, portal, netdev));
    let outcomes: Vec<_> = futures_util::stream::iter(logins).buffer_unordered(AT_ONCE).collect().await;
    let failed: Vec<Failure> = outcomes.into_iter().flatten().collect();

    let sessions: Vec<_> = session::all(task.host.roots())
        .into_iter()
        .filter(|session| wanted.contains(&session.target))
        .collect();
    if sessions.is_empty() {
        let first = failed.into_iter().next().map(|failure| failure.error);
        return Err(first.or_else(|| untold.into_iter().next()).unwrap_or_else(|| {
            let names = wanted.into_iter().collect::<Vec<_>>().join(", ");
            Error::new(
                Kind::LoginFailed,
                format!("the storage server's portals do not know the target {names}"),
            )
        }));
    }
    let mut failed: Vec<Value> = failed
        .into_iter()
        .map(|failure| {
            json!({"target": failure.target, "portal": failure.portal, "message": failure.error.message()})
        })
        .collect();
    failed.extend(
        untold.iter().map(|error| json!({"target": null, "portal": null, "message": error.message()})),
    );
    for failure in &failed {
        let text = failure["message"].as_str().unwrap_or_default();
        tracing::warn!(operation = %task.scope.operation, "a portal is not logged in to: {text}");
    }
    Ok(json!({"sessions": sessions.iter().map(Session::to_json).collect::<Vec<_>>(), "failed": failed}))
}

/// The targets that a request is about.
pub fn wanted(task: &Task) -> Result<BTreeSet<String>> {
    let given: BTreeSet<String> = match task.args.texts("targets") {
        Some(targets) => targets.into_iter().map(str::to_owned).collect(),
        None => task.scope.storage_ids().iter().cloned().collect(),
    };
    if given.is_empty() {
        let text = "the ss_record has no targets in storage_id: discover them first";
        return Err(Error::new(Kind::MissingKey, text).with_key("storage_id"));
    }
    match given.iter().find(|name| !fit(name)) {
        // It becomes the name of a directory.
        Some(name) => {
            Err(Error::new(Kind::ValueFormat, format!("{name:?} is no iSCSI name")).with_key("storage_id"))
        }
        None => Ok(given),
    }
}

/// Whether a text can be an iSCSI name (RFC 3722): no blanks, no slashes, nothing that hides.
fn fit(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 223
        && !name.starts_with(['-', '.'])
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '.' | ':'))
}

/// Every node that is to be logged in to, with the portal that has the credentials for it.
fn nodes(
    found: &[(Found, Portal)],
    wanted: &BTreeSet<String>,
    netdevs: &[Option<String>],
) -> Vec<(Node, Portal, Option<String>)> {
    let portals: Vec<_> = found.iter().map(|(_, portal)| portal).collect();
    let mut seen = BTreeSet::new();
    let mut nodes = Vec::new();
    for (each, told_by) in found.iter().filter(|(each, _)| wanted.contains(&each.target) && fit(&each.target))
    {
        if !seen.insert((&each.target, &each.address, each.port)) {
            continue;
        }
        let own = portals
            .iter()
            .find(|portal| same_address(&portal.host, &each.address) && portal.port == each.port);
        let portal = own.copied().unwrap_or(told_by);
        for netdev in netdevs {
            let node = Node {
                target: each.target.clone(),
                address: each.address.clone(),
                port: each.port,
                tpgt: each.tpgt,
                iface: record::iface_name(netdev.as_deref()),
            };
            nodes.push((node, portal.clone(), netdev.clone()));
        }
    }
    nodes
}

async fn log_in(
    task: &Task,
    admin: &Admin,
    node: Node,
    portal: Portal,
    netdev: Option<String>,
) -> Option<Failure> {
    let there = session::all(task.host.roots()).into_iter().any(|session| {
        session.goes_to(&node.target, &node.address, node.port)
            && (netdev.is_none() || session.iface == node.iface)
    });
    if there {
        return None;
    }
    let attempt = async {
        admin.reachable(&node, netdev.as_deref()).await?;
        let _iface = admin.hold_iface(&node, netdev.as_deref())?;
        let (gone, of) = (admin.clone(), node.clone());
        task.on_failure(move || async move { gone.forget(&of).await });
        let mut settings =
            record::authentication("node.session", portal.login.as_ref(), portal.target.as_ref());
        settings.extend(
            SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), Zeroizing::new((*value).to_owned()))),
        );
        admin.make_node(&node, settings).await?;
        let done = admin.log_in(&node).await;
        if done.is_err() {
            admin.forget(&node).await;
        }
        done
    };
    let place = portal_text(&node.address, node.port);
    attempt.await.err().map(|error| Failure { target: node.target.clone(), portal: place, error })
}
