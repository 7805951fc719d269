//! What is remembered of a run, folded: from the snapshot its last writer left and what came after, or from its beginning.

use bellwether_core::journal::JournalError;
use bellwether_core::{Journal, RunId, Timestamp};

use super::accounts::{Booked, Books};
use super::live;
use crate::log::{self, LogError, Opening};
use crate::report::RunReport;
use crate::state::{Rules, State};
use crate::team::Team;

/// How many entries are read at once.
const PAGE: usize = 1_024;

/// What is remembered of a run, folded once: to be reported, to fill budgets, and to go on with.
///
/// It is what was remembered when [`Team::past`] was asked. Whoever goes on with it folds what came in since.
#[derive(Debug)]
pub struct Past {
    /// Whose past it is.
    pub(super) run: RunId,
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
async fn opening(journal: &dyn Journal, run: &RunId) -> Result<Option<Opening>, LogError> {
    let first = journal.read(run, 0, 1).await?.pop();
    match first.map(|recorded| Opening::read(recorded.entry)).transpose() {
        Ok(opening) => Ok(opening),
        Err(error) => Err(why(journal, run, error).await),
    }
}

/// Folds what is remembered of a run; `None` if there is no such run.
pub(super) async fn fold(team: &Team, journal: &dyn Journal, run: &RunId) -> Result<Option<Past>, LogError> {
    let Some(opening) = opening(journal, run).await? else { return Ok(None) };
    let mut past = Past::beginning(team, run, opening);
    // A snapshot that is not understood costs time and nothing else.
    if let Some(snapshot) = journal.last_snapshot(run).await?
        && let Some((state, at, books)) = State::thaw(&snapshot.state)
    {
        past = Past { state, books, at, seq: snapshot.seq, kept: snapshot.seq, ..past };
    }
    match past.go_on(team, journal).await {
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
    /// A report of the run as it is remembered.
    #[must_use]
    pub fn report(&self, team: &Team) -> RunReport {
        live::recall(team, self)
    }

    /// What the run took so far, for whoever keeps its budgets.
    #[must_use]
    pub fn accounts(&self, team: &Team) -> Vec<Booked> {
        team.booked(&self.run, &self.opening.request, &self.state, self.books.clone())
    }

    fn beginning(team: &Team, run: &RunId, opening: Opening) -> Self {
        let rules = opening.rules.clone().unwrap_or_else(|| Rules::of(team));
        let run = run.clone();
        Self { run, opening, state: State::new(rules), books: Books::default(), at: Timestamp::ZERO, seq: 1, kept: 0 }
    }

    /// What a snapshot holds.
    pub(super) fn freeze(mut self) -> Vec<u8> {
        self.books.sum_up(&self.state);
        self.state.freeze(self.at, &self.books)
    }

    /// Folds what came after.
    pub(super) async fn go_on(&mut self, team: &Team, journal: &dyn Journal) -> Result<(), LogError> {
        loop {
            let page = journal.read(&self.run, self.seq, PAGE).await?;
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
