//! Identities as file names: one pair of functions between what storage calls a thing and what a directory can.
//!
//! A name that can be a file name stays as it is. Otherwise it is percent-encoded: `/`, `%`, control characters, a blank at either end, and
//! every dot of `.` and `..`. The empty name is `%`. What would be longer than 255 bytes keeps its beginning and ends in `%~` and 16 hex
//! digits of a hash of the whole (`%~` never comes from encoding); only such a name cannot be decoded, and is found by encoding candidates.

use std::borrow::Cow;

/// The longest file name, in bytes (NAME_MAX of limits.h).
const NAME_MAX: usize = 255;
const CUT_MARK: &str = "%~";
const CUT_LEN: usize = CUT_MARK.len() + 16;

/// The file name for `id`. Different ids have different names (as far as 64 bits of hash tell over-long ones apart).
pub fn encode(id: &str) -> Cow<'_, str> {
    if id.is_empty() {
        return Cow::Borrowed("%");
    }
    let dots = id == "." || id == "..";
    let last = id.len() - 1;
    // A blank is one byte in UTF-8, so that "at either end" can be told from the byte's place.
    let must = |at: usize, c: char| {
        c == '/' || c == '%' || c.is_control() || dots || (c == ' ' && (at == 0 || at == last))
    };
    if id.len() <= NAME_MAX && !id.char_indices().any(|(at, c)| must(at, c)) {
        return Cow::Borrowed(id);
    }
    let mut name = String::with_capacity(id.len() + 8);
    let mut cut = None;
    for (at, c) in id.char_indices() {
        if name.len() <= NAME_MAX - CUT_LEN {
            cut = Some(name.len());
        }
        if must(at, c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                name.push_str(&format!("%{byte:02X}"));
            }
        } else {
            name.push(c);
        }
    }
    if name.len() > NAME_MAX {
        name.truncate(cut.unwrap_or(0));
        name.push_str(&format!("{CUT_MARK}{:016x}", hash(id.as_bytes())));
    }
    Cow::Owned(name)
}

/// The id that [`encode`] makes this file name from, exactly; `None` where there is none or it was cut.
pub fn decode(name: &str) -> Option<Cow<'_, str>> {
    let id = match name {
        "%" => Cow::Borrowed(""),
        _ if name.contains('%') => percent_encoding::percent_decode_str(name).decode_utf8().ok()?,
        _ => Cow::Borrowed(name),
    };
    // Anything but the one right spelling ("%41" for "A") is no file of ours: one thing, one path.
    (encode(&id) == name).then_some(id)
}

/// Whether `name` is one that [`encode`] had to cut.
pub fn is_cut(name: &str) -> bool {
    name.len() > CUT_LEN
        && name.is_char_boundary(name.len() - CUT_LEN)
        && name[name.len() - CUT_LEN..].starts_with(CUT_MARK)
}

/// FNV-1a with a final mix: the same on every machine and in every version, since names and directory positions are made from it.
pub fn hash(bytes: &[u8]) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        h = (h ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    h ^= h >> 32;
    h = h.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h ^ (h >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in ["vol1", "a b", "...", ".hidden", "naïve~2", "6fe0-11", "a:b,c"] {
            assert_eq!(encode(name), name);
        }
    }

    #[test]
    fn names_that_cannot_be_file_names_are_percent_encoded() {
        for (id, name) in [
            ("a/b", "a%2Fb"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("", "%"),
            ("50%", "50%25"),
            ("x\n", "x%0A"),
            (" x ", "%20x%20"),
            ("\0", "%00"),
            ("\u{85}", "%C2%85"),
        ] {
            assert_eq!(encode(id), name);
            assert_eq!(decode(name).as_deref(), Some(id));
        }
    }

    #[test]
    fn an_over_long_name_is_cut_the_same_way_every_time_and_known_as_cut() {
        let one = "é".repeat(300);
        let other = format!("{one}x");
        assert_eq!(encode(&one), encode(&one));
        assert_ne!(encode(&one), encode(&other));
        assert!(is_cut(&encode(&one)) && encode(&one).len() <= NAME_MAX);
        assert_eq!(decode(&encode(&one)), None);
    }

    proptest! {
        #[test]
        fn every_id_has_a_file_name_of_its_own(id in any::<String>(), other in "\\PC{0,8}|[./% ~\\n]{0,4}") {
            let name = encode(&id);
            prop_assert!(!name.is_empty() && name.len() <= NAME_MAX);
            prop_assert!(!name.contains(['/', '\0']) && name != "." && name != "..");
            if is_cut(&name) {
                prop_assert_eq!(decode(&name), None);
            } else {
                prop_assert!(decode(&name).as_deref() == Some(&*id));
            }
            prop_assert_eq!(encode(&other) == name, other == id);
        }

        #[test]
        fn long_ids_are_cut_within_the_limit(id in "[a-z/é%]{200,400}") {
            let name = encode(&id);
            prop_assert!(name.len() <= NAME_MAX);
            prop_assert!(is_cut(&name) || decode(&name).as_deref() == Some(&*id));
        }

        #[test]
        fn a_file_name_leads_to_at_most_one_id(name in "[a-c%0-9A-F./ ~]{1,12}") {
            if let Some(id) = decode(&name) {
                prop_assert_eq!(&*encode(&id), &name);
            }
        }
    }
}
