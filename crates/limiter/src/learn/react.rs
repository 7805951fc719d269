//! What a refusal says about the limit.

use bellwether_core::Timestamp;

use super::interval::Interval;
use super::phase::Phase;
use super::{Counted, FIRST_HOLD, Flight, Learner, PAUSE_COSTS, Since};

impl Learner {
    /// What was let through between the refusal that counting began with and `flight`.
    pub(super) fn interval(&self, flight: &Flight) -> Option<Interval> {
        let since = self.since?;
        let cost = flight.before.saturating_sub(since.cost).saturating_sub(since.returned).saturating_add(since.more);
        let count = flight.number.saturating_sub(since.number).saturating_sub(1).saturating_sub(since.refused);
        Some(Interval {
            cost: cost as f64,
            count,
            seconds: flight.sent.since(since.at).as_secs_f64(),
            first: since.last as f64,
            refused: since.refused as f64,
            last: flight.cost as f64,
        })
    }

    pub(super) fn adapt(&mut self, flight: &Flight, now: Timestamp) {
        let rate = self.rate();
        let recent = self.recent.per_second(now);
        let Some(interval) = self.interval(flight) else {
            self.first_refusal(flight, now);
            return self.anchor(flight);
        };
        if interval.count >= ENOUGH_REQUESTS && interval.seconds >= ENOUGH_SECONDS {
            self.count(&interval, rate, recent, now);
            return self.anchor(flight);
        }
        // Too little to count by; but it may be too little to be explained by what is believed.
        // A provider that counts refusals without saying so explains a part of it.
        let charged = (self.pause_costs - PAUSE_COSTS).clamp(0.0, 1.0);
        let explained = interval.cost + interval.last * (1.0 + charged * interval.refused);
        // A guess yields to the first doubt. Where a limit was counted, one request more may have been somebody else's on
        // the same key, and is no sign of a fall.
        let explainable = explained + self.counted.map_or(0.0, |_| interval.last);
        if self.phase != Phase::Told && self.base * interval.seconds > explainable {
            // The refused bucket held something between nothing and what was wanted.
            let counted = (explained - 0.5 * interval.last) / interval.seconds.max(1e-3);
            let largest = if self.counted.is_none() { WILD_GUESS } else { LARGEST_DECREASE };
            self.base = counted.clamp(largest * self.base, SMALLEST_DECREASE * self.base);
            self.guess = true;
            self.hold = FIRST_HOLD;
        }
        if self.phase != Phase::Told {
            self.hold_for(self.hold, now);
        }
    }

    /// Counting begins anew with this request.
    pub(super) fn anchor(&mut self, flight: &Flight) {
        self.since = Some(Since {
            at: flight.sent,
            number: flight.number,
            cost: flight.before.saturating_add(flight.cost),
            last: flight.cost,
            refused: 0,
            returned: 0,
            more: 0,
        });
    }

    /// Nothing can be counted yet, for the provider's bucket was full at the start. It is taken to hold a second of the
    /// limit, as most do.
    fn first_refusal(&mut self, flight: &Flight, now: Timestamp) {
        if self.phase == Phase::Told {
            return;
        }
        let all = flight.before.saturating_add(self.more) as f64
            / (FULL_BUCKET + flight.sent.since(self.started).as_secs_f64());
        let recent = self.recent.sum(now) / (FULL_BUCKET + 1.0);
        self.base = (DECREASE * self.rate()).min(CAREFUL * all.max(recent));
        self.counted = None;
        self.guess = true;
        self.hold_for(GUESS_HOLD, now);
    }

    /// A whole interval between two refusals was counted.
    fn count(&mut self, interval: &Interval, rate: f64, recent: f64, now: Timestamp) {
        let told = self.phase == Phase::Told;
        let old = self.counted;
        let passed = interval.seconds;
        let sample = interval.cost / passed;
        let confirmed = old.is_some_and(|old| interval.confirms(old.rate));
        let counted = match old {
            Some(old) if confirmed => Counted {
                rate: (old.rate * old.weight + sample * passed) / (old.weight + passed),
                weight: (old.weight + passed).min(LONGEST_MEMORY),
            },
            _ => Counted { rate: sample, weight: passed.min(LONGEST_MEMORY) },
        };
        self.counted = Some(counted);
        if told && sample >= TOLD_IS_TRUE * self.base {
            return;
        }
        if !told && rate > 2.0 * self.base && recent > JUMPED * sample {
            self.base = DECREASE * recent;
            self.guess = true;
            return self.hold_for(GUESS_HOLD, now);
        }
        self.base = counted.rate;
        self.guess = false;
        self.remember_best(now);
        self.hold = FIRST_COUNTED_HOLD.max(if confirmed { LONGER * self.hold } else { self.hold / 2.0 });
        let longest = self.policy.longest_hold.as_secs_f64() * self.patience();
        self.hold = self.hold.min(longest.max(FIRST_HOLD));
        self.hold_for(self.hold, now);
    }
}

/// The seconds of its limit that a provider's bucket is taken to hold until something was counted.
const FULL_BUCKET: f64 = 1.0;
/// The share of a guess that is used first.
const CAREFUL: f64 = 0.8;
const DECREASE: f64 = 0.7;
const GUESS_HOLD: f64 = 0.5;
const FIRST_COUNTED_HOLD: f64 = 2.0;
/// How much longer a hold is when what was counted was as expected.
const LONGER: f64 = 4.0;
const TOLD_IS_TRUE: f64 = 0.9;
/// A bucket of two seconds that was full lets through twice the limit in a second, and that is no other limit.
const JUMPED: f64 = 2.0;
const ENOUGH_REQUESTS: u64 = 8;
const ENOUGH_SECONDS: f64 = 1.5;
const LONGEST_MEMORY: f64 = 20.0;
const LARGEST_DECREASE: f64 = 0.5;
/// A guess that nothing was counted for may be off by so much.
const WILD_GUESS: f64 = 0.2;
const SMALLEST_DECREASE: f64 = 0.95;
