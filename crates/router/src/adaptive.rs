//! The shell around the decision: one state for all runs of a process, a seeded source of chance, and a file.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use fastrand::Rng;

use crate::choose::choose;
use crate::history::History;
use crate::outcome::{Audited, Entry, Outcome};
use crate::seam::{Audit, Lesson, Route, Router, TaskProfile};
use crate::settings::Settings;
use crate::store::{Store, StoreError};

/// A router that learns from verdicts, and may keep what it learnt in a file.
///
/// It may be shared by any number of runs; a decision takes microseconds. With a file, a lesson takes a short write to
/// it, which waits for other processes that write to it at that moment; if the file fails, the lesson is kept for this
/// process and [`trouble`](Self::trouble) says so.
#[derive(Debug)]
pub struct Adaptive {
    settings: Settings,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    history: History,
    random: Rng,
    store: Option<Store>,
    trouble: Option<StoreError>,
}

impl Adaptive {
    /// A router that forgets with the process. The seed decides what chance decides.
    #[must_use]
    pub fn new(settings: Settings, seed: u64) -> Self {
        let inner = Inner { history: History::new(settings), random: Rng::with_seed(seed), store: None, trouble: None };
        Self { settings, inner: Mutex::new(inner) }
    }

    /// A router that keeps what it learns in a file, and knows what is in it already. The file need not exist; it is
    /// made with the first lesson.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it is there and cannot be read.
    pub fn open(settings: Settings, seed: u64, path: &Path) -> Result<Self, StoreError> {
        let router = Self::new(settings, seed);
        {
            let mut inner = router.lock();
            let mut store = Store::new(path);
            store.refresh(&mut inner.history)?;
            inner.store = Some(store);
        }
        Ok(router)
    }

    /// Forgets everything that a file keeps; processes that use it notice with their next lesson.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it cannot be written.
    pub fn reset(path: &Path) -> Result<(), StoreError> {
        Store::new(path).clear()
    }

    /// What was learnt so far.
    #[must_use]
    pub fn history(&self) -> History {
        self.lock().history.clone()
    }

    /// How many lines of the file could not be understood, and were passed over: a crash cut them short, or somebody changed
    /// them.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.lock().store.as_ref().map_or(0, Store::passed_over)
    }

    /// Why the last lesson was not kept in the file, if so; asking takes it away.
    #[must_use]
    pub fn trouble(&self) -> Option<StoreError> {
        self.lock().trouble.take()
    }

    fn keep(&self, id: &str, entry: impl FnOnce(u64) -> Entry) {
        if self.settings.frozen {
            return;
        }
        let mut inner = self.lock();
        let Inner { history, store, trouble, .. } = &mut *inner;
        if history.knows(id) {
            return;
        }
        let entry = entry(now());
        match store {
            None => history.learn(entry),
            Some(store) => {
                if let Err(error) = store.append(entry.clone(), history) {
                    *trouble = Some(error);
                    history.learn(entry);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Router for Adaptive {
    fn route(&self, profile: &TaskProfile) -> Route {
        let mut inner = self.lock();
        let Inner { history, random, .. } = &mut *inner;
        choose(history.stats(), &self.settings, profile, random)
    }

    fn learn(&self, lesson: &Lesson) {
        let id = Outcome::id(lesson);
        self.keep(&id, |at| Entry::Outcome(Outcome::of(lesson, at)));
    }

    fn audited(&self, audit: &Audit) {
        let id = Audited::id(audit);
        self.keep(&id, |at| Entry::Audited(Audited::of(audit, at)));
    }
}

#[expect(clippy::disallowed_methods, reason = "the crate's one home for the wall clock: it orders what is learnt")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
