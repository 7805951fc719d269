//! A fair queue in front of a rented quota: in tokens, under unknown costs, with bounds.
//!
//! From the inside out:
//!
//! - [`Scheduler`]: who is next, as a value. What is [asked](Ask) of it, what it [grants](Granted), [refuses](Refused)
//!   and [sheds](Shed).
//! - [`Settings`]: its bands and their floors, its bounds, what happens when there is [no room](Overflow), and the
//!   [policies](Policy) within a tenant.
//! - [`Key`] and [`upward_ranks`]: where a task stands among those of its own flow, and of its own plan.
//! - [`FairQueue`]: the same for tasks of a runtime. Whoever pushes holds a [`Place`], whoever takes holds a [`Grant`];
//!   dropping them cancels and settles.
//! - [`TicketQueue`]: the same as the [`TaskQueue`] that the dispatcher knows.
//!
//! `docs/QUEUE.md` states what it promises, which tests show that, and what it costs.

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
