//! How a queue is furnished: its bands, its bounds, its policies.

use std::num::NonZeroU32;

/// How a queue is furnished.
///
/// ```
/// use bellwether_queue::{Overflow, Settings};
///
/// // Two bands; the lower one is sure of a tenth of the work. At most 10,000 tasks wait.
/// let settings = Settings { floors: vec![0, 100], capacity: 10_000, overflow: Overflow::Shed, ..Settings::default() };
/// assert_eq!(settings.floors.len(), 2);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// One entry for each band, the most urgent first: the thousandths of all work that the band is sure of while it
    /// has tasks waiting. What the floors leave goes to the most urgent band that has work. Their sum is what is taken
    /// from the top band when it wants everything; keep it below what the top band can spare.
    pub floors: Vec<u32>,
    /// How many tasks may wait.
    pub capacity: usize,
    /// How many tasks of one flow may wait.
    pub flow_capacity: usize,
    /// How many flows and groups of flows may be known at a time.
    pub max_nodes: usize,
    /// How many idle children of one node that took more than their share are remembered. Beyond it the one that is
    /// nearest to even is forgotten, and newcomers begin where it stood.
    pub max_idle: usize,
    /// What happens when a task comes and there is no room.
    pub overflow: Overflow,
    /// How the groups directly below a tenant share: the order among its workflows.
    pub workflows: Policy,
    /// How the groups two levels below a tenant share: the order among the roles of a workflow.
    pub roles: Policy,
}

/// What happens when a task comes and there is no room.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Overflow {
    /// It is refused.
    #[default]
    Refuse,
    /// The flow with the largest backlog for its weight, in the least urgent band that has more than its floor's part
    /// of the room, gives up its newest task; if the newcomer belongs to that flow, it is refused.
    Shed,
}

/// The order among the children of a node. Shares between the node and its siblings are the same under each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Policy {
    /// Work in proportion to weight, at every moment.
    #[default]
    Fair,
    /// The child that would be done first if all shared fairly is served until it is done: the mean time to completion
    /// is short, and no child ends later than under fair sharing by more than one task. Needs to be told what each
    /// child will cost in all; a child that says nothing, or took more than it said, is assumed to be half done.
    /// After Justitia's virtual finish times.
    FinishFirst,
    /// The child that has taken least so far, in powers of two, as Autellix' PLAS; a child is passed over until the
    /// others have been served `patience` times what it has taken, and then no longer.
    LeastAttained {
        /// How long a child that has taken much can be passed over.
        patience: NonZeroU32,
    },
    /// The child whose first task has the smallest key: for the tasks of one plan, which belong together whoever does
    /// them. Shares among the children are then nobody's matter.
    Keyed,
}

impl Default for Settings {
    /// Three bands, of which the second is sure of a tenth and the third of a twentieth; 100,000 tasks.
    fn default() -> Self {
        Self {
            floors: vec![0, 100, 50],
            capacity: 100_000,
            flow_capacity: usize::MAX,
            max_nodes: 100_000,
            max_idle: 1_024,
            overflow: Overflow::default(),
            workflows: Policy::default(),
            roles: Policy::default(),
        }
    }
}
