//! What a dispatch, its waiting room and its pool promise, told as stories on a paused clock.

mod cancel;
mod conformance;
mod deadlines;
mod fifo;
mod laws;
mod play;
mod pool;
mod retries;
mod streams;
mod throttles;
mod told;
