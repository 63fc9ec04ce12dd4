//! What plug-ins keep between calls (specification, "Caching"): text and byte strings by storage
//! server and key, shared by every call, worker and interpreter of this host.
//!
//! Values are held as the wire carries them and given back as they came.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

/// How long a value lives unless `set` says otherwise.
pub const DEFAULT_LIFE: Duration = Duration::from_secs(30);

/// Longer than any value is of use; keeps clock arithmetic within bounds.
const LONGEST_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Bytes kept for one storage server unless told otherwise.
pub const SERVER_BYTES: usize = 8 << 20;

/// Storage servers that have a cache at all; nobody can make the agent grow by inventing more.
const SERVERS: usize = 1024;

/// What an entry costs beside its key and value.
const OVERHEAD: usize = 128;

/// One request of a plug-in.
#[derive(Debug, Deserialize)]
pub struct Request {
    op: Op,
    ss_uuid: Uuid,
    #[serde(default)]
    key: Value,
    #[serde(default)]
    value: Option<Box<RawValue>>,
    #[serde(default)]
    seconds: Option<i64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Set,
    Get,
    Extend,
    Clear,
}

/// The cache.
pub struct Cache {
    server_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    servers: HashMap<Uuid, Server>,
    /// Counts uses: what has the lowest number was used least recently.
    uses: u64,
}

#[derive(Default)]
struct Server {
    entries: HashMap<String, Entry>,
    by_use: BTreeMap<u64, String>,
    bytes: usize,
    used: u64,
}

struct Entry {
    value: Box<RawValue>,
    expires: Instant,
    used: u64,
}

impl Cache {
    /// An empty cache that keeps `server_bytes` for each storage server.
    pub fn new(server_bytes: usize) -> Cache {
        Cache { server_bytes, inner: Mutex::default() }
    }

    /// Answers a request; `now` is when it came. Everything but a successful `get` is answered
    /// with `None`.
    pub fn answer(&self, request: Request, now: Instant) -> Option<Box<RawValue>> {
        // Byte strings that are not text come as an object; its JSON is as good a name as any.
        let key = match request.key {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let life = request.seconds.map(seconds);
        let mut inner = self.lock();
        match request.op {
            Op::Get => return inner.get(request.ss_uuid, &key, now),
            Op::Set => match request.value.filter(|value| value.get() != "null") {
                Some(value) => {
                    let expires = now + life.unwrap_or(DEFAULT_LIFE);
                    inner.set(request.ss_uuid, key, value, expires, now, self.server_bytes);
                }
                None => inner.remove(request.ss_uuid, &key),
            },
            Op::Extend => inner.extend(request.ss_uuid, &key, life.unwrap_or_default(), now),
            Op::Clear => drop(inner.servers.remove(&request.ss_uuid)),
        }
        None
    }

    /// Forgets everything of a storage server.
    pub fn forget(&self, ss_uuid: Uuid) {
        self.lock().servers.remove(&ss_uuid);
    }

    /// Frees what has expired and nobody asks for any more.
    pub fn purge(&self, now: Instant) {
        let mut inner = self.lock();
        inner.servers.values_mut().for_each(|server| server.purge(now));
        inner.servers.retain(|_, server| !server.entries.is_empty());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every change is whole before anything can panic, so a poisoned lock hides nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.max(0).unsigned_abs()).min(LONGEST_LIFE)
}

impl Inner {
    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }

    fn get(&mut self, ss_uuid: Uuid, key: &str, now: Instant) -> Option<Box<RawValue>> {
        let used = self.next_use();
        let server = self.servers.get_mut(&ss_uuid)?;
        if server.entries.get(key)?.expires <= now {
            server.remove(key);
            return None;
        }
        server.used = used;
        let entry = server.entries.get_mut(key)?;
        if let Some(name) = server.by_use.remove(&entry.used) {
            server.by_use.insert(used, name);
        }
        entry.used = used;
        Some(entry.value.clone())
    }

    fn set(
        &mut self,
        ss_uuid: Uuid,
        key: String,
        value: Box<RawValue>,
        expires: Instant,
        now: Instant,
        limit: usize,
    ) {
        let used = self.next_use();
        if !self.servers.contains_key(&ss_uuid) && self.servers.len() >= SERVERS {
            let oldest = self.servers.iter().min_by_key(|(_, server)| server.used).map(|(uuid, _)| *uuid);
            oldest.map(|uuid| self.servers.remove(&uuid));
        }
        let server = self.servers.entry(ss_uuid).or_default();
        server.used = used;
        server.remove(&key);
        let size = size(&key, &value);
        if size > limit {
            tracing::debug!(%ss_uuid, size, limit, "a value is larger than the whole cache of its storage server");
            return;
        }
        if server.bytes + size > limit {
            server.purge(now);
        }
        while server.bytes + size > limit {
            let Some((_, oldest)) = server.by_use.first_key_value() else { break };
            let oldest = oldest.clone();
            server.remove(&oldest);
        }
        server.bytes += size;
        server.by_use.insert(used, key.clone());
        server.entries.insert(key, Entry { value, expires, used });
    }

    fn extend(&mut self, ss_uuid: Uuid, key: &str, by: Duration, now: Instant) {
        let entry = self.servers.get_mut(&ss_uuid).and_then(|server| server.entries.get_mut(key));
        if let Some(entry) = entry.filter(|entry| entry.expires > now) {
            entry.expires = (entry.expires + by).min(now + LONGEST_LIFE);
        }
    }

    fn remove(&mut self, ss_uuid: Uuid, key: &str) {
        if let Some(server) = self.servers.get_mut(&ss_uuid) {
            server.remove(key);
        }
    }
}

impl Server {
    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
            self.bytes -= size(key, &entry.value);
        }
    }

    fn purge(&mut self, now: Instant) {
        let expired =
            self.entries.iter().filter(|(_, entry)| entry.expires <= now).map(|(key, _)| key.clone());
        for key in expired.collect::<Vec<_>>() {
            self.remove(&key);
        }
    }
}

fn size(key: &str, value: &RawValue) -> usize {
    key.len() + value.get().len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SERVER: Uuid = Uuid::from_u128(1);

    struct Host {
        cache: Cache,
        now: Instant,
    }

    impl Host {
        fn new(bytes: usize) -> Host {
            Host { cache: Cache::new(bytes), now: Instant::now() }
        }

        fn ask(&self, mut request: Value) -> Option<String> {
            if request.get("ss_uuid").is_none() {
                request["ss_uuid"] = SERVER.to_string().into();
            }
            let request = serde_json::from_str(&request.to_string()).unwrap();
            self.cache.answer(request, self.now).map(|value| value.get().to_owned())
        }

        fn get(&self, key: &str) -> Option<String> {
            self.ask(json!({"op": "get", "key": key}))
        }

        fn set(&self, key: &str, value: Value, seconds: Option<i64>) {
            self.ask(json!({"op": "set", "key": key, "value": value, "seconds": seconds}));
        }

        fn pass(&mut self, seconds: u64) {
            self.now += Duration::from_secs(seconds);
        }
    }

    #[test]
    fn a_value_lives_thirty_seconds_unless_told_otherwise() {
        let mut host = Host::new(SERVER_BYTES);
        host.set("default", json!("a"), None);
        host.set("long", json!("b"), Some(60));
        host.pass(29);
        assert_eq!(host.get("default").as_deref(), Some("\"a\""));
        host.pass(1);
        assert_eq!(host.get("default"), None);
        assert_eq!(host.get("long").as_deref(), Some("\"b\""));
        host.pass(30);
        assert_eq!(host.get("long"), None);
    }

    #[test]
    fn extending_adds_to_what_is_left_and_revives_nothing() {
        let mut host = Host::new(SERVER_BYTES);
        host.set("a", json!("x"), Some(10));
        host.pass(9);
        host.ask(json!({"op": "extend", "key": "a", "seconds": 10}));
        host.pass(10);
        assert!(host.get("a").is_some());
        host.pass(1);
        host.ask(json!({"op": "extend", "key": "a", "seconds": 10}));
        assert_eq!(host.get("a"), None);
    }

    #[test]
    fn none_removes_a_key_and_clear_a_server() {
        let host = Host::new(SERVER_BYTES);
        let other = Uuid::from_u128(2);
        host.set("a", json!("1"), None);
        host.set("b", json!("2"), None);
        host.ask(json!({"op": "set", "ss_uuid": other, "key": "a", "value": "3"}));
        host.set("a", Value::Null, None);
        assert_eq!((host.get("a"), host.get("b").is_some()), (None, true));
        host.ask(json!({"op": "clear"}));
        assert_eq!(host.get("b"), None);
        assert!(host.ask(json!({"op": "get", "ss_uuid": other, "key": "a"})).is_some());
        host.cache.forget(other);
        assert_eq!(host.ask(json!({"op": "get", "ss_uuid": other, "key": "a"})), None);
    }

    #[test]
    fn bytes_come_back_as_they_were_and_may_be_keys() {
        let host = Host::new(SERVER_BYTES);
        let key = json!({"$bytes": "//8="});
        host.ask(json!({"op": "set", "key": key, "value": {"$bytes": "gAJ9"}}));
        assert_eq!(host.ask(json!({"op": "get", "key": key})).as_deref(), Some(r#"{"$bytes":"gAJ9"}"#));
    }

    #[test]
    fn the_least_recently_used_goes_first_when_a_server_is_full() {
        let host = Host::new(3 * (1 + 102 + OVERHEAD));
        let value = json!("v".repeat(100));
        for key in ["a", "b", "c"] {
            host.set(key, value.clone(), None);
        }
        host.get("a");
        host.set("d", value, None);
        let kept: Vec<_> = ["a", "b", "c", "d"].into_iter().filter(|key| host.get(key).is_some()).collect();
        assert_eq!(kept, ["a", "c", "d"]);
        host.set("a", json!("v".repeat(10_000)), None);
        assert_eq!(host.get("a"), None, "larger than the whole cache");
        assert!(host.get("c").is_some(), "and costs the others nothing");
    }

    #[test]
    fn invented_servers_do_not_grow_the_cache_without_end() {
        let host = Host::new(SERVER_BYTES);
        for number in 0..2 * SERVERS as u128 {
            let server = Uuid::from_u128(number);
            host.ask(json!({"op": "set", "ss_uuid": server, "key": "a", "value": "1"}));
        }
        assert_eq!(host.cache.lock().servers.len(), SERVERS);
    }

    #[test]
    fn what_expired_is_freed_though_nobody_asks() {
        let mut host = Host::new(SERVER_BYTES);
        host.set("a", json!("1"), None);
        host.pass(31);
        host.cache.purge(host.now);
        assert!(host.cache.lock().servers.is_empty());
    }
}
