//! Many requests from a file through one quota, each answered once.
//!
//! - [`input`]: what a line asks for.
//! - [`book`]: which lines are still to be sent.
//! - [`turns`]: whose line is sent next.
//! - [`output`]: what a line of the result says, and which lines are there already.

pub(crate) mod book;
pub(crate) mod input;
pub(crate) mod output;
pub(crate) mod turns;
