//! The directory of a journal: private, local, and what lies in it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The directory of a journal.
#[derive(Clone, Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    /// Makes the directory, readable by its owner only, unless it is there.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Network`].
    pub(crate) fn prepare(directory: &Path) -> Result<Self, Error> {
        make_private(directory).map_err(|error| Error::io(directory, error))?;
        let place = Self(directory.to_owned());
        place.refuse_network()?;
        let holders = place.holders();
        make_private(&holders).map_err(|error| Error::io(&holders, error))?;
        let database = place.database();
        // SQLite gives the files beside it the same mode.
        open_private(&database).map_err(|error| Error::io(&database, error))?;
        Ok(place)
    }

    /// A directory that is there already.
    ///
    /// # Errors
    ///
    /// [`Error::Missing`], [`Error::Network`].
    pub(crate) fn existing(directory: &Path) -> Result<Self, Error> {
        let place = Self(directory.to_owned());
        if !place.database().is_file() {
            return Err(Error::Missing { path: directory.to_owned() });
        }
        place.refuse_network()?;
        Ok(place)
    }

    /// Waits until no other process opens this journal at the same moment.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn alone(&self) -> Result<File, Error> {
        let path = self.0.join("journal.lock");
        let lock = || {
            let file = open_private(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|error| Error::io(&path, error))
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("journal.db")
    }

    pub(crate) fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    pub(crate) fn holders(&self) -> PathBuf {
        self.0.join("holders")
    }

    /// What tells the database from another file of the same name, where files have such a thing.
    pub(crate) fn identity(&self) -> Option<Identity> {
        fs::metadata(self.database()).ok().and_then(|found| identity(&found))
    }

    /// Whether the database is still the same file. In doubt it is.
    pub(crate) fn is_still(&self, known: Option<Identity>) -> bool {
        match fs::metadata(self.database()) {
            Ok(found) => identity(&found) == known,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    fn refuse_network(&self) -> Result<(), Error> {
        match filesystem(&self.0).map_err(|error| Error::io(&self.0, error))?.and_then(network) {
            Some(kind) => Err(Error::Network { path: self.0.clone(), kind }),
            None => Ok(()),
        }
    }
}

/// A file's device and number.
pub(crate) type Identity = (u64, u64);

#[cfg(unix)]
fn identity(found: &fs::Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Option<Identity> {
    None
}

/// Opens a file for writing, made readable by its owner only, whatever it was before.
///
/// # Errors
///
/// As the system says.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let file = options.mode(0o600).open(path)?;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
        Ok(file)
    }
    #[cfg(not(unix))]
    options.open(path)
}

fn make_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// How many bytes are free where a file lies or would lie; `None` where that cannot be known.
#[cfg(unix)]
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path.parent()?).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// How many bytes are free where a file lies or would lie; `None` where that cannot be known.
#[cfg(not(unix))]
pub(crate) fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
fn filesystem(path: &Path) -> io::Result<Option<u32>> {
    // The magic numbers are 32 bits wide; the field that holds them differs between machines.
    let magic = rustix::fs::statfs(path)?.f_type;
    Ok(Some(u32::try_from(magic & 0xffff_ffff).expect("32 bits are left")))
}

#[cfg(not(target_os = "linux"))]
fn filesystem(_: &Path) -> io::Result<Option<u32>> {
    Ok(None)
}

/// The name of a filesystem that other machines may share, by its magic number.
const fn network(magic: u32) -> Option<&'static str> {
    match magic {
        0x6969 => Some("NFS"),
        0xff53_4d42 | 0xfe53_4d42 | 0x517b => Some("SMB"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x00c3_6400 => Some("Ceph"),
        0x0bd0_0bd0 => Some("Lustre"),
        0x0102_1997 => Some("9P"),
        0x7375_7245 => Some("Coda"),
        0x0116_1970 => Some("GFS2"),
        0x7461_636f => Some("OCFS2"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filesystems_that_machines_share_are_known_by_name() {
        for magic in [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x517b, 0x5346_414f, 0x00c3_6400, 0x0102_1997] {
            assert!(network(magic).is_some(), "{magic:x}");
        }
        // ext4, tmpfs, xfs, btrfs, overlayfs
        for magic in [0xef53, 0x0102_1994, 0x5846_5342, 0x9123_683e, 0x794c_7630] {
            assert_eq!(network(magic), None, "{magic:x}");
        }
    }
}
