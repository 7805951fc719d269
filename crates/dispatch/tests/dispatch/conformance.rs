//! The three implementations keep the promises of their seams.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bellwether_core::test_util;
use bellwether_dispatch::{Dispatch, Fifo, PermitPool};

use crate::play::Play;

#[tokio::test(start_paused = true)]
async fn a_dispatch_is_a_provider() {
    let streaming = Dispatch::builder(Play::of([])).build();
    test_util::provider(&streaming, "m").await;
    let unary = Dispatch::builder(Play::of([])).unary().build();
    test_util::provider(&unary, "m").await;
    let nested = Dispatch::builder(Arc::new(streaming)).build();
    test_util::provider(&nested, "m").await;
}

#[tokio::test(start_paused = true)]
async fn a_fifo_is_a_queue() {
    test_util::queue(&Fifo::new(10)).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_is_a_limiter() {
    test_util::rate_limiter(&PermitPool::new(NonZeroUsize::MIN)).await;
}
