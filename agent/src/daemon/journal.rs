//! The log: to standard error as text, or, where that is the system's journal, with fields that it can be searched
//! by: `journalctl OSC_SERVER=<uuid>`.
//!
//! The fields are an explicit list: nothing becomes one because somebody logs it, so that none can ever hold a
//! record or a request.

use std::fmt::{Debug, Write as _};
use std::io::{IsTerminal as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::sys::memfd::{MFdFlags, memfd_create};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

const SOCKET: &str = "/run/systemd/journal/socket";

/// What is logged as, and the journal's field that it becomes.
const FIELDS: &[(&str, &str)] = &[
    ("operation", "OSC_OPERATION"),
    ("server", "OSC_SERVER"),
    ("plugin", "OSC_PLUGIN"),
    ("command", "OSC_COMMAND"),
    ("uid", "OSC_UID"),
    ("pid", "OSC_PID"),
    ("door", "OSC_DOOR"),
];

/// Starts logging what `filter` lets through.
///
/// # Errors
/// What is wrong with the filter.
pub fn start(filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("--log {filter:?}: {error}; use a level, or target=level pairs"))?;
    let journal = is_stderr().then(|| Journal::open(Path::new(SOCKET))).and_then(Result::ok);
    let text = journal.is_none().then(|| {
        let terminal = std::io::stderr().is_terminal();
        fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(terminal)
    });
    tracing_subscriber::registry().with(filter).with(journal).with(text).init();
    Ok(())
}

/// Whether standard error goes to the journal: systemd says which file that is (systemd.exec(5), JOURNAL_STREAM).
fn is_stderr() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let own = std::fs::metadata(format!("/proc/self/fd/{}", std::io::stderr().as_raw_fd()));
    own.is_ok_and(|own| stream == format!("{}:{}", own.dev(), own.ino()))
}

/// The journal's socket.
struct Journal(UnixDatagram);

impl Journal {
    fn open(socket: &Path) -> std::io::Result<Journal> {
        let ours = UnixDatagram::unbound()?;
        ours.connect(socket)?;
        Ok(Journal(ours))
    }

    fn send(&self, entry: &[u8]) -> std::io::Result<()> {
        match self.0.send(entry) {
            Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => self.send_large(entry),
            sent => sent.map(drop),
        }
    }

    /// What no datagram holds goes as a sealed file.
    fn send_large(&self, entry: &[u8]) -> std::io::Result<()> {
        use nix::fcntl::{FcntlArg, SealFlag, fcntl};
        use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
        let flags = MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC;
        let mut file = std::fs::File::from(memfd_create("journal", flags)?);
        file.write_all(entry)?;
        let seals =
            SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
        fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals))?;
        let fds = [file.as_raw_fd()];
        let socket = self.0.as_raw_fd();
        sendmsg::<UnixAddr>(socket, &[], &[ControlMessage::ScmRights(&fds)], MsgFlags::empty(), None)?;
        Ok(())
    }
}

/// What a span or an event said.
#[derive(Default)]
struct Said {
    message: String,
    /// ` name=value` of everything else.
    rest: String,
    /// Those of [`FIELDS`].
    fields: Vec<(&'static str, String)>,
}

impl Said {
    fn take(&mut self, name: &str, shown: String) {
        if name == "message" {
            self.message = shown;
            return;
        }
        let _ = write!(self.rest, " {name}={shown}");
        if let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) {
            self.fields.push((field, shown));
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Journal {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut said = Said::default();
        attributes.record(&mut said);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(said);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let mut text = format!("{}{}", said.message, said.rest);
        let mut fields = said.fields;
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(around) = span.extensions().get::<Said>() {
                let _ = write!(text, " [{}{}]", span.name(), around.rest);
                // What is nearer to the event counts.
                let further =
                    around.fields.iter().filter(|(name, _)| !fields.iter().any(|(known, _)| known == name));
                let further: Vec<_> = further.cloned().collect();
                fields.extend(further);
            }
        }
        let sent = self.send(&entry(*event.metadata().level(), &text, &fields));
        if sent.is_err() {
            // A journal that is being restarted: what goes to standard error waits for it.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}

/// An entry as the journal takes it (systemd's Journal Native Protocol).
fn entry(level: Level, text: &str, fields: &[(&'static str, String)]) -> Vec<u8> {
    let priority = match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    };
    let mut entry = format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER=oscd\n").into_bytes();
    put(&mut entry, "MESSAGE", text);
    fields.iter().for_each(|(name, value)| put(&mut entry, name, value));
    entry
}

/// With the length in front, so that no value can pass for another field.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::{FromRawFd as _, RawFd};

    use super::*;

    /// The fields of an entry in that format.
    fn read(entry: &[u8]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let mut rest = entry;
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').expect("a line");
            let line = text(&rest[..end]);
            rest = &rest[end + 1..];
            if let Some((name, value)) = line.split_once('=') {
                fields.push((name.to_owned(), value.to_owned()));
                continue;
            }
            let length = u64::from_le_bytes(rest[..8].try_into().expect("a length")) as usize;
            fields.push((line, text(&rest[8..8 + length])));
            rest = &rest[8 + length + 1..];
        }
        fields
    }

    /// What is logged in `log`, as the journal would get it.
    fn journaled(log: impl FnOnce()) -> Vec<Vec<(String, String)>> {
        let home = tempfile::tempdir().expect("a directory");
        let socket = home.path().join("socket");
        let journal = UnixDatagram::bind(&socket).expect("a socket");
        journal.set_nonblocking(true).expect("not blocking");
        let layer = Journal::open(&socket).expect("connected");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let mut entries = Vec::new();
        while let Some(entry) = receive(&journal) {
            entries.push(read(&entry));
        }
        entries
    }

    fn receive(journal: &UnixDatagram) -> Option<Vec<u8>> {
        use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
        let mut buffer = vec![0; 1 << 20];
        let mut ancillary = nix::cmsg_space!(RawFd);
        let mut parts = [std::io::IoSliceMut::new(&mut buffer)];
        let socket = journal.as_raw_fd();
        let message = recvmsg::<()>(socket, &mut parts, Some(&mut ancillary), MsgFlags::empty()).ok()?;
        let length = message.bytes;
        let passed = message.cmsgs().ok()?.find_map(|part| match part {
            ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
            _ => None,
        });
        if let Some(fd) = passed {
            // SAFETY: the kernel has just made this descriptor for us.
            let file = unsafe { std::fs::File::from_raw_fd(fd) };
            let mut entry = Vec::new();
            let mut path = std::fs::File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
            path.read_to_end(&mut entry).ok()?;
            return Some(entry);
        }
        buffer.truncate(length);
        Some(buffer)
    }

    fn field<'a>(entry: &'a [(String, String)], name: &str) -> Option<&'a str> {
        entry.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    #[test]
    fn an_operation_can_be_searched_by_what_it_is() {
        let entries = journaled(|| {
            let span =
                tracing::info_span!("operation", operation = "op", server = "ss", plugin = "p", uid = 7);
            span.in_scope(|| tracing::warn!(kind = "Timeout", server = "nearer", "not done"));
        });
        let [entry] = &entries[..] else { panic!("{entries:?}") };
        for (name, value) in [
            ("PRIORITY", "4"),
            ("SYSLOG_IDENTIFIER", "oscd"),
            ("OSC_OPERATION", "op"),
            ("OSC_SERVER", "nearer"),
            ("OSC_PLUGIN", "p"),
            ("OSC_UID", "7"),
            (
                "MESSAGE",
                "not done kind=Timeout server=nearer [operation operation=op server=ss plugin=p uid=7]",
            ),
        ] {
            assert_eq!(field(entry, name), Some(value), "{name}");
        }
        assert_eq!(entry.iter().filter(|(name, _)| name == "OSC_SERVER").count(), 1);
    }

    #[test]
    fn nothing_becomes_a_field_that_is_not_listed_and_no_value_passes_for_one() {
        let entries = journaled(|| {
            tracing::info!(record = "{}", args = "x", plugin = "p\nOSC_UID=0\n", "a\nPRIORITY=0");
        });
        let [entry] = &entries[..] else { panic!("{entries:?}") };
        let names: Vec<_> = entry.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["PRIORITY", "SYSLOG_IDENTIFIER", "MESSAGE", "OSC_PLUGIN"]);
        assert_eq!(field(entry, "PRIORITY"), Some("6"));
        assert_eq!(field(entry, "OSC_PLUGIN"), Some("p\nOSC_UID=0\n"));
    }

    #[test]
    fn what_is_too_long_for_a_datagram_arrives_whole() {
        let long = "x".repeat(4 << 20);
        let entries = journaled(|| tracing::info!("{long}"));
        assert_eq!(entries.len(), 1);
        assert_eq!(field(&entries[0], "MESSAGE").map(str::len), Some(long.len()));
    }
}
