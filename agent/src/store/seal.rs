//! Secrets at rest: sealed with a key that never leaves the state directory.
//!
//! The key protects copies of the database (backups, bug reports), not against whoever may read
//! the state directory itself.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use chacha20poly1305::aead::{Aead as _, AeadCore as _, KeyInit as _, OsRng, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::directory::from_io;
use crate::error::{Error, Result};

/// The name of the key's file.
const FILE: &str = "secret.key";
const KEY: usize = 32;
const NONCE: usize = 24;

/// The key of one state directory.
pub struct Key(XChaCha20Poly1305);

impl Key {
    /// Reads the key, or makes one where there is none.
    pub fn open(dir: &Path) -> Result<Key> {
        let path = dir.join(FILE);
        let wrong = |source: std::io::Error| {
            from_io(&source, Error::internal(format!("the key {}", path.display()), &source))
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY));
        match OpenOptions::new().read(true).open(&path) {
            Ok(mut file) => {
                file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(wrong)?;
                file.read_to_end(&mut bytes).map_err(wrong)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bytes.extend_from_slice(&XChaCha20Poly1305::generate_key(&mut OsRng));
                // Whole or not at all: a half-written key would make every secret unreadable.
                let draft = dir.join("secret.key.new");
                let mut file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&draft)
                    .map_err(wrong)?;
                file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(wrong)?;
                std::fs::rename(&draft, &path).map_err(wrong)?;
                std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(wrong)?;
            }
            Err(error) => return Err(wrong(error)),
        }
        XChaCha20Poly1305::new_from_slice(&bytes).map(Key).map_err(|_| {
            let advice = "restore it, or move it aside and register the storage servers' passwords anew";
            Error::internal(format!("the key {}", path.display()), format!("is not a key: {advice}"))
        })
    }

    /// Seals `plain` for the storage server `of`.
    pub fn seal(&self, of: Uuid, plain: &[u8]) -> Result<Vec<u8>> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let sealed = self
            .0
            .encrypt(&nonce, Payload { msg: plain, aad: of.as_bytes() })
            .map_err(|source| Error::internal("cannot seal secrets", source))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`Key::seal`] sealed; `None` where the key or the storage server is another.
    pub fn unseal(&self, of: Uuid, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
        let payload = Payload { msg: sealed, aad: of.as_bytes() };
        self.0.decrypt(XNonce::from_slice(nonce), payload).ok().map(Zeroizing::new)
    }
}
