//! Runs to look at, while they are on and afterwards.
//!
//! In reading order:
//!
//! - [`notes`]: what calls did, noted beside the run's own entries in its journal, so that it can be shown later.
//! - [`story`]: a run as it is shown: a fold over its journal, with a time to everything.
//! - [`report`]: one file that says what came of a run, as HTML, Markdown or JSON.
//! - [`feed`]: what is new in a run, for any number of readers, none of which can slow it.
//! - [`page`]: the live page and its event stream over HTTP.
//! - [`text`]: what a model says, made safe to show.

pub mod feed;
pub mod notes;
pub mod page;
pub mod report;
pub mod story;
pub mod text;

pub use bellwether_core::journal::{Journal, Recorded};
pub use bellwether_core::{Fact, Observer, RunId};
pub use notes::{Notebook, Noting};
pub use page::Page;
pub use story::Story;
