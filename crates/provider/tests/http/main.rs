//! The client against real sockets, in exact control of every byte, pause and reset.

mod answers;
mod doctor;
mod failures;
mod faults;
mod odd;
mod requests;
mod server;
mod streams;
mod timeouts;
mod tls;
