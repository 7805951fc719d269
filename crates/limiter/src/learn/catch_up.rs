//! Using what came in while everybody stayed away longer than they had to.

/// A provider that names a pause in whole seconds keeps everybody away for longer than its bucket takes to have room.
/// What came in meanwhile is there, as far as its bucket holds that much, and is used at twice the pace.
#[derive(Clone, Debug)]
pub(super) struct CatchUp {
    /// What is left to be used.
    behind: f64,
    /// The seconds of the limit that the provider's bucket is taken to hold; less after a refusal on the way.
    depth: f64,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self { behind: 0.0, depth: DEEPEST }
    }
}

impl CatchUp {
    /// Everybody stays away for so many seconds too long.
    pub(super) fn begin(&mut self, rate: f64, seconds: f64) {
        self.behind = rate * seconds.clamp(0.0, self.depth);
    }

    /// So many more seconds of wishes went by.
    pub(super) fn pass(&mut self, rate: f64, seconds: f64) {
        if self.is_on() && seconds > 0.0 {
            self.behind -= rate * seconds;
            if !self.is_on() {
                self.depth = (self.depth * DEEPER).min(DEEPEST);
            }
        }
    }

    /// There was less than that.
    pub(super) fn refused(&mut self) {
        if self.is_on() {
            *self = Self { behind: 0.0, depth: 0.5 * self.depth };
        }
    }

    pub(super) fn is_on(&self) -> bool {
        self.behind > 0.0
    }
}

const DEEPEST: f64 = 1.0;
const DEEPER: f64 = 1.1;
