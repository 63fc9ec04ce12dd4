//! Setting a process apart from the service.
//!
//! systemd starts no successor before the service's control group is empty, and waits three times TimeoutStopSec= for a process that not even
//! SIGKILL ends. The messenger ([`fsview::carry_messages`]) can be one: it may wait for a request that only the successor answers. So it
//! gets a scope of its own, which ends with it.

use std::time::Duration;

use tracing::{debug, info};
use zbus::Variant;

const MANAGER: &str = "org.freedesktop.systemd1";
/// How long systemd may take to answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Gives a process of ours a scope (systemd.scope(5)), if systemd runs this process as a service. Whether that works makes a difference only
/// after a crash at a bad moment, so that it is no error when it does not.
pub async fn set_apart(pid: u32) {
    if std::env::var_os("INVOCATION_ID").is_none() || std::os::unix::process::parent_id() != 1 {
        return;
    }
    match tokio::time::timeout(DEADLINE, scope(pid)).await {
        Ok(Ok(())) => debug!(pid, "the messenger has a scope of its own"),
        Ok(Err(error)) => info!(pid, %error, "the messenger stays in the service's control group"),
        Err(_) => info!(pid, "the messenger stays in the service's control group: systemd does not answer"),
    }
}

async fn scope(pid: u32) -> zbus::Result<()> {
    let bus = zbus::Connection::system().await?;
    let name = format!("oscd-messenger-{pid}.scope");
    let properties: [(&str, Variant<'_>); 4] = [
        ("PIDs", vec![pid].into()),
        ("Description", "Tells the kernel what changes in the Storage Connect tree".into()),
        // It ends by itself when the agent does: stopping the machine need not stop it before.
        ("DefaultDependencies", false.into()),
        ("CollectMode", "inactive-or-failed".into()),
    ];
    let others: [(&str, &[(&str, Variant<'_>)]); 0] = [];
    let manager = format!("{MANAGER}.Manager");
    let path = format!("/{}", MANAGER.replace('.', "/"));
    let call = (name, "fail", &properties[..], &others[..]);
    bus.call_method(Some(MANAGER), path.as_str(), Some(manager.as_str()), "StartTransientUnit", &call)
        .await
        .map(drop)
}
