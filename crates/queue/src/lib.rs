//! A fair queue in front of a rented quota: in tokens, under unknown costs, with bounds.

mod bands;
mod key;
mod line;
mod plan;
mod ranking;
mod scheduler;
mod settings;
mod shares;
mod slab;
mod tag;
mod tree;

pub use plan::upward_ranks;
pub use ranking::{ByPriorityQueue, IndexedHeap};
pub use scheduler::{
    Ask, FlowId, FlowStatus, Granted, Key, MAX_COST, Pushed, Reason, Refused, Scheduler, Shed, TaskId, Why,
};
pub use settings::{Overflow, Policy, Settings};
