//! Objects of the agent as its client knows them, and finding the one that a word names.

use std::collections::BTreeMap;

use serde_json::Value;

use super::failure::{Failure, Outcome};

/// One object of the agent.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// Its D-Bus object path.
    pub path: String,
    /// Its id: a UUID, an element's or a file system's id, a plug-in's implementation name.
    pub id: String,
    /// Its record; null for a plug-in.
    pub record: Value,
    /// Its other properties, JSON lines parsed.
    pub more: BTreeMap<String, Value>,
}

impl Entry {
    /// A text field of the record, or "".
    pub fn text(&self, field: &str) -> &str {
        self.record.get(field).and_then(Value::as_str).unwrap_or("")
    }

    /// The name that people know it by, or else its id.
    pub fn name(&self) -> &str {
        match self.text("name") {
            "" => &self.id,
            name => name,
        }
    }

    /// Another property, or null.
    pub fn property(&self, name: &str) -> &Value {
        self.more.get(name).unwrap_or(&Value::Null)
    }

    /// Every word that names the object in full.
    fn names(&self) -> impl Iterator<Item = &str> {
        let fields = ["name", "uuid", "page83_id", "id"].into_iter().map(|field| self.text(field));
        let info = ["plugin_name", "impl_name"]
            .into_iter()
            .filter_map(|field| self.property("Info").get(field).and_then(Value::as_str));
        fields.chain(info).filter(|name| !name.is_empty())
    }
}

/// Lower case and without dashes, as UUIDs are compared.
fn plain(id: &str) -> String {
    id.chars().filter(|c| *c != '-').flat_map(char::to_lowercase).collect()
}

/// Finds the object that `word` names: by its id, by its name, or by a unique beginning of its id.
///
/// # Errors
/// Bad usage when there is none, or several: the candidates are listed then.
pub fn find<'a>(what: &str, word: &str, entries: &'a [Entry]) -> Outcome<&'a Entry> {
    let wanted = plain(word);
    if wanted.is_empty() {
        return Err(Failure::usage(format!("a {what} cannot be named {word:?}")));
    }
    type Test<'t> = &'t dyn Fn(&Entry) -> bool;
    let tests: [Test<'_>; 4] = [
        &|entry| plain(&entry.id) == wanted,
        &|entry| entry.names().any(|name| name == word),
        &|entry| plain(&entry.id).starts_with(&wanted),
        // Implementation names are long, and differ at their end.
        &|entry| entry.id.ends_with(&format!(".{word}")),
    ];
    for test in tests {
        let mut found: Vec<&Entry> = entries.iter().filter(|entry| test(entry)).collect();
        match (found.pop(), found.is_empty()) {
            (None, _) => {}
            (Some(only), true) => return Ok(only),
            (Some(last), false) => {
                found.push(last);
                return Err(ambiguous(what, word, &found));
            }
        }
    }
    Err(Failure::unknown(format!("there is no {what} {word:?}")))
}

fn ambiguous(what: &str, word: &str, found: &[&Entry]) -> Failure {
    const SHOWN: usize = 10;
    let mut lines: Vec<String> = found
        .iter()
        .take(SHOWN)
        .map(|entry| match entry.text("name") {
            "" => entry.id.clone(),
            name => format!("{}  {}", entry.id, name),
        })
        .collect();
    if found.len() > SHOWN {
        lines.push(format!("and {} more", found.len() - SHOWN));
    }
    Failure::usage(format!("{word:?} names {} {what}s:\n  {}", found.len(), lines.join("\n  ")))
        .hint("give more of the id")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(id: &str, name: &str) -> Entry {
        Entry {
            id: id.into(),
            record: json!({"name": name, "page83_id": format!("3{id}")}),
            ..Entry::default()
        }
    }

    fn some() -> Vec<Entry> {
        vec![
            entry("0195aaaa-0000-7000-8000-000000000001", "filer"),
            entry("0195aaaa-0000-7000-8000-000000000002", "nas"),
            entry("0195bbbb-0000-7000-8000-000000000003", "twin"),
            entry("0195cccc-0000-7000-8000-000000000004", "twin"),
            entry("0195dddd-0000-7000-8000-000000000005", "0195bbbb"),
        ]
    }

    fn end(word: &str) -> Outcome<String> {
        find("storage server", word, &some()).map(|entry| entry.id[35..].to_owned())
    }

    #[test]
    fn an_object_is_named_by_id_by_name_or_by_a_unique_beginning() {
        let cases = [
            ("0195aaaa-0000-7000-8000-000000000001", "1"),
            ("0195AAAA000070008000000000000002", "2"),
            ("filer", "1"),
            ("0195c", "4"),
            ("0195cccc-00", "4"),
            // A name wins over a beginning.
            ("0195bbbb", "5"),
            ("0195bbbb-0000", "3"),
            ("30195aaaa-0000-7000-8000-000000000002", "2"),
        ];
        for (word, right) in cases {
            assert_eq!(end(word).expect(word), right, "{word}");
        }
    }

    #[test]
    fn an_ambiguous_word_lists_its_candidates() {
        for (word, candidates) in [("twin", ["0195bbbb", "0195cccc"]), ("0195aaaa", ["filer", "nas"])] {
            let failure = end(word).expect_err(word);
            let text = failure.to_string();
            assert_eq!(failure.status, 2);
            assert!(candidates.iter().all(|candidate| text.contains(candidate)), "{text}");
        }
    }

    #[test]
    fn an_unknown_word_is_bad_usage() {
        for word in ["tape", "ilер", "-", ""] {
            assert_eq!(end(word).expect_err(word).status, 2);
        }
    }

    #[test]
    fn a_plug_in_is_named_by_the_end_of_its_implementation_name_too() {
        let plugins = ["osc.filearray.FileArray.FileArray", "osc.nfs.NFS.NFSPlugin"]
            .map(|id| Entry { id: id.into(), ..Entry::default() });
        for word in ["osc.filearray", "FileArray.FileArray", "FileArray", "osc.filearray.FileArray.FileArray"]
        {
            assert_eq!(find("plug-in", word, &plugins).expect(word).id, plugins[0].id);
        }
        assert!(find("plug-in", "osc", &plugins).is_err());
    }
}
