//! Facts in, Prometheus' text out.

mod catalogue;
mod figures;
mod server;
mod story;
mod text;
