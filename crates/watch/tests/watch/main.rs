//! Runs to look at: their notes, stories, reports, and the page over a real socket.

mod endings;
mod entries;
mod figures;
mod lanes;
mod notes;
mod page;
mod reports;
mod routes;
mod stories;
