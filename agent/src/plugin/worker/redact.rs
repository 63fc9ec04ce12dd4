//! Keeps credentials out of whatever a plug-in prints, logs or raises.

use std::sync::{PoisonError, RwLock};

use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use crate::record::looks_secret;

/// Servers have few credentials; a plug-in that is called with ever new ones does not grow this
/// without end.
const MOST: usize = 1024;

/// One or two letters would blacken half of every message and protect nothing.
const SHORTEST: usize = 3;

const BLACKENED: &str = "[secret]";

/// The credentials that a worker has been given.
#[derive(Default)]
pub struct Redactor {
    secrets: RwLock<Vec<Zeroizing<String>>>,
}

impl Redactor {
    /// Remembers the credentials in an argument.
    pub fn learn(&self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Object(map) => {
                for (key, value) in map {
                    self.learn_field(key, value);
                }
            }
            _ => {}
        }
    }

    /// Remembers the credentials in a value that goes by the name `key`.
    pub fn learn_field(&self, key: &str, value: &Value) {
        match value {
            Value::String(text) if looks_secret(key) => self.remember(text),
            other => self.learn(other),
        }
    }

    fn remember(&self, secret: &str) {
        let known = |secrets: &[Zeroizing<String>]| secrets.iter().any(|known| known.as_str() == secret);
        let is_known = known(&self.secrets.read().unwrap_or_else(PoisonError::into_inner));
        if secret.len() >= SHORTEST && !is_known {
            let mut secrets = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
            if secrets.len() >= MOST {
                secrets.remove(0);
            }
            secrets.push(Zeroizing::new(secret.to_owned()));
        }
    }

    /// `text` without them.
    pub fn redact(&self, mut text: String) -> String {
        for secret in self.secrets.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if text.contains(secret.as_str()) {
                let clean = text.replace(secret.as_str(), BLACKENED);
                text.zeroize();
                text = clean;
            }
        }
        text
    }
}

/// Wipes the credentials out of an argument that is not needed any more.
pub fn wipe(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::String(text) if looks_secret(key) => text.zeroize(),
                    other => wipe(other),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_credential_seen_once_is_never_printed_again() {
        let redactor = Redactor::default();
        redactor.learn(&json!({"name": "x", "access": [{"passwd": "hunter2"}], "admin_passwd": "s3cr3t"}));
        let text = redactor.redact("login with hunter2/s3cr3t at x failed".into());
        assert_eq!(text, "login with [secret]/[secret] at x failed");
    }

    #[test]
    fn wiping_leaves_everything_but_credentials() {
        let mut value = json!({"name": "x", "access": [{"passwd": "hunter2"}]});
        wipe(&mut value);
        assert_eq!(value, json!({"name": "x", "access": [{"passwd": ""}]}));
    }
}
