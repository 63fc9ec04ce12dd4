//! Passwords that the service manager brings, which the state directory then need not hold
//! (systemd.exec(5), Credentials): `osc.admin_passwd.SERVER` and `osc.passwd.SERVER`, by name or UUID.

use std::path::Path;

use crate::record::{Secret, StorageServer};

/// Puts the passwords that are in `dir` into a record on its way to the plug-in. They go before registered ones.
pub fn fill_in(record: &mut StorageServer, dir: &Path) {
    if let Some(given) = of(record, dir, "admin_passwd") {
        record.admin_passwd = Some(given);
    }
    let Some(given) = of(record, dir, "passwd") else { return };
    let descriptors = record.access_descriptors.iter_mut().flatten();
    for descriptor in descriptors.filter(|each| is_set(each.username.as_deref())) {
        descriptor.passwd = Some(given.clone());
    }
    if record.access_descriptors.is_none() {
        record.passwd = Some(given);
    }
}

fn is_set(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

/// The first line of the credential for that key of the record.
fn of(record: &StorageServer, dir: &Path, key: &str) -> Option<Secret> {
    let uuid = record.uuid.map(|uuid| uuid.to_string());
    // A name with a slash in it is no name of a file: that server has its UUID.
    let name = record.name.clone().filter(|name| !name.contains('/'));
    [uuid, name].into_iter().flatten().find_map(|server| {
        let path = dir.join(format!("osc.{key}.{server}"));
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let text = zeroize::Zeroizing::new(text);
                text.lines().next().filter(|line| !line.is_empty()).map(|line| Secret::new(line.to_owned()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(server, "the credential {} cannot be read: {error}", path.display());
                None
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::record::{Dict as _, View};

    const UUID: &str = "00000000-0000-0000-0000-000000000007";

    fn filled(record: Value, credentials: &[(&str, &str)]) -> Value {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, text) in credentials {
            std::fs::write(dir.path().join(name), text).expect("written");
        }
        let mut record = StorageServer::parse(&record).0;
        fill_in(&mut record, dir.path());
        record.to_value(View::Wire)
    }

    #[test]
    fn a_credential_goes_before_a_registered_password() {
        let by_name = [("osc.admin_passwd.array1", "new\n"), ("osc.passwd.array1", "chap\nmore")];
        let record = json!({"name": "array1", "uuid": UUID, "admin_passwd": "old", "username": "u"});
        let right =
            json!({"name": "array1", "uuid": UUID, "admin_passwd": "new", "username": "u", "passwd": "chap"});
        assert_eq!(filled(record.clone(), &by_name), right);
        let by_uuid = format!("osc.admin_passwd.{UUID}");
        let both = [(by_uuid.as_str(), "its own"), by_name[0]];
        assert_eq!(filled(record.clone(), &both)["admin_passwd"], "its own");
        let empty = [("osc.admin_passwd.array1", "\n"), ("osc.admin_passwd.array2", "another's")];
        assert_eq!(filled(record.clone(), &empty), record);
        assert_eq!(filled(json!({"name": "../array1"}), &by_name), json!({"name": "../array1"}));
    }

    #[test]
    fn every_portal_with_a_user_gets_the_password() {
        let record = json!({"name": "a", "access_descriptors": [
            {"access_host": "h1", "username": "u"}, {"access_host": "h2"}]});
        let right = json!({"name": "a", "access_descriptors": [
            {"access_host": "h1", "username": "u", "passwd": "chap"}, {"access_host": "h2"}]});
        assert_eq!(filled(record, &[("osc.passwd.a", "chap")]), right);
    }
}
