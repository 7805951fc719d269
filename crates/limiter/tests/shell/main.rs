//! The limiter as its users meet it, on a paused clock.

mod crowd;
mod deadlines;
mod drops;
mod facts;
mod line;
mod play;
mod start;
