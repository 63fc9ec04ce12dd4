//! Secrets at rest: sealed with a key in the state directory, or with one that the service manager brings.
//!
//! A key in the state directory protects copies of the database (backups, bug reports), not against whoever may
//! read the directory itself. One that is a systemd credential can be bound to this machine's TPM.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, AeadCore as _, KeyInit as _, OsRng, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::directory::from_io;
use crate::error::{Error, Result};

/// The name of the key's file.
const FILE: &str = "secret.key";
/// The name of the credential that stands in for it (systemd.exec(5), Credentials).
const CREDENTIAL: &str = "osc.secret-key";
const KEY: usize = 32;
const NONCE: usize = 24;

/// Where the service manager has put credentials, if it brought any.
pub fn credentials_directory() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// The key of one state directory.
pub struct Key(XChaCha20Poly1305);

impl Key {
    /// Reads the key, the service manager's before the state directory's, or makes one where there is none.
    pub fn open(dir: &Path) -> Result<Key> {
        let credentials = credentials_directory();
        Key::open_with(dir, credentials.as_deref())
    }

    fn open_with(dir: &Path, credentials: Option<&Path>) -> Result<Key> {
        let given = credentials.map(|dir| dir.join(CREDENTIAL)).filter(|path| path.exists());
        let own = given.is_none();
        let path = given.unwrap_or_else(|| dir.join(FILE));
        let wrong = |source: std::io::Error| {
            from_io(&source, Error::internal(format!("the key {}", path.display()), &source))
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(KEY));
        match OpenOptions::new().read(true).open(&path) {
            Ok(mut file) => {
                if own {
                    file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(wrong)?;
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_stands_in_for_the_key_of_the_state_directory() {
        let home = tempfile::tempdir().expect("a directory");
        let (state, credentials) = (home.path().join("state"), home.path().join("credentials"));
        for dir in [&state, &credentials] {
            std::fs::create_dir(dir).expect("a directory");
        }
        let of = Uuid::from_u128(1);
        let own = Key::open_with(&state, Some(&credentials)).expect("a key is made");
        let sealed = own.seal(of, b"secret").expect("sealed");
        // Moved, as an administrator would.
        std::fs::rename(state.join(FILE), credentials.join(CREDENTIAL)).expect("moved");
        let given = Key::open_with(&state, Some(&credentials)).expect("the credential");
        assert_eq!(given.unseal(of, &sealed).as_deref().map(Vec::as_slice), Some(&b"secret"[..]));
        assert!(!state.join(FILE).exists(), "nothing is made beside it");
        std::fs::write(credentials.join(CREDENTIAL), "short").expect("written");
        let said = Key::open_with(&state, Some(&credentials)).err().expect("a refusal").to_string();
        assert!(said.contains(CREDENTIAL), "{said}");
    }
}
