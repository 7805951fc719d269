//! Taking, taking over and giving back the right to write a run.

use bellwether_core::RunId;
use bellwether_core::journal::{Holder, JournalError, Lease};
use rusqlite::{OptionalExtension, Transaction};

use super::Said;
use super::books::{Books, from_sql, to_sql};
use crate::clock::{from_millis, to_millis};
use crate::lease::{Standing, in_the_way};

/// How a lease is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Claim {
    /// If nobody alive holds it.
    IfFree,
    /// Whoever holds it.
    TakeOver,
}

/// Makes this process the writer of a run.
pub(crate) fn claim(transaction: &Transaction<'_>, books: &mut Books, run: &RunId, how: Claim) -> Said<Lease> {
    if how == Claim::IfFree
        && let Some(holder) = holder(transaction, books, run)?
    {
        return Ok(Err(JournalError::Held { run: run.clone(), holder }));
    }
    let epoch: i64 = transaction
        .prepare_cached("UPDATE epoch SET last = last + 1 RETURNING last")?
        .query_row([], |row| row.get(0))?;
    let Holder { pid, host, since, until } = books.holder();
    transaction
        .prepare_cached(
            "INSERT INTO run (name, epoch, presence, pid, host, since, until) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
             ON CONFLICT (name) DO UPDATE SET epoch = ?2, presence = ?3, pid = ?4, host = ?5, since = ?6, until = ?7",
        )?
        .execute((run.as_str(), epoch, books.presence(), pid, host, to_millis(since), to_millis(until)))?;
    let lease = Lease { run: run.clone(), epoch: from_sql(0, epoch)? };
    books.took(&lease);
    Ok(Ok(lease))
}

/// Whoever holds a run and is alive.
pub(crate) fn holder(transaction: &Transaction<'_>, books: &Books, run: &RunId) -> rusqlite::Result<Option<Holder>> {
    let standing = transaction
        .prepare_cached("SELECT presence, pid, host, since, until FROM run WHERE name = ?1 AND presence IS NOT NULL")?
        .query_row([run.as_str()], |row| standing(row, 0))
        .optional()?;
    Ok(in_the_way(standing, books.now(), |id| books.is_alive(id)))
}

/// Reads presence, pid, host, since and until, from column `first` on.
pub(crate) fn standing(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Standing> {
    let time = |column| row.get(column).map(from_millis);
    let holder = Holder {
        pid: row.get(first + 1)?,
        host: row.get(first + 2)?,
        since: time(first + 3)?,
        until: time(first + 4)?,
    };
    Ok(Standing { presence: row.get(first)?, holder })
}

/// Gives a lease back.
pub(crate) fn release(transaction: &Transaction<'_>, books: &mut Books, lease: &Lease) -> Said<()> {
    let released = transaction
        .prepare_cached(
            "UPDATE run SET presence = NULL, pid = NULL, host = NULL, since = NULL, until = NULL \
             WHERE name = ?1 AND epoch = ?2 AND presence = ?3",
        )?
        .execute((lease.run.as_str(), to_sql(lease.epoch), books.presence()))?;
    if released == 0 {
        return Ok(Err(JournalError::Fenced { run: lease.run.clone() }));
    }
    books.forget_run(&lease.run);
    Ok(Ok(()))
}
