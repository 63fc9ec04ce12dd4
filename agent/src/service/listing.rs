//! A list of elements as it arrives: each merged into what is known, those that have not changed
//! recognised by their text alone.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::error::Error;
use crate::inventory::{Element, Elements, Server};
use crate::operation::merge;
use crate::record::{Dict as _, Problem, StorageElement};

/// The elements of the last list by the digest of the text they arrived as.
pub type Seen = HashMap<u128, Arc<Element>>;

/// A list while it arrives.
pub struct Listing<'a> {
    server: &'a Server,
    before: &'a Seen,
    /// Everything listed, by id.
    pub found: BTreeMap<Arc<str>, Arc<Element>>,
    /// The same by digest, for the next list.
    pub seen: Seen,
    /// What the records broke of the contract.
    pub problems: Vec<Problem>,
    /// The first element that could not be taken.
    pub unusable: Option<Error>,
}

impl<'a> Listing<'a> {
    /// A list of the elements of `server`, of which `before` was the last.
    pub fn new(server: &'a Server, before: &'a Seen) -> Listing<'a> {
        Listing {
            server,
            before,
            found: BTreeMap::new(),
            seen: Seen::with_capacity(before.len()),
            problems: Vec::new(),
            unusable: None,
        }
    }

    /// Takes the next element.
    pub fn item(&mut self, raw: &RawValue) {
        let digest = digest(raw.get());
        // Only while the inventory still shows what that text led to.
        let unchanged = self.before.get(&digest).filter(|element| {
            self.server.elements.by_id.get(&element.id).is_some_and(|known| Arc::ptr_eq(known, element))
        });
        let element = match unchanged {
            Some(element) => element.clone(),
            None => match self.read(raw) {
                Ok(element) => element,
                Err(error) => {
                    self.unusable.get_or_insert(error);
                    return;
                }
            },
        };
        if self.found.contains_key(&element.id) {
            let text = format!("lists the element {} twice; the first counts", element.id);
            self.problem(Problem { field: "se_record".into(), text });
            return;
        }
        self.seen.insert(digest, element.clone());
        self.found.insert(element.id.clone(), element);
    }

    fn read(&mut self, raw: &RawValue) -> Result<Arc<Element>, Error> {
        // What the wire parsed once is JSON.
        let value = serde_json::from_str(raw.get()).unwrap_or_default();
        let (record, problems) = StorageElement::parse(&value);
        let (element, more) = merge::element(self.server, None, record, None)?;
        for problem in problems.into_iter().chain(more) {
            self.problem(problem);
        }
        // The one that is there already is the one to keep, so that nothing is held twice.
        let known = self.server.elements.by_id.get(&element.id).filter(|known| known.line == element.line);
        Ok(known.cloned().unwrap_or(element))
    }

    /// One for each field is enough to tell.
    fn problem(&mut self, problem: Problem) {
        if self.problems.iter().all(|known| known.field != problem.field) {
            self.problems.push(problem);
        }
    }
}

/// What becomes of `current`, where `found` is everything but what `except` names; `None` where
/// nothing changes.
pub fn merged(
    current: &Arc<Elements>,
    found: &BTreeMap<Arc<str>, Arc<Element>>,
    except: &HashMap<Arc<str>, u64>,
) -> Option<Arc<Elements>> {
    let mine = |id: &Arc<str>| !except.contains_key(id);
    let gone: Vec<_> =
        current.by_id.keys().filter(|id| !found.contains_key(*id) && mine(id)).cloned().collect();
    let new: Vec<_> = found
        .iter()
        .filter(|(id, element)| {
            mine(id) && current.by_id.get(*id).is_none_or(|known| !Arc::ptr_eq(known, element))
        })
        .map(|(_, element)| element.clone())
        .collect();
    if gone.is_empty() && new.is_empty() {
        return None;
    }
    let mut next = Elements::clone(current);
    for id in gone {
        next.remove(&id);
    }
    for element in new {
        next.insert(element);
    }
    Some(Arc::new(next))
}

fn digest(text: &str) -> u128 {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        salt.hash(&mut hasher);
        text.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}
