//! Start-time fair queueing on every level of a tree, charged at dispatch and corrected at settlement.
//!
//! After Goyal, Vin and Cheng, *Start-time Fair Queueing* (SIGCOMM 1996): each child of a node has a start tag, the
//! child with the lowest is served, and the node's virtual time is the start tag of what was served last. What is
//! new is that the charge is a forecast which is corrected afterwards.

mod forget;
mod node;
mod order;
mod serve;

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::line::{Line, Names};
use crate::ranking::{Places, Ranking};
use crate::settings::{Policy, Settings};
use crate::shares::{Share, Shares};
use crate::slab::NONE;
use crate::tag::Unit;

pub(crate) use node::{Account, Body, Inner, Node};

/// The flows and the groups they form, one root for each band.
#[derive(Debug)]
pub(crate) struct Tree<T, R> {
    nodes: Vec<Node<T, R>>,
    names: Vec<Arc<str>>,
    /// As long as they have to be: empty where nobody goes by them.
    accounts: Vec<Account>,
    free: Vec<u32>,
    places: Places,
    arrivals: u32,
    max_nodes: usize,
    max_idle: usize,
    workflows: Policy,
    roles: Policy,
    forgetful: bool,
}

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoSuchFlow {
    /// There are as many nodes as there may be.
    TooMany,
    /// The path is empty, or ends at a group, or goes on behind a flow, or names no band.
    Path,
}

impl<T, R: Ranking> Tree<T, R> {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut tree = Self {
            nodes: Vec::new(),
            names: Vec::new(),
            accounts: Vec::new(),
            free: Vec::new(),
            places: Places::default(),
            arrivals: 0,
            max_nodes: settings.max_nodes,
            max_idle: settings.max_idle,
            workflows: settings.workflows,
            roles: settings.roles,
            forgetful: true,
        };
        for band in 0..settings.floors.len() {
            tree.add(Node::new(NONE, band as u8, Body::inner(Policy::Fair)), "".into());
        }
        tree
    }

    /// Never forgets an idle flow from now on; the other side of the test that forgetting changes nothing.
    pub(crate) fn remember_all(&mut self) {
        self.forgetful = false;
    }

    pub(crate) fn node(&self, at: u32) -> &Node<T, R> {
        &self.nodes[at as usize]
    }

    pub(crate) fn node_mut(&mut self, at: u32) -> &mut Node<T, R> {
        &mut self.nodes[at as usize]
    }

    pub(crate) fn account(&self, at: u32) -> Account {
        self.accounts.get(at as usize).copied().unwrap_or_default()
    }

    pub(crate) fn account_mut(&mut self, at: u32) -> &mut Account {
        if self.accounts.len() <= at as usize {
            self.accounts.resize_with(self.nodes.len(), Account::default);
        }
        &mut self.accounts[at as usize]
    }

    /// The line of a flow, and what the tasks in it are called; `None` if there is no such flow.
    pub(crate) fn line(&self, flow: u32) -> Option<(Names, &Line<T>)> {
        let node = self.nodes.get(flow as usize)?;
        Some((Names { flow, next: node.next_task }, node.line()?))
    }

    /// The same, to be changed.
    pub(crate) fn line_mut(&mut self, flow: u32) -> Option<(Names, &mut Line<T>)> {
        let node = self.nodes.get_mut(flow as usize)?;
        let names = Names { flow, next: node.next_task };
        match &mut node.body {
            Body::Inner(_) => None,
            Body::Leaf(line) => Some((names, line)),
        }
    }

    /// Whether a child takes part in its parent's order: it has work and may take it.
    pub(crate) fn is_placed(&self, at: u32) -> bool {
        self.places.holds(at)
    }

    /// How many flows and groups are known.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// For how many tasks the rings of all flows have room.
    pub(crate) fn room(&self) -> usize {
        let room = |node: &Node<T, R>| node.line().map_or(0, Line::room);
        self.nodes.iter().map(room).sum()
    }

    /// Whether a band has a flow that may be served.
    pub(crate) fn is_ready(&self, band: usize) -> bool {
        self.inner(band as u32).is_some_and(|inner| !inner.kids.is_empty())
    }

    /// The flow that is next in a band.
    pub(crate) fn next(&self, band: usize) -> Option<u32> {
        let mut at = band as u32;
        while let Some(inner) = self.inner(at) {
            at = inner.kids.first()?;
        }
        Some(at)
    }

    /// The flow at the end of a path, if it is known.
    pub(crate) fn find(&self, band: usize, path: &[&str]) -> Option<u32> {
        self.inner(band as u32)?;
        path.iter().try_fold(band as u32, |at, name| self.inner(at)?.names.get(*name).copied())
    }

    /// The flow at the end of a path, made if it is new. To be put to [`rest`](Self::rest) if it gets no task.
    pub(crate) fn resolve(&mut self, band: usize, path: &[&str], shares: &Shares) -> Result<u32, NoSuchFlow> {
        if path.is_empty() || path.len() > MAX_DEPTH || self.nodes.get(band).is_none_or(|node| node.parent != NONE) {
            return Err(NoSuchFlow::Path);
        }
        let mut at = band as u32;
        for (depth, name) in path.iter().enumerate() {
            let known = match &self.node(at).body {
                // What was idle before stays to be forgotten.
                Body::Leaf(_) => return Err(NoSuchFlow::Path).inspect_err(|_| self.rest(at)),
                Body::Inner(inner) => inner.names.get(*name).copied(),
            };
            at = match known {
                Some(child) => {
                    self.leave_debtors(at, child);
                    child
                }
                None => return self.grow(at, path, depth, shares).inspect_err(|_| self.rest(at)),
            };
        }
        if matches!(self.node(at).body, Body::Inner(_)) {
            self.rest(at);
            return Err(NoSuchFlow::Path);
        }
        Ok(at)
    }

    /// Adds all that is missing of a path; nothing if there is not room for all of it. Returns the flow.
    fn grow(&mut self, parent: u32, path: &[&str], depth: usize, shares: &Shares) -> Result<u32, NoSuchFlow> {
        if self.len() + path.len() - depth > self.max_nodes {
            return Err(NoSuchFlow::TooMany);
        }
        let band = self.node(parent).band;
        let mut at = parent;
        for level in depth..path.len() {
            let body = if level + 1 == path.len() { Body::leaf() } else { Body::inner(self.policy_below(level)) };
            let mut node = Node::new(at, band, body);
            node.keyed = self.inner(at).is_some_and(|inner| inner.policy == Policy::Keyed);
            let share = shares.of(&path[..=level]);
            if let Some(share) = share {
                node.unit = Unit::of(share.weight);
                node.weight = share.weight;
                node.cap = share.cap;
            }
            let name = Arc::<str>::from(path[level]);
            let child = self.add(node, Arc::clone(&name));
            if let Some(Share { promised: promised @ 1.., .. }) = share {
                self.account_mut(child).promised = promised;
            }
            self.inner_mut(at).names.insert(name, child);
            at = child;
        }
        Ok(at)
    }

    /// The order among the children of a group at this level, counted from the tenants at 0.
    const fn policy_below(&self, level: usize) -> Policy {
        match level {
            0 => self.workflows,
            1 => self.roles,
            _ => Policy::Fair,
        }
    }

    fn add(&mut self, mut node: Node<T, R>, name: Arc<str>) -> u32 {
        if let Some(at) = self.free.pop() {
            let before = self.node(at);
            (node.generation, node.next_task) = (before.generation.wrapping_add(1), before.next_task);
            self.nodes[at as usize] = node;
            self.names[at as usize] = name;
            return at;
        }
        // Grows by an eighth: doubling would leave up to half of many nodes' memory empty.
        if self.nodes.len() == self.nodes.capacity() {
            let more = self.nodes.len() / 8 + 8;
            self.nodes.reserve_exact(more);
            self.names.reserve_exact(more);
        }
        self.nodes.push(node);
        self.names.push(name);
        self.places.grow(self.nodes.len());
        self.nodes.len() as u32 - 1
    }

    /// Gives a node another weight; what it was charged so far stays as it is.
    pub(crate) fn reweigh(&mut self, at: u32, weight: NonZeroU32) {
        let node = self.node_mut(at);
        node.weight = weight;
        node.unit = Unit::of(weight);
    }

    /// Gives a node another cap, which may let it in or put it out at once.
    pub(crate) fn recap(&mut self, at: u32, cap: u32) {
        self.node_mut(at).cap = cap;
        self.refresh(at);
        self.activate(at);
    }

    pub(crate) fn inner(&self, at: u32) -> Option<&Inner<R>> {
        match &self.nodes.get(at as usize)?.body {
            Body::Inner(inner) => Some(inner),
            Body::Leaf(_) => None,
        }
    }

    fn inner_mut(&mut self, at: u32) -> &mut Inner<R> {
        match &mut self.nodes[at as usize].body {
            Body::Inner(inner) => inner,
            Body::Leaf(_) => unreachable!("parents are groups"),
        }
    }
}

const MAX_DEPTH: usize = 8;
