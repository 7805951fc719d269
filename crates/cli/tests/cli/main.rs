//! The program as its users run it: real processes, real sockets, real signals.

mod batches;
mod demo;
mod files;
mod mistakes;
mod process;
mod runs;
