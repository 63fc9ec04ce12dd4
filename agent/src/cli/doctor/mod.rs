//! `oscctl doctor`: what this host lacks, what that costs, and which package has it.
//!
//! It works without an agent and hangs on nothing: whatever could block is asked in a child
//! process, under a deadline.

mod checks;
mod probe;

use serde_json::{Value, json};

use super::args;
use super::client::{Client, ROOT};
use super::failure::{Outcome, REFUSED};
use super::output::Output;
use super::view;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Something optional is not there, or not quite right.
    Warning,
    /// Something essential is not there.
    Missing,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Missing => "missing",
        }
    }
}

/// One line of the answer.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was looked for.
    pub check: String,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What does not work without it.
    pub consequence: String,
    /// What to do.
    pub remedy: String,
}

/// What the checks look at.
pub struct Host {
    /// Where the tree is mounted.
    pub mountpoint: std::path::PathBuf,
    /// Where the agent keeps its state.
    pub state_dir: std::path::PathBuf,
    /// The bus as the user named it.
    pub bus: String,
}

/// Looks at everything; the exit status is 0 when all that is essential is there.
///
/// # Errors
/// When the answer cannot be printed.
pub async fn run(bus: &str, output: Output, args: &args::Doctor) -> Outcome<u8> {
    let mut host =
        Host { mountpoint: args.mountpoint.clone(), state_dir: args.state_dir.clone(), bus: bus.to_owned() };
    let (of_agent, mountpoint) = agent(bus).await;
    if let Some(mountpoint) = mountpoint {
        host.mountpoint = mountpoint.into();
    }
    let mut findings = checks::run(&host);
    findings.extend(of_agent);
    print(output, &findings)?;
    let missing = findings.iter().any(|finding| finding.verdict == Verdict::Missing);
    Ok(if missing { REFUSED } else { 0 })
}

/// What the agent itself tells: that it is there, which plug-ins are unusable, where its tree is.
async fn agent(bus: &str) -> (Vec<Finding>, Option<String>) {
    let finding = |check: String, verdict, detail: String, consequence: &str, remedy: String| Finding {
        check,
        verdict,
        detail,
        consequence: consequence.into(),
        remedy,
    };
    let looked = async {
        let client = Client::connect(bus, false).await?;
        let version = client.property(ROOT, "Manager", "Version").await?;
        let mountpoint = client.property(ROOT, "Manager", "MountPoint").await?;
        let root = client.root().await?;
        Outcome::Ok((version, mountpoint, root))
    };
    let deadline = tokio::time::timeout(probe::DEADLINE, looked).await;
    let (version, mountpoint, root) = match deadline {
        Ok(Ok(looked)) => looked,
        Ok(Err(failure)) => {
            let (detail, remedy) = (failure.error.to_string(), failure.hint.unwrap_or_default());
            let consequence = "nothing is managed, and plug-ins could not be looked at";
            return (vec![finding("agent".into(), Verdict::Warning, detail, consequence, remedy)], None);
        }
        Err(_) => {
            let detail = format!("it did not answer within {} s", probe::DEADLINE.as_secs());
            let remedy = "see what it is doing: journalctl -u oscd".to_owned();
            return (
                vec![finding("agent".into(), Verdict::Missing, detail, "nothing is managed", remedy)],
                None,
            );
        }
    };
    let mut findings = vec![finding(
        "agent".into(),
        Verdict::Ok,
        format!("version {}", view::bare(&version)),
        "",
        String::new(),
    )];
    for plugin in root.plugins.iter().filter(|plugin| view::plugin_state(plugin) == "unusable") {
        findings.push(finding(
            format!("plug-in {}", plugin.id),
            Verdict::Warning,
            view::bare(&plugin.property("Status")["error"]),
            "its storage servers cannot be managed",
            format!("see: oscctl plugin check {}", plugin.id),
        ));
    }
    (findings, mountpoint.as_str().filter(|path| !path.is_empty()).map(str::to_owned))
}

fn print(output: Output, findings: &[Finding]) -> Outcome {
    if output.json() {
        let all: Vec<Value> = findings
            .iter()
            .map(|f| {
                json!({
                    "check": f.check, "verdict": f.verdict.word(), "detail": f.detail,
                    "consequence": f.consequence, "remedy": f.remedy,
                })
            })
            .collect();
        return output.value(&all.into());
    }
    output.text(&view::lines(findings.iter().map(line)))
}

fn line(finding: &Finding) -> Vec<String> {
    let mut text = view::clean(&finding.detail);
    if finding.verdict != Verdict::Ok {
        for more in [&finding.consequence, &finding.remedy].into_iter().filter(|more| !more.is_empty()) {
            text.push_str("; ");
            text.push_str(&view::clean(more));
        }
    }
    vec![finding.verdict.word().to_owned(), finding.check.clone(), text]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_the_consequence_and_the_remedy_only_where_something_is_wrong() {
        let mut finding = Finding {
            check: "iscsiadm".into(),
            verdict: Verdict::Warning,
            detail: "not found".into(),
            consequence: "no iSCSI".into(),
            remedy: "apt install open-iscsi".into(),
        };
        assert_eq!(line(&finding), ["warning", "iscsiadm", "not found; no iSCSI; apt install open-iscsi"]);
        finding.verdict = Verdict::Ok;
        assert_eq!(line(&finding), ["ok", "iscsiadm", "not found"]);
    }
}
