//! The laws of the pure parts, as properties.

mod bucket;
mod parts;
mod quota;
mod words;
