//! What the writer knows without asking the database: where its runs end, and which leases it keeps alive.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::journal::{Holder, Lease};
use bellwether_core::{RunId, Timestamp};
use rusqlite::{OptionalExtension, Transaction};

use crate::chain::Chain;
use crate::clock::{WallClock, from_millis, to_millis};
use crate::place::Place;
use crate::presence::{self, Presence};
use crate::settings::Settings;

/// What the writer knows without asking the database.
#[derive(Debug)]
pub(crate) struct Books {
    place: Place,
    presence: Presence,
    host: String,
    clock: Arc<dyn WallClock>,
    lease: Duration,
    heartbeat: Duration,
    renewed: Timestamp,
    /// The leases taken here and not given back, by epoch.
    held: HashMap<RunId, u64>,
    tips: HashMap<RunId, Tip>,
}

/// Where a run ends. It stays true as long as its epoch is the run's: nobody else may append.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tip {
    pub(crate) id: i64,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) at_ms: i64,
    pub(crate) total: u64,
    pub(crate) chain: Chain,
}

impl Books {
    pub(crate) fn new(place: Place, presence: Presence, settings: &Settings) -> Self {
        Self {
            place,
            presence,
            host: presence::host(),
            clock: Arc::clone(&settings.clock),
            lease: settings.lease,
            heartbeat: settings.heartbeat,
            renewed: settings.clock.now(),
            held: HashMap::new(),
            tips: HashMap::new(),
        }
    }

    /// After a transaction that did not come to be: what it prolonged and appended is not there.
    pub(super) fn undo(&mut self) {
        self.tips.clear();
        self.renewed = Timestamp::ZERO;
    }

    pub(crate) fn forget_run(&mut self, run: &RunId) {
        self.tips.remove(run);
        self.held.remove(run);
    }

    pub(super) fn took(&mut self, lease: &Lease) {
        self.tips.remove(&lease.run);
        self.held.insert(lease.run.clone(), lease.epoch);
    }

    pub(super) fn grew(&mut self, run: &RunId, tip: Tip) {
        if let Some(known) = self.tips.get_mut(run) {
            *known = tip;
        } else {
            self.tips.insert(run.clone(), tip);
        }
    }

    /// Prolongs the leases taken here, if it is time to.
    pub(super) fn renew(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        if !self.renewal_is_due() {
            return Ok(());
        }
        let now = self.clock.now();
        let until = to_millis(now + self.lease);
        let mut renew =
            transaction.prepare_cached("UPDATE run SET until = ?1 WHERE name = ?2 AND epoch = ?3 AND presence = ?4")?;
        let mut lost = Vec::new();
        for (run, epoch) in &self.held {
            if renew.execute((until, run.as_str(), to_sql(*epoch), self.presence.id()))? == 0 {
                lost.push(run.clone());
            }
        }
        lost.iter().for_each(|run| self.forget_run(run));
        self.renewed = now;
        Ok(())
    }

    /// Gives back every lease of this writer.
    pub(super) fn release_all(&mut self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        transaction.execute(
            "UPDATE run SET presence = NULL, pid = NULL, host = NULL, since = NULL, until = NULL WHERE presence = ?1",
            [self.presence.id()],
        )?;
        self.held.clear();
        Ok(())
    }

    /// Whether leases have to be prolonged. A clock that was set back counts as time that passed.
    pub(super) fn renewal_is_due(&self) -> bool {
        let now = self.clock.now();
        !self.held.is_empty() && (now < self.renewed || now.since(self.renewed) >= self.heartbeat)
    }

    /// Where a run ends; `None` if the lease is void, or was taken by another writer than this: two that used one lease
    /// would not know of each other's entries.
    pub(super) fn tip(&self, transaction: &Transaction<'_>, lease: &Lease) -> rusqlite::Result<Option<Tip>> {
        let found = transaction
            .prepare_cached("SELECT id, epoch, presence IS ?2 FROM run WHERE name = ?1")?
            .query_row((lease.run.as_str(), self.presence.id()), |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
            })
            .optional()?;
        let Some((id, epoch, true)) = found else { return Ok(None) };
        if epoch != to_sql(lease.epoch) {
            return Ok(None);
        }
        match self.tips.get(&lease.run) {
            Some(tip) if tip.epoch == lease.epoch && tip.id == id => Ok(Some(*tip)),
            _ => last(transaction, lease, id).map(Some),
        }
    }

    /// Whether the writer with this id lives.
    pub(crate) fn is_alive(&self, id: &str) -> bool {
        presence::is_alive(&self.place, id)
    }

    pub(crate) fn presence(&self) -> &str {
        self.presence.id()
    }

    /// This process as the holder of a lease that begins now.
    pub(super) fn holder(&self) -> Holder {
        let since = from_millis(to_millis(self.clock.now()));
        Holder { pid: std::process::id(), host: self.host.clone(), since, until: since + self.lease }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn last(transaction: &Transaction<'_>, lease: &Lease, id: i64) -> rusqlite::Result<Tip> {
    let found = transaction
        .prepare_cached("SELECT seq, at, total, chain FROM event WHERE run = ?1 ORDER BY seq DESC LIMIT 1")?
        .query_row([id], |row| {
            let chain = row.get_ref(3)?.as_blob().ok().and_then(Chain::read);
            let chain = chain.ok_or_else(|| damaged_column(3, "the check of an entry has the wrong length"))?;
            let (seq, total) = (from_sql(0, row.get(0)?)?, from_sql(2, row.get(2)?)?);
            Ok(Tip { id, epoch: lease.epoch, seq, at_ms: row.get(1)?, total, chain })
        })
        .optional()?;
    let chain = Chain::start(&lease.run);
    Ok(found.unwrap_or(Tip { id, epoch: lease.epoch, seq: 0, at_ms: 0, total: 0, chain }))
}

/// A count as SQLite keeps it.
pub(crate) fn to_sql(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The reverse of [`to_sql`].
pub(crate) fn from_sql(column: usize, count: i64) -> rusqlite::Result<u64> {
    u64::try_from(count).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, count))
}

/// What the database notices of damage is said in its own words; this is for what only we notice.
pub(crate) fn damaged_column(column: usize, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, what.into())
}
