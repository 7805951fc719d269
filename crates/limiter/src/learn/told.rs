//! Limits that somebody says: they are believed, remembered, and doubted.

use bellwether_core::Timestamp;

use super::phase::Phase;
use super::{FIRST_HOLD, LearnPolicy, Learner};

impl Learner {
    /// A learner that is told the limit, and doubts it only if the provider refuses well below it.
    #[must_use]
    pub fn told(policy: LearnPolicy, limit: f64, now: Timestamp) -> Self {
        let mut learner = Self::new(policy, now);
        learner.ceiling = Some(limit);
        learner.believe(limit);
        learner
    }

    /// Hears what the limit is.
    pub fn tell(&mut self, limit: f64, now: Timestamp) {
        let old = self.ceiling.replace(limit);
        let news = old.is_none_or(|old| (limit / old - 1.0).abs() > 1e-9);
        if news || self.base > limit {
            self.believe(limit);
            self.ticked = now;
        }
        self.remember_best(now);
    }

    /// Forgets the ceiling, and looks for the limit from where it is.
    pub fn untell(&mut self, now: Timestamp) {
        if self.ceiling.take().is_some() && self.phase == Phase::Told {
            self.hold_for(FIRST_HOLD, now);
        }
    }

    /// Forgets the ceiling, and tries at once whether there is more: by half as much again where nothing fell, by up to
    /// as much again where more is likely.
    pub(crate) fn doubt(&mut self) {
        if self.ceiling.take().is_some() && self.phase == Phase::Told {
            self.phase = Phase::Probe { step: 1.0 - self.patience() / 2.0, over: 0.0 };
        }
    }

    /// What part is left of the time for which a limit is believed: the further it fell below what it was, the sooner
    /// it may be back.
    pub(crate) fn patience(&self) -> f64 {
        (self.base / self.best).powf(FALLEN).min(1.0)
    }

    pub(super) fn remember_best(&mut self, now: Timestamp) {
        self.best = self.base.max(self.best * (-now.since(self.best_at).as_secs_f64() / BEST_FORGOTTEN).exp());
        self.best_at = now;
    }

    pub(super) fn believe(&mut self, limit: f64) {
        self.phase = Phase::Told;
        self.base = limit;
        self.guess = false;
        self.hold = FIRST_HOLD;
    }

    /// Goes on to `now` where the limit is told, and nothing else is to be done.
    #[inline]
    pub(crate) fn pass(&mut self, now: Timestamp) {
        self.ticked = self.ticked.max(now);
    }
}

/// How much sooner: at two fifths of what it was, after a sixth of the time.
const FALLEN: f64 = 2.0;
const BEST_FORGOTTEN: f64 = 600.0;
