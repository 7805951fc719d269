//! A fair queue in front of a rented quota: in tokens, under unknown costs, with bounds.

mod bands;
mod clock;
mod hall;
mod key;
mod line;
mod lock;
mod plan;
mod queue;
mod ranking;
mod scheduler;
mod settings;
mod shares;
mod slab;
mod tag;
mod tickets;
mod tree;

pub use bellwether_core::queue::{QueueFull, Ticket, TicketId};
pub use bellwether_core::{Class, Fact, Flow, Observer, TaskQueue, Timestamp};
pub use plan::upward_ranks;
pub use queue::{FairQueue, Grant, Place};
pub use ranking::{ByPriorityQueue, IndexedHeap};
pub use scheduler::{
    Ask, FlowId, FlowStatus, Granted, Key, MAX_COST, Pushed, Reason, Refused, Scheduler, Shed, TaskId, Why,
};
pub use settings::{Overflow, Policy, Settings};
pub use tickets::{AtTheDoor, TicketQueue};
