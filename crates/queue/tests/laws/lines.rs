//! P9 and P10 for the long line of one flow: in order of arrival or of keys, with many cancellations in between.

use bellwether_queue::{Ask, Key, Scheduler, Settings, TaskId};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Cancel {
        of: usize,
    },
    Grant,
    Pop,
    /// So many tasks, each this much later or earlier than the one before.
    Push {
        tasks: usize,
        later: i64,
    },
    Rekey {
        of: usize,
        key: u64,
    },
    Settle {
        of: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..20_usize, prop_oneof![6 => 0..3_i64, 1 => -5..0_i64, 1 => -900..900_i64])
            .prop_map(|(tasks, later)| Step::Push { tasks, later }),
        12 => any::<usize>().prop_map(|of| Step::Cancel { of }),
        4 => Just(Step::Pop),
        4 => Just(Step::Grant),
        4 => any::<usize>().prop_map(|of| Step::Settle { of }),
        1 => (any::<usize>(), 900..1_100_u64).prop_map(|(of, key)| Step::Rekey { of, key }),
    ]
}

/// A task that waits: where it stands and what it is called.
#[derive(Clone, Copy)]
struct Waiting {
    key: u64,
    came: u64,
    task: u64,
    id: TaskId,
}

#[derive(Default)]
struct Plain {
    waiting: Vec<Waiting>,
    flying: Vec<TaskId>,
    /// Names of tasks that are gone.
    gone: Vec<TaskId>,
    came: u64,
    tasks: u64,
}

impl Plain {
    fn stand(&mut self, key: u64, task: u64, id: TaskId) {
        self.waiting.push(Waiting { key, came: self.came, task, id });
        self.came += 1;
    }

    fn take_first(&mut self) -> Option<Waiting> {
        let first = self.waiting.iter().enumerate().min_by_key(|(_, waiting)| (waiting.key, waiting.came))?.0;
        Some(self.waiting.remove(first))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn a_long_line_is_served_by_keys_whatever_is_cancelled(steps in vec(step(), 1..120)) {
        let mut scheduler = Scheduler::<u64>::new(&Settings::default());
        let (mut plain, mut clock, mut most) = (Plain::default(), 1_000_u64, 0);
        for step in steps {
            match step {
                Step::Push { tasks, later } => for _ in 0..tasks {
                    clock = clock.saturating_add_signed(later);
                    let task = plain.tasks;
                    plain.tasks += 1;
                    let id = scheduler.push(0, &["flow"], Ask::of(7).keyed(Key(clock)), task).expect("there is room").id;
                    plain.stand(clock, task, id);
                },
                Step::Grant | Step::Pop => {
                    let holds = matches!(step, Step::Grant);
                    let taken = if holds { scheduler.grant() } else { scheduler.pop() };
                    let first = plain.take_first();
                    prop_assert_eq!(taken.as_ref().map(|taken| (taken.task, taken.id)), first.map(|first| (first.task, first.id)));
                    let line = if holds { &mut plain.flying } else { &mut plain.gone };
                    line.extend(first.map(|first| first.id));
                }
                Step::Cancel { of } if !plain.waiting.is_empty() => {
                    let waiting = plain.waiting.remove(of % plain.waiting.len());
                    prop_assert_eq!(scheduler.cancel(waiting.id), Some(waiting.task));
                    plain.gone.push(waiting.id);
                }
                Step::Rekey { of, key } if !plain.waiting.is_empty() => {
                    let waiting = plain.waiting.remove(of % plain.waiting.len());
                    let id = scheduler.rekey(waiting.id, Key(key)).expect("it waits");
                    plain.gone.push(waiting.id);
                    plain.stand(key, waiting.task, id);
                }
                Step::Settle { of } if !plain.flying.is_empty() => {
                    let id = plain.flying.remove(of % plain.flying.len());
                    prop_assert_eq!(scheduler.cancel(id), None, "a task in flight is not cancelled");
                    prop_assert!(scheduler.settle(id, 9));
                    plain.gone.push(id);
                }
                Step::Cancel { .. } | Step::Rekey { .. } | Step::Settle { .. } => {}
            }
            prop_assert_eq!((scheduler.len(), scheduler.in_flight()), (plain.waiting.len(), plain.flying.len()));
            most = most.max(plain.waiting.len() + plain.flying.len());
        }
        for id in &plain.gone {
            prop_assert_eq!((scheduler.cancel(*id), scheduler.settle(*id, 1)), (None, false), "what is gone is gone");
        }
        // Cancelled tasks hold at most as much memory again as the living, once in the ring and once in slots.
        prop_assert!(scheduler.slots() <= 2 * ((2 * most + 8) * 9 / 8 + 16), "{} slots for {} tasks", scheduler.slots(), most);
    }
}
