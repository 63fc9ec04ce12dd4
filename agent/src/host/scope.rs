//! What a call may do on this host: only what is its own storage server's.
//!
//! The scope of a call is made from the records that the agent itself gives to it, before the plug-in
//! runs, so that nothing a plug-in does widens it:
//! - portals: `access_host` and `access_port`, or those of every access descriptor;
//! - targets: those in `storage_id`; where it names none, those that a discovery at one of these portals named;
//! - devices: those behind sessions with these targets; of a SAN, those behind the remote ports in
//!   `storage_id`, or where it names none, every SCSI device that does not come over iSCSI;
//! - credentials: those of the record, each for its own portal;
//! - file systems: the call's own `fs_record`, on the hosts that the `ss_record` names.

use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroize as _;

use crate::record::{Dict as _, FileSystem, StorageElement, StorageServer, looks_secret};

/// The port of a portal that names none (RFC 7143, section 4.1).
pub const ISCSI_PORT: u16 = 3260;

/// A call in flight, as host operations see it. Its secrets go with it.
pub struct Scope {
    /// The plug-in's implementation name.
    pub plugin: String,
    /// The method that is called.
    pub method: &'static str,
    /// The operation that the call belongs to.
    pub operation: Uuid,
    /// The storage server, with its secrets.
    pub server: StorageServer,
    /// The element that the call is about, if it is about one.
    pub element: Option<StorageElement>,
    /// The file system that the call is about, if it is about one.
    pub file_system: Option<FileSystem>,
}

/// One way to a storage server, with the credentials for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Portal {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What this host logs in with.
    pub login: Option<Credentials>,
    /// What the target has to prove (mutual CHAP).
    pub target: Option<Credentials>,
}

/// A name and its secret.
#[derive(Clone, Default, PartialEq)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The secret.
    pub passwd: zeroize::Zeroizing<String>,
}

/// Without the secret.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Scope {
    /// The scope of a call with these arguments, in wire form and under their API names.
    pub fn new(plugin: &str, method: &'static str, operation: Uuid, args: &[(&str, Value)]) -> Scope {
        let find = |names: &[&str]| {
            args.iter()
                .find(|(name, value)| names.contains(name) && value.is_object())
                .map(|(_, value)| value)
        };
        let server = find(&["ss_record"]).map(|value| StorageServer::parse(value).0).unwrap_or_default();
        // `record` is whichever the plug-in's type has.
        let is_fs = find(&["fs_record"]).is_some()
            || server.storage_type.as_deref().is_some_and(|ty| ty.ends_with("FS") || ty == "FileSys");
        let (elements, systems): (&[&str], &[&str]) = if is_fs {
            (&[], &["fs_record", "record"])
        } else {
            (&["se_record", "snap_record", "record"], &[])
        };
        Scope {
            plugin: plugin.to_owned(),
            method,
            operation,
            element: find(elements).map(|value| StorageElement::parse(value).0),
            file_system: find(systems).map(|value| FileSystem::parse(value).0),
            server,
        }
    }

    /// The storage server's UUID; nil where it has none yet.
    pub fn ss_uuid(&self) -> Uuid {
        self.server.uuid.unwrap_or_default()
    }

    /// Whether the storage server is reached over iSCSI.
    pub fn is_iscsi(&self) -> bool {
        self.server.storage_type.as_deref().is_some_and(|ty| ty.eq_ignore_ascii_case("iSCSI"))
    }

    /// Whether it is any other kind of storage array.
    pub fn is_san(&self) -> bool {
        self.server.storage_type.as_deref().is_some_and(|ty| ty.eq_ignore_ascii_case("SAN"))
    }

    /// The portals that the record names, in its order, each with its own credentials.
    ///
    /// The record knows of no second pair of credentials: what the target has to prove is in the keys
    /// `username_in` and `passwd_in`, beside `username` and `passwd`.
    pub fn portals(&self) -> Vec<Portal> {
        let server = &self.server;
        match &server.access_descriptors {
            Some(descriptors) => descriptors
                .iter()
                .filter_map(|each| {
                    let given =
                        (each.username.as_deref(), each.passwd.as_ref().map(|passwd| passwd.expose()));
                    portal(each.access_host.as_deref(), each.access_port, given, &each.extra)
                })
                .collect(),
            None => {
                let given =
                    (server.username.as_deref(), server.passwd.as_ref().map(|passwd| passwd.expose()));
                portal(server.access_host.as_deref(), server.access_port, given, &server.extra)
                    .into_iter()
                    .collect()
            }
        }
    }

    /// The identifiers that the record names the storage server by: target names, or port names.
    pub fn storage_ids(&self) -> &[String] {
        self.server.storage_id.as_deref().unwrap_or_default()
    }
}

type Extra = std::collections::BTreeMap<String, Value>;

fn portal(
    host: Option<&str>,
    port: Option<i64>,
    given: (Option<&str>, Option<&str>),
    extra: &Extra,
) -> Option<Portal> {
    let text = |key: &str| extra.get(key).and_then(Value::as_str);
    let host = host?.trim().trim_start_matches('[').trim_end_matches(']');
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
    (!host.is_empty()).then(|| Portal {
        host: host.to_owned(),
        port: port.unwrap_or(ISCSI_PORT),
        login: credentials(given),
        target: credentials((text("username_in"), text("passwd_in"))),
    })
}

fn credentials((username, passwd): (Option<&str>, Option<&str>)) -> Option<Credentials> {
    let passwd = passwd.filter(|text| !text.is_empty())?;
    Some(Credentials { username: username.unwrap_or_default().to_owned(), passwd: passwd.to_owned().into() })
}

impl Drop for Scope {
    fn drop(&mut self) {
        let descriptors = self.server.access_descriptors.iter_mut().flatten().map(|each| &mut each.extra);
        for extra in descriptors.chain([&mut self.server.extra]) {
            for (key, value) in extra {
                if let (true, Value::String(text)) = (looks_secret(key), value) {
                    text.zeroize();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope(ss_record: Value) -> Scope {
        Scope::new("a.b.C.D", "start", Uuid::nil(), &[("ss_record", ss_record)])
    }

    #[test]
    fn each_portal_has_its_own_credentials() {
        let portals = scope(json!({"access_descriptors": [
            {"access_host": "192.0.2.1", "username": "u", "passwd": "p"},
            {"access_host": "[2001:db8::1]", "access_port": 860, "username_in": "t", "passwd_in": "q"}, {}]}))
        .portals();
        let login =
            |portal: &Portal| portal.login.clone().map(|login| (login.username, login.passwd.to_string()));
        assert_eq!((portals[0].host.as_str(), portals[0].port), ("192.0.2.1", 3260));
        assert_eq!(login(&portals[0]), Some(("u".into(), "p".into())));
        assert_eq!(
            (portals[1].host.as_str(), portals[1].port, login(&portals[1])),
            ("2001:db8::1", 860, None)
        );
        assert_eq!(portals[1].target.as_ref().map(|target| target.passwd.as_str()), Some("q"));
        assert_eq!(portals.len(), 2);
    }

    #[test]
    fn form_1_is_one_portal() {
        let portals =
            scope(json!({"access_host": "h", "access_port": "3261", "username": "u", "passwd": ""}))
                .portals();
        assert_eq!(portals, [Portal { host: "h".into(), port: 3261, ..Portal::default() }]);
        assert_eq!(scope(json!({"access_host": ""})).portals(), []);
    }

    #[test]
    fn a_scope_says_what_the_call_is_about() {
        let args =
            [("ss_record", json!({"storage_type": "NetworkFS"})), ("record", json!({"access_path": "h:/e"}))];
        let files = Scope::new("a", "getStatus", Uuid::nil(), &args);
        assert_eq!(files.file_system.as_ref().and_then(|fs| fs.access_path.as_deref()), Some("h:/e"));
        assert!(files.element.is_none());
        let args = [("ss_record", json!({"storage_type": "SAN"})), ("record", json!({"page83_id": "x"}))];
        let array = Scope::new("a", "getStatus", Uuid::nil(), &args);
        assert_eq!(array.element.as_ref().and_then(|element| element.page83_id.as_deref()), Some("x"));
        assert!(array.file_system.is_none());
    }

    #[test]
    fn secrets_are_in_nothing_that_is_printed() {
        let scope = scope(json!({"access_host": "h", "passwd": "hush1", "access_descriptors": [
            {"access_host": "h", "username": "u", "passwd": "hush2", "username_in": "t", "passwd_in": "hush3"}]}));
        assert!(!format!("{:?}", scope.portals()).contains("hush"));
    }
}
