//! What is remembered of a run, folded: from the snapshot its last writer left and what came after, or from its beginning.

use bellwether_core::journal::JournalError;
use bellwether_core::{Journal, RunId, Timestamp};

use super::accounts::Books;
use crate::log::{self, LogError, Opening};
use crate::state::{Rules, State};
use crate::team::Team;

/// How many entries are read at once.
const PAGE: usize = 1_024;

/// What is remembered of a run, folded.
#[derive(Debug)]
pub(super) struct Past {
    /// What was asked for, and of whom.
    pub(super) opening: Opening,
    pub(super) state: State,
    /// What it took.
    pub(super) books: Books,
    /// When the last event happened.
    pub(super) at: Timestamp,
    /// The number of the last entry.
    pub(super) seq: u64,
    /// The number of the entry that a snapshot was found for; 0 if the run was folded from its beginning.
    pub(super) kept: u64,
}

/// What was asked for, and of whom; `None` if there is no such run.
pub(super) async fn opening(journal: &dyn Journal, run: &RunId) -> Result<Option<Opening>, LogError> {
    let first = journal.read(run, 0, 1).await?.pop();
    match first.map(|recorded| Opening::read(recorded.entry)).transpose() {
        Ok(opening) => Ok(opening),
        Err(error) => Err(why(journal, run, error).await),
    }
}

/// Folds what is remembered of a run; `None` if there is no such run.
pub(super) async fn fold(team: &Team, journal: &dyn Journal, run: &RunId) -> Result<Option<Past>, LogError> {
    let Some(opening) = opening(journal, run).await? else { return Ok(None) };
    let mut past = Past::beginning(team, opening);
    // A snapshot that is not understood costs time and nothing else.
    if let Some(snapshot) = journal.last_snapshot(run).await?
        && let Some((state, at, books)) = State::thaw(&snapshot.state)
    {
        past = Past { state, books, at, seq: snapshot.seq, kept: snapshot.seq, ..past };
    }
    match past.go_on(team, journal, run).await {
        Ok(()) => Ok(Some(past)),
        Err(error) => Err(why(journal, run, error).await),
    }
}

/// A run whose texts were not kept is not understood either; its journal says so.
async fn why(journal: &dyn Journal, run: &RunId, error: LogError) -> LogError {
    let failed: Result<_, JournalError> = journal.load(run).await;
    failed.err().map_or(error, LogError::from)
}

impl Past {
    fn beginning(team: &Team, opening: Opening) -> Self {
        let rules = opening.rules.clone().unwrap_or_else(|| Rules::of(team));
        Self { opening, state: State::new(rules), books: Books::default(), at: Timestamp::ZERO, seq: 1, kept: 0 }
    }

    /// What a snapshot holds.
    pub(super) fn freeze(mut self) -> Vec<u8> {
        self.books.sum_up(&self.state);
        self.state.freeze(self.at, &self.books)
    }

    /// Folds what came after.
    async fn go_on(&mut self, team: &Team, journal: &dyn Journal, run: &RunId) -> Result<(), LogError> {
        loop {
            let page = journal.read(run, self.seq, PAGE).await?;
            if page.is_empty() {
                return Ok(());
            }
            for recorded in page {
                self.seq = recorded.seq;
                let Some((at, event)) = log::read(recorded.seq, recorded.entry)? else { continue };
                self.books.enter(team, &self.opening.request, &self.state, &event);
                self.at = at;
                self.state.apply(event, at);
            }
            // Others on the same thread are not kept from their work for longer than a page takes.
            tokio::task::yield_now().await;
        }
    }
}
