//! What accounts spend in a day, over all processes that write this journal.
//!
//! A reservation and its check are one transaction, so that no two processes take the same room. What a process that
//! died had reserved stays spent: nobody knows what its calls took.

use std::time::Duration;

use bellwether_core::journal::JournalError;
use rusqlite::Transaction;

use crate::journal::SqliteJournal;
use crate::writer::{Books, Said, from_sql, to_sql};

/// An amount: money, tokens, calls and time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Spending {
    /// Money, in billionths of a dollar.
    pub nanos: u64,
    /// Tokens.
    pub tokens: u64,
    /// Calls.
    pub calls: u64,
    /// Time, kept in whole milliseconds.
    pub time: Duration,
}

/// An account on a day.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Today {
    /// What was spent for certain, or by calls of which nobody will ever know.
    pub spent: Spending,
    /// What calls under way may take at most.
    pub reserved: Spending,
}

impl Spending {
    fn add(&mut self, other: Self) {
        self.nanos = self.nanos.saturating_add(other.nanos);
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.calls = self.calls.saturating_add(other.calls);
        self.time = self.time.saturating_add(other.time);
    }

    fn row(&self) -> [i64; 4] {
        let millis = u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX);
        [self.nanos, self.tokens, self.calls, millis].map(to_sql)
    }
}

impl SqliteJournal {
    /// Reserves `worst` under `id` in the account of the present UTC day if `fits` says so of what is there; else says
    /// what is there. It is durable once this returns.
    ///
    /// # Errors
    ///
    /// [`JournalError::Store`] if the store fails.
    ///
    /// # Cancel safety
    ///
    /// It may have been reserved all the same; [`settle`](Self::settle) it.
    pub async fn reserve(
        &self,
        account: &str,
        id: &str,
        worst: Spending,
        fits: impl Fn(&Today) -> bool + Send + 'static,
    ) -> Result<Result<(), Today>, JournalError> {
        let (account, id) = (account.to_owned(), id.to_owned());
        let reserve = move |transaction: &Transaction<'_>, books: &mut Books| -> Said<Result<(), Today>> {
            let day = day(books);
            let today = today(transaction, books, &account, day)?;
            if !fits(&today) {
                return Ok(Ok(Err(today)));
            }
            let [nanos, tokens, calls, millis] = worst.row();
            let row = (&account, day, &id, books.presence(), nanos, tokens, calls, millis);
            transaction.prepare_cached("INSERT INTO spend VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(row)?;
            Ok(Ok(Ok(())))
        };
        self.writer().ask(0, reserve).await
    }

    /// Takes a reservation back and books what was spent, with the next commit. One that was never made is no matter.
    pub fn settle(&self, account: &str, id: &str, took: Spending) {
        let (account, id) = (account.to_owned(), id.to_owned());
        self.writer().tell(move |transaction, _| {
            let mut remove =
                transaction.prepare_cached("DELETE FROM spend WHERE account = ?1 AND id = ?2 RETURNING day")?;
            let days: Vec<i64> = remove.query_map((&account, &id), |row| row.get(0))?.collect::<Result<_, _>>()?;
            let [nanos, tokens, calls, millis] = took.row();
            for day in days {
                transaction
                    .prepare_cached(
                        "INSERT INTO spend VALUES (?1, ?2, '', NULL, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET \
                         nanos = nanos + ?3, tokens = tokens + ?4, calls = calls + ?5, millis = millis + ?6",
                    )?
                    .execute((&account, day, nanos, tokens, calls, millis))?;
            }
            Ok(Ok(()))
        });
    }
}

/// The present day in UTC, counted from the Unix epoch.
fn day(books: &Books) -> i64 {
    const NANOS: u64 = 86_400_000_000_000;
    to_sql(books.now().as_nanos() / NANOS)
}

fn today(transaction: &Transaction<'_>, books: &Books, account: &str, day: i64) -> rusqlite::Result<Today> {
    let mut today = Today::default();
    let mut rows = transaction
        .prepare_cached("SELECT presence, nanos, tokens, calls, millis FROM spend WHERE account = ?1 AND day = ?2")?;
    let mut rows = rows.query((account, day))?;
    while let Some(row) = rows.next()? {
        let presence: Option<String> = row.get(0)?;
        let count = |column| from_sql(column, row.get(column)?);
        let time = Duration::from_millis(count(4)?);
        let spending = Spending { nanos: count(1)?, tokens: count(2)?, calls: count(3)?, time };
        let open = presence.is_some_and(|id| id == books.presence() || books.is_alive(&id));
        if open { today.reserved.add(spending) } else { today.spent.add(spending) }
    }
    Ok(today)
}
