//! What the kernel and udev tell of devices that come, change and go, over netlink.
//!
//! Where udev runs its events are listened to, which come when the device's node and links are there;
//! elsewhere the kernel's own. An event is only ever a reason to look at sysfs again.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::broadcast;

use super::Host;

/// Events that a slow listener may be behind; one that is further behind is told that it missed some.
pub const BEHIND: usize = 1024;

/// The largest event: the kernel's are 2 KiB, udev's 8.
const LARGEST: usize = 64 << 10;

/// What the socket holds while nobody reads: a scan of hundreds of LUNs is thousands of events.
const BUFFER: libc::c_int = 8 << 20;

/// The multicast groups (udev's own number; linux/netlink.h has none).
const KERNEL: u32 = 1;
const UDEV: u32 = 2;

/// A device came, changed or went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uevent {
    /// `add`, `change`, `remove`, …; `missed` where events were lost and anything may be different.
    pub action: String,
    /// `block`, `scsi`, …
    pub subsystem: String,
    /// The place of the device below `/sys`.
    pub devpath: String,
    /// Everything that was told.
    pub properties: HashMap<String, String>,
}

impl Uevent {
    /// Events were lost.
    pub fn missed() -> Uevent {
        Uevent { action: "missed".into(), ..Uevent::default() }
    }

    /// The device's name (`sda`, `dm-0`).
    pub fn name(&self) -> &str {
        self.devpath.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it is about a disk or a map, or may be.
    pub fn is_about_disks(&self) -> bool {
        matches!(self.subsystem.as_str(), "block" | "scsi") || self.action == "missed"
    }

    /// Reads an event as it came over netlink: the kernel's, or udev's with its header.
    pub fn parse(message: &[u8]) -> Option<Uevent> {
        let body = match message.strip_prefix(b"libudev\0") {
            Some(header) => {
                let word = |at: usize| header.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
                if u32::from_be(word(0)?) != 0xfeed_cafe {
                    return None;
                }
                let (start, length) = (word(8)? as usize, word(12)? as usize);
                message.get(start..start.checked_add(length)?)?
            }
            // `add@/devices/…`, then the properties.
            None => message.splitn(2, |byte| *byte == 0).nth(1)?,
        };
        let mut event = Uevent::default();
        for part in body.split(|byte| *byte == 0) {
            let part = String::from_utf8_lossy(part);
            if let Some((key, value)) = part.split_once('=') {
                event.properties.insert(key.to_owned(), value.to_owned());
            }
        }
        let take = |key: &str| event.properties.get(key).cloned();
        event.action = take("ACTION")?;
        event.devpath = take("DEVPATH")?;
        event.subsystem = take("SUBSYSTEM").unwrap_or_default();
        Some(event)
    }
}

impl Host {
    /// The events from now on. Where this host gives none out, none come: whoever waits looks now and then too.
    pub fn events(&self) -> broadcast::Receiver<Arc<Uevent>> {
        let receiver = self.inner.events.subscribe();
        let mut listening = self.inner.listening.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !*listening {
            *listening = true;
            match open(self.roots().run.join("udev/control").exists()) {
                Ok(socket) => drop(tokio::spawn(listen(socket, self.inner.events.clone()))),
                Err(error) => tracing::warn!(%error, "this host's device events cannot be listened to"),
            }
        }
        receiver
    }
}

#[cfg(test)]
impl Host {
    /// Has listeners hear of a device, as if this host had told.
    pub fn tell(&self, action: &str, devpath: &str) {
        let event = Uevent {
            action: action.into(),
            subsystem: "block".into(),
            devpath: devpath.into(),
            ..Uevent::default()
        };
        drop(self.inner.events.send(Arc::new(event)));
    }
}

fn open(udev: bool) -> io::Result<AsyncFd<OwnedFd>> {
    let check = |result: libc::c_int| if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) };
    // SAFETY: numbers only; the descriptor is new and nobody else's.
    let fd = unsafe {
        OwnedFd::from_raw_fd(check(libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
            libc::NETLINK_KOBJECT_UEVENT,
        ))?)
    };
    for (option, value) in [(libc::SO_RCVBUFFORCE, BUFFER), (libc::SO_PASSCRED, 1)] {
        let size = size_of_val(&value) as libc::socklen_t;
        // SAFETY: the value outlives the call, and its size is given.
        let set = unsafe {
            libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const value).cast(), size)
        };
        // The buffer takes a privilege, and is only a matter of how much can be missed.
        if option == libc::SO_PASSCRED {
            check(set)?;
        }
    }
    // SAFETY: all of it is numbers, for which zero is a value.
    let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = if udev { UDEV } else { KERNEL };
    let size = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address outlives the call, and its size is given.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), size) })?;
    // SAFETY: the descriptor is owned by what is registered, which is not changed while it is.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

async fn listen(socket: AsyncFd<OwnedFd>, events: broadcast::Sender<Arc<Uevent>>) {
    let mut buffer = vec![0; LARGEST];
    while let Ok(mut ready) = socket.readable().await {
        match ready.try_io(|socket| receive(socket.get_ref(), &mut buffer)) {
            Ok(Ok(Some(event))) => drop(events.send(Arc::new(event))),
            Ok(Ok(None)) | Err(_) => {}
            Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                drop(events.send(Arc::new(Uevent::missed())));
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "this host's device events are not listened to any more");
                return;
            }
        }
    }
}

/// The next event; None for what is no event, or comes from somebody who is not root.
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<Uevent>> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = [0u64; 16];
    // SAFETY: all of it is numbers and pointers, for which zero is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the message points at buffers that outlive the call, with their sizes.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has filled the message in; the header is within the control buffer or null.
    let sender = unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        let is_credentials = !header.is_null()
            && (*header).cmsg_level == libc::SOL_SOCKET
            && (*header).cmsg_type == libc::SCM_CREDENTIALS;
        is_credentials.then(|| libc::CMSG_DATA(header).cast::<libc::ucred>().read_unaligned().uid)
    };
    Ok(if sender == Some(0) { Uevent::parse(&buffer[..length]) } else { None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_events_and_udev_s_are_the_same_to_a_listener() {
        let properties = b"ACTION=change\0DEVPATH=/devices/virtual/block/dm-0\0SUBSYSTEM=block\0DM_ACTION=PATH_FAILED\0DM_PATH=8:32\0";
        let kernel = [b"change@/devices/virtual/block/dm-0\0".as_slice(), properties].concat();
        let mut udev = b"libudev\0".to_vec();
        udev.extend(0xfeed_cafe_u32.to_be_bytes());
        for word in [40, 40, properties.len() as u32, 0, 0, 0, 0] {
            udev.extend(u32::to_ne_bytes(word));
        }
        udev.extend(properties);
        let event = Uevent::parse(&kernel).unwrap();
        assert_eq!(Some(&event), Uevent::parse(&udev).as_ref());
        assert_eq!((event.name(), event.properties["DM_PATH"].as_str()), ("dm-0", "8:32"));
        assert!(event.is_about_disks());
    }

    #[test]
    fn what_is_no_event_is_none() {
        for message in [
            b"".as_slice(),
            b"libudev\0",
            b"libudev\0\xfe\xed\xca\xfe\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"x@y\0A=1\0",
        ] {
            assert_eq!(Uevent::parse(message), None);
        }
    }

    #[tokio::test]
    async fn a_device_of_this_host_is_heard_of() {
        // Writing to a device's uevent file has the kernel tell of it again; that takes root and a kernel that lets it.
        let host = Host::linux();
        let mut events = host.events();
        if std::fs::write("/sys/devices/virtual/mem/null/uevent", "change").is_err()
            || !*host.inner.listening.lock().unwrap()
        {
            eprintln!("skipped: this host's events cannot be made");
            return;
        }
        let heard = async {
            loop {
                if events.recv().await.unwrap().name() == "null" {
                    return;
                }
            }
        };
        if tokio::time::timeout(std::time::Duration::from_secs(30), heard).await.is_err() {
            panic!("the event of /dev/null was not heard");
        }
    }
}
