//! Random histories: what may happen to a scheduler, in any order.

use proptest::collection::vec;
use proptest::prelude::*;

/// Something that happens. Indices are taken modulo what there is.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Cancel { of: usize },
    Cap { path: usize, cap: u32 },
    Grant,
    Pop,
    Push { band: usize, path: usize, cost: u64, key: u64 },
    Revise { of: usize, cost: u64 },
    Settle { of: usize, cost: u64 },
    Weigh { path: usize, weight: u32 },
}

/// Flows of one, two and three levels; the groups among them can be weighed and capped too.
pub(crate) const FLOWS: [&[&str]; 7] = [
    &["solo"],
    &["pair", "a"],
    &["pair", "b"],
    &["acme", "w1", "coder"],
    &["acme", "w1", "critic"],
    &["acme", "w2", "coder"],
    &["beta", "w1", "coder"],
];
pub(crate) const GROUPS: [&[&str]; 5] = [&["pair"], &["acme"], &["acme", "w1"], &["acme", "w2"], &["beta"]];

/// The path of a flow or a group.
pub(crate) fn path(index: usize) -> &'static [&'static str] {
    let index = index % (FLOWS.len() + GROUPS.len());
    FLOWS.get(index).copied().unwrap_or_else(|| GROUPS[index - FLOWS.len()])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..3_usize, 0..FLOWS.len(), 1..1_000_u64, 0..4_u64)
            .prop_map(|(band, path, cost, key)| Step::Push { band, path, cost, key }),
        6 => Just(Step::Grant),
        2 => Just(Step::Pop),
        4 => (any::<usize>(), 0..1_500_u64).prop_map(|(of, cost)| Step::Settle { of, cost }),
        1 => (any::<usize>(), 0..1_500_u64).prop_map(|(of, cost)| Step::Revise { of, cost }),
        2 => any::<usize>().prop_map(|of| Step::Cancel { of }),
        1 => (0..12_usize, 0..4_u32).prop_map(|(path, cap)| Step::Cap { path, cap: if cap == 3 { u32::MAX } else { cap } }),
        1 => (0..12_usize, 1..9_u32).prop_map(|(path, weight)| Step::Weigh { path, weight }),
    ]
}

pub(crate) fn story() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..120)
}
