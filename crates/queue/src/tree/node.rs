//! A flow, or a group of flows.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use priority_queue::PriorityQueue;

use crate::line::Line;
use crate::ranking::{IndexedHeap, Lowest};
use crate::settings::Policy;
use crate::tag::{Tag, Unit};

/// A flow, or a group of flows.
///
/// Two cache lines: what a push needs, then what being served needs besides. With ten thousand flows the time goes into
/// fetching them.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Node<T, R> {
    pub(crate) body: Body<T, R>,
    /// The start tag: where it stands among its siblings.
    pub(crate) start: Tag,
    /// The work that waits in its line.
    pub(crate) backlog: u64,
    pub(crate) parent: u32,
    pub(crate) unit: Unit,
    /// The number of the next task of the flow that has this place; goes on when the place is another flow's.
    pub(crate) next_task: u32,
    pub(crate) in_flight: u32,
    pub(crate) cap: u32,
    /// When it began to wait, for ties.
    pub(crate) arrival: u32,
    /// How many hold on to it, so that it must not be forgotten.
    pub(crate) pins: u32,
    pub(crate) generation: u32,
    pub(crate) weight: NonZeroU32,
    pub(crate) band: u8,
    /// Whether its siblings are ordered by their first tasks' keys.
    pub(crate) keyed: bool,
    /// Whether it has tasks, waiting or in flight.
    pub(crate) awake: bool,
}

/// What the policies that go by a node's work in all know of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    /// The work it was charged.
    pub(crate) attained: u64,
    /// The work it said it will take in all; 0 if it said nothing.
    pub(crate) promised: u64,
    /// The work after which it is given another finish tag; 0 before it was given one.
    pub(crate) due: u64,
}

const _: () = assert!(size_of::<Node<u64, IndexedHeap>>() == 128, "two cache lines");

/// What makes a node a flow or a group.
#[derive(Debug)]
pub(crate) enum Body<T, R> {
    Inner(Box<Inner<R>>),
    Leaf(Line<T>),
}

/// A group of flows.
#[derive(Debug)]
pub(crate) struct Inner<R> {
    /// Virtual time; never goes back.
    pub(crate) now: Tag,
    /// No child has ever stood beyond this.
    pub(crate) furthest: Tag,
    /// How many children have tasks, waiting or in flight.
    pub(crate) awake: u32,
    pub(crate) policy: Policy,
    /// The children that have work and may take it.
    pub(crate) kids: R,
    /// All children.
    pub(crate) names: HashMap<Arc<str>, u32>,
    /// Idle children that have taken more than their share, the nearest to even first.
    pub(crate) debtors: Option<Box<Debtors>>,
    /// The children that would not be done yet if all shared fairly: when each would be, and its weight.
    pub(crate) ideal: BTreeMap<(u64, u32), u32>,
    /// The sum of their weights.
    pub(crate) ideal_weight: u64,
}

/// Idle children that have taken more than their share.
pub(crate) type Debtors = PriorityQueue<u32, Lowest>;

impl<T, R> Node<T, R> {
    pub(crate) const fn new(parent: u32, band: u8, body: Body<T, R>) -> Self {
        Self {
            parent,
            generation: 0,
            next_task: 0,
            start: Tag(0),
            unit: Unit::of(NonZeroU32::MIN),
            arrival: 0,
            in_flight: 0,
            cap: u32::MAX,
            weight: NonZeroU32::MIN,
            pins: 0,
            band,
            keyed: false,
            awake: false,
            backlog: 0,
            body,
        }
    }
}

impl<T, R> Node<T, R> {
    /// The line of a flow.
    pub(crate) const fn line(&self) -> Option<&Line<T>> {
        match &self.body {
            Body::Inner(_) => None,
            Body::Leaf(line) => Some(line),
        }
    }

    /// Whether nothing waits in its line.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.body {
            Body::Inner(_) => true,
            Body::Leaf(line) => line.len() == 0,
        }
    }
}

impl<T, R: Default> Body<T, R> {
    pub(crate) const fn leaf() -> Self {
        Self::Leaf(Line::new())
    }

    pub(crate) fn inner(policy: Policy) -> Self {
        Self::Inner(Box::new(Inner {
            now: Tag(0),
            furthest: Tag(0),
            awake: 0,
            policy,
            kids: R::default(),
            names: HashMap::new(),
            debtors: None,
            ideal: BTreeMap::new(),
            ideal_weight: 0,
        }))
    }
}
