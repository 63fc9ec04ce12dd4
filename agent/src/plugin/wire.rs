//! The frames between the agent and a call's process: one JSON object a line.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroize;

use super::cache;
use crate::config::Limits;

/// What a call's process says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Frame<'a> {
    /// It is there.
    Hello {
        /// Its process id.
        pid: i32,
    },
    /// `IPlugin.logger` was used.
    Log {
        /// `debug` to `critical`.
        level: String,
        /// The text.
        message: String,
    },
    /// `IPlugin.cache` was used.
    Cache(cache::Request),
    /// `IPlugin.host` was used.
    Host(crate::host::Request),
    /// One element of the list that the method returned.
    #[serde(borrow)]
    Item(&'a RawValue),
    /// All elements were told; how many there were.
    ResultList(u64),
    /// What the method returned, when it is not a list of dicts.
    #[serde(borrow)]
    Result(&'a RawValue),
    /// What the method raised.
    Error(Raised),
}

/// An exception as the worker describes it.
#[derive(Debug, Deserialize)]
pub struct Raised {
    /// Its class, or the nearest class of the API that it derives from.
    pub class: String,
    /// Whether `class` is one of the API's.
    pub known: bool,
    /// Its own class, where `class` is one that it derives from.
    #[serde(default)]
    pub raised: Option<String>,
    /// Its text.
    pub message: String,
    /// The record's key that it names.
    #[serde(default)]
    pub key: Option<String>,
    /// Where it was raised.
    #[serde(default)]
    pub traceback: String,
}

/// The frame that asks for a call.
#[derive(Serialize)]
pub struct CallFrame<'a> {
    /// The operation's id.
    pub id: String,
    /// The class.
    #[serde(rename = "impl")]
    pub impl_name: &'a str,
    /// The method.
    pub method: &'a str,
    /// Names and values of the arguments, in the API's order.
    pub args: &'a [(&'static str, Value)],
    /// The call's own directory for temporary files.
    pub tmpdir: &'a str,
    /// What the process may use up.
    pub limits: WireLimits,
}

/// Resource limits as the worker applies them.
#[derive(Serialize)]
pub struct WireLimits {
    #[serde(rename = "as")]
    memory: Option<u64>,
    cpu: Option<u64>,
    nofile: Option<u64>,
}

impl From<&Limits> for WireLimits {
    fn from(limits: &Limits) -> WireLimits {
        WireLimits { memory: limits.memory, cpu: limits.cpu, nofile: limits.open_files }
    }
}

impl CallFrame<'_> {
    /// The frame as its line, in memory that is wiped when dropped: it holds the credentials of a
    /// storage server.
    ///
    /// # Errors
    /// None in practice: every key is text and memory does not fail to be written.
    pub fn to_line(&self) -> io::Result<Wiped> {
        #[derive(Serialize)]
        struct Outer<'a> {
            call: &'a CallFrame<'a>,
        }
        let mut line = Wiped(Vec::with_capacity(4096));
        serde_json::to_writer(&mut line, &Outer { call: self })?;
        line.write_all(b"\n")?;
        Ok(line)
    }
}

/// Bytes that leave no copy behind, neither when they grow nor when they are dropped.
pub struct Wiped(Vec<u8>);

impl Write for Wiped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let needed = self.0.len() + bytes.len();
        if needed > self.0.capacity() {
            let mut larger = Vec::with_capacity(needed.max(2 * self.0.capacity()));
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::ops::Deref for Wiped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The answer to a cache request.
pub fn reply(value: Option<&RawValue>) -> Vec<u8> {
    format!("{{\"reply\":{}}}\n", value.map_or("null", RawValue::get)).into_bytes()
}

/// The answer to a host operation that was done.
pub fn replied(value: &Value) -> Vec<u8> {
    format!("{}\n", serde_json::json!({"reply": value})).into_bytes()
}

/// The answer to a request that is not granted.
pub fn refused(class: &str, message: &str) -> Vec<u8> {
    format!("{}\n", serde_json::json!({"refused": {"class": class, "message": message}})).into_bytes()
}

/// Bytes of a stream, taken out a line at a time.
#[derive(Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// Where the line that has not been taken out yet begins.
    start: usize,
    /// Up to where there is no newline.
    searched: usize,
}

impl Lines {
    /// Where to read more into; consumed lines make room first.
    pub fn room(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.buffer.reserve(64 << 10);
        &mut self.buffer
    }

    /// The next whole line without its newline.
    pub fn next_line(&mut self) -> Option<&[u8]> {
        let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        match found {
            Some(at) => {
                let end = self.searched + at;
                let line = self.start..end;
                self.start = end + 1;
                self.searched = self.start;
                Some(&self.buffer[line])
            }
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }

    /// How long the line is that is not whole yet.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// What there is of a last line that has no newline.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_they_arrive() {
        let text = b"first\n\nthird is longer\nrest";
        for step in 1..=text.len() {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            for chunk in text.chunks(step) {
                lines.room().extend_from_slice(chunk);
                while let Some(line) = lines.next_line() {
                    seen.push(line.to_vec());
                }
            }
            assert_eq!(seen, [&b"first"[..], b"", b"third is longer"]);
            assert_eq!((lines.rest(), lines.pending()), (&b"rest"[..], 4));
        }
    }

    #[test]
    fn every_frame_of_the_wire_is_understood() {
        let frames = [
            r#"{"hello":{"pid":7}}"#,
            r#"{"log":{"level":"info","message":"m"}}"#,
            r#"{"cache":{"op":"get","ss_uuid":"00000000-0000-0000-0000-000000000001","key":"k"}}"#,
            r#"{"host":{"op":"iscsi.login","targets":["iqn.x"]}}"#,
            r#"{"item":{"name":"a"}}"#,
            r#"{"result_list":3}"#,
            r#"{"result":null}"#,
            r#"{"error":{"class":"ValueError","known":false,"message":"m","key":null,"traceback":"t"}}"#,
        ];
        for text in frames {
            serde_json::from_str::<Frame<'_>>(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }

    #[test]
    fn a_call_is_one_line_in_the_order_of_the_api() {
        let args = [("ss_record", serde_json::json!({"passwd": "p\nq"})), ("snap_name", "x".into())];
        let frame = CallFrame {
            id: "i".into(),
            impl_name: "a.b.c.D",
            method: "createSnap",
            args: &args,
            tmpdir: "/t",
            limits: (&Limits::default()).into(),
        };
        let line = frame.to_line().unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let value: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["call"]["args"][1], serde_json::json!(["snap_name", "x"]));
        assert_eq!(value["call"]["impl"], "a.b.c.D");
    }
}
