//! Text that is never shown.

use serde_json::Value;

use super::field::{FieldType, Type, View, kind_of, text};

/// Text that no view but the plug-in's ever holds, and that is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself, for the plug-in and the sealed store only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

impl FieldType for Secret {
    const TYPE: Type = Type::Secret;

    fn parse(value: &Value) -> Result<Option<Secret>, String> {
        match value {
            Value::Null => Ok(None),
            other => match text(other) {
                Some(text) => Ok(Some(Secret(text.into_owned()))),
                None => Err(format!("expected text, got {}", kind_of(other))),
            },
        }
    }

    fn print(&self, _: View) -> Value {
        Value::from(self.expose())
    }
}
