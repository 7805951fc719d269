//! Runs that survive a crash: what was acknowledged is on the disk, and it comes back in order.
//!
//! In reading order:
//!
//! - [`SqliteJournal`]: the journal that a process writes; implements the [`Journal`] seam.
//! - [`Reader`]: reads a journal that this or another process writes, while it does.
//! - [`settings`]: how long a lease lasts, what is kept in reserve for a full disk, which bodies are kept.
//! - [`clock`]: the wall clock, and its only home.
//! - [`error`]: why a journal cannot be used, one sentence each.
//! - `entry`: what an entry looks like in the file; `chain`: the check that binds each entry to those before it.
//! - `place`, `presence`, `ballast`, `schema`: the directory, who is alive, the reserve, the tables.
//! - `lease`: who may write; a pure decision.
//! - `writer`: one thread, one connection, one commit for all that waits.
//! - [`spend`]: what accounts spend in a day, over all processes.
//! - `retention`: removing runs and the bodies nobody needs.

mod ballast;
mod chain;
pub mod clock;
mod entry;
pub mod error;
mod journal;
mod lease;
mod place;
mod presence;
mod reader;
mod retention;
mod schema;
pub mod settings;
pub mod spend;
mod writer;

pub use bellwether_core::journal::{Entry, Holder, Journal, JournalError, Lease, Recorded, Snapshot};
pub use bellwether_core::{RunId, Timestamp};

pub use crate::error::Error;
pub use crate::journal::{Health, SqliteJournal};
pub use crate::reader::{Reader, Restored, RunInfo};
pub use crate::retention::Collected;
pub use crate::settings::{Bodies, Settings};
