//! The laws of fair queueing, P1 to P10 of `docs/QUEUE.md`, each as a property over random histories with exact
//! integers.

mod bounds;
mod floors;
mod lines;
mod model;
mod same;
mod story;
