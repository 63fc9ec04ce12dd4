//! `oscctl announce …`: what package scripts tell the agent.
//!
//! A package transaction must neither fail nor stall because of it: whatever goes wrong is a line
//! in the journal, and the exit status is 0 after at most three seconds.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::cli::client::{Client, ROOT};
use crate::cli::failure::{Failure, Outcome};

const BOUND: Duration = Duration::from_secs(3);

/// What can be announced.
const ACTIONS: [&str; 3] = ["install", "upgrade", "erase"];

/// Ends the program after three seconds, whatever it is stuck in.
pub fn bound() {
    std::thread::spawn(|| {
        std::thread::sleep(BOUND);
        say("the agent did not answer in time; it finds out by itself what is installed");
        std::process::exit(0);
    });
}

/// Announces; what goes wrong is said and no failure.
pub async fn run(bus: &str, words: Vec<String>) {
    let about = words.join(" ");
    if let Err(failure) = announce(bus, words).await {
        say(&format!(
            "announcing {about:?}: {}; the agent finds out by itself what is installed",
            failure.error
        ));
    }
}

async fn announce(bus: &str, words: Vec<String>) -> Outcome {
    check(&words)?;
    let client = Client::connect(bus, false).await?;
    client.call(ROOT, "Manager", "Announce", &words).await.map(drop)
}

fn check(words: &[String]) -> Outcome {
    match words {
        [action, _, _, _, _, _] if ACTIONS.contains(&action.as_str()) => Ok(()),
        _ => Err(Failure::usage(
            "it takes install, upgrade or erase, and NAME VERSION-RELEASE INSTALL_DIR VENDOR MODULE",
        )),
    }
}

/// Says something on standard error and in the system's log, if there is one that does not block.
fn say(text: &str) {
    use std::io::Write;
    let text = text.replace('\n', " ");
    let _ = writeln!(std::io::stderr(), "oscctl: {text}");
    // RFC 3164: facility daemon (3), severity warning (4).
    let line = format!("<28>oscctl[{}]: {text}", std::process::id());
    if let Ok(socket) = UnixDatagram::unbound()
        && socket.set_nonblocking(true).is_ok()
    {
        let _ = socket.send_to(line.as_bytes(), "/dev/log");
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn an_announcement_has_an_action_and_five_words() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(check(&words("install n 1-1 /d v m")).is_ok());
        for line in ["install n 1-1 /d v", "replace n 1-1 /d v m", "erase n 1-1 /d v m x"] {
            assert!(check(&words(line)).is_err(), "{line}");
        }
    }
}
