//! Snapshots of a run, left in its journal while it is on, so that a resume need not fold every entry.
//!
//! They are made from what the journal remembers, as a resume does it, in a task beside the run: no step waits for one,
//! and what a snapshot holds is what a resume would have folded. The next one is due after as many entries as the team
//! says, and after a quarter of the run if that is more: all snapshots of a run together then stay within a few times the
//! size of the last one.

use std::sync::Arc;

use bellwether_core::Journal;
use bellwether_core::journal::Lease;
use tokio::task::JoinSet;

use super::past;
use crate::log::{Log, LogError};
use crate::team::Team;

/// The part of a long run that is left to be folded.
const SHARE: u64 = 4;

/// Leaves snapshots of one run.
#[derive(Debug)]
pub(super) struct Snapshots {
    /// The entry of the last snapshot; 0 if there is none.
    last: u64,
    /// The one that is being made.
    under_way: JoinSet<()>,
}

impl Snapshots {
    pub(super) fn after(last: u64) -> Self {
        Self { last, under_way: JoinSet::new() }
    }

    /// Begins to make one if it is due after entry `seq`.
    pub(super) fn consider(&mut self, team: &Team, log: &Log, seq: u64) {
        while self.under_way.try_join_next().is_some() {}
        let due = self.last + team.settings.snapshot_every.get().max(self.last / SHARE);
        if seq < due || !self.under_way.is_empty() {
            return;
        }
        self.last = seq;
        let (team, (journal, lease)) = (team.clone(), log.parts());
        self.under_way.spawn(async move {
            // Without it a resume takes longer; nothing depends on it.
            let _ = leave(&team, journal, &lease).await;
        });
    }
}

async fn leave(team: &Team, journal: Arc<dyn Journal>, lease: &Lease) -> Result<(), LogError> {
    if let Some(past) = past::fold(team, &*journal, &lease.run).await? {
        journal.snapshot(lease, past.seq, past.freeze()).await?;
    }
    Ok(())
}
