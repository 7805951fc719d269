//! The phases of learning, and how a ramp rises.

use bellwether_core::Timestamp;

/// What a learner is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// Go up with the answers; so many came.
    Startup { answers: f64 },
    /// Stay until then.
    Hold { until: Timestamp },
    /// See whether a limit that refusals name has risen, by this share of it at first; so many seconds of it are over.
    Probe { step: f64, over: f64 },
    /// Go up ever faster; so many seconds of it are over.
    Ramp { over: f64 },
    /// The limit is known; use all of it.
    Told,
}

/// What a ramp adds after so many seconds, as a share of where it began: ever faster until it doubled, evenly then.
pub(super) fn ramp(over: f64) -> f64 {
    let bent = ((1.0 + RAMP_STEP) / RAMP_STEP).log2() / RAMP_SPEED;
    let curve = RAMP_STEP * ((RAMP_SPEED * over.min(bent)).exp2() - 1.0);
    curve + (over - bent).max(0.0) * RAMP_SPEED * std::f64::consts::LN_2
}

/// By what a probe multiplies what it began with after so many seconds: by `step` more until a bucket of a second would
/// be empty, and twice as much every half second from then on, for nobody refused it.
///
/// Who is refused hears the limit again, so a probe may be quicker than a ramp: it costs a few refusals, and no count.
pub(super) fn probe(step: f64, over: f64) -> f64 {
    (1.0 + step) * (PROBE_SPEED * (over - 1.0 / step).max(0.0)).exp2()
}

const PROBE_SPEED: f64 = 2.0;
const RAMP_STEP: f64 = 0.02;
const RAMP_SPEED: f64 = 2.0;
