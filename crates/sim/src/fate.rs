//! What becomes of one request, by its number and the seed: its fault, its pace, and whether it falls into a burst.

use std::time::Duration;

use bellwether_core::time::Timestamp;

use crate::scenario::{Burst, Fault, Faults, Latency};

/// The fault that request `number` (from 1) meets, if any.
///
/// The same seed gives the same answer, whatever happened before.
///
/// ```
/// use bellwether_sim::{Fail, Fault, Faults, fate};
///
/// let fail = vec![Fail { request: 3, with: Fault::Reset }];
/// let faults = Faults { fail, ..Faults::default() };
/// assert_eq!(fate::fault(&faults, 1, 3), Some(Fault::Reset));
/// assert_eq!(fate::fault(&faults, 1, 4), None);
/// ```
#[must_use]
pub fn fault(faults: &Faults, seed: u64, number: u64) -> Option<Fault> {
    if let Some(fail) = faults.fail.iter().find(|fail| fail.request == number) {
        return Some(fail.with);
    }
    let mut drawn = rng(seed, number, "fault").f64();
    let shares = [
        (faults.error_500, Fault::Error500),
        (faults.error_503, Fault::Error503),
        (faults.reset, Fault::Reset),
        (faults.stall, Fault::Stall),
    ];
    for (share, fault) in shares {
        if drawn < share {
            return Some(fault);
        }
        drawn -= share;
    }
    None
}

/// How long request `number` takes to its first token, and for every token after it.
#[must_use]
pub fn pace(latency: &Latency, seed: u64, number: u64) -> Pace {
    let jitter = if latency.jitter.is_finite() { latency.jitter.clamp(0.0, 1.0) } else { 0.0 };
    let factor = 1.0 + jitter * (2.0 * rng(seed, number, "pace").f64() - 1.0);
    Pace { first_token: stretch(latency.first_token, factor), per_token: stretch(latency.per_token, factor) }
}

/// The burst that refuses request `number`, arriving `now`: what its `Retry-After` says.
#[must_use]
pub fn burst(bursts: &[Burst], number: u64, now: Timestamp) -> Option<Refused> {
    bursts.iter().find_map(|burst| match *burst {
        Burst::Requests { after, count, retry_after } => {
            (number > after && number - after <= count).then_some(Refused { retry_after })
        }
        Burst::Time { at, lasting, retry_after } => {
            let begins = Timestamp::from(at);
            (now >= begins && now < begins + lasting).then_some(Refused { retry_after })
        }
    })
}

/// The tempo of one answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Pace {
    /// From the request to the first token.
    pub first_token: Duration,
    /// From one token to the next.
    pub per_token: Duration,
}

/// A request refused by a burst.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused {
    /// What `Retry-After` says; none leaves it out.
    pub retry_after: Option<Duration>,
}

impl Pace {
    /// When so many tokens are there.
    #[must_use]
    pub fn reached(&self, started: Timestamp, tokens: u64) -> Timestamp {
        let nanos = u64::try_from(self.per_token.as_nanos()).unwrap_or(u64::MAX).saturating_mul(tokens);
        started + self.first_token + Duration::from_nanos(nanos)
    }
}

/// A generator that depends on the seed and on what it is for, and on nothing else.
pub(crate) fn rng(seed: u64, number: u64, purpose: &str) -> fastrand::Rng {
    let mut hash = fnv(&seed.to_le_bytes(), FNV_OFFSET);
    hash = fnv(&number.to_le_bytes(), hash);
    fastrand::Rng::with_seed(fnv(purpose.as_bytes(), hash))
}

/// FNV-1a: the same on every machine and in every release, unlike the standard library's hashers.
pub(crate) fn fnv(bytes: &[u8], from: u64) -> u64 {
    bytes.iter().fold(from, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn stretch(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(duration)
}

pub(crate) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
