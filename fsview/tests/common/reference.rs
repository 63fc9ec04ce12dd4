//! What the tree must show, worked out the slow and obvious way from the model's state, and sequences of changes to hold it against.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fsview::{Change, ElementNames};
use proptest::prelude::*;

use super::common::{Fake, FakeElement, SS, server};

/// A second storage server, which comes and goes.
const OTHER: &str = "other";
/// Identities and their file names.
const IDS: &[(&str, &str)] = &[("a", "a"), ("b", "b"), ("x/y", "x%2Fy"), ("..", "%2E%2E"), ("a~b", "a~b")];
/// Names that collide with each other, and with what collisions are called.
const NAMES: &[&str] = &["", "n", "m", "n~a", "n~b", "n~a~b"];

/// One step of a sequence.
#[derive(Clone, Debug)]
pub enum Step {
    /// An element is there, with this version and these names.
    Put { ss: usize, id: usize, version: u8, name: usize, page83: usize, device: usize },
    /// An element is gone.
    Remove { ss: usize, id: usize },
    /// The second server comes or goes.
    Toggle,
    /// Something reads everything, so that the caches are full.
    Walk,
    /// Only "something changed" is told.
    Everything,
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (ids, names) = (0..IDS.len(), 0..NAMES.len());
    let put = (0..2usize, ids.clone(), 0..3u8, names.clone(), names.clone(), names);
    let put = put.prop_map(|(ss, id, version, name, page83, device)| Step::Put {
        ss,
        id,
        version,
        name,
        page83,
        device,
    });
    let remove = (0..2usize, ids).prop_map(|(ss, id)| Step::Remove { ss, id });
    let step = prop_oneof![6 => put, 3 => remove, 1 => Just(Step::Toggle), 3 => Just(Step::Walk), 1 => Just(Step::Everything)];
    proptest::collection::vec(step, 1..40)
}

/// Changes the model and says what to tell the tree; `None` for a walk.
pub fn carry_out(fake: &Fake, step: &Step) -> Option<Change> {
    let ss = |n: usize| Arc::<str>::from([SS, OTHER][n]);
    let mut state = fake.state();
    match *step {
        Step::Put { ss: n, id, version, name, page83, device } => {
            let (ss, se) = (ss(n), Arc::<str>::from(IDS[id].0));
            let device = Arc::<str>::from(NAMES[device]);
            let names = ElementNames {
                name: NAMES[name].into(),
                page83: NAMES[page83].into(),
                devices: if device.is_empty() { vec![] } else { vec![device] },
            };
            let record = format!("{{\"{se}\":{version}}}").into();
            state.elements.insert((ss.clone(), se.clone()), FakeElement { record, names });
            Some(Change::Element { ss, se })
        }
        Step::Remove { ss: n, id } => {
            let (ss, se) = (ss(n), Arc::<str>::from(IDS[id].0));
            state.elements.remove(&(ss.clone(), se.clone()));
            Some(Change::Element { ss, se })
        }
        Step::Toggle => {
            if state.servers.remove(OTHER).is_none() {
                state.servers.insert(OTHER.into(), server("array one"));
            }
            state.elements.retain(|(ss, _), _| &**ss != OTHER);
            Some(Change::Server(OTHER.into()))
        }
        Step::Walk => None,
        Step::Everything => Some(Change::Everything),
    }
}

/// What can be seen of a tree.
pub trait View {
    /// The names in a directory, `None` where there is none.
    fn list(&self, dir: &str) -> Option<BTreeSet<String>>;
    /// A file's content.
    fn read(&self, file: &str) -> Option<String>;
    /// Where a link leads.
    fn link(&self, link: &str) -> Option<String>;
}

/// Everything that the reference looks at, as path and content.
pub fn seen(view: &dyn View) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    let mut links = vec!["by-name".to_owned(), "by-page83".to_owned(), "by-device".to_owned()];
    for ss in view.list("ss").unwrap_or_default() {
        links.push(format!("ss/{ss}/se-by-name"));
        let se = format!("ss/{ss}/se");
        for name in view.list(&se).unwrap_or_default() {
            let record = format!("{se}/{name}/record");
            seen.insert(record.clone(), view.read(&record).unwrap_or_else(|| "missing".into()));
        }
        // Absent names must be absent however often they were asked for.
        for (_, name) in IDS {
            let record = format!("{se}/{name}/record");
            if let Some(text) = view.read(&record) {
                seen.insert(record, text);
            }
        }
    }
    for dir in links {
        for name in view.list(&dir).unwrap_or_default() {
            let link = format!("{dir}/{name}");
            seen.insert(link.clone(), view.link(&link).unwrap_or_else(|| "missing".into()));
        }
        for name in NAMES.iter().filter(|name| !name.is_empty()) {
            let link = format!("{dir}/{name}");
            if let Some(target) = view.link(&link) {
                seen.insert(link, target);
            }
        }
    }
    seen
}

/// The same, from the model.
pub fn expected(fake: &Fake) -> BTreeMap<String, String> {
    let state = fake.state();
    let mut expected = BTreeMap::new();
    // Directory and name, to suffix and target of each holder in the order of their identities.
    let mut links: BTreeMap<(String, String), Vec<(String, String)>> = BTreeMap::new();
    let mut link = |dir: &str, name: &str, suffix: String, target: String| {
        if !name.is_empty() {
            links.entry((dir.into(), name.into())).or_default().push((suffix, target));
        }
    };
    for (ss, server) in &state.servers {
        link("by-name", &server.name, ss.to_string(), format!("../ss/{ss}"));
    }
    for ((ss, se), element) in &state.elements {
        if !state.servers.contains_key(ss) {
            continue;
        }
        let file = IDS.iter().find(|(id, _)| *id == &**se).map_or("?", |(_, file)| file);
        expected.insert(format!("ss/{ss}/se/{file}/record"), format!("{}\n", element.record));
        link(&format!("ss/{ss}/se-by-name"), &element.names.name, se.to_string(), format!("../se/{file}"));
        let target = format!("../ss/{ss}/se/{file}");
        link("by-page83", &element.names.page83, format!("{ss}~{se}"), target.clone());
        for device in &element.names.devices {
            link("by-device", device, format!("{ss}~{se}"), target.clone());
        }
    }
    for ((dir, name), holders) in &links {
        expected.insert(format!("{dir}/{name}"), holders[0].1.clone());
    }
    for ((dir, name), holders) in &links {
        for (suffix, target) in &holders[1..] {
            // Suffixes hold what identities hold: encoded as a whole.
            let file = format!("{name}~{suffix}").replace('/', "%2F");
            expected.entry(format!("{dir}/{file}")).or_insert_with(|| target.clone());
        }
    }
    expected
}
