//! multipathd, asked over its socket: a length (`size_t`), then the words and a NUL, and the same back.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::host::Host;

/// How long it may take to take a request or to answer one. Its own limit is 4 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer is text about every map; beyond this it is something else.
const ANSWER: usize = 64 << 20;

/// Asks multipathd something. `None` where none runs.
///
/// # Errors
/// [`Kind::OperationFailed`] when it does not answer, or not as it should.
pub async fn ask(host: &Host, words: &str) -> Result<Option<String>> {
    let (host, line) = (host.clone(), words.to_owned());
    let asked = tokio::task::spawn_blocking(move || match connect(&host) {
        Ok(Some(stream)) => converse(stream, &line).map(Some),
        other => other.map(|_| None),
    });
    let failed = |error: &dyn std::fmt::Display| {
        Error::new(Kind::OperationFailed, format!("multipathd does not answer `{words}`: {error}"))
    };
    asked.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

/// Has multipathd do something. Whether there was a multipathd to do it.
///
/// # Errors
/// [`Kind::OperationFailed`] when it does not.
pub async fn tell(host: &Host, words: &str) -> Result<bool> {
    match ask(host, words).await? {
        None => Ok(false),
        Some(answer) if answer.trim() == "ok" => Ok(true),
        Some(answer) => {
            let text = format!("multipathd does not do `{words}`: {}", answer.trim());
            Err(Error::new(Kind::OperationFailed, text))
        }
    }
}

fn connect(host: &Host) -> io::Result<Option<UnixStream>> {
    for place in &host.roots().multipathd {
        let address = match place.to_str().and_then(|text| text.strip_prefix('@')) {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(place)?,
        };
        match UnixStream::connect_addr(&address) {
            Ok(stream) => return Ok(Some(stream)),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn converse(mut stream: UnixStream, words: &str) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = (words.len() + 1).to_ne_bytes().to_vec();
    request.extend(words.as_bytes());
    request.push(0);
    stream.write_all(&request)?;
    let mut length = [0; size_of::<usize>()];
    stream.read_exact(&mut length)?;
    let length = usize::from_ne_bytes(length);
    if length > ANSWER {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer has no believable length"));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).trim_end_matches('\0').to_owned())
}

/// The state of every path by its name, as `show maps json` tells: `active` or `failed`. Of those it does not
/// tell, and of all where it does not answer, the kernel's own word on the disk is what there is.
pub async fn path_states(host: &Host) -> HashMap<String, String> {
    let told = match ask(host, "show maps json").await {
        Ok(None) => return HashMap::new(),
        Ok(Some(text)) => serde_json::from_str(&text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match told {
        Ok(value) => states_in(&value),
        Err(error) => {
            tracing::warn!(error, "multipathd does not tell the state of paths");
            HashMap::new()
        }
    }
}

fn states_in(value: &Value) -> HashMap<String, String> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let mut states = HashMap::new();
    for map in list(value, "maps") {
        for path in list(&map, "path_groups").iter().flat_map(|group| list(group, "paths")) {
            if let (Some(name), Some(state)) = (path["dev"].as_str(), path["dm_st"].as_str()) {
                states.insert(name.to_owned(), state.to_owned());
            }
        }
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::tree::Tree;

    /// A daemon that answers each connection with the next of `answers`.
    fn daemon(tree: &Tree, answers: Vec<String>) -> std::thread::JoinHandle<Vec<String>> {
        let path = tree.host.roots().multipathd[0].clone();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
        std::thread::spawn(move || {
            let mut heard = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut length = [0; size_of::<usize>()];
                stream.read_exact(&mut length).unwrap();
                let mut words = vec![0; usize::from_ne_bytes(length)];
                stream.read_exact(&mut words).unwrap();
                heard.push(String::from_utf8(words).unwrap());
                stream.write_all(&(answer.len() + 1).to_ne_bytes()).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                stream.write_all(b"\0").unwrap();
            }
            heard
        })
    }

    #[tokio::test]
    async fn a_daemon_is_told_and_what_it_refuses_is_an_error() {
        let tree = Tree::new();
        assert!(!tell(&tree.host, "del map x").await.unwrap(), "nobody there");
        let daemon = daemon(&tree, vec!["ok\n".into(), "fail\n".into()]);
        assert!(tell(&tree.host, "del map x").await.unwrap());
        assert!(tell(&tree.host, "resize map x").await.unwrap_err().message().contains("fail"));
        assert_eq!(daemon.join().unwrap(), ["del map x\0", "resize map x\0"]);
    }

    #[test]
    fn states_are_by_path() {
        let value = serde_json::json!({"maps": [{"name": "a", "path_groups": [
            {"paths": [{"dev": "sda", "dm_st": "active"}]}, {"paths": [{"dev": "sdb", "dm_st": "failed"}, {}]}]}, {"name": "b"}]});
        let states = states_in(&value);
        assert_eq!((states["sda"].as_str(), states["sdb"].as_str(), states.len()), ("active", "failed", 2));
    }
}
