//! What a dispatch, its waiting room and its pool promise, told as stories on a paused clock.

mod cancel;
mod conformance;
mod counted;
mod deadlines;
mod ends;
mod estimates;
mod fifo;
mod guarded;
mod hedges;
mod laws;
mod parked;
mod play;
mod pool;
mod retries;
mod routes;
mod shed;
mod streams;
mod throttles;
mod told;
