//! Why a journal cannot be used, one sentence each.

use std::io;
use std::path::{Path, PathBuf};

use bellwether_core::RunId;
use bellwether_core::journal::JournalError;
use rusqlite::ErrorCode;

/// Why a journal cannot be used. Behind the [`Journal`](crate::Journal) seam it is the source of
/// [`JournalError::Store`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The run was written with [`Bodies::Hashes`](crate::Bodies::Hashes).
    #[error("the bodies of run {run} were not kept, so it can be looked at but not loaded")]
    BodiesNotKept {
        /// The run.
        run: RunId,
    },
    /// The journal was closed before it could do this.
    #[error("the journal was closed first{}", reason.as_ref().map(|reason| format!(", while it waited: {reason}")).unwrap_or_default())]
    Closed {
        /// What the writer was waiting for.
        reason: Option<String>,
    },
    /// What the file says cannot be what was written to it.
    #[error("the journal in {} is damaged: {detail}", path.display())]
    Damaged {
        /// The journal's directory.
        path: PathBuf,
        /// Where.
        detail: String,
    },
    /// An entry is nested deeper than it could be read back.
    #[error("an entry is nested more than {limit} levels deep")]
    Deep {
        /// The deepest that can be kept.
        limit: usize,
    },
    /// The database belongs to another program.
    #[error("{} is not a journal of Bellwether", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Somebody removed or replaced the database while it was in use: what is written now would be in no file.
    #[error("the journal in {} was removed or replaced while it was in use", path.display())]
    Gone {
        /// The journal's directory.
        path: PathBuf,
    },
    /// An operation on a file failed.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An entry, or what is appended at once, is too large.
    #[error("{size} bytes are appended at once, more than the {limit} that a journal takes")]
    Large {
        /// How large.
        size: usize,
        /// The most that can be kept.
        limit: usize,
    },
    /// There is no journal here.
    #[error("there is no journal in {}", path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// Locks and shared memory do not hold across machines.
    #[error("{} lies on a network filesystem ({kind}), where a journal is not safe; choose a local directory", path.display())]
    Network {
        /// The directory.
        path: PathBuf,
        /// The filesystem.
        kind: &'static str,
    },
    /// A later Bellwether wrote the journal.
    #[error("the journal in {} has format {found}, and this version of Bellwether knows formats up to {known}", path.display())]
    Newer {
        /// The journal's directory.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The latest format known here.
        known: i64,
    },
    /// SQLite is older than the fix of a defect that damages files.
    #[error("SQLite {found} can damage a journal; 3.51.3 is the first that does not")]
    OldSqlite {
        /// The version linked in.
        found: &'static str,
    },
    /// A snapshot was given for an entry that the run does not have.
    #[error("run {run} has no entry {seq} to take a snapshot at")]
    Snapshot {
        /// The run.
        run: RunId,
        /// The number that was given.
        seq: u64,
    },
    /// The database failed.
    #[error("the journal in {} failed: {detail}", path.display())]
    Store {
        /// The journal's directory.
        path: PathBuf,
        /// What the database said.
        detail: String,
    },
}

impl From<Error> for JournalError {
    fn from(error: Error) -> Self {
        Self::Store(Box::new(error))
    }
}

impl Error {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), detail: one_line(&detail.into()) }
    }

    /// Classifies what the database said.
    pub(crate) fn database(path: &Path, error: &rusqlite::Error) -> Self {
        use rusqlite::Error as Sql;
        let damaged = match error {
            Sql::FromSqlConversionFailure(..) | Sql::IntegralValueOutOfRange(..) | Sql::InvalidColumnType(..) => true,
            Sql::Utf8Error(..) => true,
            // The statements are ours and were tried; one that does not fit the file's tables blames the file.
            Sql::SqlInputError { .. } | Sql::QueryReturnedNoRows => true,
            other => matches!(
                other.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
            ),
        };
        if damaged {
            return Self::damaged(path, error.to_string());
        }
        Self::Store { path: path.to_owned(), detail: one_line(&error.to_string()) }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
