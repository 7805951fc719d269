//! What became of a call, and what comes back to each budget.

use bellwether_core::permit::RateLimits;
use bellwether_core::{Outcome, Timestamp, Usage};

use super::{Quota, Reservation, costs};
use crate::settings::{Cached, Charges};

impl Quota {
    /// Takes a reservation back.
    pub fn settle(&mut self, reservation: Reservation, outcome: &Outcome, now: Timestamp) {
        let now = self.advance(now);
        match outcome {
            Outcome::Completed { limits, .. } | Outcome::Failed { limits, .. } => self.hint(&reservation, limits, now),
            _ => {}
        }
        self.settle_now(reservation, outcome, now);
        self.tell_limits();
    }

    /// The same for an outcome that says nothing about the limits, at the last moment that was heard of. It saves
    /// reading the clock.
    #[inline]
    pub fn settle_quietly(&mut self, reservation: Reservation, outcome: &Outcome) {
        match outcome {
            Outcome::Completed { usage, .. } => self.completed(&reservation, usage),
            _ => self.settle_now(reservation, outcome, self.now),
        }
    }

    /// Whether [`settle_quietly`](Self::settle_quietly) is enough for `outcome`.
    #[inline]
    #[must_use]
    pub fn is_quiet(outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Completed { limits, .. } | Outcome::Failed { limits, .. } => *limits == RateLimits::default(),
            Outcome::Abandoned | Outcome::Unused => true,
            _ => false,
        }
    }

    fn settle_now(&mut self, reservation: Reservation, outcome: &Outcome, now: Timestamp) {
        if let Outcome::Completed { usage, .. } = outcome {
            return self.completed(&reservation, usage);
        }
        self.places.give();
        match outcome {
            Outcome::Failed { may_have_executed, .. } => {
                self.admitted(&reservation);
                if *may_have_executed {
                    self.leave(&reservation);
                } else {
                    self.give_back(&reservation, 1..4);
                }
            }
            Outcome::Overloaded { limits } => {
                self.give_back(&reservation, 1..4);
                self.report(&reservation, limits, now);
                self.places.overloaded(reservation.sent, now);
                if let Some(wait) = limits.retry_after {
                    self.close(wait.min(self.settings.longest_pause), now);
                }
            }
            Outcome::Throttled { limits } => self.throttled(&reservation, limits, now),
            Outcome::Unused => {
                self.give_back(&reservation, 0..4);
                for (i, dimension) in self.dimensions.iter_mut().enumerate() {
                    if let Some(dimension) = dimension {
                        dimension.learner.void(&reservation.flight(i));
                    }
                }
                self.probe.unused(reservation.number);
            }
            _ => {
                self.probe.answered(reservation.number);
                self.leave(&reservation);
            }
        }
    }

    #[inline]
    fn completed(&mut self, reservation: &Reservation, usage: &Usage) {
        self.places.give();
        self.admitted(reservation);
        if let (Some(input), Some(output)) = (usage.input_tokens, usage.output_tokens) {
            let free = usage.cached_tokens.filter(|_| self.settings.cached == Cached::Free);
            self.correct(reservation, input.saturating_sub(free.unwrap_or(0)), output);
        } else {
            self.leave(reservation);
        }
    }

    /// Nobody knows what it took, so the reservation stands; but no more of it than a provider can have let in at once.
    /// Otherwise one call that reserves millions, as some do who want no cap, and is given up keeps everybody away for
    /// days.
    #[inline(never)]
    fn leave(&mut self, reservation: &Reservation) {
        for (i, dimension) in self.dimensions.iter_mut().enumerate().skip(1) {
            let Some(dimension) = dimension else { continue };
            let flight = reservation.flight(i);
            let beyond = flight.cost.saturating_sub(dimension.window());
            if beyond > 0 {
                dimension.bucket.give(beyond);
                dimension.learner.returned(&flight, beyond);
            }
        }
    }

    /// The call took this, whatever was reserved.
    #[inline]
    fn correct(&mut self, reservation: &Reservation, input: u64, output: u64) {
        let took = [0, input.saturating_add(output), input, output];
        for (i, dimension) in self.dimensions.iter_mut().enumerate().skip(1) {
            let Some(dimension) = dimension else { continue };
            let flight = reservation.flight(i);
            if took[i] > flight.cost {
                dimension.bucket.take(took[i] - flight.cost);
                dimension.learner.took_more(&flight, took[i] - flight.cost);
            } else if self.settings.charges == Charges::Actual && took[i] < flight.cost {
                dimension.bucket.give(flight.cost - took[i]);
                dimension.learner.returned(&flight, flight.cost - took[i]);
            }
        }
    }

    pub(super) fn give_back(&mut self, reservation: &Reservation, which: std::ops::Range<usize>) {
        let costs = costs(&reservation.demand);
        for i in which {
            if let Some(dimension) = &mut self.dimensions[i] {
                dimension.bucket.give(costs[i]);
            }
        }
    }
}
