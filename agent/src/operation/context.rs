//! The storage server's record as its plug-in gets it: one of the two forms of access context
//! (specification, "access_descriptor dict definition"), and back.

use super::credential;
use crate::inventory::Server;
use crate::plugin::Plugin;
use crate::plugin::api::PluginType;
use crate::plugin::version;
use crate::record::{AccessDescriptor, Dict as _, Problem, StorageServer};
use crate::store;

/// Whether the plug-in reads the access context as `access_descriptors` (Form 2).
pub fn reads_descriptors(plugin: &Plugin, record: &StorageServer) -> bool {
    plugin.plugin_type == Some(PluginType::StorageArray)
        && record.storage_type.as_deref().is_some_and(|ty| ty.eq_ignore_ascii_case("iSCSI"))
        && plugin
            .info
            .get("extended_api_version")
            .and_then(version::api)
            .is_some_and(|version| version.as_slice() >= [1, 2, 9].as_slice())
}

/// The record as the plug-in of `server` gets it.
pub fn sent(server: &Server, plugin: &Plugin) -> StorageServer {
    let mut record = StorageServer::clone(&server.record);
    if let Some(dir) = store::credentials_directory() {
        credential::fill_in(&mut record, &dir);
    }
    let form_2 = reads_descriptors(plugin, &record);
    in_form(record, form_2)
}

/// The record with its access context in Form 2 or Form 1, whichever it was registered with.
pub fn in_form(mut sent: StorageServer, form_2: bool) -> StorageServer {
    if form_2 {
        let discrete = AccessDescriptor {
            access_host: sent.access_host.take(),
            access_port: sent.access_port.take(),
            username: sent.username.take(),
            passwd: sent.passwd.take(),
            ..AccessDescriptor::default()
        };
        sent.access_descriptors.get_or_insert_with(|| vec![discrete]);
    } else if let Some(first) = sent.access_descriptors.take().and_then(|all| all.into_iter().next()) {
        sent.access_host = first.access_host;
        sent.access_port = first.access_port;
        sent.username = first.username;
        sent.passwd = first.passwd;
    }
    sent
}

/// Merges the storage server's record as a plug-in answered it into the registered one.
///
/// The registered record keeps the form of access context that it has; a port that the plug-in
/// filled in reaches it in either.
pub fn merge(known: &mut StorageServer, sent: &StorageServer, mut answer: StorageServer) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut merged = sent.clone();
    // The descriptors have rules of their own; as a list they may not change.
    if let (Some(sent), Some(answered)) = (&sent.access_descriptors, &mut answer.access_descriptors)
        && sent.len() == answered.len()
    {
        let mut descriptors = sent.clone();
        for (known, answered) in descriptors.iter_mut().zip(answered.iter()) {
            problems.extend(known.merge(answered).into_iter().map(|problem| Problem {
                field: format!("access_descriptors.{}", problem.field),
                ..problem
            }));
        }
        merged.access_descriptors = Some(descriptors.clone());
        *answered = descriptors;
    }
    // A password that comes back blank was not changed, it was hidden.
    for (mine, theirs) in [(&sent.admin_passwd, &mut answer.admin_passwd), (&sent.passwd, &mut answer.passwd)]
    {
        if mine.is_some() && theirs.as_ref().is_some_and(|theirs| theirs.expose().is_empty()) {
            *theirs = None;
        }
    }
    problems.extend(merged.merge(&answer));
    // What was registered with the storage server stays with it, also where an answer leaves it out.
    for (key, value) in &sent.extra {
        merged.extra.entry(key.clone()).or_insert_with(|| value.clone());
    }
    let registered = std::mem::replace(known, merged);
    let port = known.access_port.take();
    let ports: Vec<_> = known.access_descriptors.iter().flatten().map(|each| each.access_port).collect();
    known.access_descriptors = registered.access_descriptors;
    known.access_host = registered.access_host;
    // What was sent may have been a credential, which is nobody's to keep.
    known.admin_passwd = registered.admin_passwd;
    known.username = registered.username;
    known.passwd = registered.passwd;
    known.access_port = registered.access_port;
    match &mut known.access_descriptors {
        Some(descriptors) => {
            let given = if ports.is_empty() { vec![port] } else { ports };
            for (descriptor, port) in descriptors.iter_mut().zip(given) {
                descriptor.access_port = descriptor.access_port.or(port);
            }
        }
        None => known.access_port = known.access_port.or(port).or(ports.first().copied().flatten()),
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::record::View;

    fn record(value: Value) -> StorageServer {
        StorageServer::parse(&value).0
    }

    fn plugin(ty: PluginType, extended: Value) -> Plugin {
        Plugin {
            impl_name: "a.b.C.D".into(),
            module: "a.b".into(),
            plugin_type: Some(ty),
            info: [("extended_api_version".to_owned(), extended)].into_iter().collect(),
            abilities: Default::default(),
            status: Default::default(),
        }
    }

    #[test]
    fn only_an_iscsi_plug_in_that_says_so_gets_form_2() {
        let iscsi = record(json!({"storage_type": "iSCSI"}));
        let san = record(json!({"storage_type": "SAN"}));
        let new = json!(["1", "2", "9"]);
        assert!(reads_descriptors(&plugin(PluginType::StorageArray, new.clone()), &iscsi));
        assert!(reads_descriptors(&plugin(PluginType::StorageArray, json!("1,2,10")), &iscsi));
        assert!(reads_descriptors(&plugin(PluginType::StorageArray, json!(["1", "3"])), &iscsi));
        assert!(!reads_descriptors(&plugin(PluginType::StorageArray, json!(["1", "2", "7"])), &iscsi));
        assert!(!reads_descriptors(&plugin(PluginType::StorageArray, Value::Null), &iscsi));
        assert!(!reads_descriptors(&plugin(PluginType::StorageArray, new.clone()), &san));
        assert!(!reads_descriptors(&plugin(PluginType::FileSystem, new), &iscsi));
    }

    #[test]
    fn each_form_is_made_from_the_other() {
        let form_2 = record(json!({"access_descriptors": [
            {"access_host": "h1", "access_port": 3260, "username": "u", "passwd": "p"}, {"access_host": "h2"}]}));
        let sent = in_form(form_2.clone(), false).to_value(View::Wire);
        assert_eq!(sent, json!({"access_host": "h1", "access_port": 3260, "username": "u", "passwd": "p"}));
        assert_eq!(in_form(form_2.clone(), true), form_2);
        let form_1 = record(json!({"access_host": "h", "passwd": "p"}));
        let sent = in_form(form_1.clone(), true).to_value(View::Wire);
        assert_eq!(sent, json!({"access_descriptors": [{"access_host": "h", "passwd": "p"}]}));
        assert_eq!(in_form(form_1.clone(), false), form_1);
    }

    #[test]
    fn the_registered_form_survives_an_answer_in_the_other() {
        let registered = record(
            json!({"name": "a", "access_descriptors": [{"access_host": "h1"}, {"access_host": "h2"}]}),
        );
        let sent = in_form(registered.clone(), false);
        let mut known = registered.clone();
        let problems = merge(
            &mut known,
            &sent,
            record(json!({"name": "a", "status": "ok", "access_host": "h1", "access_port": 860})),
        );
        assert_eq!(problems, vec![]);
        assert_eq!(known.access_host, None);
        let ports: Vec<_> = known.access_descriptors.iter().flatten().map(|each| each.access_port).collect();
        assert_eq!((ports, known.status.as_deref()), (vec![Some(860), None], Some("ok")));
    }

    #[test]
    fn a_password_that_was_not_registered_is_not_kept() {
        let registered = record(json!({"name": "a", "admin_passwd": ""}));
        let mut sent = registered.clone();
        sent.admin_passwd = Some(crate::record::Secret::new("given".into()));
        sent.passwd = sent.admin_passwd.clone();
        let mut known = registered.clone();
        let answer = record(json!({"name": "a", "admin_passwd": "given", "passwd": "given", "status": "ok"}));
        assert_eq!(merge(&mut known, &sent, answer), vec![]);
        assert_eq!((known.admin_passwd, known.passwd), (registered.admin_passwd, None));
    }

    #[test]
    fn a_plug_in_fills_in_a_port_and_changes_no_host() {
        let registered = record(json!({"access_host": "h", "passwd": "p"}));
        let sent = in_form(registered.clone(), true);
        let mut known = registered.clone();
        let answer = record(
            json!({"access_descriptors": [{"access_host": "other", "access_port": 3260, "passwd": "p"}]}),
        );
        let problems: Vec<_> =
            merge(&mut known, &sent, answer).into_iter().map(|problem| problem.field).collect();
        assert_eq!(problems, ["access_descriptors.access_host"]);
        assert_eq!((known.access_host.as_deref(), known.access_port), (Some("h"), Some(3260)));
        assert_eq!((known.access_descriptors, known.passwd), (None, registered.passwd));
    }
}
