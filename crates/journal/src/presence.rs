//! Who is alive: each writer locks a file of its own, which the system lets go when the process dies, however it dies.

use std::fs::{self, File};
use std::path::PathBuf;

use uuid::Uuid;

use crate::error::Error;
use crate::place::{self, Place};

/// This writer's sign of life.
#[derive(Debug)]
pub(crate) struct Presence {
    id: String,
    path: PathBuf,
    _locked: File,
}

impl Presence {
    /// Shows a sign of life, and takes away those of the dead. The caller is alone with the journal.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub(crate) fn announce(place: &Place) -> Result<Self, Error> {
        let id = Uuid::now_v7().to_string();
        let path = place.holders().join(&id);
        let locked = || {
            let file = place::open_private(&path)?;
            file.lock()?;
            Ok(file)
        };
        let locked = locked().map_err(|error| Error::io(&path, error))?;
        for entry in fs::read_dir(place.holders()).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| !is_alive(place, name)) {
                // A sign that cannot be taken away does no harm: it is not locked.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Self { id, path, _locked: locked })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the writer with this id lives. In doubt it does.
pub(crate) fn is_alive(place: &Place, id: &str) -> bool {
    // The id comes from the file; nothing but an id becomes part of a path.
    let Ok(id) = Uuid::parse_str(id) else { return false };
    match File::open(place.holders().join(id.to_string())) {
        Ok(file) => !matches!(file.try_lock_shared(), Ok(())),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// The name of this machine.
pub(crate) fn host() -> String {
    #[cfg(unix)]
    return rustix::system::uname().nodename().to_string_lossy().into_owned();
    #[cfg(not(unix))]
    return "this machine".to_owned();
}
