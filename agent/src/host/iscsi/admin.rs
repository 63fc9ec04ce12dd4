//! `iscsiadm`: what is asked of it, and what its exit status means (open-iscsi, `include/iscsi_err.h`).
//! Its prose is for the message of an error and decides nothing.

use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpSocket;

use super::record::{self, Iface, Node};
use super::session::{self, Session, portal_text};
use crate::error::{Error, Kind, Result};
use crate::host::command::{self, Ended};
use crate::host::operation::Need;
use crate::host::{Host, Portal};

/// The command and its package.
pub const ISCSIADM: Need = Need { command: "iscsiadm", package: "open-iscsi" };

/// The session exists: what was wanted is so.
const EXISTS: i32 = 15;
/// No record, target, session or portal to do it with: nothing left to undo.
const NO_OBJECTS: i32 = 21;

/// Why a login failed, by exit status.
const LOGIN_FAILURES: &[(i32, &str)] = &[
    (5, "the target refuses the login"),
    (8, "the portal does not answer"),
    (4, "the connection to the portal fails"),
    (11, "the target does not answer"),
    (12, "this host's kernel has no iSCSI over TCP (iscsi_tcp)"),
    (18, "iscsid ended meanwhile"),
    (19, "the target refuses the login, or does not prove who it is (mutual CHAP)"),
    (20, "iscsid does not run"),
    (24, "the target refuses the user name or the CHAP secret"),
];

/// Open-iscsi's interface record that goes by the routes.
const DEFAULT_IFACE: &str = "default";

/// How long a portal may take to accept a connection, before open-iscsi is troubled with it.
const CONNECT: Duration = Duration::from_secs(5);

/// `iscsiadm` of a host.
#[derive(Clone)]
pub struct Admin {
    path: PathBuf,
    host: Host,
}

/// One portal of one target, as a discovery names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The target's name.
    pub target: String,
    /// The portal's address.
    pub address: String,
    /// The portal's port.
    pub port: u16,
    /// The tag of the portal's group.
    pub tpgt: u16,
}

impl Admin {
    /// The host's.
    ///
    /// # Errors
    /// [`Kind::OperationPreReqNotMet`] where open-iscsi is not installed.
    pub fn of(host: &Host) -> Result<Admin> {
        Ok(Admin { path: host.command(&ISCSIADM)?, host: host.clone() })
    }

    async fn run(&self, words: &[&str]) -> Result<Ended> {
        command::run(&self.path, words).await
    }

    /// Makes the record of a node, for the agent alone, and sets `settings` in it.
    ///
    /// # Errors
    /// [`Kind::OperationFailed`] when it cannot be made.
    pub async fn make_node(
        &self,
        node: &Node,
        settings: Vec<(String, zeroize::Zeroizing<String>)>,
    ) -> Result<()> {
        let made = self.node(node, &["-o", "new"]).await?;
        succeeded(made, "the node record", &node.target)?;
        let file = node.file(self.host.roots()).filter(|file| file.is_file()).ok_or_else(|| {
            let text = format!("iscsiadm made no record of {} where its database is looked for", node.target);
            Error::new(Kind::OperationFailed, text)
        })?;
        let edited = tokio::task::spawn_blocking(move || record::edit(&file, &settings)).await;
        edited.map_err(|error| Error::internal("editing a record", error))?.map_err(|error| {
            Error::new(
                Kind::OperationFailed,
                format!("the node record of {} cannot be written: {error}", node.target),
            )
        })
    }

    async fn node(&self, node: &Node, words: &[&str]) -> Result<Ended> {
        let portal = format!("{},{}", portal_text(&node.address, node.port), node.tpgt);
        let which = ["-m", "node", "-T", &node.target, "-p", &portal, "-I", &node.iface];
        self.run(&[which.as_slice(), words].concat()).await
    }

    /// Logs in by a node's record; a session that is there already is one.
    ///
    /// # Errors
    /// [`Kind::LoginFailed`] with the reason.
    pub async fn log_in(&self, node: &Node) -> Result<()> {
        let ended = self.node(node, &["--login"]).await?;
        match ended.status {
            Some(0 | EXISTS) => Ok(()),
            status => {
                let reason = LOGIN_FAILURES.iter().find(|(code, _)| Some(*code) == status);
                let reason = reason.map_or(ended.complaint.as_str(), |(_, reason)| reason);
                let portal = portal_text(&node.address, node.port);
                let status =
                    status.map_or_else(|| "a signal".to_owned(), |status| format!("status {status}"));
                let text = format!(
                    "logging in to {} at {portal} failed: {reason} (iscsiadm: {status})",
                    node.target
                );
                Err(Error::new(Kind::LoginFailed, text))
            }
        }
    }

    /// Ends a session by its number. One that is gone has ended.
    ///
    /// # Errors
    /// [`Kind::LogoutFailed`] with what iscsiadm says.
    pub async fn log_out(&self, session: u32, target: &str) -> Result<()> {
        let ended = self.run(&["-m", "session", "-r", &session.to_string(), "--logout"]).await?;
        match ended.status {
            Some(0 | NO_OBJECTS | 2) => Ok(()),
            _ => {
                let text = format!("logging out of {target} failed: {}", ended.complaint);
                Err(Error::new(Kind::LogoutFailed, text))
            }
        }
    }

    /// Holds the interface record of a node, without which iscsiadm neither makes the node's record nor logs
    /// in or out. It stays no longer than it is needed: with one there, every administrator's discovery makes
    /// records for it.
    ///
    /// # Errors
    /// [`Kind::OperationFailed`] when it cannot be made.
    pub fn hold_iface(&self, node: &Node, netdev: Option<&str>) -> Result<Iface> {
        self.hold(&node.iface, netdev)
    }

    fn hold(&self, name: &str, netdev: Option<&str>) -> Result<Iface> {
        Iface::hold(&self.host, name, netdev).map_err(|error| {
            let text = format!("the interface record {name} cannot be made: {error}");
            Error::new(Kind::OperationFailed, text)
        })
    }

    /// Ends what there may be of a login by a node's record, and removes the record with its secrets.
    pub async fn forget(&self, node: &Node) {
        let of_node = |session: &Session| {
            session.goes_to(&node.target, &node.address, node.port) && session.iface == node.iface
        };
        let netdev = record::netdev_of(&node.iface);
        let _iface = self.hold_iface(node, netdev);
        for session in session::all(self.host.roots()).into_iter().filter(of_node) {
            if let Err(error) = self.log_out(session.number, &session.target).await {
                tracing::warn!(target = node.target, %error, "a session is left behind");
            }
        }
        if let Err(error) = record::forget(self.host.roots(), node) {
            tracing::warn!(target = node.target, %error, "a node record with a secret is left behind");
        }
    }

    /// Asks a portal for its targets (SendTargets), through the network device if one is given, and leaves
    /// nothing in the database.
    ///
    /// # Errors
    /// [`Kind::TargetDiscovery`] with the reason.
    pub async fn discover(&self, portal: &Portal, netdev: Option<&str>) -> Result<Vec<Found>> {
        let place = portal_text(&portal.host, portal.port);
        self.reach(portal, netdev).await?;
        let iface = netdev.map_or_else(|| DEFAULT_IFACE.to_owned(), |_| record::iface_name(netdev));
        let _held = netdev.map(|_| self.hold(&iface, netdev)).transpose()?;
        let plain =
            ["-m", "discovery", "-t", "sendtargets", "-p", &place, "-I", &iface, "-o", "nonpersistent"];
        let mut ended = self.run(&plain).await?;
        // Many an array wants CHAP for logins alone, and some of those refuse it in a discovery.
        if !matches!(ended.status, Some(0 | NO_OBJECTS)) && portal.login.is_some() {
            ended = self.discover_with_chap(portal, &place, &iface).await?;
        }
        match ended.status {
            Some(0) => Ok(ended.stdout.lines().filter_map(parse_found).collect()),
            Some(NO_OBJECTS) => Ok(Vec::new()),
            Some(24) => Err(undiscovered(&place, "it refuses the user name or the CHAP secret")),
            _ => Err(undiscovered(&place, &ended.complaint)),
        }
    }

    /// The same with a discovery record, the only way to give iscsiadm a secret; afterwards the record is as
    /// it was before.
    async fn discover_with_chap(&self, portal: &Portal, place: &str, iface: &str) -> Result<Ended> {
        let file = record::discovery_file(self.host.roots(), &portal.host, portal.port)
            .ok_or_else(|| undiscovered(place, "open-iscsi has no database on this host"))?;
        let before = std::fs::read_to_string(&file).ok().map(zeroize::Zeroizing::new);
        let which = ["-m", "discoverydb", "-t", "sendtargets", "-p", place, "-I", iface];
        let with = |words: &[&'static str]| [which.as_slice(), words].concat();
        let ended = async {
            succeeded(self.run(&with(&["-o", "new"])).await?, "the discovery record", place)?;
            let settings = record::authentication(
                "discovery.sendtargets",
                portal.login.as_ref(),
                portal.target.as_ref(),
            );
            record::edit(&file, &settings).map_err(|error| {
                undiscovered(place, &format!("its discovery record cannot be written: {error}"))
            })?;
            self.run(&with(&["--discover", "-o", "nonpersistent"])).await
        };
        let _tidy = Tidy { file: &file, before };
        ended.await
    }

    /// Whether a portal accepts connections at all, found out without open-iscsi, which would try for long.
    async fn reach(&self, portal: &Portal, netdev: Option<&str>) -> Result<()> {
        let place = portal_text(&portal.host, portal.port);
        let resolved = tokio::net::lookup_host((portal.host.as_str(), portal.port)).await;
        let addresses: Vec<_> = resolved
            .map_err(|error| undiscovered(&place, &format!("its name is not known: {error}")))?
            .collect();
        let mut why = "its name has no address".to_owned();
        let through = netdev.map(|netdev| format!("through {netdev}: ")).unwrap_or_default();
        for address in addresses {
            let attempt = async {
                let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
                socket.bind_device(netdev.map(str::as_bytes))?;
                socket.connect(address).await
            };
            match tokio::time::timeout(CONNECT, attempt).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => why = format!("{through}{error}"),
                Err(_) => why = format!("{through}it does not answer within {} s", CONNECT.as_secs()),
            }
        }
        Err(undiscovered(&place, &why))
    }

    /// The same for a portal that is to be logged in to.
    ///
    /// # Errors
    /// [`Kind::LoginFailed`] with the reason.
    pub async fn reachable(&self, node: &Node, netdev: Option<&str>) -> Result<()> {
        let portal = Portal { host: node.address.clone(), port: node.port, ..Portal::default() };
        self.reach(&portal, netdev).await.map_err(|error| Error::new(Kind::LoginFailed, error.message()))
    }
}

/// Leaves a discovery record as it was, whatever becomes of the discovery.
struct Tidy<'a> {
    file: &'a std::path::Path,
    before: Option<zeroize::Zeroizing<String>>,
}

impl Drop for Tidy<'_> {
    fn drop(&mut self) {
        let tidied = match &self.before {
            Some(text) => record::replace(self.file, text),
            None => match self.file.parent().map(std::fs::remove_dir_all) {
                Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            },
        };
        if let Err(error) = tidied {
            tracing::warn!(file = %self.file.display(), %error, "a discovery record with a secret is left behind");
        }
    }
}

fn undiscovered(place: &str, why: &str) -> Error {
    Error::new(Kind::TargetDiscovery, format!("the portal {place} tells no targets: {why}"))
}

fn succeeded(ended: Ended, what: &str, whose: &str) -> Result<()> {
    match ended.status {
        Some(0) => Ok(()),
        _ => Err(Error::new(
            Kind::OperationFailed,
            format!("{what} of {whose} cannot be made: {}", ended.complaint),
        )),
    }
}

/// `192.0.2.1:3260,1 iqn.2024-01.org.example:disks`
fn parse_found(line: &str) -> Option<Found> {
    let (place, target) = line.trim().split_once(' ')?;
    let (place, tpgt) = place.rsplit_once(',')?;
    let (address, port) = place.rsplit_once(':')?;
    Some(Found {
        target: target.trim().to_owned(),
        address: address.trim_matches(['[', ']']).to_owned(),
        port: port.parse().ok()?,
        // -1 is iscsiadm's word for one that the target did not tell.
        tpgt: tpgt.parse().unwrap_or(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_discovery_prints_is_portals_of_targets() {
        let found = |address: &str, port, tpgt| {
            Some(Found { target: "iqn.2024-01.org.example:x".into(), address: address.into(), port, tpgt })
        };
        assert_eq!(parse_found("192.0.2.1:3260,1 iqn.2024-01.org.example:x"), found("192.0.2.1", 3260, 1));
        assert_eq!(
            parse_found("[2001:db8::1]:860,2 iqn.2024-01.org.example:x"),
            found("2001:db8::1", 860, 2)
        );
        assert_eq!(parse_found("iscsiadm: No portals found"), None);
        assert_eq!(parse_found(""), None);
    }
}
