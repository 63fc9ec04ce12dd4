//! The group `mount` of host operations: what a plug-in may ask of it, and only for what is its own
//! storage server's.
//!
//! A mount is the storage server's own when the kernel shows for it the file system that the call is about,
//! or, for a network file system, a path on a host that the storage server's record names.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

use super::table::{Mounted, Table};
use super::{Unmounted, Wanted, place, read, unmount, users, whose};
use crate::error::{Error, Kind, Result};
use crate::host::operation::{Arg, ArgType, Need, Operation, Running, Task};
use crate::host::scope::Scope;
use crate::inventory::index::{file_system_id, mount_id};
use crate::record::{self, Devices, Dict as _};

/// How long a server is waited for by a mount, and by an unmount before it is forced.
const MOUNT: Duration = Duration::from_secs(90);
const UNMOUNT: Duration = Duration::from_secs(30);
/// What an operation may take beyond that, in forcing and tidying up.
const SLACK: Duration = Duration::from_secs(45);
/// How long looking may take.
const LOOK: Duration = Duration::from_secs(20);

const AT: Arg = Arg {
    name: "mount_point",
    ty: ArgType::Text,
    required: true,
    doc: "the absolute path of the mount point",
};

const TOOLS: &[Need] = &[
    Need { command: "mount", package: "util-linux (mount)" },
    Need { command: "umount", package: "util-linux (mount)" },
    Need { command: "realpath", package: "coreutils" },
];

/// The group's rows.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "mount.list",
        args: &[],
        answer: "A list of mount_record dicts with `source`, `fstype` and `read_only` besides",
        doc: "Where this host has the call's file system mounted, as the kernel shows it now; for a call about no file \
              system, everything it has mounted from the storage server's hosts. No file system is asked.",
        deadline: LOOK,
        needs: &[],
        changes: false,
        run: list,
    },
    Operation {
        name: "mount.mount",
        args: &[
            AT,
            Arg {
                name: "source",
                ty: ArgType::Text,
                required: false,
                doc: "what to mount; else the file system's `access_path`, or the device in `backing_device` or `array_path`",
            },
            Arg {
                name: "share_path",
                ty: ArgType::Text,
                required: false,
                doc: "appended to the `access_path`",
            },
            Arg {
                name: "fstype",
                ty: ArgType::Text,
                required: false,
                doc: "the type, as mount(8) knows it; else nfs for `host:/path`, and whatever is on a device",
            },
            Arg { name: "options", ty: ArgType::Texts, required: false, doc: "mount options, a word each" },
        ],
        answer: "The mount_record, as mount.list has it; None where it was mounted there already",
        doc: "Mounts the call's file system; the mount point is made if it is missing. FileSystemAlreadyMountedEx where \
              something else is mounted there, or the same read-only and not for writing, or the other way round.",
        deadline: MOUNT.saturating_add(SLACK),
        needs: TOOLS,
        changes: true,
        run: mount,
    },
    Operation {
        name: "mount.unmount",
        args: &[AT],
        answer: "A dict: `state` is `unmounted`, `not_mounted`, or `detached` where the server did not answer; `message` \
                 says why it was detached",
        doc: "Unmounts what is mounted there, which has to be the storage server's own. FileSystemBusyEx names the \
              processes, mounts, devices and exports in the way. A file server that does not answer within 30 s is not waited \
              for: what waits for it is ended and the mount is detached; what had not been written is lost. One that \
              answers, and is slow, has 180 s more to take what is to be written.",
        deadline: UNMOUNT.saturating_add(unmount::WRITING).saturating_add(SLACK),
        needs: TOOLS,
        changes: true,
        run: take_down,
    },
    Operation {
        name: "mount.users",
        args: &[AT],
        answer: "A list of texts: `process 4711 (dd)`, `the mount on /x/y`, `loop device /dev/loop0`, `swap on /x/s`, \
                 `this host's NFS server, which exports /x`",
        doc: "Who keeps the mount there from being unmounted.",
        deadline: LOOK,
        needs: &[],
        changes: false,
        run: who,
    },
];

fn list(task: Task) -> Running {
    Box::pin(async move {
        let table = read()?;
        let own =
            table.0.iter().filter_map(|mount| Some(shown(&task.scope, mount, &own(&task.scope, mount)?)));
        Ok(own.collect::<Vec<_>>().into())
    })
}

fn mount(task: Task) -> Running {
    Box::pin(async move {
        let wanted = wanted(&task)?;
        let before = read()?;
        let (source, at) = (wanted.source.clone(), wanted.at.clone());
        task.on_failure(move || async move {
            // The call that wanted it has died: nobody would unmount it. Its process was killed, and may have
            // been in the middle of it.
            for pause in [Duration::ZERO, Duration::from_millis(200)] {
                tokio::time::sleep(pause).await;
                let Ok(at) = place::resolve(&at, &before, LOOK).await else { return };
                let there = read().ok().and_then(|table| table.at(&at).cloned());
                let mine = |mount: &Mounted| super::same_source(mount, &source) && !before.holds(mount);
                if let Some(mount) = there.filter(mine) {
                    let _ = unmount(&mount.at.to_string_lossy(), UNMOUNT).await;
                }
            }
        });
        let done = super::mount(&wanted, MOUNT).await?;
        if done.already {
            return Ok(Value::Null);
        }
        let share = own(&task.scope, &done.mounted).unwrap_or_default();
        Ok(shown(&task.scope, &done.mounted, &share))
    })
}

fn take_down(task: Task) -> Running {
    Box::pin(async move {
        let (at, Some(_)) = found(&task).await? else {
            return Ok(json!({"state": "not_mounted", "message": ""}));
        };
        let (state, message) = match unmount(&at, UNMOUNT).await? {
            Unmounted::NotMounted => ("not_mounted", String::new()),
            Unmounted::Done => ("unmounted", String::new()),
            Unmounted::Detached(why) => ("detached", why),
        };
        Ok(json!({"state": state, "message": message}))
    })
}

fn who(task: Task) -> Running {
    Box::pin(async move {
        let (_, Some((mount, table))) = found(&task).await? else { return Ok(json!([])) };
        let users = users::of(&mount, &table).await;
        Ok(users.iter().map(ToString::to_string).collect::<Vec<_>>().into())
    })
}

/// What is mounted at the mount point that was given; nothing, or the storage server's own.
async fn found(task: &Task) -> Result<(String, Option<(Mounted, Table)>)> {
    let text = task.args.text("mount_point").unwrap_or_default();
    let table = read()?;
    let at = place::resolve(text, &table, LOOK).await?;
    let Some(mount) = table.at(&at).cloned() else { return Ok((text.to_owned(), None)) };
    if own(&task.scope, &mount).is_none() {
        let text = format!(
            "{} ({}) is mounted on {}, which is not the storage server's",
            mount.source,
            mount.kind,
            at.display()
        );
        return Err(Error::new(Kind::PermissionDenied, text));
    }
    Ok((at.to_string_lossy().into_owned(), Some((mount, table))))
}

/// What is to be mounted, which has to be the storage server's own.
fn wanted(task: &Task) -> Result<Wanted> {
    let (scope, args) = (&task.scope, &task.args);
    let fs = scope.file_system.clone().unwrap_or_default();
    let share = args.text("share_path").unwrap_or_default().trim_matches('/');
    if share.split('/').any(|part| part == "..") {
        return Err(Error::invalid(format!("share_path is {share:?}: '..' leads out of the file system")));
    }
    let source = match args.text("source").map(str::to_owned).or_else(|| source_of(&fs)) {
        Some(source) if share.is_empty() => source,
        Some(source) if whose::split(&source).is_some() => {
            format!("{}/{share}", source.trim_end_matches('/'))
        }
        Some(source) => {
            let text = format!("share_path is {share:?}: {source} is mounted as a whole");
            return Err(Error::invalid(text));
        }
        None => {
            let text =
                "the file system's record names neither an access_path nor a device: what is to be mounted?";
            return Err(Error::new(Kind::MissingKey, text).with_key("access_path"));
        }
    };
    if source.split('/').any(|part| part == "..") {
        return Err(Error::invalid(format!("{source:?}: '..' leads out of the file system")));
    }
    let network = whose::split(&source);
    let is_own = match &network {
        Some((host, _)) => names_host(scope, host) || source_of(&fs).is_some_and(|own| below(&source, &own)),
        // The device of the file system by any of its names.
        None => devices(&fs).iter().any(|device| same_device(device, &source)),
    };
    if !is_own {
        let text = format!(
            "{source} is not the storage server's: it is neither on a host that its record names nor the file system's device"
        );
        return Err(Error::new(Kind::PermissionDenied, text));
    }
    let kind = match (args.text("fstype"), network) {
        (Some(kind), _) => kind,
        (None, Some(_)) => "nfs",
        (None, None) => "auto",
    };
    let options = args.texts("options").unwrap_or_default().iter().map(|&word| word.to_owned()).collect();
    let at = args.text("mount_point").unwrap_or_default().to_owned();
    Ok(Wanted { source, at, kind: kind.to_owned(), options })
}

fn source_of(fs: &record::FileSystem) -> Option<String> {
    let access = fs.access_path.clone().filter(|path| whose::split(path).is_some());
    access.or_else(|| devices(fs).into_iter().next())
}

fn devices(fs: &record::FileSystem) -> Vec<String> {
    let backing = match &fs.backing_device {
        Some(Devices::One(device)) => vec![device.clone()],
        Some(Devices::Many(devices)) => devices.clone(),
        None => Vec::new(),
    };
    let all = backing.into_iter().chain(fs.array_path.clone());
    all.filter(|device| device.starts_with("/dev/")).collect()
}

fn same_device(one: &str, other: &str) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    // Nodes below /dev are this host's own: looking at them waits for nobody.
    let number =
        |path: &str| path.starts_with("/dev/").then(|| std::fs::metadata(path).ok())?.map(|m| m.rdev());
    one == other || (number(one).is_some() && number(one) == number(other))
}

/// Whether a source is that one or below it.
fn below(source: &str, own: &str) -> bool {
    let rest = source.strip_prefix(own.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The share path that a mount shows, where it is the storage server's own.
fn own(scope: &Scope, mount: &Mounted) -> Option<String> {
    match &scope.file_system {
        Some(fs) => whose::share_path(fs, mount),
        None => {
            let (host, _) = whose::split(&mount.source)?;
            let address = |option: &String| option.strip_prefix("addr=").map(str::to_owned);
            let mut hosts = mount.options.iter().filter_map(address).chain([host]);
            (mount.is_network() && hosts.any(|host| names_host(scope, &host))).then(String::new)
        }
    }
}

/// Whether the storage server's record names the host.
fn names_host(scope: &Scope, host: &str) -> bool {
    let portals = scope.portals().into_iter().map(|portal| portal.host);
    let mut hosts = portals.chain(scope.server.admin_host.clone());
    let address = host.parse::<IpAddr>();
    hosts.any(|named| {
        let named = named.trim().trim_start_matches('[').trim_end_matches(']');
        named.eq_ignore_ascii_case(host)
            || matches!((&address, named.parse::<IpAddr>()), (Ok(one), Ok(other)) if *one == other)
    })
}

fn shown(scope: &Scope, mount: &Mounted, share: &str) -> Value {
    let fs = scope.file_system.as_ref();
    let mut record = whose::record(None, fs.and_then(|fs| fs.uuid), share, mount);
    let id = fs.and_then(|fs| file_system_id(scope.ss_uuid(), fs));
    let uuid = id.and_then(|id| mount_id(&id, &record::Mount::parse(&record).0));
    record["uuid"] = json!(uuid);
    record["source"] = mount.source.as_str().into();
    record["fstype"] = mount.kind.as_str().into();
    record["read_only"] = mount.read_only.into();
    record
}
