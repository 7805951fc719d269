//! An answer on its way: the connection it comes over, and the patience with it.

use std::time::Duration;

use bellwether_core::chat::{ChatEvent, ChatResponse, Fold};
use bellwether_core::{ChatStream, ProviderError};
use futures_util::stream;
use reqwest::Response;
use tokio::time::timeout;

use crate::asked::Asked;
use crate::patience::Patience;
use crate::reading::Reading;
use crate::transport;

/// An answer whose head was good.
#[derive(Debug)]
pub(crate) struct Answer {
    response: Response,
    asked: Asked,
    patience: Patience,
    reading: Reading,
}

impl Answer {
    pub(crate) const fn new(response: Response, asked: Asked, patience: Patience, reading: Reading) -> Self {
        Self { response, asked, patience, reading }
    }

    /// The answer as a stream of events.
    ///
    /// It comes in a box, for it changes hands with each of them.
    pub(crate) fn into_stream(self: Box<Self>) -> ChatStream {
        ChatStream::new(stream::unfold(self, |mut answer| async { Some((answer.next().await?, answer)) }))
    }

    /// The answer once all of it is there.
    pub(crate) async fn into_whole(mut self: Box<Self>) -> Result<ChatResponse, ProviderError> {
        let mut fold = Fold::default();
        while let Some(event) = self.next().await {
            fold.add(event?);
        }
        fold.finish()
    }

    async fn next(&mut self) -> Option<Result<ChatEvent, ProviderError>> {
        loop {
            if let Some(event) = self.reading.next() {
                return Some(event);
            }
            if self.reading.is_over() {
                if self.reading.take_rest() {
                    self.drain().await;
                }
                return None;
            }
            match self.patience.wait(self.reading.stage(), &self.asked, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => self.reading.feed(&bytes),
                Ok(Ok(None)) => self.reading.end(),
                Ok(Err(error)) => self.reading.stop(transport::broken(&self.asked, error)),
                Err(error) => self.reading.stop(error),
            }
        }
    }

    /// The bytes after the end mark are usually on their way; a body that is read to its end gives the connection
    /// back to the pool. A provider that leaves the connection open is not waited for.
    async fn drain(&mut self) {
        let rest = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        // Whether it ended in time only decides whether the connection can be used again.
        let _ = timeout(GRACE, rest).await;
    }
}

const GRACE: Duration = Duration::from_millis(20);
