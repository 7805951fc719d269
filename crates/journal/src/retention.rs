//! Removing runs, and the texts that no run needs.
//!
//! Both work in small slices, so that what other runs append meanwhile waits for a few milliseconds at most.

use bellwether_core::RunId;
use bellwether_core::journal::JournalError;
use rusqlite::{OptionalExtension, Transaction};

use crate::journal::SqliteJournal;
use crate::writer::{self, Said};

/// What a collection freed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Collected {
    /// How many texts were removed.
    pub texts: u64,
    /// How many bytes they took.
    pub bytes: u64,
}

impl SqliteJournal {
    /// Removes a run; whether there was one. It is gone from lists at once; its texts go with [`collect`](Self::collect).
    ///
    /// # Errors
    ///
    /// [`JournalError::Held`] while somebody alive writes it; else the store's failure.
    ///
    /// # Cancel safety
    ///
    /// The run may be gone all the same; what is left of its entries goes with [`collect`](Self::collect).
    pub async fn remove(&self, run: &RunId) -> Result<bool, JournalError> {
        let run = run.clone();
        let hide = move |tx: &Transaction<'_>, books: &mut writer::Books| -> Said<Option<i64>> {
            if let Some(holder) = writer::holder(tx, books, &run)? {
                return Ok(Err(JournalError::Held { run: run.clone(), holder }));
            }
            books.forget_run(&run);
            let hidden = tx
                .prepare_cached("UPDATE run SET name = NULL, presence = NULL WHERE name = ?1 RETURNING id")?
                .query_row([run.as_str()], |row| row.get(0))
                .optional()?;
            Ok(Ok(hidden))
        };
        let Some(id) = self.writer().ask(0, hide).await? else { return Ok(false) };
        self.purge(id).await?;
        Ok(true)
    }

    /// Removes the texts that no run needs and gives free space back to the disk.
    ///
    /// # Errors
    ///
    /// [`JournalError::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// What was removed stays removed; the next collection goes on.
    pub async fn collect(&self) -> Result<Collected, JournalError> {
        while let Some(id) = self.writer().ask(0, |tx, _| half_removed(tx).map(Ok)).await? {
            self.purge(id).await?;
        }
        let (mut collected, mut next) = (Collected::default(), Some(0));
        while let Some(after) = next {
            let slice = self.writer().ask(0, move |tx, _| collect_slice(tx, after).map(Ok)).await?;
            collected.texts += slice.0.texts;
            collected.bytes += slice.0.bytes;
            next = slice.1;
        }
        while self.writer().ask(0, |tx, _| shrink(tx).map(Ok)).await? {}
        Ok(collected)
    }

    async fn purge(&self, id: i64) -> Result<(), JournalError> {
        while self.writer().ask(0, move |tx, _| purge_slice(tx, id).map(Ok)).await? {}
        Ok(())
    }
}

fn half_removed(transaction: &Transaction<'_>) -> rusqlite::Result<Option<i64>> {
    transaction
        .prepare_cached("SELECT id FROM run WHERE name IS NULL LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()
}

/// Removes a part of a run that is being removed; whether there may be more.
fn purge_slice(transaction: &Transaction<'_>, id: i64) -> rusqlite::Result<bool> {
    // Another process may have ended this removal meanwhile, and a new run may have its place.
    let mut hidden = transaction.prepare_cached("SELECT 1 FROM run WHERE id = ?1 AND name IS NULL")?;
    if !hidden.exists([id])? {
        return Ok(false);
    }
    let delete = |sql| transaction.prepare_cached(sql)?.execute([id]);
    if delete("DELETE FROM event WHERE run = ?1 AND seq > (SELECT max(seq) - 1000 FROM event WHERE run = ?1)")? > 0 {
        return Ok(true);
    }
    delete("DELETE FROM uses WHERE run = ?1")?;
    delete("DELETE FROM snapshot WHERE run = ?1")?;
    delete("DELETE FROM run WHERE id = ?1")?;
    Ok(false)
}

/// Looks at the next texts; says what was removed, and where to go on.
fn collect_slice(transaction: &Transaction<'_>, after: i64) -> rusqlite::Result<(Collected, Option<i64>)> {
    let last: Option<i64> = transaction
        .prepare_cached("SELECT max(id) FROM (SELECT id FROM body WHERE id > ?1 ORDER BY id LIMIT 1000)")?
        .query_row([after], |row| row.get(0))?;
    let Some(last) = last else { return Ok((Collected::default(), None)) };
    let mut statement = transaction.prepare_cached(
        "DELETE FROM body WHERE id > ?1 AND id <= ?2 AND NOT EXISTS (SELECT 1 FROM uses WHERE uses.body = body.id) \
         RETURNING length(data)",
    )?;
    let mut collected = Collected::default();
    for bytes in statement.query_map((after, last), |row| row.get::<_, i64>(0))? {
        collected.texts += 1;
        collected.bytes += u64::try_from(bytes?).unwrap_or_default();
    }
    Ok((collected, Some(last)))
}

/// Gives some free pages back to the disk; whether there are more.
fn shrink(transaction: &Transaction<'_>) -> rusqlite::Result<bool> {
    let free = || transaction.pragma_query_value(None, "freelist_count", |row| row.get::<_, i64>(0));
    let before = free()?;
    if before == 0 {
        return Ok(false);
    }
    // A row for each page, and a page for each row that is asked for.
    let mut statement = transaction.prepare_cached("PRAGMA incremental_vacuum(256)")?;
    let mut pages = statement.query([])?;
    while pages.next()?.is_some() {}
    Ok(free()? < before)
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, Transaction, TransactionBehavior};

    use super::{half_removed, purge_slice};

    /// Two processes removed one run, and a new run got its place between their steps: its entries went, too.
    #[test]
    fn a_run_that_got_the_place_of_a_removed_one_stays() {
        let mut connection = Connection::open_in_memory().expect("memory is there");
        connection.execute_batch(include_str!("schema.sql")).expect("the tables are sound");
        let tables = Transaction::new(&mut connection, TransactionBehavior::Immediate).expect("nobody else is there");
        let add = |name: Option<&str>| {
            tables.execute("INSERT INTO run (name, epoch) VALUES (?1, 1)", [name]).expect("it is new");
            let id = tables.last_insert_rowid();
            let entry = "INSERT INTO event VALUES (?1, 1, 0, 'step', '{}', 2, x'00')";
            tables.execute(entry, [id]).expect("it is its first entry");
            id
        };
        let old = add(None);
        assert_eq!(half_removed(&tables).expect("it can be asked"), Some(old));
        while purge_slice(&tables, old).expect("it can be removed") {}
        let new = add(Some("r2"));
        assert_eq!(new, old, "places are given again");
        assert!(!purge_slice(&tables, old).expect("it can be asked"));
        let left: i64 = tables.query_row("SELECT count(*) FROM event", [], |row| row.get(0)).expect("it can be asked");
        assert_eq!(left, 1);
    }
}
