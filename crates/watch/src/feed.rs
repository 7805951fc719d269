//! What is new in a run, for any number of readers, none of which can slow it.
//!
//! A [`Feed`] folds a run's journal once for all readers and keeps the latest changes. A reader asks for what came after
//! the last thing it has; one that is too far behind, or new, gets the whole story instead. Nothing is ever pushed:
//! what a slow reader has not taken yet waits in no buffer, and the run does not know that anybody reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::RunId;
use bellwether_core::journal::JournalError;
use bellwether_journal::Reader;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::story::Story;

/// What is new in one run.
#[derive(Debug)]
pub struct Feed {
    reader: Arc<Reader>,
    run: RunId,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    story: Story,
    /// The latest changes, the oldest first.
    latest: VecDeque<News>,
    /// The whole story, as long as nothing new came.
    whole: Option<News>,
    looked: Option<Instant>,
}

/// What changed up to an entry of the journal.
#[derive(Clone, Debug)]
pub struct News {
    /// The number of the last entry in it: ask again with it for what comes next.
    pub seq: u64,
    /// The changes as one line of JSON.
    pub json: Arc<str>,
    /// Whether the run came to its end with it.
    pub over: bool,
}

impl Feed {
    /// What is new in a run of `reader`'s journal.
    #[must_use]
    pub fn new(reader: Arc<Reader>, run: RunId) -> Self {
        let mut story = Story::brief(LONGEST);
        run.as_str().clone_into(&mut story.head.run);
        let inner = Inner { story, latest: VecDeque::new(), whole: None, looked: None };
        Self { reader, run, inner: Mutex::new(inner) }
    }

    /// Waits for what came after entry number `seen`; `None` asks for the whole story so far.
    ///
    /// # Errors
    ///
    /// [`JournalError`] if the journal cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: ask again with the same number.
    pub async fn after(&self, seen: Option<u64>) -> Result<News, JournalError> {
        loop {
            if let Some(news) = self.look(seen).await? {
                return Ok(news);
            }
            sleep(OFTEN).await;
        }
    }

    async fn look(&self, seen: Option<u64>) -> Result<Option<News>, JournalError> {
        let mut inner = self.inner.lock().await;
        if inner.looked.is_none_or(|looked| looked.elapsed() >= OFTEN / 2) {
            self.catch_up(&mut inner).await?;
            inner.looked = Some(Instant::now());
        }
        Ok(inner.after(seen))
    }

    async fn catch_up(&self, inner: &mut Inner) -> Result<(), JournalError> {
        loop {
            let page = self.reader.read(&self.run, inner.story.head.seq, PAGE).await?;
            for recorded in &page {
                inner.story.apply(recorded);
                let json = inner.story.news().to_string().into();
                let over = inner.story.head.outcome.is_some();
                inner.latest.push_back(News { seq: recorded.seq, json, over });
                if inner.latest.len() > LATEST {
                    inner.latest.pop_front();
                }
                inner.whole = None;
            }
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }
}

impl Inner {
    fn after(&mut self, seen: Option<u64>) -> Option<News> {
        let now = self.story.head.seq;
        match seen {
            Some(seen) if seen == now => None,
            Some(seen) => {
                let next = self.latest.iter().find(|news| news.seq == seen + 1).cloned();
                Some(next.unwrap_or_else(|| self.whole()))
            }
            None => Some(self.whole()),
        }
    }

    fn whole(&mut self) -> News {
        let story = &self.story;
        let make =
            || News { seq: story.head.seq, json: story.whole().to_string().into(), over: story.head.outcome.is_some() };
        self.whole.get_or_insert_with(make).clone()
    }
}

/// How many changes are kept for readers that are behind.
const LATEST: usize = 512;
/// The longest text of a model on the page, in characters; the report has all of it.
const LONGEST: usize = 4_000;
const PAGE: usize = 256;
const OFTEN: Duration = Duration::from_millis(150);
