//! The program as its users run it: real processes, real sockets, real signals.

mod batch_files;
mod batches;
#[cfg(feature = "otlp")]
mod collector;
mod crashes;
mod demo;
mod documented;
mod files;
mod limits;
mod mistakes;
mod persons;
mod plans;
mod process;
mod reports;
mod routing;
mod runs;
