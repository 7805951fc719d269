//! What a quota makes of the provider's words: heads of answers, refusals.

use std::time::Duration;

use bellwether_core::Timestamp;
use bellwether_core::limiter::WaitReason;
use bellwether_core::permit::{Level, RateLimits};

use super::{News, Quota, REASONS, Reservation, costs};
use crate::learn::Reaction;

/// One request that finds out whether anything is let through again, while all others wait.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Probe {
    #[default]
    None,
    /// It is under way.
    Out { number: u64, sent: Timestamp },
    /// The next request is it.
    Wanted,
}

// === impl Probe ===

impl Probe {
    #[inline]
    pub(super) fn sent(&mut self, number: u64, now: Timestamp) {
        match self {
            Self::None => {}
            Self::Out { .. } => *self = Self::None,
            Self::Wanted => *self = Self::Out { number, sent: now },
        }
    }

    /// It was let in, or nobody will know.
    #[inline]
    pub(super) fn answered(&mut self, heard: u64) {
        if matches!(self, Self::Out { number, .. } if *number <= heard) {
            *self = Self::None;
        }
    }

    /// It was never sent.
    pub(super) fn unused(&mut self, heard: u64) {
        if matches!(self, Self::Out { number, .. } if *number == heard) {
            *self = Self::Wanted;
        }
    }

    /// When the others may go even if nothing is heard of it: refusals come quickly.
    pub(super) fn until(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::Out { sent, .. } => *sent + PATIENCE,
            Self::None | Self::Wanted => now,
        }
    }
}

// === impl Quota ===

impl Quota {
    /// The provider let this one in.
    #[inline]
    pub(super) fn admitted(&mut self, reservation: &Reservation) {
        self.streak = 0;
        self.probe.answered(reservation.number);
        for (i, dimension) in self.dimensions.iter_mut().enumerate() {
            if let Some(dimension) = dimension {
                dimension.learner.admitted(&reservation.flight(i));
            }
        }
    }

    /// Reports may overtake each other; only the newest is heard, and each once.
    pub(super) fn report(&mut self, reservation: &Reservation, limits: &RateLimits, now: Timestamp) {
        if reservation.number < self.reported || levels(limits).iter().all(|level| *level == Level::default()) {
            return;
        }
        self.reported = reservation.number + 1;
        for (i, level) in levels(limits).into_iter().enumerate() {
            if let Some(dimension) = &mut self.dimensions[i] {
                dimension.report(&level, &reservation.flight(i), self.round_trip, now);
            }
        }
    }

    pub(super) fn throttled(&mut self, reservation: &Reservation, limits: &RateLimits, now: Timestamp) {
        self.round_trip = self.round_trip.min(now.since(reservation.sent));
        self.give_back(reservation, usize::from(self.settings.refusals_count)..4);
        self.report(reservation, limits, now);
        for (level, dimension) in levels(limits).iter().zip(&mut self.dimensions) {
            if let Some(dimension) = dimension {
                dimension.reported_by_refusal(level, now);
            }
        }
        let blamed = self.blamed(reservation, limits);
        let mut wait = None;
        for (i, dimension) in self.dimensions.iter_mut().enumerate() {
            let flight = reservation.flight(i);
            let Some(dimension) = dimension else { continue };
            if !blamed[i] {
                if !self.settings.refusals_count {
                    dimension.learner.void(&flight);
                }
                continue;
            }
            let reaction = dimension.refused(&flight, now);
            if matches!(reaction, Reaction::Blackout(_)) {
                self.probe = Probe::Wanted;
            }
            let (Reaction::Blackout(pause) | Reaction::Pause(pause)) = reaction;
            wait = wait.max(Some(pause));
        }
        let named = limits.retry_after.filter(|wait| !wait.is_zero());
        let wait = match (wait, named) {
            (_, Some(named)) => named,
            (Some(wait), None) => wait.min(LONGEST_UNNAMED),
            (None, None) => self.unlearnt_wait(),
        };
        let until = self.close(wait.min(self.settings.longest_pause), now);
        for (i, dimension) in self.dimensions.iter_mut().enumerate() {
            if let Some(dimension) = dimension.as_mut().filter(|_| blamed[i]) {
                dimension.close_until(until, costs(&reservation.demand)[i], now);
            }
        }
    }

    /// Keeps everybody away for `wait` and up to a tenth longer, so that many processes do not come back at once.
    pub(super) fn close(&mut self, wait: Duration, now: Timestamp) -> Timestamp {
        let until = now + wait + wait.mul_f64(JITTER * self.rng.f64());
        if until > self.closed_until.max(now) {
            self.closed_until = until;
            self.news.push(News::Paused(until.since(now)));
        }
        self.closed_until
    }

    /// Notes which limits are not what was last told. One that is looked for anew stays what it was until it is found.
    pub(super) fn tell_limits(&mut self) {
        let limits = self.limits_now();
        let looked_for = |i: usize| self.dimensions.get(i).is_some_and(Option::is_some);
        let reasons = REASONS.into_iter().chain([WaitReason::Concurrency]);
        for (i, ((reason, limit), told)) in reasons.zip(limits).zip(&mut self.told).enumerate() {
            if limit == 0 && looked_for(i) {
                continue;
            }
            // Within five percent it is the same limit, counted anew.
            if limit.abs_diff(*told) > *told / 20 {
                *told = limit;
                self.news.push(News::Limit(reason, limit));
            }
        }
    }

    /// The limits as far as they are known, per minute; 0 where they are not.
    pub(super) fn limits_now(&self) -> [u64; 5] {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are positive and far below")]
        let known = |i: usize| {
            let limit = self.dimensions.get(i).and_then(|dimension| dimension.as_ref()?.learner.limit());
            limit.map_or(0, |limit| (limit * 60.0).round() as u64)
        };
        let places = Some(self.places.limit()).filter(|limit| *limit < u32::MAX);
        [known(0), known(1), known(2), known(3), places.map_or(0, u64::from)]
    }

    /// For want of what it was refused: what the headers say is used up; else what was used most beyond the limit.
    fn blamed(&self, reservation: &Reservation, limits: &RateLimits) -> [bool; 4] {
        let levels = levels(limits);
        let there: [bool; 4] =
            std::array::from_fn(|i| self.dimensions[i].is_some() && costs(&reservation.demand)[i] > 0);
        let short: [bool; 4] = std::array::from_fn(|i| {
            let wanted = costs(&reservation.demand)[i];
            there[i] && levels[i].remaining.is_some_and(|left| left < wanted)
        });
        if short.contains(&true) {
            return short;
        }
        let suspicion: [f64; 4] = std::array::from_fn(|i| match &self.dimensions[i] {
            Some(dimension) if there[i] => dimension.learner.suspicion(&reservation.flight(i)),
            _ => 0.0,
        });
        let most = suspicion.iter().copied().fold(0.0, f64::max);
        std::array::from_fn(|i| there[i] && suspicion[i] >= SUSPECT * most)
    }

    fn unlearnt_wait(&mut self) -> Duration {
        self.streak = self.streak.saturating_add(1);
        FIRST_WAIT.saturating_mul(2u32.saturating_pow(self.streak - 1)).min(LONGEST_UNNAMED)
    }
}

const fn levels(limits: &RateLimits) -> [Level; 4] {
    [limits.requests, limits.tokens, limits.input_tokens, limits.output_tokens]
}

const JITTER: f64 = 0.1;
const SUSPECT: f64 = 0.95;
const PATIENCE: Duration = Duration::from_secs(1);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_UNNAMED: Duration = Duration::from_secs(60);
