//! The log of events as a file that only grows, so that `tail -f`, `cat` and `poll` work on it as on any log.
//!
//! A byte keeps its position for as long as the tree is mounted; the size is the position of the end. Reading never blocks: it ends at
//! the end, and goes on from there when there is more. The oldest lines are dropped in time; a reader that comes to where they were
//! is moved to the oldest line that is left, and reads on from there to the end (so `cat` shows all that is retained).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::Model;

/// How many lines are kept readable.
const KEPT: usize = 4096;

/// All that readers of the log share.
pub struct EventLog {
    model: Arc<dyn Model>,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    /// Each line with the position of its first byte.
    kept: VecDeque<(u64, Arc<str>)>,
    end: u64,
    /// The last sequence number taken over.
    seq: u64,
}

/// Where one reader is.
#[derive(Debug, Default)]
pub struct Cursor {
    /// How many bytes this reader was moved ahead over dropped lines.
    skipped: u64,
    /// Log position up to which it has read.
    read_to: u64,
}

impl std::fmt::Debug for EventLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventLog").finish_non_exhaustive()
    }
}

impl EventLog {
    /// A log that begins with what the model retains.
    pub fn new(model: Arc<dyn Model>) -> Self {
        Self { model, lines: Mutex::default() }
    }

    /// Takes over what is new, then looks at the lines.
    fn with<R>(&self, look: impl FnOnce(&Lines) -> R) -> R {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for (seq, line) in self.model.events(lines.seq) {
            lines.seq = lines.seq.max(seq);
            let start = lines.end;
            lines.end += line.len() as u64 + 1;
            lines.kept.push_back((start, line));
            if lines.kept.len() > KEPT {
                lines.kept.pop_front();
            }
        }
        look(&lines)
    }

    /// The position of the end, in bytes.
    pub fn size(&self) -> u64 {
        self.with(|lines| lines.end)
    }

    /// Up to `size` bytes from `offset`, as this reader sees it.
    pub fn read(&self, cursor: &mut Cursor, offset: u64, size: u32) -> Vec<u8> {
        self.with(|lines| {
            let oldest = lines.kept.front().map_or(lines.end, |(start, _)| *start);
            let mut at = offset.saturating_add(cursor.skipped);
            if at < oldest {
                cursor.skipped += oldest - at;
                at = oldest;
            }
            let mut bytes = Vec::new();
            let first = lines.kept.partition_point(|(start, line)| start + (line.len() as u64) < at);
            for (start, line) in lines.kept.range(first..) {
                let from = usize::try_from(at.saturating_sub(*start)).unwrap_or(usize::MAX);
                bytes.extend_from_slice(line.as_bytes().get(from..).unwrap_or_default());
                bytes.push(b'\n');
                if bytes.len() >= size as usize {
                    bytes.truncate(size as usize);
                    break;
                }
            }
            cursor.read_to = cursor.read_to.max(at + bytes.len() as u64);
            bytes
        })
    }

    /// Whether there is more than this reader has read.
    pub fn has_more(&self, cursor: &Cursor) -> bool {
        self.size() > cursor.read_to
    }
}
