//! The records of open-iscsi's database: what the agent sets in them, and how a secret gets there.
//!
//! `iscsiadm -o update -v SECRET` would show the secret to everybody who can list processes, and reads
//! it from nowhere else. So iscsiadm makes the record, and the agent edits the record's file: a new one
//! with mode 0600 beside the database, renamed over the old.
//!
//! The agent's records are bound to interface records of its own, `osc` or `osc-<netdev>`. They are never
//! an administrator's, and a session that goes through one is known to be the agent's.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::session;
use crate::host::scope::Credentials;
use crate::host::scsi::disk::names;
use crate::host::{Host, Roots};

const IFACE: &str = "osc";
const LAST_LINE: &str = "# END RECORD";

/// The agent's interface record for a network device, or for whichever the routes lead to.
pub fn iface_name(netdev: Option<&str>) -> String {
    netdev.map_or_else(|| IFACE.to_owned(), |netdev| format!("{IFACE}-{netdev}"))
}

/// The network device that an interface record of the agent's is bound to.
pub fn netdev_of(iface: &str) -> Option<&str> {
    iface.strip_prefix(IFACE)?.strip_prefix('-')
}

/// Whether an interface record is the agent's.
pub fn is_our_iface(name: &str) -> bool {
    name.strip_prefix(IFACE).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// An interface record, there for as long as somebody holds such a value, and then for as long as a session
/// goes through it: without it iscsiadm does not end the session, whoever asks.
pub struct Iface {
    host: Host,
    name: String,
    file: PathBuf,
}

impl Iface {
    /// Makes the record, bound to a network device or to none, if it is not there.
    ///
    /// # Errors
    /// When it cannot be written, or open-iscsi has no database here.
    pub fn hold(host: &Host, name: &str, netdev: Option<&str>) -> io::Result<Iface> {
        let dir = database(host.roots(), "ifaces").ok_or(io::ErrorKind::NotFound)?;
        let iface = Iface { host: host.clone(), name: name.to_owned(), file: dir.join(name) };
        let mut held = host.ifaces();
        if !held.contains_key(name) || !iface.file.exists() {
            std::fs::create_dir_all(&dir)?;
            let bound = netdev.map(|netdev| format!("iface.net_ifacename = {netdev}\n")).unwrap_or_default();
            let head =
                format!("# BEGIN RECORD\niface.iscsi_ifacename = {name}\niface.transport_name = tcp\n");
            std::fs::write(&iface.file, format!("{head}{bound}{LAST_LINE}\n"))?;
        }
        *held.entry(iface.name.clone()).or_default() += 1;
        drop(held);
        Ok(iface)
    }
}

impl Drop for Iface {
    fn drop(&mut self) {
        let mut held = self.host.ifaces();
        let left = held.get(&self.name).map_or(0, |count| count.saturating_sub(1));
        if left > 0 {
            held.insert(self.name.clone(), left);
            return;
        }
        // One that could not be made is not counted.
        if held.remove(&self.name).is_some()
            && session::all(self.host.roots()).iter().all(|session| session.iface != self.name)
            && let Err(error) = std::fs::remove_file(&self.file)
        {
            tracing::warn!(file = %self.file.display(), %error, "an interface record is left behind");
        }
    }
}

/// A portal of a target, through an interface record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The target's name.
    pub target: String,
    /// The portal's address.
    pub address: String,
    /// The portal's port.
    pub port: u16,
    /// The portal group's tag.
    pub tpgt: u16,
    /// The interface record.
    pub iface: String,
}

impl Node {
    /// The file of its record, if it has one.
    pub fn file(&self, roots: &Roots) -> Option<PathBuf> {
        let folder = format!("{},{},{}", self.address, self.port, self.tpgt);
        database(roots, "nodes").map(|dir| dir.join(&self.target).join(folder).join(&self.iface))
    }

    /// The link to it among iscsiadm's records that no discovery of its own made.
    fn link(&self, roots: &Roots) -> Option<PathBuf> {
        let Node { target, address, port, tpgt, iface } = self;
        database(roots, "static").map(|dir| dir.join(format!("{target},{address},{port},{tpgt},{iface}")))
    }
}

/// Removes the record of a node, the link to it, and the directories that were made for it.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn forget(roots: &Roots, node: &Node) -> io::Result<()> {
    let (Some(file), Some(link)) = (node.file(roots), node.link(roots)) else { return Ok(()) };
    for path in [&file, &link] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    // Others' records may be in them.
    for dir in file.ancestors().skip(1).take(2) {
        if std::fs::remove_dir(dir).is_err() {
            break;
        }
    }
    Ok(())
}

/// The targets that the agent has records of: those that it logged in to and not out of.
pub fn targets(roots: &Roots) -> BTreeSet<String> {
    let Some(dir) = database(roots, "nodes") else { return BTreeSet::new() };
    let ours = |target: &String| {
        let portals = names(&dir.join(target));
        portals
            .iter()
            .any(|portal| names(&dir.join(target).join(portal)).iter().any(|name| is_our_iface(name)))
    };
    names(&dir).into_iter().filter(ours).collect()
}

/// The file of a portal's discovery record.
pub fn discovery_file(roots: &Roots, host: &str, port: u16) -> Option<PathBuf> {
    database(roots, "send_targets").map(|dir| dir.join(format!("{host},{port}")).join("st_config"))
}

fn database(roots: &Roots, part: &str) -> Option<PathBuf> {
    roots.iscsi.iter().find(|dir| dir.is_dir()).map(|dir| dir.join(part))
}

/// The settings of authentication with `prefix` (`node.session` or `discovery.sendtargets`).
pub fn authentication(
    prefix: &str,
    login: Option<&Credentials>,
    target: Option<&Credentials>,
) -> Vec<(String, Zeroizing<String>)> {
    let mut settings = Vec::new();
    let mut set = |name: &str, value: &str| {
        settings.push((format!("{prefix}.auth.{name}"), Zeroizing::new(value.to_owned())));
    };
    set("authmethod", if login.is_some() { "CHAP" } else { "None" });
    for (given, ending) in [(login, ""), (target.filter(|_| login.is_some()), "_in")] {
        // One that is empty stands for no value: the line would be read as the next one's name.
        set(&format!("username{ending}"), given.map_or("", |given| &given.username));
        set(&format!("password{ending}"), given.map_or("", |given| &given.passwd));
    }
    settings
}

/// What is wrong with a name or a secret that is to go into a record, if anything: a line ends with it.
pub fn unfit(credentials: &Credentials) -> Option<&'static str> {
    let line = |text: &str| text.contains(['\n', '\r', '\0']) || text.trim() != text;
    match credentials {
        given if line(&given.username) => Some("the user name has a line end, or blanks around it"),
        given if line(&given.passwd) => Some("the CHAP secret has a line end, or blanks around it"),
        given if given.username.is_empty() => Some("there is a CHAP secret and no user name"),
        _ => None,
    }
}

/// Sets values in a record's file: each `name = value` replaces what the record had under the name, and
/// an empty value removes it.
///
/// # Errors
/// When the file cannot be read or replaced; it is as it was then.
pub fn edit(file: &Path, settings: &[(String, Zeroizing<String>)]) -> io::Result<()> {
    let old = Zeroizing::new(std::fs::read_to_string(file)?);
    replace(file, &edited(&old, settings))
}

fn edited(old: &str, settings: &[(String, Zeroizing<String>)]) -> Zeroizing<String> {
    let name_of = |line: &str| line.split_once('=').map(|(name, _)| name.trim().to_owned());
    let wanted: usize = settings.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    // Room for everything at once, so that no copy of a secret stays behind where it grew.
    let mut new = Zeroizing::new(String::with_capacity(old.len() + wanted + LAST_LINE.len() + 2));
    let kept = old.lines().filter(|line| {
        *line != LAST_LINE
            && name_of(line).is_none_or(|name| settings.iter().all(|(other, _)| *other != name))
    });
    for line in kept {
        new.push_str(line);
        new.push('\n');
    }
    for (name, value) in settings.iter().filter(|(_, value)| !value.is_empty()) {
        new.push_str(name);
        new.push_str(" = ");
        new.push_str(value);
        new.push('\n');
    }
    new.push_str(LAST_LINE);
    new.push('\n');
    new
}

/// Puts a file in the place of another, for its owner alone.
///
/// # Errors
/// When it cannot be written; the old one is there then.
pub fn replace(file: &Path, text: &str) -> io::Result<()> {
    // Not beside it: whatever is in a record's directory is taken for a record.
    let root = file.ancestors().nth(if file.ends_with("st_config") { 3 } else { 4 }).unwrap_or(file);
    let new = root.join(format!(".osc-{}", uuid::Uuid::new_v4().simple()));
    let written = (|| {
        let mut out = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        std::fs::rename(&new, file)
    })();
    written.inspect_err(|_| drop(std::fs::remove_file(&new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(username: &str, passwd: &str) -> Credentials {
        Credentials { username: username.into(), passwd: passwd.to_owned().into() }
    }

    const RECORD: &str = "# BEGIN RECORD 2.1.8\nnode.name = iqn.x\nnode.session.auth.authmethod = None\n\
                          node.session.auth.password = old\nnode.session.scan = auto\n# END RECORD\n";

    #[test]
    fn settings_replace_what_was_there_and_keep_the_rest() {
        let mut settings = authentication("node.session", Some(&credentials("u", "p=1 #2")), None);
        settings.push(("node.session.scan".into(), "manual".to_owned().into()));
        assert_eq!(
            edited(RECORD, &settings).as_str(),
            "# BEGIN RECORD 2.1.8\nnode.name = iqn.x\nnode.session.auth.authmethod = CHAP\n\
             node.session.auth.username = u\nnode.session.auth.password = p=1 #2\nnode.session.scan = manual\n# END RECORD\n"
        );
    }

    #[test]
    fn a_target_proves_itself_only_to_somebody_who_does_so_too() {
        let (own, its) = (credentials("u", "p"), credentials("t", "q"));
        let mutual = edited(RECORD, &authentication("node.session", Some(&own), Some(&its)));
        assert!(mutual.contains("node.session.auth.username_in = t\nnode.session.auth.password_in = q\n"));
        let none = edited(&mutual, &authentication("node.session", None, Some(&its)));
        assert!(
            none.contains("authmethod = None") && !none.contains("password") && !none.contains("username")
        );
    }

    #[test]
    fn a_record_is_replaced_whole_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let roots = Roots { iscsi: vec![root.path().join("absent"), root.path().into()], ..Roots::default() };
        let node = Node {
            target: "iqn.x".into(),
            address: "192.0.2.1".into(),
            port: 3260,
            tpgt: 1,
            iface: "osc".into(),
        };
        let file = node.file(&roots).unwrap();
        assert_eq!(file, root.path().join("nodes/iqn.x/192.0.2.1,3260,1/osc"));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, RECORD).unwrap();
        edit(&file, &authentication("node.session", Some(&credentials("u", "p")), None)).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            std::fs::read_dir(file.parent().unwrap()).unwrap().count(),
            1,
            "nothing else that looks like a record"
        );
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1, "nothing half done is left");
    }

    #[test]
    fn what_would_be_two_lines_is_not_a_secret() {
        assert_eq!(unfit(&credentials("u", "twelve bytes")), None);
        for (username, passwd) in [("u", "a\nb"), ("u\n", "a"), ("u", " a"), ("", "a")] {
            assert!(unfit(&credentials(username, passwd)).is_some());
        }
    }

    #[test]
    fn the_agent_s_interfaces_are_known_by_their_names() {
        assert_eq!(iface_name(Some("eth0")), "osc-eth0");
        assert!(is_our_iface("osc") && is_our_iface("osc-eth0"));
        assert!(!is_our_iface("default") && !is_our_iface("oscar"));
    }
}
