//! [`fsview::Model`] over the inventory's snapshot. Every answer comes from memory.

use std::sync::Arc;

use fsview::{ElementNames, Model, Outcome, Target, Verb};
use serde_json::Value;
use uuid::Uuid;

use super::command::Door;
use crate::inventory::{Element, FileSystem, Server};
use crate::record::{self, AccessGroup, Dict, VolumeGroup};
use crate::service::Agent;

/// The agent as the tree sees it.
pub struct AgentModel {
    agent: Agent,
    door: Door,
    readme: Arc<str>,
    version: Arc<str>,
}

impl AgentModel {
    /// The view of `agent`, with `door` for what is written.
    pub fn new(agent: Agent, door: Door) -> AgentModel {
        AgentModel {
            agent,
            door,
            readme: include_str!("README.tree").into(),
            version: format!("oscd {}", env!("CARGO_PKG_VERSION")).into(),
        }
    }

    fn server_of(&self, ss: &str) -> Option<Arc<Server>> {
        let uuid: Uuid = ss.parse().ok()?;
        self.agent.snapshot().servers.get(&uuid).cloned()
    }

    fn element_of(&self, ss: &str, se: &str) -> Option<Arc<Element>> {
        self.server_of(ss)?.elements.by_id.get(se).cloned()
    }

    fn file_system_of(&self, ss: &str, fs: &str) -> Option<Arc<FileSystem>> {
        self.server_of(ss)?.file_systems.get(fs).cloned()
    }

    /// The record line that `attr/` takes apart.
    fn line_of(&self, target: &Target) -> Option<Arc<str>> {
        match target {
            Target::Element { ss, se } => Some(self.element_of(ss, se)?.line.clone()),
            Target::FileSystem { ss, fs } => Some(self.file_system_of(ss, fs)?.line.clone()),
            Target::Agent | Target::Server(_) | Target::Operation(_) => None,
        }
    }
}

fn text(uuid: &Uuid) -> Arc<str> {
    uuid.hyphenated().to_string().into()
}

fn lines<T: Dict>(
    records: Option<&Vec<T>>,
    name: impl Fn(&T) -> Option<&String>,
) -> Vec<(Arc<str>, Arc<str>)> {
    let records = records.into_iter().flatten();
    records.filter_map(|record| Some((name(record)?.as_str().into(), record.to_line().into()))).collect()
}

impl Model for AgentModel {
    fn readme(&self) -> Arc<str> {
        self.readme.clone()
    }

    fn version(&self) -> Arc<str> {
        self.version.clone()
    }

    fn plugins(&self) -> Vec<Arc<str>> {
        self.agent.snapshot().plugins.keys().map(|name| name.as_str().into()).collect()
    }

    fn plugin(&self, impl_name: &str) -> Option<fsview::Plugin> {
        let snapshot = self.agent.snapshot();
        let plugin = snapshot.plugins.get(impl_name)?;
        Some(fsview::Plugin {
            info: plugin.info_line().into(),
            abilities: serde_json::json!(plugin.abilities).to_string().into(),
            status: plugin.status_line().into(),
        })
    }

    fn servers(&self) -> Vec<Arc<str>> {
        self.agent.snapshot().servers.keys().map(text).collect()
    }

    fn server(&self, ss: &str) -> Option<fsview::Server> {
        let server = self.server_of(ss)?;
        Some(fsview::Server {
            record: server.record.to_line().into(),
            abilities: serde_json::json!(*server.abilities).to_string().into(),
            state: server.state_line().into(),
            plugin: server.plugin.as_str().into(),
            name: server.name().into(),
        })
    }

    fn vol_groups(&self, ss: &str) -> Vec<(Arc<str>, Arc<str>)> {
        let Some(server) = self.server_of(ss) else { return Vec::new() };
        lines(server.record.vol_groups.as_ref(), |group: &VolumeGroup| group.vol_name.as_ref())
    }

    fn access_groups(&self, ss: &str) -> Vec<(Arc<str>, Arc<str>)> {
        let Some(server) = self.server_of(ss) else { return Vec::new() };
        lines(server.record.access_grps.as_ref(), |group: &AccessGroup| group.grp_name.as_ref())
    }

    fn qos_values(&self, ss: &str) -> Vec<(Arc<str>, Arc<str>)> {
        let Some(server) = self.server_of(ss) else { return Vec::new() };
        server.qos.iter().map(|(value, line)| (value.as_str().into(), line.clone())).collect()
    }

    fn elements(&self, ss: &str) -> Vec<Arc<str>> {
        self.server_of(ss).map(|server| server.elements.by_id.keys().cloned().collect()).unwrap_or_default()
    }

    fn element_record(&self, ss: &str, se: &str) -> Option<Arc<str>> {
        Some(self.element_of(ss, se)?.line.clone())
    }

    fn element_names(&self, ss: &str, se: &str) -> Option<ElementNames> {
        let element = self.element_of(ss, se)?;
        let record = element.record();
        let devices = record.path.unwrap_or_default();
        Some(ElementNames {
            name: record.name.unwrap_or_default().into(),
            page83: record.page83_id.unwrap_or_default().into(),
            devices: devices.iter().filter_map(|path| path.strip_prefix("/dev/").map(Arc::from)).collect(),
        })
    }

    fn file_systems(&self, ss: &str) -> Vec<Arc<str>> {
        self.server_of(ss).map(|server| server.file_systems.keys().cloned().collect()).unwrap_or_default()
    }

    fn file_system_record(&self, ss: &str, fs: &str) -> Option<Arc<str>> {
        Some(self.file_system_of(ss, fs)?.line.clone())
    }

    fn mounts(&self, ss: &str, fs: &str) -> Vec<(Arc<str>, Arc<str>)> {
        let Some(file_system) = self.file_system_of(ss, fs) else { return Vec::new() };
        file_system.mounts.iter().map(|(uuid, line)| (text(uuid), line.clone())).collect()
    }

    fn attrs(&self, target: &Target) -> Vec<(Arc<str>, Arc<str>)> {
        let Some(line) = self.line_of(target) else { return Vec::new() };
        let Ok(Value::Object(map)) = serde_json::from_str(&line) else { return Vec::new() };
        map.iter().map(|(name, value)| (name.as_str().into(), record::bare(value).into())).collect()
    }

    fn operations(&self) -> Vec<Arc<str>> {
        self.agent.snapshot().operations.keys().map(text).collect()
    }

    fn operation(&self, op: &str) -> Option<fsview::Operation> {
        let snapshot = self.agent.snapshot();
        let operation = snapshot.operations.get(&op.parse().ok()?)?;
        let progress = operation.progress.map_or_else(|| "unknown".to_owned(), |percent| percent.to_string());
        Some(fsview::Operation {
            record: operation.to_json().to_string().into(),
            progress: format!("{} {progress}", operation.state.as_str()).into(),
        })
    }

    fn outcome(&self, op: &str) -> Option<Outcome> {
        let snapshot = self.agent.snapshot();
        let operation = snapshot.operations.get(&op.parse().ok()?)?;
        super::command::outcome(operation)
    }

    fn events(&self, after: u64) -> Vec<(u64, Arc<str>)> {
        self.agent.events_since(after)
    }

    fn usage(&self, target: &Target, verb: Verb) -> String {
        super::command::usage(target, verb)
    }

    fn command(
        &self,
        request: fsview::Request,
        begun: Box<dyn FnOnce() + Send>,
        done: Box<dyn FnOnce(Outcome) + Send>,
    ) {
        self.door.command(request, begun, done);
    }
}
