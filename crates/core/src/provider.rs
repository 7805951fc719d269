//! The seam to a model.

use std::fmt;

use async_trait::async_trait;

use crate::call::CallContext;
use crate::chat::{ChatRequest, ChatResponse, ChatStream};
use crate::error::ProviderError;

/// Answers conversations.
///
/// An implementation never retries: there is one retry layer, and it wraps a provider and is one itself. A request
/// is owned by the call, so that every attempt is built anew from it.
#[async_trait]
pub trait ChatProvider: fmt::Debug + Send + Sync {
    /// A short name for metrics and reports, such as `holysheep`.
    fn name(&self) -> &str;

    /// Answers as a stream. A provider that cannot stream returns [`ChatStream::ready`].
    ///
    /// # Errors
    ///
    /// A classified failure; see [`ErrorKind`](crate::ErrorKind). Failures after the answer began are items of the
    /// stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future or the stream cancels the call. The provider may bill what it produced until then.
    async fn stream(&self, request: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError>;

    /// Answers as a whole: the fold of the stream, unless an implementation has a shorter way to the same answer.
    ///
    /// # Errors
    ///
    /// A classified failure; see [`ErrorKind`](crate::ErrorKind).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call. The provider may bill what it produced until then.
    async fn chat(&self, request: ChatRequest, context: CallContext) -> Result<ChatResponse, ProviderError> {
        self.stream(request, context).await?.fold().await
    }

    /// The names of the models on offer.
    ///
    /// # Errors
    ///
    /// A classified failure; see [`ErrorKind`](crate::ErrorKind).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    async fn models(&self) -> Result<Vec<String>, ProviderError>;
}

const _: fn(&dyn ChatProvider) = |_| {};
