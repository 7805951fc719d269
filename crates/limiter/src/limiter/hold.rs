//! What was taken, until it is settled.

use std::sync::Arc;

use bellwether_core::permit::RateLimits;
use bellwether_core::{Demand, Outcome, Permit, Settle};

use super::Shared;
use crate::quota::{Quota, Reservation};

/// A reservation in every budget of a [`Limiter`](super::Limiter), settled exactly once.
///
/// Dropped, it settles as [`Outcome::Abandoned`]: nobody knows what the call took, so the reservation stands, and only
/// its place comes back.
#[derive(Debug)]
pub struct Hold<'a> {
    shared: &'a Arc<Shared>,
    /// `None` once it is settled.
    reservation: Option<Reservation>,
}

/// The same for a [`Permit`], which lives as long as it likes.
#[derive(Debug)]
struct Owned {
    shared: Arc<Shared>,
    reservation: Option<Reservation>,
}

// === impl Hold ===

impl<'a> Hold<'a> {
    pub(super) const fn new(shared: &'a Arc<Shared>, reservation: Reservation) -> Self {
        Self { shared, reservation: Some(reservation) }
    }

    /// What was reserved.
    #[must_use]
    pub fn demand(&self) -> Demand {
        self.reservation.as_ref().map_or(NOTHING, Reservation::demand)
    }

    /// Says what the head of the answer tells about the limits, as soon as it is there.
    pub fn hint(&self, limits: &RateLimits) {
        if let Some(reservation) = &self.reservation {
            self.shared.hint(reservation, limits);
        }
    }

    /// Says what became of the call.
    #[inline]
    pub fn settle(mut self, outcome: Outcome) {
        if let Some(reservation) = self.reservation.take() {
            self.shared.settle(reservation, &outcome);
        }
    }

    /// The same reservation as a permit, which borrows nothing.
    #[must_use]
    pub fn into_permit(mut self) -> Permit {
        let reservation = self.reservation.take();
        let demand = reservation.as_ref().map_or(NOTHING, Reservation::demand);
        Permit::new(demand, Box::new(Owned { shared: Arc::clone(self.shared), reservation }))
    }
}

impl Drop for Hold<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(reservation) = self.reservation.take() {
            self.shared.settle(reservation, &Outcome::Abandoned);
        }
    }
}

// === impl Owned ===

impl Settle for Owned {
    fn settle(self: Box<Self>, outcome: Outcome) {
        let Self { shared, reservation } = *self;
        if let Some(reservation) = reservation {
            shared.settle(reservation, &outcome);
        }
    }

    fn hint(&mut self, limits: &RateLimits) {
        if let Some(reservation) = &self.reservation {
            self.shared.hint(reservation, limits);
        }
    }
}

// === impl Shared ===

impl Shared {
    #[inline]
    fn settle(&self, reservation: Reservation, outcome: &Outcome) {
        if Quota::is_quiet(outcome) {
            let mut inner = self.lock();
            if inner.desk.waiting() == 0 {
                return inner.desk.quota.settle_quietly(reservation, outcome);
            }
        }
        let now = self.clock.now();
        self.with(|desk| desk.settle(reservation, outcome, now));
    }

    fn hint(&self, reservation: &Reservation, limits: &RateLimits) {
        let now = self.clock.now();
        self.with(|desk| desk.hint(reservation, limits, now));
    }
}

/// What a hold stands for once it is settled; nobody sees it then.
const NOTHING: Demand = Demand { requests: 0, input_tokens: 0, output_tokens: 0 };
