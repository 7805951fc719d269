//! What the tests share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use bellwether_limiter::{Concurrency, Demand, Limit, Limiter, Limits, Rate, Settings};

pub(crate) const ONE: Demand = Demand { requests: 1, input_tokens: 0, output_tokens: 0 };

/// So many requests a second, one at once.
pub(crate) fn requests(per_second: u64) -> Limit {
    Limit::Told { rate: Rate::per_second(per_second), burst: Some(1) }
}

pub(crate) fn limiter(limits: Limits) -> Limiter {
    Limiter::new("key", Settings { limits, ..Settings::default() })
}

pub(crate) fn places(places: u32) -> Concurrency {
    Concurrency::Told(NonZeroU32::new(places).expect("not zero"))
}

/// Counts how often it is woken.
#[derive(Debug, Default)]
pub(crate) struct Woken(AtomicUsize);

impl Woken {
    pub(crate) fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
