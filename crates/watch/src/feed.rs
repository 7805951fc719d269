//! What is new in a run, for any number of readers, none of which can slow it.
//!
//! A [`Feed`] folds a run's journal once for all readers and keeps the latest changes: what came since it last looked is one
//! change, written once, whose bytes all readers share. A reader asks for what came after the last thing it has; one that
//! is too far behind, or new, gets the whole story instead. Nothing is ever pushed: what a slow reader has not taken yet
//! waits in no buffer, and the run does not know that anybody reads. Readers with nothing to read wake together, for the
//! first of them looks for all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use bellwether_core::RunId;
use bellwether_core::journal::JournalError;
use bellwether_journal::Reader;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

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
    /// The last entry that news were made of. The story is ahead of it while somebody reads, or gave up reading.
    told: u64,
    /// The latest changes with the number of the entry before each, the oldest first.
    latest: VecDeque<(u64, News)>,
    /// How many bytes they take.
    kept: usize,
    /// The whole story, as long as nothing new came.
    whole: Option<News>,
    looked: Option<Instant>,
}

/// What changed up to an entry of the journal.
#[derive(Clone, Debug)]
pub struct News {
    /// The number of the last entry in it: ask again with it for what comes next.
    pub seq: u64,
    /// Whether the run came to its end with it.
    pub over: bool,
    /// How many bytes come before the changes themselves.
    head: usize,
    event: Bytes,
}

impl News {
    fn new(story: &Story, json: &Value) -> Self {
        let seq = story.head.seq;
        let head = format!("id: {seq}\nretry: {RETRY}\nevent: news\ndata: ");
        let event = format!("{head}{json}{END}").into();
        Self { seq, over: story.head.outcome.is_some(), head: head.len(), event }
    }

    /// The changes as one line of JSON. Items that a reader has already may be in it again, as they are now.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.event.slice(self.head..self.event.len() - END.len())
    }

    /// The same as a server-sent event, whose id is the number.
    #[must_use]
    pub fn event(&self) -> Bytes {
        self.event.clone()
    }
}

impl Feed {
    /// What is new in a run of `reader`'s journal.
    #[must_use]
    pub fn new(reader: Arc<Reader>, run: RunId) -> Self {
        let mut story = Story::brief(LONGEST);
        run.as_str().clone_into(&mut story.head.run);
        let inner = Inner { story, told: 0, latest: VecDeque::new(), kept: 0, whole: None, looked: None };
        Self { reader, run, inner: Mutex::new(inner) }
    }

    /// Waits for what came after entry number `seen`; `None` asks for the whole story so far. Of a run that is over, who
    /// has everything is told so at once.
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
            let again = match self.look(seen).await? {
                Ok(news) => return Ok(news),
                Err(again) => again,
            };
            sleep_until(again).await;
        }
    }

    /// What is new, or when to look again: at the same time for whoever asks.
    async fn look(&self, seen: Option<u64>) -> Result<Result<News, Instant>, JournalError> {
        let mut inner = self.inner.lock().await;
        let looked = match inner.looked {
            Some(looked) if looked.elapsed() < OFTEN / 2 => looked,
            _ => {
                self.catch_up(&mut inner).await?;
                *inner.looked.insert(Instant::now())
            }
        };
        Ok(inner.after(seen).ok_or(looked + OFTEN))
    }

    async fn catch_up(&self, inner: &mut Inner) -> Result<(), JournalError> {
        loop {
            let page = self.reader.read(&self.run, inner.story.head.seq, PAGE).await?;
            page.iter().for_each(|recorded| inner.story.apply(recorded));
            if page.len() < PAGE {
                break;
            }
        }
        if inner.story.head.seq > inner.told {
            inner.tell();
        }
        Ok(())
    }
}

impl Inner {
    /// Makes news of what changed since the last ones, and keeps them as long as there is room.
    fn tell(&mut self) {
        let json = self.story.news();
        let news = News::new(&self.story, &json);
        let before = std::mem::replace(&mut self.told, news.seq);
        self.whole = None;
        self.kept += news.event.len();
        self.latest.push_back((before, news));
        while self.kept > LATEST
            && let Some((_, oldest)) = self.latest.pop_front()
        {
            self.kept -= oldest.event.len();
        }
    }

    fn after(&mut self, seen: Option<u64>) -> Option<News> {
        let now = self.story.head.seq;
        match seen {
            // Who has everything of a run that is over would wait for ever.
            Some(seen) if seen == now => self.story.head.outcome.as_ref().map(|_| self.nothing()),
            Some(seen) => {
                let next = self.latest.iter().find(|(before, news)| (*before..news.seq).contains(&seen));
                let next = next.map(|(_, news)| news.clone());
                Some(next.unwrap_or_else(|| self.whole()))
            }
            None => Some(self.whole()),
        }
    }

    /// News without any change.
    fn nothing(&self) -> News {
        News::new(&self.story, &json!({ "head": self.story.head, "put": {} }))
    }

    fn whole(&mut self) -> News {
        let story = &self.story;
        let make = || News::new(story, &story.whole());
        self.whole.get_or_insert_with(make).clone()
    }
}

/// How many bytes of changes are kept for readers that are behind.
const LATEST: usize = 1_048_576;
/// The longest text of a model on the page, in characters; the report has all of it.
const LONGEST: usize = 4_000;
const PAGE: usize = 256;
const OFTEN: Duration = Duration::from_millis(150);
/// How soon a page that lost its connection tries again, in milliseconds.
const RETRY: u32 = 300;
/// What ends a server-sent event.
const END: &str = "\n\n";
