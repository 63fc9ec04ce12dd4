//! The device that an element is on this host.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::check::bench::{Bench, Stop, done, list, said};
use crate::cli::objects::Entry;
use crate::error::Kind;

/// How long a device may take to appear after the plug-in has answered.
const APPEARS: Duration = Duration::from_secs(10);

/// How much is written and compared, at most.
const SAMPLE: u64 = 1 << 20;

/// A device of this host.
#[derive(Clone, Debug)]
pub struct Device(pub PathBuf);

/// Presents an element to this host.
pub async fn present(bench: &Bench, element: &Entry) -> Result<Device, Stop> {
    // Some plug-ins make a group for this host when they need one; it is ours then.
    let before = group_names(bench).await?;
    let answer = bench.element(element, "present", json!({"groups": []})).await?;
    let made = group_names(bench).await?.into_iter().filter(|name| !before.contains(name));
    bench.made().groups.extend(made);
    match answer {
        Err(error) if matches!(error.kind(), Kind::NoSuchOperation | Kind::OperationPreReqNotMet) => {
            return Err(Stop::Skip(format!("it cannot be presented to this host: {}", said(&error))));
        }
        answer => done("present", answer)?,
    };
    let now = bench.again(element).await?;
    let path = list(&now.record["path"]).first().and_then(|path| path.as_str());
    let path =
        PathBuf::from(path.ok_or_else(|| Stop::Fail("it is presented, and its record has no path".into()))?);
    let begun = Instant::now();
    loop {
        match std::fs::metadata(&path) {
            Ok(found) if found.file_type().is_block_device() => return Ok(Device(path)),
            Ok(_) => return Err(Stop::Fail(format!("{} is no block device", path.display()))),
            Err(_) if begun.elapsed() < APPEARS => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(error) => return Err(Stop::Fail(format!("{}: {error}", path.display()))),
        }
    }
}

/// Takes an element away from this host.
pub async fn unpresent(bench: &Bench, element: &Entry) -> Result<(), Stop> {
    done("unpresent", bench.element(element, "unpresent", json!({"groups": []})).await?).map(drop)
}

/// The access groups' names.
pub async fn group_names(bench: &Bench) -> Result<Vec<String>, Stop> {
    let answer = bench.ask("access-groups", json!({})).await?.unwrap_or_default();
    Ok(list(&answer).iter().filter_map(|group| group["grp_name"].as_str()).map(str::to_owned).collect())
}

impl Device {
    fn io(&self, doing: &str, error: &std::io::Error) -> Stop {
        Stop::Fail(format!("{doing} {}: {error}", self.0.display()))
    }

    /// Its size in bytes.
    pub fn size(&self) -> Result<u64, Stop> {
        let opened = std::fs::File::open(&self.0).and_then(|mut file| file.seek(SeekFrom::End(0)));
        opened.map_err(|error| self.io("reading", &error))
    }

    /// Fills its beginning and its end with `letter`.
    pub fn write(&self, letter: u8) -> Result<(), Stop> {
        let (size, sample) = self.ends()?;
        let block = vec![letter; sample];
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).open(&self.0)?;
            for place in [0, size - sample as u64] {
                file.seek(SeekFrom::Start(place))?;
                file.write_all(&block)?;
            }
            file.sync_all()
        };
        write().map_err(|error| self.io("writing to", &error))
    }

    /// Whether its beginning and its end are full of `letter`.
    pub fn holds(&self, letter: u8) -> Result<bool, Stop> {
        let (size, sample) = self.ends()?;
        let mut block = vec![0; sample];
        let mut read = || -> std::io::Result<bool> {
            let mut file = std::fs::File::open(&self.0)?;
            for place in [0, size - sample as u64] {
                file.seek(SeekFrom::Start(place))?;
                file.read_exact(&mut block)?;
                if block.iter().any(|found| *found != letter) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        read().map_err(|error| self.io("reading", &error))
    }

    fn ends(&self) -> Result<(u64, usize), Stop> {
        let size = self.size()?;
        // At most a mebibyte, so it fits.
        Ok((size, usize::try_from(size.min(SAMPLE)).unwrap_or(0)))
    }
}
