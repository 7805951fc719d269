//! A run's memory: what happened becomes journal entries, and entries become what happened.
//!
//! The first entry says what was asked for and of whom; each further one is an event with its moment; the last one of
//! a run that ended says how. An event is durable before anything depends on it: a call is sent after its beginning is
//! written, and the next step is taken after its result is.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_core::journal::{Entry, JournalError, Lease};
use bellwether_core::{Journal, RunId, RunOutcome, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::state::{Event, Rules};
use crate::team::Team;

const STARTED: &str = "run_started";
const FINISHED: &str = "run_finished";
/// What onlookers noted beside the run; no part of it.
const HEARD: &str = "heard";
/// The version of the entries' form.
const SCHEMA: u32 = 1;

/// What was asked for, and of whom.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Opening {
    schema: u32,
    /// The team's name.
    pub(crate) team: String,
    /// The request.
    pub(crate) request: String,
    /// Where the team comes from, such as the path of its file.
    #[serde(default)]
    pub(crate) origin: Option<String>,
    /// What the results depend on, by name: prompts, models, the measure of the review.
    pub(crate) terms: BTreeMap<String, String>,
    /// What the run kept to from its beginning; an event says when that changed.
    #[serde(default)]
    pub(crate) rules: Option<Rules>,
}

impl Opening {
    pub(crate) fn new(team: &Team, request: &str) -> Self {
        let origin = team.origin.as_deref().map(str::to_owned);
        Self {
            schema: SCHEMA,
            team: team.name.to_string(),
            request: request.to_owned(),
            origin,
            terms: team.terms(),
            rules: Some(Rules::of(team)),
        }
    }

    /// What a run's first entry says.
    pub(crate) fn read(first: Entry) -> Result<Self, LogError> {
        if first.kind != STARTED {
            return Err(LogError::NoBeginning);
        }
        let opening: Self =
            serde_json::from_value(first.body).map_err(|source| LogError::Entry { number: 1, source })?;
        if opening.schema != SCHEMA {
            return Err(LogError::Schema { schema: opening.schema });
        }
        Ok(opening)
    }

    /// The names of the terms that are not what they were.
    pub(crate) fn changed(&self, terms: &BTreeMap<String, String>) -> Vec<String> {
        let names = self.terms.keys().chain(terms.keys());
        let mut changed: Vec<String> =
            names.filter(|name| self.terms.get(*name) != terms.get(*name)).cloned().collect();
        changed.sort();
        changed.dedup();
        changed
    }
}

/// Writes a run. Dropped in the middle, it lets go of the run as soon as the runtime comes to it.
#[derive(Debug)]
pub(crate) struct Log {
    journal: Arc<dyn Journal>,
    lease: Lease,
    /// Whether the run was let go of.
    is_over: bool,
}

impl Log {
    /// Begins a new run.
    pub(crate) async fn begin(journal: Arc<dyn Journal>, run: &RunId, opening: &Opening) -> Result<Self, JournalError> {
        let log = Self { lease: journal.lease(run).await?, journal, is_over: false };
        if let Err(error) = is_new(&*log.journal, run).await {
            log.let_go().await?;
            return Err(error);
        }
        let entry = Entry { kind: STARTED.to_owned(), body: json!(opening) };
        log.journal.append(&log.lease, vec![entry]).await?;
        Ok(log)
    }

    /// Goes on with a run; `None` if there is no such run.
    pub(crate) async fn reopen(journal: Arc<dyn Journal>, run: &RunId) -> Result<Option<Self>, JournalError> {
        // An unknown run is asked for without a lease, which would make it known.
        if journal.read(run, 0, 1).await?.is_empty() {
            return Ok(None);
        }
        let lease = journal.lease(run).await?;
        Ok(Some(Self { journal, lease, is_over: false }))
    }

    /// The journal, and the right to write the run.
    pub(crate) fn parts(&self) -> (Arc<dyn Journal>, Lease) {
        (Arc::clone(&self.journal), self.lease.clone())
    }

    /// Writes events, all or none; the number of the last one.
    pub(crate) async fn write(&self, at: Timestamp, events: &[Event]) -> Result<u64, JournalError> {
        let entries = events.iter().map(|event| entry(at, event)).collect();
        self.journal.append(&self.lease, entries).await
    }

    /// Lets somebody else write the run.
    pub(crate) async fn let_go(mut self) -> Result<(), JournalError> {
        let released = self.journal.release(&self.lease).await;
        self.is_over = true;
        released
    }

    /// Writes how the run ended and lets go of it.
    pub(crate) async fn finish(self, at: Timestamp, outcome: RunOutcome) -> Result<(), JournalError> {
        let body = json!({ "at": at.as_nanos(), "outcome": outcome });
        self.journal.append(&self.lease, vec![Entry { kind: FINISHED.to_owned(), body }]).await?;
        self.let_go().await
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // Whoever dropped a run in the middle would otherwise keep everybody from it, himself included, for as long as the
        // process lives. Nobody is left who could wait for this.
        if let (false, Ok(runtime)) = (self.is_over, Handle::try_current()) {
            let (journal, lease) = self.parts();
            runtime.spawn(async move { journal.release(&lease).await });
        }
    }
}

/// Whether nothing is remembered of a run: entries of two runs under one id would make neither of them.
pub(crate) async fn is_new(journal: &dyn Journal, run: &RunId) -> Result<(), JournalError> {
    match journal.read(run, 0, 1).await?.is_empty() {
        true => Ok(()),
        false => Err(JournalError::Store(Box::new(LogError::Known { run: run.clone() }))),
    }
}

fn entry(at: Timestamp, event: &Event) -> Entry {
    // An event with content is an object with its name as the only key, one without is its name.
    let (kind, content) = match json!(event) {
        Value::Object(fields) => fields.into_iter().next().unwrap_or_default(),
        Value::String(name) => (name, Value::Null),
        _ => (String::new(), Value::Null),
    };
    Entry { kind, body: json!({ "at": at.as_nanos(), "event": content }) }
}

/// What a run's entry after the first one says, and when it happened; nothing if it is no event.
pub(crate) fn read(number: u64, Entry { kind, mut body }: Entry) -> Result<Option<(Timestamp, Event)>, LogError> {
    if kind == FINISHED || kind == HEARD {
        return Ok(None);
    }
    let at = Timestamp::from_nanos(body["at"].as_u64().unwrap_or_default());
    let event = match body["event"].take() {
        Value::Null => Value::String(kind),
        content => Value::Object([(kind, content)].into_iter().collect()),
    };
    let event = serde_json::from_value(event).map_err(|source| LogError::Entry { number, source })?;
    Ok(Some((at, event)))
}

/// What all entries of a run say, and when it happened.
pub(crate) fn read_all(entries: Vec<Entry>) -> Result<Vec<(Timestamp, Event)>, LogError> {
    let mut entries = (1..).zip(entries);
    let (_, first) = entries.next().ok_or(LogError::NoBeginning)?;
    Opening::read(first)?;
    entries.filter_map(|(number, entry)| read(number, entry).transpose()).collect()
}

/// Why a run cannot be remembered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// An entry is not understood.
    #[error("entry {number} is not understood")]
    Entry {
        /// Which one, counted from 1.
        number: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// There is such a run already.
    #[error("there is a run {run} already: resume it, or choose another id")]
    Known {
        /// The run.
        run: RunId,
    },
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// It does not begin as a run does.
    #[error("its first entry is not the beginning of a run")]
    NoBeginning,
    /// It was written in another form.
    #[error("it was written by another version (schema {schema}; this one understands {SCHEMA})")]
    Schema {
        /// That form.
        schema: u32,
    },
}
