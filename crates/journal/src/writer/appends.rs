//! Entries and snapshots into the tables.

use bellwether_core::journal::{JournalError, Lease};
use blake3::Hash;
use rusqlite::{OptionalExtension, Transaction};

use super::Said;
use super::books::{Books, Tip, damaged_column, to_sql};
use crate::chain::{Chain, Link};
use crate::clock::to_millis;
use crate::entry::{Blob, Packed, Text};
use crate::error::Error;

/// Appends entries to a run; says the last one's number.
pub(crate) fn append(transaction: &Transaction<'_>, books: &mut Books, lease: &Lease, entries: &[Packed]) -> Said<u64> {
    let Some(mut tip) = books.tip(transaction, lease)? else {
        return Ok(Err(JournalError::Fenced { run: lease.run.clone() }));
    };
    let now_ms = to_millis(books.now());
    for entry in entries {
        add(transaction, &mut tip, now_ms, entry)?;
    }
    books.grew(&lease.run, tip);
    Ok(Ok(tip.seq))
}

fn add(transaction: &Transaction<'_>, tip: &mut Tip, now_ms: i64, entry: &Packed) -> rusqlite::Result<()> {
    tip.seq += 1;
    // A clock that was set back does not turn a run's time around.
    tip.at_ms = tip.at_ms.max(now_ms);
    tip.total += (entry.kind.len() + entry.body.len()) as u64;
    for text in &entry.texts {
        if keep(transaction, tip.id, text)? {
            tip.total += text.data.bytes().len() as u64;
        }
    }
    let (kind, body) = (entry.kind.as_str(), entry.body.as_str());
    tip.chain = tip.chain.next(Link { seq: tip.seq, at_ms: tip.at_ms, kind, body, total: tip.total });
    transaction
        .prepare_cached(
            "INSERT INTO event (run, seq, at, kind, body, total, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((tip.id, to_sql(tip.seq), tip.at_ms, kind, body, to_sql(tip.total), tip.chain.as_bytes()))?;
    Ok(())
}

/// Keeps a text, once, and notes that the run needs it; whether the run needed it for the first time.
fn keep(transaction: &Transaction<'_>, run: i64, text: &Text) -> rusqlite::Result<bool> {
    let hash = text.hash.as_bytes().as_slice();
    let known = transaction
        .prepare_cached("SELECT id FROM body WHERE hash = ?1")?
        .query_row([hash], |row| row.get::<_, i64>(0))
        .optional()?;
    let id = match known {
        Some(id) => id,
        None => transaction
            .prepare_cached("INSERT INTO body (hash, size, packing, data) VALUES (?1, ?2, ?3, ?4)")?
            .insert((hash, to_sql(text.size as u64), text.data.packing(), text.data.bytes()))?,
    };
    let noted = transaction
        .prepare_cached("INSERT INTO uses (run, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute((run, id))?;
    Ok(noted == 1)
}

/// Keeps a fold of a run up to `seq`, instead of the one before.
pub(crate) fn snapshot(
    transaction: &Transaction<'_>,
    books: &Books,
    lease: &Lease,
    seq: u64,
    (hash, size, state): (&Hash, usize, &Blob),
) -> Said<()> {
    let Some(tip) = books.tip(transaction, lease)? else {
        return Ok(Err(JournalError::Fenced { run: lease.run.clone() }));
    };
    let chain = transaction
        .prepare_cached("SELECT chain FROM event WHERE run = ?1 AND seq = ?2")?
        .query_row((tip.id, to_sql(seq)), |row| {
            let chain = row.get_ref(0)?.as_blob().ok().and_then(Chain::read);
            chain.ok_or_else(|| damaged_column(0, "the check of an entry has the wrong length"))
        })
        .optional()?;
    let Some(chain) = chain else {
        return Ok(Err(Error::Snapshot { run: lease.run.clone(), seq }.into()));
    };
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO snapshot (run, seq, chain, hash, size, packing, data) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute((
            tip.id,
            to_sql(seq),
            chain.as_bytes(),
            hash.as_bytes().as_slice(),
            to_sql(size as u64),
            state.packing(),
            state.bytes(),
        ))?;
    Ok(Ok(()))
}
