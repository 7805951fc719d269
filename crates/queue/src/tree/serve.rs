//! Beginning to wait, being served, being settled.

use super::{Body, Tree};
use crate::ranking::{Places, Ranking};
use crate::scheduler::Key;
use crate::slab::NONE;
use crate::tag::Tag;

impl<T, R: Ranking> Tree<T, R> {
    /// Lets a node that has work take part, and every group above it that only waited for that.
    ///
    /// Nobody gets credit for the time in which it did not take part, whether it had nothing to do or was at its cap:
    /// it begins no earlier than the virtual time of its parent. What it took beyond its share it still owes.
    pub(crate) fn activate(&mut self, from: u32) {
        let mut at = from;
        while self.node(at).parent != NONE && !self.is_placed(at) && self.is_eligible(at) {
            let parent = self.node(at).parent;
            self.begin(parent, at);
            let arrival = self.arrivals;
            self.arrivals = arrival.wrapping_add(1);
            self.node_mut(at).arrival = arrival;
            self.place(parent, at);
            at = parent;
        }
    }

    /// Charges a flow and all groups above it; `holds` if the task will be settled later.
    pub(crate) fn charge(&mut self, flow: u32, cost: u32, holds: bool) {
        let mut at = flow;
        while self.node(at).parent != NONE {
            let parent = self.node(at).parent;
            self.bill(parent, at, cost);
            self.node_mut(at).in_flight += u32::from(holds);
            self.refresh(at);
            self.forget_even(parent);
            at = parent;
        }
        self.rest(flow);
    }

    /// Corrects a charge.
    pub(crate) fn correct_charge(&mut self, flow: u32, charged: u32, actual: u32) {
        self.correct_all(flow, charged, actual, false);
    }

    /// Corrects a charge, and gives the place in flight back.
    pub(crate) fn settle(&mut self, flow: u32, charged: u32, actual: u32) {
        if !self.correct_all(flow, charged, actual, true) {
            self.reopen(flow);
        }
        self.rest(flow);
    }

    /// Corrects the charges of a flow and of all groups above it, and gives their places in flight back if the task has
    /// `landed`; whether all of them take part.
    fn correct_all(&mut self, flow: u32, charged: u32, actual: u32, landed: bool) -> bool {
        let more = i64::from(actual) - i64::from(charged);
        let (mut at, mut all_placed) = (flow, true);
        loop {
            let node = self.node_mut(at);
            let parent = node.parent;
            if parent == NONE {
                return all_placed;
            }
            node.in_flight -= u32::from(landed);
            self.correct(parent, at, more);
            if self.is_placed(at) {
                self.place(parent, at);
            } else {
                all_placed = false;
            }
            at = parent;
        }
    }

    /// Lets every node on the way up from a flow in again that has work and may take it.
    fn reopen(&mut self, flow: u32) {
        let mut at = flow;
        while self.node(at).parent != NONE {
            if !self.is_placed(at) {
                self.activate(at);
            }
            at = self.node(at).parent;
        }
    }

    /// Takes out a node that has no work any more or has reached its cap, and every group above that is left without
    /// a child to serve; puts the others where they belong now.
    pub(crate) fn refresh(&mut self, from: u32) {
        let mut at = from;
        while self.node(at).parent != NONE && self.is_placed(at) {
            let parent = self.node(at).parent;
            if self.is_eligible(at) {
                self.place(parent, at);
                return;
            }
            let (places, kids) = self.parts(parent);
            kids.remove(places, at);
            at = parent;
        }
    }

    /// Whether a node has work and may take it.
    fn is_eligible(&self, at: u32) -> bool {
        let node = self.node(at);
        node.in_flight < node.cap
            && match &node.body {
                Body::Inner(inner) => !inner.kids.is_empty(),
                Body::Leaf(line) => line.len() > 0,
            }
    }

    pub(super) fn place(&mut self, parent: u32, at: u32) {
        let rank = self.rank(at);
        let (places, kids) = self.parts(parent);
        kids.set(places, at, rank);
    }

    fn parts(&mut self, parent: u32) -> (&mut Places, &mut R) {
        match &mut self.nodes[parent as usize].body {
            Body::Inner(inner) => (&mut self.places, &mut inner.kids),
            Body::Leaf(_) => unreachable!("parents are groups"),
        }
    }

    /// Notes that another task is now the first of a flow whose siblings are ordered by keys.
    pub(crate) fn rekey(&mut self, flow: u32, first: Key) {
        self.node_mut(flow).start = Tag(first.0);
        if self.is_placed(flow) {
            let parent = self.node(flow).parent;
            self.place(parent, flow);
        }
    }
}
