//! One thread, one connection: whatever waits is written in one transaction, and acknowledged once that is durable.
//!
//! There is no timer between arrival and commit. One producer pays for one commit each; many share one, because
//! they arrive while the one before is under way. The thread knows nothing of calls and waits for none.

mod appends;
mod books;
mod leases;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use bellwether_core::journal::JournalError;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::ballast;
use crate::error::Error;
use crate::journal::Health;
use crate::place::{Identity, Place};
use crate::settings::Settings;

pub(crate) use appends::{append, snapshot};
pub(crate) use books::{Books, from_sql, to_sql};
pub(crate) use leases::{Claim, claim, holder, release, standing};

/// What a piece of work says: its answer or a refusal, unless the database failed.
pub(crate) type Said<T> = rusqlite::Result<Result<T, JournalError>>;

/// The way to the writing thread.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Mutex<Option<Sender<Box<dyn Work>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    all_room: u32,
    health: watch::Receiver<Health>,
}

#[derive(Debug)]
struct Shared {
    closing: AtomicBool,
    /// Pages the database may have; 0 for no bound.
    max_pages: AtomicU64,
}

impl Writer {
    pub(crate) fn start(
        place: Place,
        connection: Connection,
        books: Books,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let (queue, work) = channel();
        let (tell, health) = watch::channel(Health::Writing);
        let max_pages = settings.max_bytes.map_or(0, pages);
        let shared = Arc::new(Shared { closing: AtomicBool::new(false), max_pages: AtomicU64::new(max_pages) });
        let desk = Desk {
            place: place.clone(),
            identity: place.identity(),
            connection,
            books,
            settings: settings.clone(),
            shared: Arc::clone(&shared),
            health: tell,
            max_pages: 0,
        };
        let builder = thread::Builder::new().name("journal-writer".to_owned());
        let thread = builder.spawn(move || desk.run(&work)).map_err(|error| Error::io(place.directory(), error))?;
        let all_room = settings.pending_kib.max(1);
        let room = Arc::new(Semaphore::new(all_room as usize));
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), shared, room, all_room, health })
    }

    /// Has `run` done within the next transaction, and returns what it said once that is durable. It may be run
    /// several times; only the last one counts.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        size: usize,
        run: impl FnMut(&Transaction<'_>, &mut Books) -> Said<T> + Send + 'static,
    ) -> Result<T, JournalError> {
        let closed = || Error::Closed { reason: None };
        let kib = u32::try_from(size / 1024 + 1).unwrap_or(u32::MAX).min(self.all_room);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        let task = Task { run, said: None, answer, size, _room: room };
        let sent = match &*self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(queue) => queue.send(Box::new(task)).is_ok(),
            None => false,
        };
        match answered.await {
            Ok(said) if sent => said,
            _ => Err(closed().into()),
        }
    }

    /// Has `run` done within the next transaction, without waiting for it. A journal that is closed does nothing.
    pub(crate) fn tell(&self, run: impl FnMut(&Transaction<'_>, &mut Books) -> Said<()> + Send + 'static) {
        if let Some(queue) = &*self.queue.lock().unwrap_or_else(PoisonError::into_inner) {
            // The thread is there as long as the queue is.
            let _ = queue.send(Box::new(Errand(run)));
        }
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    pub(crate) fn set_max_bytes(&self, bytes: Option<u64>) {
        self.shared.max_pages.store(bytes.map_or(0, pages), Ordering::Relaxed);
    }

    /// Takes no more work, and returns at once. What waits for a full disk is tried once more.
    pub(crate) fn stop(&self) {
        self.room.close();
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.closing.store(true, Ordering::Release);
        if let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.thread().unpark();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic was reported by its thread; whoever waited for an answer got none.
            let _ = thread.join();
        }
    }
}

fn pages(bytes: u64) -> u64 {
    // At least one: 0 stands for no bound.
    (bytes / 4096).max(1)
}

trait Work: Send {
    fn run(&mut self, transaction: &Transaction<'_>, books: &mut Books) -> rusqlite::Result<()>;
    fn size(&self) -> usize;
    fn finish(self: Box<Self>);
    fn fail(self: Box<Self>, error: Error);
}

struct Task<T, F> {
    run: F,
    said: Option<Result<T, JournalError>>,
    answer: oneshot::Sender<Result<T, JournalError>>,
    size: usize,
    _room: OwnedSemaphorePermit,
}

impl<T: Send, F: FnMut(&Transaction<'_>, &mut Books) -> Said<T> + Send> Work for Task<T, F> {
    fn run(&mut self, transaction: &Transaction<'_>, books: &mut Books) -> rusqlite::Result<()> {
        self.said = Some((self.run)(transaction, books)?);
        Ok(())
    }

    fn size(&self) -> usize {
        self.size
    }

    fn finish(self: Box<Self>) {
        // Whoever asked may be gone; what was written stays.
        let _ = self.answer.send(self.said.expect("finished after it was run"));
    }

    fn fail(self: Box<Self>, error: Error) {
        let _ = self.answer.send(Err(error.into()));
    }
}

/// Work of which nobody waits for the end.
struct Errand<F>(F);

impl<F: FnMut(&Transaction<'_>, &mut Books) -> Said<()> + Send> Work for Errand<F> {
    fn run(&mut self, transaction: &Transaction<'_>, books: &mut Books) -> rusqlite::Result<()> {
        (self.0)(transaction, books).map(drop)
    }

    fn size(&self) -> usize {
        0
    }

    fn finish(self: Box<Self>) {}

    fn fail(self: Box<Self>, _: Error) {}
}

/// What the writing thread has before it.
struct Desk {
    place: Place,
    /// Of the file that the connection writes.
    identity: Option<Identity>,
    connection: Connection,
    books: Books,
    settings: Settings,
    shared: Arc<Shared>,
    health: watch::Sender<Health>,
    /// As the connection knows it.
    max_pages: u64,
}

impl Desk {
    fn run(mut self, work: &Receiver<Box<dyn Work>>) {
        loop {
            let mut batch = Vec::new();
            match work.recv_timeout(self.settings.heartbeat) {
                Ok(first) => gather(first, work, &mut batch),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let beat = self.books.renewal_is_due();
            if beat || !batch.is_empty() {
                self.commit(batch);
            }
            if beat {
                // Once there is plenty of room again. Without a reserve the journal works all the same.
                let _ = ballast::take(&self.place.ballast(), self.settings.ballast);
            }
        }
        // Best effort: without it the next writer sees that this one's sign of life is gone.
        let _ = self.attempt(&mut [], Books::release_all);
    }

    /// Commits a batch, however long it takes for the disk to have room, unless the journal is closed.
    fn commit(&mut self, mut batch: Vec<Box<dyn Work>>) {
        loop {
            let closing = self.shared.closing.load(Ordering::Acquire);
            let Err(error) = self.attempt(&mut batch, Books::renew) else { break };
            self.books.undo();
            let described = || Error::database(self.place.directory(), &error);
            if !may_pass(&error) && batch.len() > 1 {
                // What one piece of work meets, such as a damaged page, is not the others' matter.
                return batch.into_iter().for_each(|work| self.commit(vec![work]));
            }
            if !may_pass(&error) {
                return batch.into_iter().for_each(|work| work.fail(described()));
            }
            if closing {
                let failed = |work: Box<dyn Work>| work.fail(Error::Closed { reason: Some(described().to_string()) });
                return batch.into_iter().for_each(failed);
            }
            self.health.send_replace(Health::Waiting { reason: described().to_string() });
            // The reserve is for this moment: try again at once if there was one.
            if !(is_full(&error) && ballast::release(&self.place.ballast())) {
                thread::park_timeout(self.settings.retry);
            }
        }
        if !self.place.is_still(self.identity) {
            // SQLite goes on writing a file that has no name any more.
            let gone = |work: Box<dyn Work>| work.fail(Error::Gone { path: self.place.directory().to_owned() });
            return batch.into_iter().for_each(gone);
        }
        batch.into_iter().for_each(Work::finish);
        if self.health.send_if_modified(|health| std::mem::replace(health, Health::Writing) != Health::Writing) {
            // The disk has room again. Without a reserve the journal works all the same.
            let _ = ballast::take(&self.place.ballast(), self.settings.ballast);
        }
    }

    fn attempt(
        &mut self,
        batch: &mut [Box<dyn Work>],
        first: impl FnOnce(&mut Books, &Transaction<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        self.bound_size()?;
        let transaction = Transaction::new(&mut self.connection, TransactionBehavior::Immediate)?;
        first(&mut self.books, &transaction)?;
        for work in batch {
            work.run(&transaction, &mut self.books)?;
        }
        transaction.commit()
    }

    fn bound_size(&mut self) -> rusqlite::Result<()> {
        let wanted = self.shared.max_pages.load(Ordering::Relaxed);
        if wanted != self.max_pages {
            // More pages than SQLite can count mean no bound.
            let pages = if wanted == 0 { u64::from(u32::MAX) - 1 } else { wanted };
            let pages = i64::try_from(pages).unwrap_or(i64::MAX);
            self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
            self.max_pages = wanted;
        }
        Ok(())
    }
}

/// What goes into one transaction: all that waits, up to a bound that keeps a commit short.
fn gather(first: Box<dyn Work>, work: &Receiver<Box<dyn Work>>, batch: &mut Vec<Box<dyn Work>>) {
    let mut size = first.size();
    batch.push(first);
    while batch.len() < 512 && size < 4 << 20 {
        let Ok(next) = work.try_recv() else { break };
        size += next.size();
        batch.push(next);
    }
}

/// Whether the same commit may succeed later: nothing is wrong with it or with the file.
fn may_pass(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::CannotOpen
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
        )
    )
}

fn is_full(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure))
}
