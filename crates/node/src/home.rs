//! The home directory of a node: where its keys and its store are, and who may read them.
//!
//! ```text
//! HOME/            0700
//!   keys/          0700   root, device, seal: 32 bytes each, 0600
//!   store/         the database and the bulk files
//!   dtn/           what waits to be sent over DTN, and pieces of what came
//!   place          0600   says nothing; where it lies tells a copied or restored home from the original
//!   control.sock   0600   the program talks to its node here
//! ```

use crate::error::{During, Error, Result};
use base::{Hash, Kind};
use crypto::{DeviceKey, RootKey, SealKey};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The paths of a home.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    dir: PathBuf,
}

/// The secrets of a node. The root key is here until the recovery phrase is confirmed.
pub(crate) struct Keys {
    pub(crate) device: DeviceKey,
    pub(crate) seal: SealKey,
    pub(crate) root: RootKey,
    pub(crate) device_seed: Zeroizing<[u8; 32]>,
}

impl Home {
    /// Makes the directory if it is missing, and closes it to everybody else.
    pub(crate) fn open(dir: &Path) -> Result<Home> {
        make_private(dir)?;
        let dir = dir.canonicalize().during(|| format!("opening {}", dir.display()))?;
        make_private(&dir.join("keys"))?;
        Ok(Home { dir })
    }

    /// Where the store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Where this home is: on which machine, and in which files of its disk. A copy is somewhere else, and so is
    /// a home that was restored, in place too: no copying program can choose a file's number and times of
    /// creation and change. A renamed home is where it was.
    pub(crate) fn place(&self) -> Result<Hash> {
        let marker = self.dir.join("place");
        if !marker.exists() {
            let during = || format!("making {}", marker.display());
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&marker).during(during)?;
            file.write_all(b"Leave this file alone: by it chorus knows whether this home was copied.\n")
                .during(during)?;
            file.sync_all().during(during)?;
        }
        let machine = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
        let machine = machine.iter().find_map(|path| fs::read(path).ok()).unwrap_or_default();
        let mut parts = vec![b"chorus/place/1".to_vec(), Hash::of(&[&machine]).0.to_vec()];
        parts.push(lies(&marker, true)?);
        parts.push(lies(&self.store(), false)?);
        Ok(Hash::of(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>()))
    }

    /// Reads the keys, making them at the first time.
    pub(crate) fn keys(&self) -> Result<Keys> {
        let root = self.secret("root")?;
        let device = self.secret("device")?;
        let seal = self.secret("seal")?;
        Ok(Keys {
            device: DeviceKey::from_seed(*device),
            seal: SealKey::from_seed(*seal),
            root: RootKey::from_entropy(&root),
            device_seed: device,
        })
    }

    fn secret(&self, name: &str) -> Result<Zeroizing<[u8; 32]>> {
        let path = self.dir.join("keys").join(name);
        let during = || format!("the key file {}", path.display());
        let mut bytes = Zeroizing::new([0u8; 32]);
        match fs::File::open(&path) {
            Ok(mut file) => {
                let mode = file.metadata().during(during)?.permissions().mode();
                if mode & 0o077 != 0 {
                    return Err(Error::refused(
                        Kind::Denied,
                        format!("{} can be read by others (mode {:o})", path.display(), mode & 0o777),
                    ));
                }
                file.read_exact(bytes.as_mut()).during(during)?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                random(bytes.as_mut())?;
                self.write_secret(&path, &bytes).during(during)?;
            }
            Err(e) => return Err(e).during(during),
        }
        Ok(bytes)
    }

    // A key that was used and then lost would be lost for good, so it is durable before it is used.
    fn write_secret(&self, path: &Path, bytes: &[u8; 32]) -> std::io::Result<()> {
        let temporary = path.with_extension("new");
        let _ = fs::remove_file(&temporary);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(self.dir.join("keys"))?.sync_all()
    }
}

// Which file this is, as nobody but the kernel can set it: its number, when it was made and, of one that nobody
// writes to, when it was last changed.
fn lies(path: &Path, unchanging: bool) -> Result<Vec<u8>> {
    let meta = fs::metadata(path).during(|| format!("looking at {}", path.display()))?;
    let mut out = meta.ino().to_be_bytes().to_vec();
    let made = meta.created().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    out.extend(made.map_or(0, |at| at.as_nanos()).to_be_bytes());
    if unchanging {
        out.extend(meta.ctime().to_be_bytes());
        out.extend(meta.ctime_nsec().to_be_bytes());
    }
    Ok(out)
}

fn make_private(dir: &Path) -> Result<()> {
    let during = || format!("making {}", dir.display());
    if !dir.exists() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).during(during)?;
    }
    let meta = fs::metadata(dir).during(during)?;
    if !meta.is_dir() {
        return Err(Error::refused(Kind::Invalid, format!("{} is not a directory", dir.display())));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).during(during)?;
    }
    Ok(())
}

/// Fills a buffer from the machine's own source of randomness.
pub(crate) fn random(buffer: &mut [u8]) -> Result<()> {
    getrandom::fill(buffer)
        .map_err(|e| Error::refused(Kind::Io, format!("no randomness from the system: {e}")))
}

/// A random array.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut out = [0; N];
    random(&mut out)?;
    Ok(out)
}
