//! A limiter as a layer around any tower service.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bellwether_core::limiter::Refused;
use bellwether_core::{Demand, Outcome};
use tower::{Layer, Service};

use crate::limiter::Limiter;

/// Puts a [`Limiter`] around a service.
///
/// `demand` says what a request will take, `outcome` what became of it. Requests wait in [`call`](Service::call), in
/// the order in which they are polled first, for what a request takes is not known before; `poll_ready` only asks the
/// inner service. Dropping the future gives up the place in the line, or abandons the call: its place comes back, what
/// was reserved stands.
///
/// ```
/// use bellwether_limiter::{Demand, LimitLayer, Limiter, Outcome, Settings};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let layer = LimitLayer::new(
///     Limiter::new("key", Settings::default()),
///     |text: &String| Demand { requests: 1, input_tokens: text.len() as u64 / 4, output_tokens: 100 },
///     |_: &Result<usize, std::io::Error>| Outcome::Abandoned,
/// );
/// let service = layer.layer(service_fn(async |text: String| Ok::<_, std::io::Error>(text.len())));
/// assert_eq!(service.oneshot("hello".to_owned()).await.unwrap(), 5);
/// # }
/// ```
#[derive(Clone)]
pub struct LimitLayer<D, O> {
    limiter: Limiter,
    demand: D,
    outcome: O,
}

/// A service behind a [`Limiter`]. Made by [`LimitLayer`].
#[derive(Clone)]
pub struct LimitService<S, D, O> {
    inner: S,
    layer: LimitLayer<D, O>,
}

/// Why a limited service gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LimitError<E> {
    /// There is no room in the quota.
    #[error(transparent)]
    Refused(Refused),
    /// The service failed.
    #[error(transparent)]
    Service(E),
}

// === impl LimitLayer ===

impl<D, O> LimitLayer<D, O> {
    /// A layer that asks `limiter`.
    pub const fn new(limiter: Limiter, demand: D, outcome: O) -> Self {
        Self { limiter, demand, outcome }
    }
}

impl<S, D: Clone, O: Clone> Layer<S> for LimitLayer<D, O> {
    type Service = LimitService<S, D, O>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitService { inner, layer: self.clone() }
    }
}

impl<D, O> fmt::Debug for LimitLayer<D, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitLayer").field("limiter", &self.limiter).finish_non_exhaustive()
    }
}

// === impl LimitService ===

impl<S, D, O, R> Service<R> for LimitService<S, D, O>
where
    S: Service<R> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send,
    S::Error: Send,
    R: Send + 'static,
    D: Fn(&R) -> Demand,
    O: Fn(&Result<S::Response, S::Error>) -> Outcome + Clone + Send + 'static,
{
    type Response = S::Response;
    type Error = LimitError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(LimitError::Service)
    }

    fn call(&mut self, request: R) -> Self::Future {
        // The service that was asked whether it is ready is the one that is called.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        let demand = (self.layer.demand)(&request);
        let (limiter, outcome) = (self.layer.limiter.clone(), self.layer.outcome.clone());
        Box::pin(async move {
            let permit = limiter.acquire(demand, None).await.map_err(LimitError::Refused)?;
            let answer = inner.call(request).await;
            permit.settle(outcome(&answer));
            answer.map_err(LimitError::Service)
        })
    }
}

impl<S: fmt::Debug, D, O> fmt::Debug for LimitService<S, D, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitService").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}
