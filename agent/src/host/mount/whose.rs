//! Which file system a mount is one of, by what the kernel says was mounted.

use std::net::IpAddr;

use serde_json::json;
use uuid::Uuid;

use super::same_source;
use super::table::{Mounted, Table};
use crate::record::{self, Devices};

/// What of the file system is mounted there ("" is all of it); `None` where it is another one's.
pub fn share_path(fs: &record::FileSystem, mount: &Mounted) -> Option<String> {
    let text = |value: &Option<String>| value.clone().filter(|text| !text.is_empty());
    if let Some(access) = text(&fs.access_path).filter(|path| path.contains(":/")) {
        return below(&access, mount);
    }
    let devices = match &fs.backing_device {
        Some(Devices::One(device)) => vec![device.clone()],
        Some(Devices::Many(devices)) => devices.clone(),
        None => Vec::new(),
    };
    let devices = devices.into_iter().chain(text(&fs.array_path));
    devices
        .filter(|device| device.starts_with("/dev/"))
        .any(|device| same_source(mount, &device))
        .then(|| mount.root.to_string_lossy().trim_start_matches('/').to_owned())
}

/// How much of a network file system's path a mount names: of several that it is below, the longest counts.
pub fn closeness(fs: &record::FileSystem) -> usize {
    fs.access_path.as_deref().map_or(0, |path| path.trim_end_matches('/').len())
}

fn below(access: &str, mount: &Mounted) -> Option<String> {
    let (host, path) = split(access)?;
    let (mounted_host, mounted_path) = split(&mount.source)?;
    let same_host = mounted_host.eq_ignore_ascii_case(&host)
        || host.parse::<IpAddr>().is_ok_and(|address| {
            let is = |option: &String| option.strip_prefix("addr=")?.parse::<IpAddr>().ok();
            mount.options.iter().filter_map(is).any(|other| other == address)
        });
    let rest = mounted_path.strip_prefix(path.trim_end_matches('/'))?;
    let rest = rest.strip_prefix('/').or(rest.is_empty().then_some(""))?;
    same_host.then(|| rest.trim_end_matches('/').to_owned())
}

/// Host and path of `host:/path`; the host may be an address in brackets.
pub fn split(source: &str) -> Option<(String, &str)> {
    let (host, path) = match source.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => source.split_once(":/").map(|(host, _)| (host, &source[host.len() + 1..]))?,
    };
    (!host.is_empty() && path.starts_with('/')).then(|| (host.to_owned(), path))
}

/// The mounts that are the file system's, in the kernel's order.
pub fn mounts_of<'a>(
    fs: &'a record::FileSystem,
    table: &'a Table,
) -> impl Iterator<Item = (&'a Mounted, String)> + 'a {
    table.0.iter().filter_map(|mount| share_path(fs, mount).map(|share| (mount, share)))
}

/// The mount's record.
pub fn record(uuid: Option<Uuid>, fs: Option<Uuid>, share: &str, mount: &Mounted) -> serde_json::Value {
    json!({
        "uuid": uuid,
        "fs_uuid": fs,
        "mount_point": mount.at.to_string_lossy(),
        "options": mount.options,
        "share_path": share,
        "status": if mount.read_only { "Read-Only Mounted" } else { "Mounted" },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nfs(access: &str) -> record::FileSystem {
        record::FileSystem { access_path: Some(access.into()), ..Default::default() }
    }

    fn mounted(source: &str, option: &str) -> Mounted {
        Mounted {
            id: 1,
            parent: 0,
            device: (0, 99),
            root: "/".into(),
            at: "/mnt".into(),
            options: vec!["rw".into(), option.into()],
            read_only: false,
            kind: "nfs".into(),
            source: source.into(),
        }
    }

    #[test]
    fn a_mount_of_an_export_or_below_it_is_the_exports() {
        let shares = [
            ("nas:/a", "nas:/a", Some("")),
            ("nas:/a", "NAS:/a/", Some("")),
            ("nas:/a/", "nas:/a/pool/b", Some("pool/b")),
            ("nas:/", "nas:/a", Some("a")),
            ("nas:/a", "nas:/ab", None),
            ("nas:/a", "nas:/", None),
            ("nas:/a", "other:/a", None),
            ("[2001:db8::1]:/a", "[2001:db8::1]:/a/b", Some("b")),
            ("nas:/a", "tmpfs", None),
        ];
        for (access, source, wanted) in shares {
            assert_eq!(
                share_path(&nfs(access), &mounted(source, "x")).as_deref(),
                wanted,
                "{access} {source}"
            );
        }
    }

    #[test]
    fn an_address_is_the_host_whatever_name_it_was_mounted_by() {
        let fs = nfs("192.0.2.1:/a");
        assert_eq!(share_path(&fs, &mounted("nas:/a", "addr=192.0.2.1")).as_deref(), Some(""));
        assert_eq!(share_path(&fs, &mounted("nas:/a", "addr=192.0.2.11")), None);
    }

    #[test]
    fn a_local_file_system_is_known_by_its_device() {
        let fs = record::FileSystem { array_path: Some("/dev/null".into()), ..Default::default() };
        assert_eq!(share_path(&fs, &mounted("/dev/null", "x")).as_deref(), Some(""));
        assert_eq!(share_path(&fs, &mounted("/dev/zero", "x")), None);
        assert_eq!(share_path(&record::FileSystem::default(), &mounted("/dev/null", "x")), None);
    }
}
