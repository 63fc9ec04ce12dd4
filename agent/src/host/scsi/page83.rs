//! The identity of a SCSI device: page 83, the Device Identification VPD page (SPC-4, section 7.8.6).
//!
//! An identity is written as `scsi_id` and multipath write it, a digit for the type of the designator
//! and then the designator: `3600140553d…`. Other spellings of the same (`naa.6001…`, `0x6001…`, upper
//! case) are understood.

const T10: u8 = 1;
const EUI_64: u8 = 2;
const NAA: u8 = 3;
const SCSI_NAME: u8 = 8;

/// One designator of the logical unit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Designator {
    ty: u8,
    /// The NAA field, the first four bits, of a designator of that type.
    naa: u8,
    text: String,
}

/// The identities in the page, the one to go by first; empty where it has none of the logical unit.
///
/// The order is `scsi_id`'s: NAA 6, NAA 5, EUI-64, SCSI name, T10 vendor, then whatever there is.
pub fn identities(page: &[u8]) -> Vec<String> {
    let mut found = designators(page);
    found.sort_by_key(|each| match (each.ty, each.naa) {
        (NAA, 6) => 0,
        (NAA, 5) => 1,
        (EUI_64, _) => 2,
        (SCSI_NAME, _) => 3,
        (T10, _) => 4,
        (NAA, _) => 5,
        _ => 6,
    });
    found.into_iter().map(|each| each.text).collect()
}

fn designators(page: &[u8]) -> Vec<Designator> {
    let mut found = Vec::new();
    if page.len() < 4 || page[1] != 0x83 {
        return found;
    }
    let length = usize::from(u16::from_be_bytes([page[2], page[3]]));
    let mut rest = &page[4..page.len().min(4 + length)];
    while let [code, kind, _, size, tail @ ..] = rest {
        let size = usize::from(*size);
        // A page that is cut off has no further designator that is whole.
        let Some(body) = tail.get(..size) else { break };
        rest = &tail[size..];
        let (code_set, association, ty) = (code & 0x0f, (kind >> 4) & 3, kind & 0x0f);
        if association != 0 || body.is_empty() || !matches!(ty, 0..=3 | SCSI_NAME) {
            continue;
        }
        let mut text = format!("{ty:x}");
        match code_set {
            // Binary.
            1 => body.iter().for_each(|byte| text.push_str(&format!("{byte:02x}"))),
            // ASCII, UTF-8.
            2 | 3 => text.push_str(&String::from_utf8_lossy(body)),
            _ => continue,
        }
        let naa = if ty != NAA {
            0
        } else if code_set == 1 {
            body[0] >> 4
        } else {
            char::from(body[0]).to_digit(16).map_or(0, |digit| digit as u8)
        };
        found.push(Designator { ty, naa, text: canonical(&text) });
    }
    found
}

/// The identity of a device without page 83: of its vendor, product and serial number (page 80).
pub fn from_serial(vendor: &str, product: &str, page: &[u8]) -> Option<String> {
    let serial = page.get(4..).map(String::from_utf8_lossy)?;
    let serial = serial.trim_matches(['\0', ' ']);
    (!serial.is_empty()).then(|| canonical(&format!("S{vendor:<8}{product:<16}{serial}")))
}

/// The one spelling of an identity.
pub fn canonical(identity: &str) -> String {
    let text = identity.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let lower = text.to_ascii_lowercase();
    let prefixes = [("naa.", "3"), ("eui.", "2"), ("t10.", "1"), ("0x", "3"), ("scsi-", "")];
    for (prefix, digit) in prefixes {
        if let Some(rest) = lower.strip_prefix(prefix) {
            return format!("{digit}{}", underlined(&text[text.len() - rest.len()..]).to_ascii_lowercase());
        }
    }
    let is_hex = lower.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && matches!(lower.len(), 16 | 32) && lower.starts_with(['5', '6']) {
        return format!("3{lower}");
    }
    if is_hex { lower } else { underlined(text) }
}

/// Blanks as `scsi_id` and udev write them: each run of them is one underline.
fn underlined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join("_")
}

/// Whether two spellings name the same device.
pub fn same(one: &str, other: &str) -> bool {
    canonical(one).eq_ignore_ascii_case(&canonical(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// vpd_pg83 of an LIO fileio LUN (kernel 6.1): NAA 6, T10 vendor, then port designators.
    const LIO: &[u8] = b"\x00\x83\x00\x7c\
        \x01\x03\x00\x10\x60\x01\x40\x5a\x1b\x2c\x3d\x4e\x5f\x60\x71\x82\x93\xa4\xb5\xc6\
        \x02\x01\x00\x34LIO-ORG disk0:a1b2c3d4-e5f6-0718-293a-4b5c6d7e8f90\x00\x00\
        \x51\x94\x00\x04\x00\x00\x00\x01\
        \x51\x95\x00\x04\x00\x00\x00\x00\
        \x53\x98\x00\x10iqn.x,t,0x0001\x00\x00";
    /// vpd_pg83 of scsi_debug (kernel 6.1): T10 vendor, NAA 3 of the unit, designators of port and target.
    const DEBUG: &[u8] = b"\x00\x83\x00\x3a\
        \x02\x01\x00\x1cLinux   scsi_debug      2000\
        \x01\x03\x00\x08\x33\x33\x33\x30\x00\x00\x07\xd0\
        \x61\x94\x00\x04\x00\x00\x00\x01\
        \x61\x93\x00\x02\x52\x22";

    #[test]
    fn naa_6_comes_first_and_designators_of_ports_do_not_count() {
        let found = identities(LIO);
        assert_eq!(found[0], "36001405a1b2c3d4e5f60718293a4b5c6");
        assert_eq!(found[1], "1LIO-ORG_disk0:a1b2c3d4-e5f6-0718-293a-4b5c6d7e8f90");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_vendor_s_name_comes_before_a_local_number() {
        assert_eq!(identities(DEBUG), ["1Linux_scsi_debug_2000", "333333330000007d0"]);
    }

    #[test]
    fn no_page_is_too_short_or_too_long() {
        for end in 0..LIO.len() {
            let cut = identities(&LIO[..end]);
            assert!(cut.len() <= 2);
        }
        assert_eq!(identities(&[0, 0x80, 0, 4, 1, 2, 3, 4]), Vec::<String>::new());
        assert_eq!(identities(b"\x00\x83\xff\xff\x01\x03\x00\xff\x60"), Vec::<String>::new());
    }

    #[test]
    fn every_spelling_is_the_same_device() {
        let one = "36001405a1b2c3d4e5f60718293a4b5c6";
        for other in [
            "naa.6001405a1b2c3d4e5f60718293a4b5c6",
            "0x6001405A1B2C3D4E5F60718293A4B5C6",
            "6001405A1B2C3D4E5F60718293A4B5C6",
            " 36001405A1B2C3D4E5F60718293A4B5C6\n",
        ] {
            assert!(same(one, other), "{other}");
        }
        assert!(!same(one, "36001405a1b2c3d4e5f60718293a4b5c7"));
        assert!(same("t10.Linux   scsi_debug      2000", "1Linux_scsi_debug_2000"));
        assert_eq!(canonical("500a0b80001234ab"), "3500a0b80001234ab");
    }

    #[test]
    fn a_serial_number_stands_in_for_page_83() {
        let page = b"\x00\x80\x00\x08 SER 42 ";
        assert_eq!(from_serial("ACME", "Disk", page).as_deref(), Some("SACME_Disk_SER_42"));
        assert_eq!(from_serial("ACME", "Disk", b"\x00\x80\x00\x02  "), None);
    }
}
