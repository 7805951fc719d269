//! How a quota stands, for metrics and for people.

use std::fmt;
use std::time::Duration;

use bellwether_core::limiter::Outlook;

/// How a quota stands at one moment.
///
/// Shown as text it answers the question "why am I waiting?".
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Requests, if they are limited.
    pub requests: Option<Budget>,
    /// Tokens, if they are limited.
    pub tokens: Option<Budget>,
    /// Input tokens, if they are limited by themselves.
    pub input_tokens: Option<Budget>,
    /// Output tokens, if they are limited by themselves.
    pub output_tokens: Option<Budget>,
    /// Calls under way.
    pub in_flight: u32,
    /// How many may be under way, if that is limited.
    pub places: Option<u32>,
    /// How much longer everybody stays away.
    pub pause: Option<Duration>,
    /// How many wait.
    pub waiting: usize,
    /// What the first of them waits for.
    pub head: Option<Outlook>,
}

/// How one limit stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// What could be taken now; negative while a large request's debt is worked off.
    pub level: i64,
    /// The most that can be taken at once.
    pub burst: u64,
    /// How fast it fills at the moment.
    pub per_minute: f64,
    /// The limit, if it was told or found.
    pub limit_per_minute: Option<f64>,
    /// How the limit is known.
    pub stage: Stage,
    /// How much more we thought was there than the provider said the last time, all that was sent since taken off;
    /// `None` if it said nothing yet.
    pub drift: Option<i64>,
}

/// How a limit is known.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Stage {
    /// Nothing is known; the rate goes up with the answers until something is refused.
    Startup,
    /// The limit was found; the rate stays just below it.
    Hold,
    /// The limit was found; the rate goes up to see whether there is more by now.
    Ramp,
    /// The limit was told.
    Told,
}

impl Stage {
    /// The stage in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Hold => "hold",
            Self::Ramp => "ramp",
            Self::Told => "told",
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.waiting, self.head) {
            (0, _) => write!(f, "nobody waits")?,
            (waiting, None) => write!(f, "{waiting} waiting, the first is about to go")?,
            (waiting, Some(head)) => {
                write!(f, "{waiting} waiting, the first for {}", head.reason.as_str())?;
                if let Some(wait) = head.wait {
                    write!(f, ", {:.1} s to go", wait.as_secs_f64())?;
                }
            }
        }
        write!(f, "; {} in flight", self.in_flight)?;
        if let Some(places) = self.places {
            write!(f, " of {places}")?;
        }
        if let Some(pause) = self.pause {
            write!(f, "; paused for {:.1} s", pause.as_secs_f64())?;
        }
        let budgets = [
            ("requests", self.requests),
            ("tokens", self.tokens),
            ("input tokens", self.input_tokens),
            ("output tokens", self.output_tokens),
        ];
        for (name, budget) in budgets {
            if let Some(Budget { level, burst, per_minute, stage, .. }) = budget {
                write!(f, "; {name}: {level} of {burst} now, {per_minute:.0} a minute ({})", stage.as_str())?;
            }
        }
        Ok(())
    }
}
