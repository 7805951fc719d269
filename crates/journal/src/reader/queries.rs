//! What can be asked of the file; each question sees one moment of it.

use bellwether_core::journal::{Entry, Recorded, Snapshot};
use bellwether_core::{RunId, Timestamp};
use blake3::Hash;
use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::{Restored, RunInfo};
use crate::chain::{Chain, Link};
use crate::clock::from_millis;
use crate::entry::{Blob, Gaps, Unreadable, unpack};
use crate::error::Error;
use crate::lease::in_the_way;
use crate::place::Place;
use crate::presence;
use crate::writer::{from_sql, standing, to_sql};

/// One moment of the file.
pub(super) struct Queries<'a> {
    place: &'a Place,
    moment: Transaction<'a>,
}

/// An error of the database that still has to be told from damage.
type Sql<T> = rusqlite::Result<T>;

impl<'a> Queries<'a> {
    pub(super) fn within<T>(
        place: &'a Place,
        connection: &'a mut Connection,
        question: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let moment = connection.transaction().map_err(|error| Error::database(place.directory(), &error))?;
        question(&Self { place, moment })
    }

    pub(super) fn runs(&self, now: Timestamp) -> Result<Vec<RunInfo>, Error> {
        let list = || -> Sql<Vec<RunInfo>> {
            let mut statement = self.moment.prepare_cached(
                "SELECT name, \
                        (SELECT seq FROM event WHERE event.run = run.id ORDER BY seq DESC LIMIT 1), \
                        (SELECT at FROM event WHERE event.run = run.id AND seq = 1), \
                        (SELECT at FROM event WHERE event.run = run.id ORDER BY seq DESC LIMIT 1), \
                        (SELECT total FROM event WHERE event.run = run.id ORDER BY seq DESC LIMIT 1), \
                        presence, pid, host, since, until \
                 FROM run WHERE name IS NOT NULL ORDER BY id",
            )?;
            statement.query_map([], |row| self.run_info(row, now))?.collect()
        };
        list().map_err(|error| self.failed(&error))
    }

    fn run_info(&self, row: &Row<'_>, now: Timestamp) -> Sql<RunInfo> {
        let count = |column| from_sql(column, row.get::<_, Option<i64>>(column)?.unwrap_or_default());
        let time = |column| -> Sql<Option<Timestamp>> { Ok(row.get::<_, Option<i64>>(column)?.map(from_millis)) };
        let standing = match row.get_ref(5)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(standing(row, 5)?),
        };
        Ok(RunInfo {
            run: RunId::from(row.get::<_, String>(0)?),
            entries: count(1)?,
            first: time(2)?,
            last: time(3)?,
            bytes: count(4)?,
            holder: in_the_way(standing, now, |id| presence::is_alive(self.place, id)),
        })
    }

    pub(super) fn entries(&self, run: &RunId, after: u64, limit: usize, gaps: Gaps) -> Result<Vec<Recorded>, Error> {
        let Some(id) = self.id(run)? else { return Ok(Vec::new()) };
        let before = match after {
            0 => Some(Chain::start(run)),
            _ => self.chain(id, after)?,
        };
        // After an entry that is not there yet, there is nothing.
        let Some(before) = before else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        self.walk(run, id, (after, before), limit, |queries, row| {
            let fetch = &mut |hash: &Hash| queries.text(hash);
            let body = unpack(row.body, gaps, fetch).map_err(|problem| queries.unreadable(run, row.seq, problem))?;
            let entry = Entry { kind: row.kind.to_owned(), body };
            found.push(Recorded { seq: row.seq, at: from_millis(row.at_ms), entry });
            Ok(())
        })?;
        Ok(found)
    }

    pub(super) fn snapshot_of(&self, run: &RunId) -> Result<Option<Snapshot>, Error> {
        self.id(run)?.map_or(Ok(None), |id| self.snapshot(id))
    }

    pub(super) fn restore(&self, run: &RunId) -> Result<Restored, Error> {
        let Some(id) = self.id(run)? else { return Ok(Restored::default()) };
        let snapshot = self.snapshot(id)?;
        let after = snapshot.as_ref().map_or(0, |snapshot| snapshot.seq);
        Ok(Restored { snapshot, entries: self.entries(run, after, usize::MAX, Gaps::Refuse)? })
    }

    pub(super) fn verify(&self) -> Result<(), Error> {
        let said: String = self
            .moment
            .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
            .map_err(|error| self.failed(&error))?;
        if said != "ok" {
            return Err(self.damaged(said));
        }
        for run in self.runs(Timestamp::ZERO)? {
            let Some(id) = self.id(&run.run)? else { continue };
            self.walk(&run.run, id, (0, Chain::start(&run.run)), usize::MAX, |queries, row| {
                let fetch = &mut |hash: &Hash| queries.text(hash);
                match unpack(row.body, Gaps::Show, fetch) {
                    Ok(_) => Ok(()),
                    Err(problem) => Err(queries.unreadable(&run.run, row.seq, problem)),
                }
            })?;
        }
        Ok(())
    }

    /// Shows each entry after one whose number and check are known, and checks it first.
    fn walk(
        &self,
        run: &RunId,
        id: i64,
        (mut seq, mut chain): (u64, Chain),
        limit: usize,
        mut show: impl FnMut(&Self, Link<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let failed = |error| self.failed(&error);
        let mut statement = self
            .moment
            .prepare_cached(
                "SELECT seq, at, kind, body, total, chain FROM event WHERE run = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            )
            .map_err(failed)?;
        let mut rows = statement.query((id, to_sql(seq), to_sql(limit as u64))).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let (link, check) = link(row).map_err(failed)?;
            seq += 1;
            chain = chain.next(link);
            if link.seq != seq || check != Some(chain) {
                return Err(self.damaged(format!("entry {seq} of run {run} is not what was written")));
            }
            show(self, link)?;
        }
        Ok(())
    }

    fn id(&self, run: &RunId) -> Result<Option<i64>, Error> {
        let find = || {
            let mut statement = self.moment.prepare_cached("SELECT id FROM run WHERE name = ?1")?;
            statement.query_row([run.as_str()], |row| row.get(0)).optional()
        };
        find().map_err(|error| self.failed(&error))
    }

    fn chain(&self, id: i64, seq: u64) -> Result<Option<Chain>, Error> {
        let find = || {
            let mut statement = self.moment.prepare_cached("SELECT chain FROM event WHERE run = ?1 AND seq = ?2")?;
            statement.query_row((id, to_sql(seq)), |row| row.get::<_, Vec<u8>>(0)).optional()
        };
        let found: Option<Vec<u8>> = find().map_err(|error| self.failed(&error))?;
        let wrong = || self.damaged(format!("the check of entry {seq} has the wrong length"));
        found.map(|bytes| Chain::read(&bytes).ok_or_else(wrong)).transpose()
    }

    /// The latest snapshot, if it is whole and belongs to the entries that are there.
    fn snapshot(&self, id: i64) -> Result<Option<Snapshot>, Error> {
        let find = || {
            let mut statement = self
                .moment
                .prepare_cached("SELECT seq, chain, hash, size, packing, data FROM snapshot WHERE run = ?1")?;
            let read = |row: &Row<'_>| {
                let (seq, chain) = (from_sql(0, row.get(0)?)?, Chain::read(&row.get::<_, Vec<u8>>(1)?));
                Ok((seq, chain, blob(row, 2)?))
            };
            statement.query_row([id], read).optional()
        };
        let found = match find() {
            Ok(Some((seq, Some(chain), Some(state)))) => Some((seq, chain, state)),
            Ok(_) => None,
            // What cannot be read is left out: the entries are what counts, and they are checked.
            Err(error) => match self.failed(&error) {
                Error::Damaged { .. } => None,
                failed => return Err(failed),
            },
        };
        match found {
            Some((seq, chain, state)) if self.chain(id, seq)? == Some(chain) => Ok(Some(Snapshot { seq, state })),
            _ => Ok(None),
        }
    }

    fn text(&self, hash: &Hash) -> Result<String, Unreadable> {
        let mut statement = self
            .moment
            .prepare_cached("SELECT hash, size, packing, data FROM body WHERE hash = ?1")
            .map_err(Unreadable::Database)?;
        let found = statement
            .query_row([hash.as_bytes().as_slice()], |row| blob(row, 0))
            .optional()
            .map_err(Unreadable::Database)?;
        let text = found.flatten().and_then(|bytes| String::from_utf8(bytes).ok());
        text.ok_or_else(|| Unreadable::Damaged(format!("text {hash} is not what was written")))
    }

    fn unreadable(&self, run: &RunId, seq: u64, problem: Unreadable) -> Error {
        match problem {
            Unreadable::Damaged(detail) => self.damaged(format!("in entry {seq} of run {run}, {detail}")),
            Unreadable::Database(error) => self.failed(&error),
            Unreadable::NotKept => Error::BodiesNotKept { run: run.clone() },
        }
    }

    fn failed(&self, error: &rusqlite::Error) -> Error {
        Error::database(self.place.directory(), error)
    }

    fn damaged(&self, detail: impl Into<String>) -> Error {
        Error::damaged(self.place.directory(), detail)
    }
}

fn link<'row>(row: &'row Row<'_>) -> Sql<(Link<'row>, Option<Chain>)> {
    let text = |column: usize| {
        let value = row.get_ref(column)?;
        value
            .as_str()
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, value.data_type(), error.into()))
    };
    let link = Link {
        seq: from_sql(0, row.get(0)?)?,
        at_ms: row.get(1)?,
        kind: text(2)?,
        body: text(3)?,
        total: from_sql(4, row.get(4)?)?,
    };
    Ok((link, row.get_ref(5)?.as_blob().ok().and_then(Chain::read)))
}

/// Reads hash, size, packing and data, from column `first` on; `None` if they do not belong together.
fn blob(row: &Row<'_>, first: usize) -> Sql<Option<Vec<u8>>> {
    let hash: Vec<u8> = row.get(first)?;
    let size: i64 = row.get(first + 1)?;
    let blob = Blob::read(row.get(first + 2)?, row.get(first + 3)?);
    let whole = || blob?.unpack(usize::try_from(size).ok()?, &Hash::from_slice(&hash).ok()?);
    Ok(whole())
}
