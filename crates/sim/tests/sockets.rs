//! The server over real connections.

#[path = "sockets/client.rs"]
mod client;
#[path = "sockets/endpoints.rs"]
mod endpoints;
#[path = "sockets/faults.rs"]
mod faults;
#[path = "sockets/limits.rs"]
mod limits;
