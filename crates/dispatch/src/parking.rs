//! A key that is refused, or has nothing left to spend, as a value: who may ask again, and when.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bellwether_core::{ErrorKind, ProviderError, Retry, Timestamp};

/// Why a call was turned away at once: its key is parked.
///
/// It is the cause of the [`ProviderError`] that the caller gets, whose kind is that of the failure which parked the
/// key.
#[derive(Clone, Debug)]
pub struct Parked {
    /// When the key is tried again; `None` if that hardly helps before a person has mended something.
    pub wait: Option<Duration>,
    /// What the provider said.
    pub why: ProviderError,
}

/// Whether a key is parked.
///
/// Invariant: at most one probe is under way.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    lot: Option<Lot>,
    /// How often it was parked in a row without a named time.
    streak: u32,
}

#[derive(Debug)]
struct Lot {
    until: Timestamp,
    /// Whether a call is under way that finds out.
    probing: bool,
    why: ProviderError,
}

/// What a parked key says to a call.
#[derive(Debug)]
pub(crate) enum Says {
    /// Go on; nothing is wrong.
    Free,
    /// Go on, and find out for all: [`Parking::probe`].
    Probe,
    /// Go away.
    Parked(Parked),
    /// Wait: somebody finds out at the moment.
    Probing,
}

// === impl Parked ===

impl Parked {
    /// Why `error` came at once, if its call was turned away from a parked key.
    #[must_use]
    pub fn of(error: &ProviderError) -> Option<&Self> {
        error.cause.as_ref()?.downcast_ref()
    }

    /// What a call that is turned away is told.
    pub(crate) fn into_error(self) -> ProviderError {
        let kind = self.why.kind;
        let when = match self.wait {
            Some(wait) => format!("for another {} s", wait.as_secs() + 1),
            None => "until a person mends this".to_owned(),
        };
        ProviderError::new(kind, format!("the key is parked {when}: {}", self.why))
            .with_retry(self.wait.map_or(Retry::Never, Retry::After))
            .caused_by(self)
    }
}

impl fmt::Display for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key is parked")
    }
}

impl Error for Parked {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.why)
    }
}

// === impl Parking ===

impl Parking {
    /// A call met a failure that every further call on the key would meet as well. Whether that is news; a call that
    /// was under way when the key was parked already says nothing new.
    pub(crate) fn refused(&mut self, why: &ProviderError, probe: bool, now: Timestamp) -> bool {
        if self.lot.is_some() && !probe {
            return false;
        }
        let named = match why.retry {
            Retry::After(wait) => Some(wait),
            _ => why.details.limits.retry_after,
        };
        let wait = named.filter(|wait| !wait.is_zero()).unwrap_or_else(|| {
            let doubled = FIRST.saturating_mul(2u32.saturating_pow(self.streak));
            self.streak = self.streak.saturating_add(1);
            doubled
        });
        self.lot = Some(Lot { until: now + wait.min(LONGEST), probing: false, why: why.clone() });
        true
    }

    /// The call that found out says that the key is well.
    pub(crate) fn reopen(&mut self) {
        *self = Self::default();
    }

    /// The call that was to find out never did; the next one may.
    pub(crate) fn unanswered(&mut self) {
        if let Some(lot) = &mut self.lot {
            lot.probing = false;
        }
    }

    /// The call that was told [`Says::Probe`] goes, and has to say what becomes of it.
    pub(crate) fn probe(&mut self) {
        if let Some(lot) = &mut self.lot {
            lot.probing = true;
        }
    }

    /// Whether a call may be sent now.
    pub(crate) fn says(&self, now: Timestamp) -> Says {
        match &self.lot {
            None => Says::Free,
            Some(lot) if now < lot.until => Says::Parked(lot.tell(now)),
            Some(Lot { probing: true, .. }) => Says::Probing,
            Some(_) => Says::Probe,
        }
    }

    /// What to tell those who come now, if it is not yet time to find out.
    pub(crate) fn look(&self, now: Timestamp) -> Option<Parked> {
        self.lot.as_ref().filter(|lot| now < lot.until).map(|lot| lot.tell(now))
    }

    pub(crate) const fn is_parked(&self) -> bool {
        self.lot.is_some()
    }
}

impl Lot {
    fn tell(&self, now: Timestamp) -> Parked {
        let wait = (self.why.kind != ErrorKind::Auth).then(|| self.until.since(now));
        Parked { wait, why: self.why.clone() }
    }
}

/// Whether a failure of this kind parks the key. One that a key may not do concerns a model, not the key.
pub(crate) const fn parks(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Auth | ErrorKind::QuotaExhausted)
}

const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn broke() -> ProviderError {
        ProviderError::new(ErrorKind::QuotaExhausted, "no credit")
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_probe_that_is_refused_doubles_the_wait_up_to_an_hour() {
        let (mut parking, mut now, mut waits) = (Parking::default(), at(5), Vec::new());
        for n in 0..8 {
            assert!(parking.refused(&broke(), n > 0, now));
            assert!(!parking.refused(&broke(), false, now), "calls that were under way say nothing new");
            let wait = parking.look(now).and_then(|parked| parked.wait).unwrap();
            waits.push(wait.as_secs());
            now = now + wait;
            assert!(matches!(parking.says(now), Says::Probe));
            parking.probe();
            assert!(matches!(parking.says(now), Says::Probing));
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
        parking.reopen();
        assert!(matches!(parking.says(now), Says::Free));
    }

    #[test]
    fn a_time_that_was_named_is_kept_and_a_refused_key_waits_for_a_person() {
        let mut parking = Parking::default();
        parking.refused(&broke().with_retry(Retry::After(Duration::from_secs(7))), false, at(0));
        assert_eq!(parking.look(at(2)).unwrap().wait, Some(Duration::from_secs(5)));
        parking.reopen();
        parking.refused(&ProviderError::new(ErrorKind::Auth, "no such key"), false, at(0));
        let parked = parking.look(at(0)).unwrap();
        assert_eq!(parked.wait, None);
        let error = parked.into_error();
        assert_eq!((error.kind, error.retry), (ErrorKind::Auth, Retry::Never));
        assert!(Parked::of(&error).is_some() && error.to_string().contains("until a person mends this"));
    }

    proptest! {
        /// Whatever happens in whatever order: there is never a second probe, and a parked key always ends its parking.
        #[test]
        fn there_is_never_more_than_one_probe(steps in prop::collection::vec((0u64..100, 0u8..4), 0..60)) {
            let (mut parking, mut now, mut probes) = (Parking::default(), at(0), 0u32);
            for (later, step) in steps {
                now = now + Duration::from_secs(later);
                match step {
                    0 => {
                        if parking.refused(&broke(), probes > 0, now) {
                            probes = 0;
                        }
                    }
                    1 => {
                        parking.reopen();
                        probes = 0;
                    }
                    2 => {
                        parking.unanswered();
                        probes = 0;
                    }
                    _ => match parking.says(now) {
                        Says::Probe => {
                            parking.probe();
                            probes += 1;
                        }
                        Says::Probing => prop_assert_eq!(probes, 1),
                        Says::Parked(parked) => {
                            let wait = parked.wait.expect("it says when");
                            prop_assert!(!wait.is_zero() && wait <= LONGEST);
                        }
                        Says::Free => prop_assert!(!parking.is_parked()),
                    },
                }
                prop_assert!(probes <= 1);
            }
        }
    }
}
