//! Whether the server of a mount answers: one NULL call of ONC RPC (RFC 5531) over TCP, which any NFS server answers at
//! once (RFC 1813, section 3.3.0). The mount itself is not touched.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::table::Mounted;

/// How long the server has to answer.
const PATIENCE: Duration = Duration::from_secs(5);
const NFS_PORT: u16 = 2049;
const NFS_PROGRAM: u32 = 100_003;
/// Any number: there is one call on the connection.
const XID: u32 = 0x6f73_6300;

/// Whether the server is known to answer.
pub async fn is_alive(mount: &Mounted) -> bool {
    let Some(address) = address(mount) else { return false };
    let version = if option(mount, "vers").is_some_and(|vers| vers.starts_with('3')) { 3 } else { 4 };
    matches!(tokio::time::timeout(PATIENCE, null_call(address, version)).await, Ok(Ok(())))
}

fn option<'a>(mount: &'a Mounted, key: &str) -> Option<&'a str> {
    mount.options.iter().find_map(|option| option.strip_prefix(key)?.strip_prefix('='))
}

fn address(mount: &Mounted) -> Option<SocketAddr> {
    if !mount.kind.starts_with("nfs") {
        return None;
    }
    let ip: IpAddr = option(mount, "addr")?.parse().ok()?;
    let port = option(mount, "port").and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    Some((ip, port.unwrap_or(NFS_PORT)).into())
}

async fn null_call(address: SocketAddr, version: u32) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    // Last fragment and its length; xid, CALL, RPC version 2, program, version, procedure 0, and twice AUTH_NONE.
    let words = [0x8000_0000 | 40, XID, 0, 2, NFS_PROGRAM, version, 0, 0, 0, 0, 0];
    let message: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    stream.write_all(&message).await?;
    // Whatever it makes of the call, it is there.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    let is_ours = answer[4..8] == XID.to_be_bytes();
    is_ours.then_some(()).ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn mounted(port: u16) -> Mounted {
        Mounted {
            id: 1,
            parent: 0,
            device: (0, 99),
            root: "/".into(),
            at: "/mnt".into(),
            options: vec!["rw".into(), "vers=3".into(), "addr=127.0.0.1".into(), format!("port={port}")],
            read_only: false,
            kind: "nfs".into(),
            source: "nas:/a".into(),
        }
    }

    #[tokio::test]
    async fn a_server_that_answers_is_alive_and_one_that_is_gone_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mount = mounted(listener.local_addr().unwrap().port());
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut call = [0; 44];
            stream.read_exact(&mut call).await.unwrap();
            assert_eq!(call[16..24], [NFS_PROGRAM.to_be_bytes(), 3u32.to_be_bytes()].concat());
            let reply = [0x8000_0018, XID, 1, 0, 0, 0, 0].map(u32::to_be_bytes).concat();
            stream.write_all(&reply).await.unwrap();
        };
        assert!(tokio::join!(is_alive(&mount), server).0);
        drop(listener);
        assert!(!is_alive(&mount).await);
        let nowhere = Mounted { options: vec![], ..mount };
        assert!(!is_alive(&nowhere).await);
    }
}
