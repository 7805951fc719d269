//! The plainest scheduler that can be right: lists that are searched, tags that cannot wrap, nothing ever forgotten.

use std::collections::BTreeMap;

/// A scheduler of a few lines. Nodes are named by band and path.
#[derive(Debug, Default)]
pub(crate) struct Model {
    floors: Vec<u64>,
    owed: Vec<u64>,
    nodes: BTreeMap<Name, Node>,
    said: BTreeMap<Vec<String>, (u32, u32)>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) flying: Vec<Task>,
    arrivals: u64,
}

type Name = (usize, Vec<String>);

#[derive(Clone, Debug)]
struct Node {
    start: i128,
    now: i128,
    furthest: i128,
    arrival: u64,
    in_flight: u32,
    weight: u32,
    cap: u32,
    placed: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Task {
    pub(crate) number: u64,
    pub(crate) flow: Name,
    pub(crate) cost: u64,
    pub(crate) key: u64,
}

impl Model {
    pub(crate) fn new(floors: &[u32]) -> Self {
        let floors: Vec<u64> = floors.iter().map(|floor| u64::from(*floor)).collect();
        Self { owed: vec![0; floors.len()], floors, ..Self::default() }
    }

    pub(crate) fn push(&mut self, task: Task) {
        let flow = task.flow.clone();
        for depth in 0..=flow.1.len() {
            let (weight, cap) = self.said.get(&flow.1[..depth]).copied().unwrap_or((1, u32::MAX));
            let node = Node { start: 0, now: 0, furthest: 0, arrival: 0, in_flight: 0, weight, cap, placed: false };
            self.nodes.entry((flow.0, flow.1[..depth].to_vec())).or_insert(node);
        }
        self.tasks.push(task);
        self.update(&flow);
    }

    pub(crate) fn take(&mut self, holds: bool) -> Option<Task> {
        let band = self.band()?;
        let mut at = (band, Vec::new());
        while let Some(child) = self.first_child(&at) {
            at = child;
        }
        let (index, _) = self.first_task(&at)?;
        let task = self.tasks.remove(index);
        for other in 0..self.floors.len() {
            // The band that is served is ready even if this was its last task.
            if other == band || self.is_ready(other) {
                self.owed[other] += self.floors[other] * task.cost;
            }
        }
        self.owed[band] = self.owed[band].saturating_sub(task.cost * 1_000);
        for depth in (1..=at.1.len()).rev() {
            let name = (band, at.1[..depth].to_vec());
            let node = self.nodes.get_mut(&name).expect("the path is known");
            let start = node.start;
            node.start += i128::from(task.cost) * i128::from((1 << 20) / node.weight);
            let end = node.start;
            node.in_flight += u32::from(holds);
            let parent = self.nodes.get_mut(&(band, at.1[..depth - 1].to_vec())).expect("the path is known");
            parent.now = parent.now.max(start);
            parent.furthest = parent.furthest.max(end);
        }
        self.update(&at);
        if holds {
            self.flying.push(task.clone());
        }
        self.quieten(&at);
        Some(task)
    }

    pub(crate) fn revise(&mut self, index: usize, cost: u64) {
        let task = self.flying[index].clone();
        let more = i128::from(cost) - i128::from(task.cost);
        for depth in 1..=task.flow.1.len() {
            let node = self.nodes.get_mut(&(task.flow.0, task.flow.1[..depth].to_vec())).expect("the path is known");
            node.start += more * i128::from((1 << 20) / node.weight);
            self.reached(&task.flow, depth);
        }
        self.flying[index].cost = cost;
    }

    pub(crate) fn settle(&mut self, index: usize, actual: u64) {
        let task = self.flying.remove(index);
        let more = i128::from(actual) - i128::from(task.cost);
        for depth in 1..=task.flow.1.len() {
            let node = self.nodes.get_mut(&(task.flow.0, task.flow.1[..depth].to_vec())).expect("the path is known");
            node.start += more * i128::from((1 << 20) / node.weight);
            node.in_flight -= 1;
            self.reached(&task.flow, depth);
        }
        self.update(&task.flow);
        self.quieten(&task.flow);
    }

    pub(crate) fn cancel(&mut self, index: usize) -> Task {
        let task = self.tasks.remove(index);
        self.update(&task.flow);
        self.quieten(&task.flow);
        task
    }

    pub(crate) fn say(&mut self, path: &[&str], weight: Option<u32>, cap: Option<u32>) {
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        let said = self.said.entry(path.clone()).or_insert((1, u32::MAX));
        *said = (weight.unwrap_or(said.0), cap.unwrap_or(said.1));
        for band in 0..self.floors.len() {
            if let Some(node) = self.nodes.get_mut(&(band, path.clone())) {
                node.weight = weight.unwrap_or(node.weight);
                node.cap = cap.unwrap_or(node.cap);
                self.update(&(band, path.clone()));
            }
        }
    }

    /// Whether some waiting task could be taken: nothing on its path is at its cap.
    pub(crate) fn has_work_that_fits(&self) -> bool {
        self.tasks.iter().any(|task| {
            (1..=task.flow.1.len()).all(|depth| {
                let node = &self.nodes[&(task.flow.0, task.flow.1[..depth].to_vec())];
                node.in_flight < node.cap
            })
        })
    }

    /// Notes how far a node on a path has come.
    fn reached(&mut self, flow: &Name, depth: usize) {
        let start = self.nodes[&(flow.0, flow.1[..depth].to_vec())].start;
        let parent = self.nodes.get_mut(&(flow.0, flow.1[..depth - 1].to_vec())).expect("the path is known");
        parent.furthest = parent.furthest.max(start);
    }

    /// Ends the busy period of every group on a path that has no tasks left.
    fn quieten(&mut self, flow: &Name) {
        for depth in 0..flow.1.len() {
            let is_of = |task: &&Task| task.flow.0 == flow.0 && task.flow.1.starts_with(&flow.1[..depth]);
            if self.tasks.iter().chain(&self.flying).find(is_of).is_none() {
                let node = self.nodes.get_mut(&(flow.0, flow.1[..depth].to_vec())).expect("the path is known");
                node.now = node.now.max(node.furthest);
            }
        }
    }

    fn band(&self) -> Option<usize> {
        let ready: Vec<usize> = (0..self.floors.len()).filter(|band| self.is_ready(*band)).collect();
        let mut best: Option<usize> = None;
        for band in ready.iter().copied() {
            if self.floors[band] == 0 || self.owed[band] == 0 || self.owed[band] < self.next_cost(band) * 1_000 {
                continue;
            }
            let scaled = |band: usize| (u128::from(self.owed[band]) << 32) / u128::from(self.floors[band]);
            if best.is_none_or(|other| scaled(band) > scaled(other)) {
                best = Some(band);
            }
        }
        best.or_else(|| ready.first().copied())
    }

    fn next_cost(&self, band: usize) -> u64 {
        let mut at = (band, Vec::new());
        while let Some(child) = self.first_child(&at) {
            at = child;
        }
        self.first_task(&at).map_or(0, |(_, task)| task.cost)
    }

    fn is_ready(&self, band: usize) -> bool {
        self.first_child(&(band, Vec::new())).is_some()
    }

    fn first_child(&self, of: &Name) -> Option<Name> {
        let children = self.nodes.iter().filter(|((band, path), node)| {
            *band == of.0 && path.len() == of.1.len() + 1 && path.starts_with(&of.1) && node.placed
        });
        children.min_by_key(|(_, node)| (node.start, node.arrival)).map(|(name, _)| name.clone())
    }

    fn first_task(&self, of: &Name) -> Option<(usize, &Task)> {
        let tasks = self.tasks.iter().enumerate().filter(|(_, task)| task.flow == *of);
        tasks.min_by_key(|(_, task)| (task.key, task.number))
    }

    /// Lets in and puts out whoever has work and may take it, from the flow up.
    fn update(&mut self, from: &Name) {
        for depth in (1..=from.1.len()).rev() {
            let name = (from.0, from.1[..depth].to_vec());
            let has_work = self.first_child(&name).is_some() || self.first_task(&name).is_some();
            let now = self.nodes[&(from.0, from.1[..depth - 1].to_vec())].now;
            let arrival = self.arrivals;
            let node = self.nodes.get_mut(&name).expect("the path is known");
            let may = has_work && node.in_flight < node.cap;
            if may && !node.placed {
                node.start = node.start.max(now);
                node.arrival = arrival;
                self.arrivals += 1;
            }
            node.placed = may;
        }
    }
}
