//! A new run that begins where another one was.

use bellwether_core::journal::{Entry, JournalError, Lease};
use bellwether_core::{Journal, RunId};
use serde_json::json;

use super::ResumeError;
use crate::log::{self, LogError};

/// How many entries are written at once.
const SLICE: usize = 1_000;

/// Makes `into` a run that has everything that `run` had up to its entry number `at`, and nothing of what came after;
/// resume it to go on from there. What was finished by then is not done again. The run itself is only read.
///
/// A journal that keeps each text once keeps it once for both runs. Calls that were under way at that entry are made
/// again, and counted as possible duplicates.
///
/// # Errors
///
/// [`ResumeError::Unknown`] if there is no such run, [`ResumeError::NoEntry`] if it has no such entry,
/// [`ResumeError::Held`] if somebody writes `into`; else the journal's failure, also if there is a run `into` already.
///
/// # Cancel safety
///
/// `into` may have a part of the entries already: it is then a fork at an earlier one.
pub async fn fork(journal: &dyn Journal, run: &RunId, at: u64, into: &RunId) -> Result<(), ResumeError> {
    let mut entries = journal.load(run).await.map_err(ResumeError::Journal)?;
    if entries.is_empty() {
        return Err(ResumeError::Unknown);
    }
    let last = entries.len() as u64;
    if at == 0 || at > last {
        return Err(ResumeError::NoEntry { at, last });
    }
    entries.truncate(usize::try_from(at).unwrap_or(usize::MAX));
    // What is not understood is not copied.
    log::read_all(entries.clone())?;
    if let Some(Entry { body: serde_json::Value::Object(opening), .. }) = entries.first_mut() {
        opening.insert("forked".to_owned(), json!({ "run": run, "at": at }));
    }
    let lease = journal.lease(into).await.map_err(LogError::Journal)?;
    let copied = copy(journal, &lease, entries).await;
    journal.release(&lease).await.and(copied).map_err(ResumeError::Journal)
}

async fn copy(journal: &dyn Journal, lease: &Lease, mut entries: Vec<Entry>) -> Result<(), JournalError> {
    log::is_new(journal, &lease.run).await?;
    while !entries.is_empty() {
        let rest = entries.split_off(entries.len().min(SLICE));
        journal.append(lease, std::mem::replace(&mut entries, rest)).await?;
    }
    Ok(())
}
