//! Calls that are recorded once and replayed ever after.

mod wire;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bellwether_core::{CallContext, ChatEvent, ChatProvider, ChatRequest, ChatStream, ErrorKind, ProviderError};
use futures_util::stream;
use serde_json::Value;

use crate::canonical;
use crate::key::ApiKey;
use crate::scrub::Scrub;
use wire::Take;

/// Recorded calls, in memory and as a file with one JSON object in each line.
///
/// What is written was scrubbed of the keys it was told; headers never get here. It holds prompts and answers in the
/// clear, so treat the file accordingly.
#[derive(Debug, Default)]
pub struct Cassette {
    scrub: Scrub,
    takes: Mutex<Vec<Take>>,
}

/// Asks a provider and records what it is asked and what it answers.
///
/// Only calls that were read to their end are recorded, failures included.
///
/// ```
/// # #[cfg(feature = "test-util")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use bellwether_provider::{CallContext, Cassette, ChatProvider, ChatRequest, Message, Recorded, Replayed, Scripted};
///
/// let cassette = Arc::new(Cassette::new(None));
/// let recorded = Recorded::new(Arc::new(Scripted::sequence(["bell"])), cassette.clone());
/// let ask = |text: &str| ChatRequest::new("m", vec![Message::user(text)]);
/// recorded.chat(ask("Who leads?"), CallContext::default()).await?;
///
/// let replayed = Replayed::new(cassette);
/// assert_eq!(replayed.chat(ask("Who leads?"), CallContext::default()).await?.text, "bell");
/// let miss = replayed.chat(ask("Who follows?"), CallContext::default()).await.unwrap_err();
/// assert!(miss.message.contains("messages[0].content"));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "test-util"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct Recorded {
    inner: Arc<dyn ChatProvider>,
    cassette: Arc<Cassette>,
}

/// Answers out of a cassette, and asks nobody.
///
/// A request that was recorded more than once gets its answers in the order of recording, the last one again and
/// again. A request that was not recorded fails, and the failure shows the nearest recording and where it differs.
#[derive(Debug)]
pub struct Replayed {
    cassette: Arc<Cassette>,
    played: Mutex<Vec<usize>>,
}

// === impl Cassette ===

impl Cassette {
    /// An empty cassette that will never hold these keys, in whatever form they come.
    #[must_use]
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a ApiKey>) -> Self {
        Self { scrub: Scrub::new(keys.into_iter().map(ApiKey::expose)), takes: Mutex::default() }
    }

    /// Reads a cassette from a file.
    ///
    /// # Errors
    ///
    /// What the file system says; [`io::ErrorKind::InvalidData`], with the line, if it is no cassette.
    pub fn load(path: &Path) -> io::Result<Self> {
        let read = |(at, line): (usize, &str)| {
            serde_json::from_str(line).map_err(|error| {
                io::Error::new(io::ErrorKind::InvalidData, format!("{}, line {}: {error}", path.display(), at + 1))
            })
        };
        let text = std::fs::read_to_string(path)?;
        let takes = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(read);
        Ok(Self { scrub: Scrub::default(), takes: Mutex::new(takes.collect::<io::Result<_>>()?) })
    }

    /// Writes the cassette to a file, which it replaces as a whole: whoever is stopped while it writes leaves the old one.
    ///
    /// # Errors
    ///
    /// What the file system says. The file is as it was then.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut text = String::new();
        for take in &*self.takes() {
            // Once more over the whole line: no field is forgotten, whatever is added to a take later.
            text.push_str(&self.scrub.apply(&serde_json::to_string(take)?));
            text.push('\n');
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}.new", std::process::id()));
        let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
        written.inspect_err(|_| drop(std::fs::remove_file(&beside)))
    }

    /// How many calls are on it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.takes().len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn add(&self, request: &Value, events: &[ChatEvent], error: Option<&ProviderError>) {
        let take = Take::new(request.clone(), events, error);
        self.takes().push(take.scrubbed(&self.scrub));
    }

    fn takes(&self) -> MutexGuard<'_, Vec<Take>> {
        self.takes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Recorded ===

impl Recorded {
    /// Records on `cassette` what `inner` is asked.
    #[must_use]
    pub fn new(inner: Arc<dyn ChatProvider>, cassette: Arc<Cassette>) -> Self {
        Self { inner, cassette }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ChatProvider for Recorded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        let asked = canonical::request(&request);
        match self.inner.stream(request, context).await {
            Err(error) => {
                self.cassette.add(&asked, &[], Some(&error));
                Err(error)
            }
            Ok(stream) => {
                let passing = Passing { stream, events: Vec::new(), asked, cassette: Arc::clone(&self.cassette) };
                Ok(ChatStream::new(stream::unfold(passing, |mut passing| async {
                    Some((passing.next().await?, passing))
                })))
            }
        }
    }

    async fn chat(
        &self,
        request: ChatRequest,
        context: CallContext,
    ) -> Result<bellwether_core::ChatResponse, ProviderError> {
        let asked = canonical::request(&request);
        let answer = self.inner.chat(request, context).await;
        match &answer {
            Err(error) => self.cassette.add(&asked, &[], Some(error)),
            Ok(answer) => {
                let mut stream = ChatStream::ready(answer.clone());
                let mut events = Vec::new();
                while let Some(Ok(event)) = stream.next().await {
                    events.push(event);
                }
                self.cassette.add(&asked, &events, None);
            }
        }
        answer
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        self.inner.models().await
    }
}

struct Passing {
    stream: ChatStream,
    events: Vec<ChatEvent>,
    asked: Value,
    cassette: Arc<Cassette>,
}

impl Passing {
    async fn next(&mut self) -> Option<Result<ChatEvent, ProviderError>> {
        let event = self.stream.next().await;
        match &event {
            Some(Ok(event)) => self.events.push(event.clone()),
            Some(Err(error)) => self.cassette.add(&self.asked, &std::mem::take(&mut self.events), Some(error)),
            // After an error the stream ends too, and is on the cassette already.
            None if self.events.is_empty() => {}
            None => self.cassette.add(&self.asked, &std::mem::take(&mut self.events), None),
        }
        event
    }
}

// === impl Replayed ===

impl Replayed {
    /// Plays `cassette`.
    #[must_use]
    pub fn new(cassette: Arc<Cassette>) -> Self {
        Self { cassette, played: Mutex::default() }
    }

    fn take(&self, request: &ChatRequest) -> Result<Take, ProviderError> {
        let takes = self.cassette.takes();
        // What was recorded was scrubbed, so what is asked is scrubbed in the same way.
        let asked = wire::scrubbed(&canonical::request(request), &self.cassette.scrub);
        let mut played = self.played.lock().unwrap_or_else(PoisonError::into_inner);
        let same: Vec<_> = (0..takes.len()).filter(|at| takes[*at].request == asked).collect();
        if let Some(at) = same.iter().find(|at| !played.contains(at)).or_else(|| same.last()) {
            played.push(*at);
            return Ok(takes[*at].clone());
        }
        Err(ProviderError::new(ErrorKind::InvalidRequest, miss(&takes, &asked)))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ChatProvider for Replayed {
    fn name(&self) -> &'static str {
        "cassette"
    }

    async fn stream(&self, request: ChatRequest, _: CallContext) -> Result<ChatStream, ProviderError> {
        let (events, error) = self.take(&request)?.play();
        match error {
            Some(error) if events.is_empty() => Err(error),
            error => Ok(ChatStream::new(stream::iter(events.into_iter().map(Ok).chain(error.map(Err))))),
        }
    }

    async fn chat(
        &self,
        request: ChatRequest,
        context: CallContext,
    ) -> Result<bellwether_core::ChatResponse, ProviderError> {
        self.stream(request, context).await?.fold().await
    }

    /// The models that were asked for.
    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        let mut models: Vec<_> = self
            .cassette
            .takes()
            .iter()
            .filter_map(|take| Some(take.request.get("model")?.as_str()?.to_owned()))
            .collect();
        models.sort_unstable();
        models.dedup();
        Ok(models)
    }
}

/// What to say about a request that is on no take: which one is nearest, and where it differs.
fn miss(takes: &[Take], asked: &Value) -> String {
    let differing = takes.iter().enumerate().map(|(at, take)| (at, canonical::differences(&take.request, asked)));
    let Some((at, found)) = differing.min_by_key(|(_, found)| found.len()) else {
        return "the cassette is empty".to_owned();
    };
    let mut message = format!("not on the cassette; the nearest of {} takes is number {}", takes.len(), at + 1);
    for (path, recorded, asked) in found.iter().take(SHOWN) {
        message.push_str(&format!("; {path} was {} and is {}", shown(*recorded), shown(*asked)));
    }
    if found.len() > SHOWN {
        message.push_str(&format!("; and {} more differ", found.len() - SHOWN));
    }
    message
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else { return "absent".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(60) {
        None => text,
        Some((at, _)) => format!("{}...", &text[..at]),
    }
}

/// How many differences a miss shows.
const SHOWN: usize = 3;
