//! Waiting in line.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bellwether_core::Demand;
use bellwether_core::limiter::Refused;
use tokio::time::Instant;

use super::Shared;
use super::hold::Hold;
use crate::desk::Entry;
use crate::line::Place;

/// Waits in line for room in the quota. Made by [`Limiter::hold`](super::Limiter::hold).
///
/// # Cancel safety
///
/// Dropping it gives up the place in the line and takes nothing; whoever is next is woken if need be.
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<'a> {
    shared: &'a Arc<Shared>,
    demand: Demand,
    deadline: Option<Instant>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Outside,
    Waiting(Place),
    Done,
}

impl<'a> Acquire<'a> {
    pub(super) const fn new(shared: &'a Arc<Shared>, demand: Demand, deadline: Option<Instant>) -> Self {
        Self { shared, demand, deadline, stage: Stage::Outside }
    }
}

impl<'a> Future for Acquire<'a> {
    type Output = Result<Hold<'a>, Refused>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let shared = self.shared;
        let now = shared.clock.now();
        let mut inner = shared.lock();
        let answer = match self.stage {
            Stage::Done => return Poll::Pending,
            Stage::Outside => {
                let deadline = self.deadline.map(|deadline| shared.clock.stamp(deadline));
                match inner.desk.enter(self.demand, deadline, cx.waker(), now) {
                    Entry::Admitted(reservation) => Some(Ok(reservation)),
                    Entry::Refused(wait) => Some(Err(wait)),
                    Entry::Queued(place) => {
                        self.stage = Stage::Waiting(place);
                        None
                    }
                }
            }
            Stage::Waiting(place) => inner.desk.poll(place, cx.waker(), now),
        };
        if inner.timer.is_some() || inner.desk.waiting() > 0 {
            inner.arm(shared.clock, shared.stride, now);
        }
        let wakes = inner.desk.take_wakes();
        drop(inner);
        wakes.into_iter().for_each(Waker::wake);
        let Some(answer) = answer else { return Poll::Pending };
        self.stage = Stage::Done;
        Poll::Ready(answer.map(|reservation| Hold::new(shared, reservation)).map_err(|wait| Refused { wait }))
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        if let Stage::Waiting(place) = self.stage {
            let now = self.shared.clock.now();
            self.shared.with(|desk| desk.leave(place, now));
        }
    }
}

impl fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("demand", &self.demand).field("stage", &self.stage).finish_non_exhaustive()
    }
}
