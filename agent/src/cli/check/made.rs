//! Making elements to work on, and removing everything that was made.

use serde_json::{Value, json};

use super::bench::{Bench, Stop, done, said};
use crate::cli::objects::Entry;
use crate::command::Object;
use crate::error::Kind;

/// How often what depends on something else is tried again.
const PASSES: usize = 6;

impl Bench {
    /// Makes an element, if the plug-in creates any.
    pub async fn lun(&self) -> Result<Entry, Stop> {
        let name = self.name("lun");
        let record = self.wanted(&name, self.wishes.size).await?;
        match self.ask("create", json!({"record": record})).await? {
            Err(error) if error.kind() == Kind::NoSuchOperation => {
                Err(Stop::Skip("the plug-in creates no elements to try it on".into()))
            }
            answer => self.entry(&done("create", answer)?).await,
        }
    }

    /// An element to copy: one of our own, or the one that the command line names.
    pub async fn source(&self) -> Result<Entry, Stop> {
        let Some(word) = &self.wishes.element else { return self.lun().await };
        let contents = self.contents().await?;
        crate::cli::objects::find("element", word, &contents.elements)
            .cloned()
            .map_err(|failure| Stop::Fail(failure.to_string()))
    }

    /// The record of a wanted element, which counts as made from now on.
    pub async fn wanted(&self, name: &str, size: u64) -> Result<Value, Stop> {
        self.made().names.push(name.to_owned());
        let mut record = json!({"name": name, "size": size, "se_type": "LUN"});
        if let Some((group, _)) = self.vol_group().await? {
            record["vol_group_name"] = group.into();
        }
        Ok(record)
    }

    /// The element that an answer's record stands for; it counts as made.
    pub async fn entry(&self, record: &Value) -> Result<Entry, Stop> {
        let contents = self.contents().await?;
        let same = |entry: &&Entry| {
            // The first key that the answer has decides, as it does for the agent.
            let key = ["uuid", "page83_id", "id", "name"]
                .into_iter()
                .find(|key| record[*key].as_str().is_some_and(|text| !text.is_empty()));
            key.is_some_and(|key| entry.record[key] == record[key])
        };
        let found = contents.elements.iter().find(same).cloned();
        let entry = found.ok_or_else(|| {
            Stop::Fail(format!("{} is not among the elements of the storage server", record["name"]))
        })?;
        self.made().ids.push(entry.id.clone());
        Ok(entry)
    }

    /// The element as it is now.
    pub async fn again(&self, entry: &Entry) -> Result<Entry, Stop> {
        let contents = self.contents().await?;
        let found = contents.elements.into_iter().find(|element| element.id == entry.id);
        found.ok_or_else(|| Stop::Fail(format!("{} is gone", entry.name())))
    }

    /// Takes the element offline where the ability asks for that.
    pub async fn ready(&self, entry: &Entry, ability: &str) -> Result<(), Stop> {
        if self.ability(ability) == "OFFLINE" && self.again(entry).await?.text("state") == "ONLINE" {
            done("offline", self.element(entry, "offline", json!({})).await?)?;
        }
        Ok(())
    }

    /// The parameters of a copy: a new name, where the plug-in takes one.
    pub fn copy_name(&self, ability: &str, what: &str) -> (Option<String>, Value) {
        if matches!(self.ability(ability), "NO" | "UNSUPPORTED") {
            return (None, json!({}));
        }
        let name = self.name(what);
        self.made().names.push(name.clone());
        let args = json!({"name": name});
        (Some(name), args)
    }

    /// Takes a snapshot.
    pub async fn snapshot(&self, of: &Entry) -> Result<Entry, Stop> {
        self.need("snapshot")?;
        self.ready(of, "snapshot").await?;
        let (_, args) = self.copy_name("custom_snap_name", "snap");
        self.entry(&done("snapshot", self.element(of, "snapshot", args).await?)?).await
    }

    /// Removes everything made so far; what could not be removed, and why.
    pub async fn clean(&self) -> Result<Vec<String>, Stop> {
        let (names, ids, groups) = {
            let mut made = self.made();
            let made = &mut *made;
            (std::mem::take(&mut made.names), std::mem::take(&mut made.ids), std::mem::take(&mut made.groups))
        };
        let mut left = Vec::new();
        if !(names.is_empty() && ids.is_empty()) {
            let ours = |entry: &Entry| {
                ids.contains(&entry.id) || names.iter().any(|name| name == entry.text("name"))
            };
            for _ in 0..PASSES {
                let mut entries = self.contents().await?.elements;
                entries.retain(ours);
                // Copies before what they were made of: a later one may depend on an earlier one.
                entries.sort_by_key(|entry| std::cmp::Reverse(ids.iter().position(|id| *id == entry.id)));
                left.clear();
                for entry in &entries {
                    left.extend(self.remove(entry).await?);
                }
                if left.is_empty() {
                    break;
                }
            }
        }
        for group in groups {
            let args = json!({"groups": [group.as_str()]});
            let answer = self.cleanly(&self.server, Object::Server, "remove-access-groups", args).await?;
            left.extend(answer.err().map(|error| format!("the access group {group}: {error}")));
        }
        Ok(left)
    }

    async fn cleanly(
        &self,
        on: &Entry,
        object: Object,
        name: &str,
        args: Value,
    ) -> Result<Result<Value, String>, Stop> {
        let answer = self.carry_out(on, object, name, args, &mut Vec::new()).await?;
        Ok(answer.map_err(|error| said(&error)))
    }

    /// Removes an element, taking it away from hosts first; why not, if not.
    async fn remove(&self, entry: &Entry) -> Result<Option<String>, Stop> {
        let presented = &entry.record["access_grp_names"];
        let devices = &entry.record["path"];
        if [presented, devices].iter().any(|value| value.as_array().is_some_and(|list| !list.is_empty())) {
            let args = json!({"groups": presented});
            let _ = self.cleanly(entry, Object::Element, "unpresent", args).await?;
        }
        let Err(why) = self.cleanly(entry, Object::Element, "remove", json!({})).await? else {
            return Ok(None);
        };
        if entry.text("state") != "ONLINE" || !why.starts_with(Kind::StorageElementBusy.row().name) {
            return Ok(Some(format!("{}: {why}", entry.name())));
        }
        let _ = self.cleanly(entry, Object::Element, "offline", json!({})).await?;
        let again = self.cleanly(entry, Object::Element, "remove", json!({})).await?;
        Ok(again.err().map(|why| format!("{}: {why}", entry.name())))
    }
}
