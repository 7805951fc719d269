//! The router from outside: its laws, what it learns, and the file that keeps it.

mod laws;
mod learning;
mod play;
mod seam;
mod store;
