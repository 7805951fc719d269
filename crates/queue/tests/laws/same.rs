//! P3, P7, P8, P10, and the exactness in P5 and P9: four schedulers and a plain model live through the same history.

use std::num::NonZeroU32;

use bellwether_queue::{Ask, ByPriorityQueue, Granted, IndexedHeap, Key, Scheduler, Settings, TaskId};
use proptest::prelude::*;

use crate::model::{Model, Task};
use crate::story::{FLOWS, Step, path, story};

/// What the four have in common.
struct Four {
    plain: Scheduler<u64, IndexedHeap>,
    /// P8: another run of the same, with other hash seeds.
    again: Scheduler<u64, IndexedHeap>,
    /// P7: forgets nobody.
    remembering: Scheduler<u64, IndexedHeap>,
    by_crate: Scheduler<u64, ByPriorityQueue>,
}

impl Four {
    fn new() -> Self {
        let settings = Settings::default();
        Self {
            plain: Scheduler::new(&settings),
            again: Scheduler::new(&settings),
            remembering: Scheduler::new(&settings).never_forgetting(),
            by_crate: Scheduler::new(&settings),
        }
    }

    /// What the task is called, and what it is called by the one that remembers: it counts its flows otherwise.
    fn push(&mut self, band: usize, path: &[&str], ask: Ask, number: u64) -> [TaskId; 2] {
        let id = self.plain.push(band, path, ask, number).expect("there is room").id;
        assert_eq!(self.again.push(band, path, ask, number).expect("there is room").id, id);
        assert_eq!(self.by_crate.push(band, path, ask, number).expect("there is room").id, id);
        [id, self.remembering.push(band, path, ask, number).expect("there is room").id]
    }

    fn take(&mut self, holds: bool, ids: &[[TaskId; 2]]) -> Option<Granted<u64>> {
        fn one<R>(grant: impl FnOnce(R) -> Option<Granted<u64>>, of: R) -> Option<Granted<u64>> {
            grant(of)
        }
        let Self { plain, again, remembering, by_crate } = self;
        let (taken, others) = if holds {
            (plain.grant(), [one(Scheduler::grant, again), remembering.grant(), by_crate.grant()])
        } else {
            (plain.pop(), [one(Scheduler::pop, again), remembering.pop(), by_crate.pop()])
        };
        let [again, remembering, by_crate] = others;
        let named = |granted: &Granted<u64>| ids[granted.task as usize];
        assert_eq!(taken.as_ref().map(|taken| taken.id), taken.as_ref().map(|taken| named(taken)[0]), "as at its push");
        assert_eq!(again, taken, "P8: hash seeds change nothing");
        let renamed = taken.as_ref().map(|taken| Granted { id: named(taken)[1], ..*taken });
        assert_eq!(remembering, renamed, "P7: forgetting changes nothing");
        assert_eq!(by_crate, taken, "the kind of heap changes nothing");
        taken
    }

    fn each(&mut self, [id, remembered]: [TaskId; 2], all: impl Fn(&mut dyn Does, TaskId)) {
        all(&mut self.plain, id);
        all(&mut self.again, id);
        all(&mut self.remembering, remembered);
        all(&mut self.by_crate, id);
    }

    fn all(&mut self, all: impl Fn(&mut dyn Does)) {
        all(&mut self.plain);
        all(&mut self.again);
        all(&mut self.remembering);
        all(&mut self.by_crate);
    }
}

trait Does {
    fn cancelled(&mut self, id: TaskId, number: u64);
    fn revised(&mut self, id: TaskId, cost: u64);
    fn settled(&mut self, id: TaskId, cost: u64);
    fn say(&mut self, path: &[&str], weight: Option<u32>, cap: Option<u32>);
    fn sizes(&self) -> (usize, usize);
}

macro_rules! does {
    ($ranking:ty) => {
        impl Does for Scheduler<u64, $ranking> {
            fn cancelled(&mut self, id: TaskId, number: u64) {
                assert_eq!(self.cancel(id), Some(number));
                assert_eq!(self.cancel(id), None, "a task is cancelled once");
            }
            fn revised(&mut self, id: TaskId, cost: u64) {
                assert!(self.revise(id, cost));
            }
            fn settled(&mut self, id: TaskId, cost: u64) {
                assert!(self.settle(id, cost));
                assert!(!self.settle(id, cost), "a task is settled once");
            }
            fn say(&mut self, path: &[&str], weight: Option<u32>, cap: Option<u32>) {
                if let Some(weight) = weight {
                    self.set_weight(path, NonZeroU32::new(weight).expect("weights are positive"));
                }
                if let Some(cap) = cap {
                    self.set_cap(path, cap);
                }
            }
            fn sizes(&self) -> (usize, usize) {
                (self.len(), self.in_flight())
            }
        }
    };
}
does!(IndexedHeap);
does!(ByPriorityQueue);

/// The history so far: the four, the model, and the ids of the tasks they share.
struct Together {
    four: Four,
    model: Model,
    ids: Vec<[TaskId; 2]>,
    number: u64,
    most: usize,
}

impl Together {
    fn live(&mut self, step: &Step) {
        match *step {
            Step::Push { band, path, cost, key } => {
                let flow = FLOWS[path % FLOWS.len()];
                let id = self.four.push(band, flow, Ask::of(cost).keyed(Key(key)), self.number);
                let flow = (band, flow.iter().map(ToString::to_string).collect());
                self.model.push(Task { number: self.number, flow, cost, key });
                self.ids.push(id);
                self.number += 1;
            }
            Step::Grant | Step::Pop => {
                let holds = matches!(step, Step::Grant);
                let fits = self.model.has_work_that_fits();
                let taken = self.four.take(holds, &self.ids);
                assert_eq!(taken.is_some(), fits, "P3: work that fits never waits for nothing");
                let task = self.model.take(holds);
                let tell = |taken: &Granted<u64>| (taken.task, taken.band, u64::from(taken.cost));
                let told = task.map(|task| (task.number, task.flow.0, task.cost));
                assert_eq!(taken.as_ref().map(tell), told, "P10: the plain model agrees");
            }
            Step::Settle { of, cost } if !self.model.flying.is_empty() => {
                let of = of % self.model.flying.len();
                let id = self.ids[self.model.flying[of].number as usize];
                self.model.settle(of, cost);
                self.four.each(id, |one, id| one.settled(id, cost));
            }
            Step::Revise { of, cost } if !self.model.flying.is_empty() => {
                let of = of % self.model.flying.len();
                let id = self.ids[self.model.flying[of].number as usize];
                self.model.revise(of, cost);
                self.four.each(id, |one, id| one.revised(id, cost));
            }
            Step::Cancel { of } if !self.model.tasks.is_empty() => {
                let task = self.model.cancel(of % self.model.tasks.len());
                let id = self.ids[task.number as usize];
                self.four.each(id, |one, id| one.cancelled(id, task.number));
            }
            Step::Cap { path: of, cap } => {
                self.model.say(path(of), None, Some(cap));
                self.four.all(|one| one.say(path(of), None, Some(cap)));
            }
            Step::Weigh { path: of, weight } => {
                self.model.say(path(of), Some(weight), None);
                self.four.all(|one| one.say(path(of), Some(weight), None));
            }
            Step::Settle { .. } | Step::Revise { .. } | Step::Cancel { .. } => {}
        }
        let sizes = (self.model.tasks.len(), self.model.flying.len());
        self.four.all(|one| assert_eq!(one.sizes(), sizes, "P9: every size is exact"));
        self.most = self.most.max(sizes.0 + sizes.1);
    }

    /// Ends the history: no caps, everything taken and settled.
    fn end(&mut self) {
        for of in 0..12 {
            self.live(&Step::Cap { path: of, cap: u32::MAX });
        }
        while !self.model.tasks.is_empty() {
            self.live(&Step::Grant);
        }
        while !self.model.flying.is_empty() {
            self.live(&Step::Settle { of: 0, cost: 1 });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn memory_seeds_and_heaps_change_nothing_and_a_plain_model_agrees(steps in story()) {
        let (four, model) = (Four::new(), Model::new(&Settings::default().floors));
        let mut together = Together { four, model, ids: Vec::new(), number: 0, most: 0 };
        for step in &steps {
            together.live(step);
        }
        together.end();
        let plain = &together.four.plain;
        prop_assert_eq!(plain.in_flight(), 0, "P5: everything that flew has landed");
        // P9: cancelled tasks may hold as many slots again as the living, and eight in each of 21 lines; growth an eighth.
        let bound = (2 * together.most + 8 * 21) * 9 / 8 + 16;
        prop_assert!(plain.slots() <= bound, "P9: {} slots for {} tasks", plain.slots(), together.most);
        // Three bands with at most seven flows and five groups each.
        prop_assert!(plain.nodes() <= 3 * 13);
    }
}
