//! Ids as elements of an object path, and back: pure, and one to one.
//!
//! A UUID keeps its look, with `_` for `-`. Anything else is escaped as sd-bus does
//! (`sd_bus_path_encode(3)`): every byte that is not a letter or a digit, and a leading digit, is
//! `_` and two hexadecimal digits; nothing at all is `_`.

use uuid::Uuid;

/// The path element for an id.
pub fn encode(id: &str) -> String {
    if is_uuid(id) {
        return id.replace('-', "_");
    }
    let escaped = escape(id, |index, byte| byte.is_ascii_alphabetic() || index > 0 && byte.is_ascii_digit());
    match is_uuid(&escaped.replace('_', "-")) {
        // An id that escapes to the look of a UUID must not be taken for one.
        true => escape(id, |index, byte| index > 0 && byte.is_ascii_alphanumeric()),
        false => escaped,
    }
}

/// The id that a path element stands for; `None` where [`encode`] never writes it.
pub fn decode(label: &str) -> Option<String> {
    let dashed = label.replace('_', "-");
    if is_uuid(&dashed) {
        return Some(dashed);
    }
    let id = unescape(label)?;
    (encode(&id) == label).then_some(id)
}

fn escape(id: &str, plain: impl Fn(usize, u8) -> bool) -> String {
    if id.is_empty() {
        return "_".to_owned();
    }
    let mut label = String::with_capacity(id.len() + 8);
    for (index, byte) in id.bytes().enumerate() {
        if plain(index, byte) {
            label.push(char::from(byte));
        } else {
            label.push_str(&format!("_{byte:02x}"));
        }
    }
    label
}

fn unescape(label: &str) -> Option<String> {
    if label == "_" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(label.len());
    let mut rest = label.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'_' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Whether the text is a UUID in the one form that ids have: dashed, lower case.
fn is_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok_and(|uuid| uuid.hyphenated().to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_look_as_documented() {
        let table = [
            ("", "_"),
            ("abc", "abc"),
            ("0x1", "_30x1"),
            ("lun.1", "lun_2e1"),
            ("a_b", "a_5fb"),
            ("é", "_c3_a9"),
            ("0190a1b2-1234-7000-8000-0123456789ab", "0190a1b2_1234_7000_8000_0123456789ab"),
            ("0190A1B2-1234-7000-8000-0123456789AB", "_30190A1B2_2d1234_2d7000_2d8000_2d0123456789AB"),
            ("abcdef01#45.89/cd;0123456789", "_61bcdef01_2345_2e89_2fcd_3b0123456789"),
        ];
        for (id, label) in table {
            assert_eq!(encode(id), label);
            assert_eq!(decode(label).as_deref(), Some(id));
        }
    }

    #[test]
    fn what_is_not_a_label_names_nothing() {
        for label in ["", "_0", "a_zz", "a_2E", "_61", "9", "a_ff", "a-b", "é"] {
            assert_eq!(decode(label).filter(|id| encode(id) == label), None, "{label}");
        }
    }

    proptest! {
        #[test]
        fn an_id_survives_its_label(id in ".*") {
            let label = encode(&id);
            prop_assert!(!label.is_empty());
            prop_assert!(label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
            prop_assert_eq!(decode(&label), Some(id));
        }

        #[test]
        fn a_uuid_survives_its_label(bits in any::<u128>()) {
            let id = Uuid::from_u128(bits).to_string();
            prop_assert_eq!(encode(&id), id.replace('-', "_"));
            prop_assert_eq!(decode(&encode(&id)), Some(id));
        }

        #[test]
        fn two_ids_never_share_a_label(label in "[a-z0-9_]{0,12}|[0-9a-f]{8}_2[0-9]{3}_2[0-9]{3}_2[0-9a-f]{3}_2[0-9a-f]{11}") {
            if let Some(id) = decode(&label) {
                prop_assert_eq!(encode(&id), label);
            }
        }
    }
}
