//! The database: its tables, its settings, and whose it is.

use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::error::Error;
use crate::place::Place;

/// The connection that writes; makes the tables if there are none. The caller is alone with the journal.
///
/// # Errors
///
/// Why the file cannot be used.
pub(crate) fn open_writer(place: &Place) -> Result<Connection, Error> {
    let mut connection = connect(place, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    prepare(place, &mut connection).map_err(|error| match error {
        Refused::Database(error) => Error::database(place.directory(), &error),
        Refused::For(error) => error,
    })?;
    Ok(connection)
}

/// A connection that cannot write.
///
/// # Errors
///
/// Why the file cannot be used.
pub(crate) fn open_reader(place: &Place) -> Result<Connection, Error> {
    let connection = connect(place, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let failed = |error: rusqlite::Error| Error::database(place.directory(), &error);
    connection.pragma_update(None, "query_only", true).map_err(failed)?;
    match whose(place, &connection).map_err(failed)?? {
        Whose::Nobodys => Err(Error::Missing { path: place.directory().to_owned() }),
        Whose::Ours => Ok(connection),
    }
}

enum Refused {
    Database(rusqlite::Error),
    For(Error),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::For(error)
    }
}

fn connect(place: &Place, flags: OpenFlags) -> Result<Connection, Error> {
    if rusqlite::version_number() < 3_051_003 {
        return Err(Error::OldSqlite { found: rusqlite::version() });
    }
    let open = || {
        let connection = Connection::open_with_flags(place.database(), flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(()))?;
        Ok(connection)
    };
    open().map_err(|error| Error::database(place.directory(), &error))
}

fn prepare(place: &Place, connection: &mut Connection) -> Result<(), Refused> {
    // Only a file without tables can still choose this.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let whose = whose(place, connection)??;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 1000, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    if matches!(whose, Whose::Nobodys) {
        let tables = Transaction::new(connection, TransactionBehavior::Immediate)?;
        tables.execute_batch(include_str!("schema.sql"))?;
        tables.execute_batch(include_str!("spend.sql"))?;
        tables.pragma_update(None, "user_version", FORMAT)?;
        tables.pragma_update(None, "application_id", APPLICATION)?;
        tables.commit()?;
    }
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format < FORMAT {
        // What the first format lacks.
        let tables = Transaction::new(connection, TransactionBehavior::Immediate)?;
        tables.execute_batch(include_str!("spend.sql"))?;
        tables.pragma_update(None, "user_version", FORMAT)?;
        tables.commit()?;
    }
    Ok(())
}

enum Whose {
    Nobodys,
    Ours,
}

fn whose(place: &Place, connection: &Connection) -> rusqlite::Result<Result<Whose, Error>> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, format) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, format) {
        (0, 0) if tables == 0 => Ok(Whose::Nobodys),
        (APPLICATION, found) if found > FORMAT => {
            Err(Error::Newer { path: place.directory().to_owned(), found, known: FORMAT })
        }
        (APPLICATION, OLDEST..=FORMAT) => list_is_whole(place, connection)?.map(|()| Whose::Ours),
        (APPLICATION, found) => Err(Error::damaged(place.directory(), format!("there is no format {found}"))),
        _ => Err(Error::Foreign { path: place.database() }),
    })
}

/// The list of runs is small, and a run that it hides would be begun again: it is looked at before anything is done.
fn list_is_whole(place: &Place, connection: &Connection) -> rusqlite::Result<Result<(), Error>> {
    let said: String = connection.query_row("PRAGMA integrity_check(run)", [], |row| row.get(0))?;
    Ok(if said == "ok" { Ok(()) } else { Err(Error::damaged(place.directory(), said)) })
}

/// "BWJ1", as `file` and SQLite's tools show it.
const APPLICATION: i64 = 0x4257_4a31;

/// Raised with every change of the tables.
const FORMAT: i64 = 2;

/// The first format that is still understood.
const OLDEST: i64 = 1;
