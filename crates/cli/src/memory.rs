//! The journal as the commands use it: where it is, and which run is meant.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether_core::{Journal, RunId};
use bellwether_journal::settings::Secret;
use bellwether_journal::{Reader, RunInfo, Settings, SqliteJournal};

use crate::exit::{Exit, Failure};
use crate::parts;
use crate::team_file::TeamFile;

/// Where the journal is if nobody says.
pub(crate) const DIRECTORY: &str = "runs";

/// A key that is shorter is none, but what somebody wrote where a local endpoint wants something to stand, such as `x` or
/// `none`. To take it out of every text of every entry would take the texts apart.
const LEAST_SECRET_BYTES: usize = 8;

/// Where a team remembers its runs: the journal it writes, and the store beneath it.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) store: Arc<SqliteJournal>,
}

impl From<Arc<SqliteJournal>> for Memory {
    fn from(store: Arc<SqliteJournal>) -> Self {
        Self { journal: Arc::<SqliteJournal>::clone(&store), store }
    }
}

/// Opens the journal for writing. No key that the team file names ever reaches it.
pub(crate) fn open(directory: &Path, file: Option<&TeamFile>) -> Result<Arc<SqliteJournal>, Failure> {
    let keys = file.map(parts::key_variables).unwrap_or_default();
    let settings = keeping_from(keys.iter().filter_map(|variable| std::env::var(variable).ok()));
    SqliteJournal::open(directory, settings).map(Arc::new).map_err(|error| failed(&error))
}

/// The settings of a journal that these keys never reach.
fn keeping_from(keys: impl Iterator<Item = String>) -> Settings {
    let secrets = keys.filter(|key| key.len() >= LEAST_SECRET_BYTES).map(Secret::new).collect();
    Settings { secrets, ..Settings::default() }
}

/// Opens the journal for reading; another process may be writing it.
pub(crate) fn read(directory: &Path) -> Result<Reader, Failure> {
    Reader::open(directory)
        .map_err(|error| failed(&error).remedy("--journal with the directory that the run was given"))
}

/// The run that is meant: its id, the only one that begins or ends so, or `last`.
pub(crate) async fn find(reader: &Reader, meant: &str) -> Result<RunInfo, Failure> {
    let mut runs = reader.runs().await.map_err(|error| failed(&error))?;
    if meant == "last" {
        return runs.pop().ok_or_else(|| Failure::usage("the journal knows no runs"));
    }
    let fits = |info: &RunInfo| info.run.as_str().starts_with(meant) || info.run.as_str().ends_with(meant);
    if let Some(n) = runs.iter().position(|info| info.run.as_str() == meant) {
        return Ok(runs.swap_remove(n));
    }
    runs.retain(fits);
    match runs.len() {
        0 => Err(Failure::usage(format!("the journal knows no run {meant}")).remedy("bellwether runs list")),
        1 => Ok(runs.swap_remove(0)),
        n => Err(Failure::usage(format!("{n} runs begin or end with {meant}")).remedy("more of the id")),
    }
}

/// The team file of a run: the one that is given, or else the one it began with.
pub(crate) async fn team_of(reader: &Reader, run: &RunId, given: Option<PathBuf>) -> Result<TeamFile, Failure> {
    const GIVE: &str = "--team with the team file";
    let path = match given {
        Some(path) => path,
        None => opening(reader, run, "origin")
            .await?
            .map(PathBuf::from)
            .ok_or_else(|| Failure::usage("the journal does not say where the team file is").remedy(GIVE))?,
    };
    TeamFile::read(&path).map_err(|mistake| Failure::usage(mistake).remedy(GIVE))
}

/// What the first entry of a run says under a name.
pub(crate) async fn opening(reader: &Reader, run: &RunId, field: &str) -> Result<Option<String>, Failure> {
    let first = reader.read(run, 0, 1).await.map_err(|error| failed(&error))?;
    Ok(first.first().and_then(|recorded| recorded.entry.body[field].as_str()).map(str::to_owned))
}

/// A journal that does not do as asked.
pub(crate) fn failed(error: &dyn std::error::Error) -> Failure {
    let source = error.source().map_or_else(String::new, |source| format!(": {source}"));
    Failure::new(Exit::Io, format!("{error}{source}"))
}

#[cfg(test)]
mod tests {
    use bellwether_core::journal::Entry;

    use super::*;

    /// A run under the key `x` could not be resumed: the field `max_rounds` of its first entry had lost its name.
    #[tokio::test]
    async fn a_letter_in_the_place_of_a_key_takes_no_entry_apart() {
        let directory = std::env::temp_dir().join(format!("bellwether-{}", bellwether_team::new_run_id()));
        let settings = keeping_from(["x".to_owned(), "sk-a-real-key".to_owned()].into_iter());
        let journal = SqliteJournal::open(&directory, settings).unwrap();
        let run = RunId::from("r1");
        let lease = journal.lease(&run).await.unwrap();
        let body = serde_json::json!({ "max_rounds": 2, "error": "sk-a-real-key is wrong" });
        journal.append(&lease, vec![Entry { kind: "began".to_owned(), body }]).await.unwrap();
        let kept = journal.load(&run).await;
        drop(journal);
        std::fs::remove_dir_all(directory).unwrap();
        let kept = kept.unwrap();
        assert_eq!(kept[0].body, serde_json::json!({ "max_rounds": 2, "error": "[redacted] is wrong" }));
    }
}
