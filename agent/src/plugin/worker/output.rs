//! What a plug-in prints: into the journal line by line, within limits, so that a plug-in can
//! neither stop on a full pipe nor flood the host.

use std::sync::Arc;
use std::time::Instant;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::watch;

use super::redact::Redactor;
use crate::plugin::wire::Lines;

/// Longer lines are cut.
const LINE_BYTES: usize = 4096;

/// Lines that may come at once, and how many more each second.
const BURST: f64 = 200.0;
const PER_SECOND: f64 = 20.0;

/// Reads `pipe` until its last writer is gone; `printed` learns of the first byte.
pub fn drain(
    mut pipe: pipe::Receiver,
    stream: &'static str,
    module: &str,
    redactor: Arc<Redactor>,
    printed: Option<watch::Sender<bool>>,
) {
    let module = module.to_owned();
    tokio::spawn(async move {
        let (mut lines, mut rate, mut cut) = (Lines::default(), Rate::new(), false);
        let tell = |line: &[u8]| {
            let end = line.len().min(LINE_BYTES);
            let line = redactor.redact(String::from_utf8_lossy(&line[..end]).into_owned());
            if !line.trim().is_empty() {
                tracing::info!(plugin = module, stream, "{}", line.trim_end());
            }
        };
        while pipe.read_buf(lines.room()).await.is_ok_and(|read| read > 0) {
            if let Some(printed) = &printed {
                printed.send_replace(true);
            }
            let suppressed = rate.suppressed;
            while let Some(line) = lines.next_line() {
                // The rest of a line that was cut.
                if !std::mem::take(&mut cut) && rate.allows() {
                    tell(line);
                }
            }
            if lines.pending() > LINE_BYTES {
                if !cut && rate.allows() {
                    tell(lines.rest());
                }
                cut = true;
                lines = Lines::default();
            }
            if suppressed == 0 && rate.suppressed > 0 {
                tracing::warn!(plugin = module, stream, "prints too much; the rest is left out");
            }
        }
        if !cut && rate.allows() {
            tell(lines.rest());
        }
        if rate.suppressed > 0 {
            tracing::warn!(plugin = module, stream, lines = rate.suppressed, "lines were left out");
        }
    });
}

/// A token bucket.
struct Rate {
    tokens: f64,
    at: Instant,
    suppressed: u64,
}

impl Rate {
    fn new() -> Rate {
        Rate { tokens: BURST, at: Instant::now(), suppressed: 0 }
    }

    fn allows(&mut self) -> bool {
        self.tokens = (self.tokens + self.at.elapsed().as_secs_f64() * PER_SECOND).min(BURST);
        self.at = Instant::now();
        if self.tokens < 1.0 {
            self.suppressed += 1;
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}
