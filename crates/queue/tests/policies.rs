//! What each policy promises the workflows of a tenant, and who gives way when there is no room.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use bellwether_queue::{
    Ask, ByPriorityQueue, Key, Overflow, Policy, Reason, Scheduler, Settings, Timestamp, Why, upward_ranks,
};
use proptest::collection::vec;
use proptest::prelude::*;

const PATIENCE: Policy = Policy::LeastAttained { patience: NonZeroU32::new(4).expect("four is not zero") };

fn with(workflows: Policy) -> Settings {
    Settings { workflows, ..Settings::default() }
}

/// Workflows that come one after another, each with all of its tasks: when each is done, in tokens served.
fn completions(policy: Policy, workflows: &[Vec<u64>], promised: bool) -> Vec<u64> {
    let mut scheduler = Scheduler::<usize>::new(&with(policy));
    for (number, tasks) in workflows.iter().enumerate() {
        let path = ["tenant", &number.to_string(), "role"];
        if promised {
            scheduler.promise(&path[..2], tasks.iter().sum());
        }
        for cost in tasks {
            let _ = scheduler.push(0, &path, Ask::of(*cost), number).expect("there is room");
        }
    }
    let (mut served, mut done) = (0, vec![0; workflows.len()]);
    while let Some(granted) = scheduler.grant() {
        served += u64::from(granted.cost);
        done[granted.task] = served;
        scheduler.settle(granted.id, u64::from(granted.cost));
    }
    done
}

/// When each workflow would be done if all shared perfectly, rounded up.
fn ideal(workflows: &[Vec<u64>]) -> Vec<u64> {
    let costs: Vec<u64> = workflows.iter().map(|tasks| tasks.iter().sum()).collect();
    costs.iter().map(|own| costs.iter().map(|cost| (*cost).min(*own)).sum()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    /// No workflow ends later than under perfect sharing by more than one task of a kind that was being served.
    #[test]
    fn finish_first_delays_nobody_beyond_its_fair_finish_and_a_task(
        workflows in vec(vec(1..500_u64, 1..12), 1..10),
    ) {
        let largest = workflows.iter().flatten().max().copied().unwrap_or(0);
        let done = completions(Policy::FinishFirst, &workflows, true);
        for (done, ideal) in done.iter().zip(ideal(&workflows)) {
            prop_assert!(*done <= ideal + largest, "done at {}, fairly at {}", done, ideal);
        }
    }

    /// Nobody starves under least-attained: every workflow gets its next task before the others have been served
    /// `patience` times the power of two above what it has taken, and a task each.
    #[test]
    fn least_attained_passes_nobody_over_for_ever(costs in vec(1..500_u64, 4), served in 1..200_usize) {
        let mut scheduler = Scheduler::<usize>::new(&with(PATIENCE));
        let mut attained = [0_u64; 4];
        let (mut all, mut since) = (0_u64, [0_u64; 4]);
        for step in 0..served + 40 {
            for (flow, cost) in costs.iter().enumerate() {
                let path = ["tenant", &flow.to_string(), "role"];
                if scheduler.status(0, &path).is_none_or(|status| status.waiting == 0) {
                    let _ = scheduler.push(0, &path, Ask::of(*cost), flow).expect("there is room");
                }
            }
            let granted = scheduler.grant().expect("there is work");
            all += u64::from(granted.cost);
            attained[granted.task] += u64::from(granted.cost);
            since[granted.task] = all;
            scheduler.settle(granted.id, u64::from(granted.cost));
            for flow in 0..4 {
                let patience = 4 * attained[flow].next_power_of_two();
                let largest: u64 = costs.iter().sum();
                prop_assert!(step < 4 || all - since[flow] <= patience + largest, "{} waits since {}", flow, since[flow]);
            }
        }
    }

    /// Whatever the policies within it, a tenant gets what it would get anyway.
    #[test]
    fn policies_are_the_tenants_own_matter(policy in 0..4_usize, costs in vec(1..500_u64, 20..60)) {
        let policy = [Policy::Fair, Policy::FinishFirst, PATIENCE, Policy::Keyed][policy];
        let mut scheduler = Scheduler::<usize, ByPriorityQueue>::new(&with(policy));
        let mut left = [0_u64; 2];
        for (number, cost) in costs.iter().enumerate() {
            let tenant = number % 2;
            let path = [["a", "b"][tenant], &(number % 5).to_string(), "role"];
            left[tenant] += cost;
            let _ = scheduler.push(0, &path, Ask::of(*cost).keyed(Key(*cost)), tenant).expect("there is room");
        }
        let largest = costs.iter().max().copied().unwrap_or(0);
        let mut got = [0_u64; 2];
        while let Some(granted) = scheduler.pop() {
            if got.iter().zip(left).all(|(got, left)| *got < left) {
                prop_assert!(got[0].abs_diff(got[1]) <= 2 * largest);
            }
            got[granted.task] += u64::from(granted.cost);
        }
        prop_assert_eq!(got, left);
    }
}

#[test]
fn finishing_first_halves_the_mean_completion_of_equal_workflows() {
    let workflows = vec![vec![100; 20]; 10];
    let mean = |done: Vec<u64>| done.iter().sum::<u64>() / done.len() as u64;
    let fair = mean(completions(Policy::Fair, &workflows, false));
    let first = mean(completions(Policy::FinishFirst, &workflows, true));
    assert_eq!((fair, first), (19_550, 11_000));
    // Small workflows beside large ones, whose costs nobody told.
    let mut mixed = vec![vec![100; 50]; 2];
    mixed.extend(vec![vec![100; 2]; 10]);
    let fair = mean(completions(Policy::Fair, &mixed, false));
    let least = mean(completions(PATIENCE, &mixed, false));
    assert!(least <= fair, "{least} against {fair}");
}

#[test]
fn a_workflow_that_promised_nothing_is_taken_to_be_half_done() {
    let mut scheduler = Scheduler::<&str>::new(&with(Policy::FinishFirst));
    scheduler.promise(&["tenant", "short"], 300);
    for _ in 0..40 {
        let _ = scheduler.push(0, &["tenant", "silent", "role"], Ask::of(100), "silent").unwrap();
    }
    for _ in 0..3 {
        let _ = scheduler.push(0, &["tenant", "short", "role"], Ask::of(100), "short").unwrap();
    }
    let order: Vec<&str> = std::iter::from_fn(|| scheduler.pop().map(|granted| granted.task)).take(8).collect();
    let last = order.iter().rposition(|task| *task == "short").unwrap();
    assert!(last <= 7 && order.iter().filter(|task| **task == "short").count() == 3, "{order:?}");
}

#[test]
fn the_tasks_of_a_plan_go_by_upward_rank_whoever_does_them() {
    let settings = Settings { roles: Policy::Keyed, ..Settings::default() };
    let mut scheduler = Scheduler::<usize>::new(&settings);
    // Two parts, then a review; beside them a long chain of four.
    let needs = [vec![], vec![], vec![0, 1], vec![], vec![3], vec![4], vec![5]];
    let costs = [10, 30, 20, 40, 40, 40, 40];
    let ranks = upward_ranks(&costs, &needs).unwrap();
    let start = Key::at(Timestamp::from_millis(1_000_000));
    let mut ids = HashMap::new();
    for task in [0, 1, 3] {
        let role = ["writer", "coder", "critic", "coder"][task];
        let key = start.earlier(Duration::from_secs(ranks[task]));
        let ask = Ask::of(costs[task]).keyed(key);
        ids.insert(task, scheduler.push(0, &["tenant", "plan", role], ask, task).unwrap().id);
    }
    assert_eq!(scheduler.pop().unwrap().task, 3, "160 of work hang on it");
    // The plan changes: a new part hangs on task 0, and it is the most urgent now.
    let urgent = scheduler.rekey(ids[&0], start.earlier(Duration::from_secs(500))).unwrap();
    assert_eq!(scheduler.rekey(ids[&0], start), None, "its old name is gone");
    assert_eq!(scheduler.pop().unwrap().id, urgent);
    assert_eq!(scheduler.pop().unwrap().task, 1);
}

#[test]
fn siblings_of_one_fan_out_share_a_key_and_are_done_together() {
    let mut scheduler = Scheduler::<&str>::new(&Settings::default());
    let (first, second) = (Key::at(Timestamp::from_millis(1)), Key::at(Timestamp::from_millis(2)));
    for (key, task) in [(first, "a1"), (second, "b1"), (first, "a2"), (second, "b2"), (first, "a3")] {
        let _ = scheduler.push(0, &["run"], Ask::of(7).keyed(key), task).unwrap();
    }
    let order: Vec<&str> = std::iter::from_fn(|| scheduler.pop().map(|granted| granted.task)).collect();
    assert_eq!(order, ["a1", "a2", "a3", "b1", "b2"]);
}

#[test]
fn a_deadline_can_be_moved_and_the_first_one_is_known() {
    let mut scheduler = Scheduler::<u32>::new(&Settings::default());
    let at = Timestamp::from_millis;
    let first = scheduler.push(0, &["a"], Ask::of(1).until(at(10)), 1).unwrap().id;
    let second = scheduler.push(0, &["a"], Ask::of(1).until(at(20)), 2).unwrap().id;
    assert_eq!(scheduler.next_deadline(), Some(at(10)));
    assert!(scheduler.extend(first, at(30)));
    assert_eq!((scheduler.next_deadline(), scheduler.expire(at(19))), (Some(at(20)), None));
    let shed = scheduler.expire(at(20)).unwrap();
    assert_eq!((shed.id, shed.task, shed.why), (second, 2, Why::Expired));
    assert_eq!(scheduler.pop().unwrap().task, 1);
    assert_eq!((scheduler.next_deadline(), scheduler.extend(first, at(40))), (None, false));
}

// === Room ===

#[test]
fn the_heaviest_flow_of_the_heaviest_tenant_gives_way_with_its_newest_task() {
    let settings = Settings { capacity: 4, overflow: Overflow::Shed, ..Settings::default() };
    let mut scheduler = Scheduler::<&str>::new(&settings);
    for (path, cost, task) in [
        (["big", "one", "a"], 100, "big 1"),
        (["big", "two", "a"], 300, "big 2"),
        (["big", "two", "a"], 300, "big 3"),
        (["small", "one", "a"], 400, "small 1"),
    ] {
        assert_eq!(scheduler.push(0, &path, Ask::of(cost), task).unwrap().shed, None);
    }
    // The tenant with many small flows is the heavier one, although no single task of it is.
    let pushed = scheduler.push(0, &["new", "one", "a"], Ask::of(10), "new").unwrap();
    assert_eq!(pushed.shed.map(|shed| (shed.task, shed.why)), Some(("big 3", Why::Room)));
    let refused = scheduler.push(0, &["small", "two", "a"], Ask::of(900), "small 2").unwrap_err();
    assert_eq!(refused.reason, Reason::Full, "it would be the heaviest itself");
    assert_eq!(scheduler.len(), 4);
}

#[test]
fn lower_bands_give_way_first_but_keep_their_floors_part_of_the_room() {
    let settings = Settings { floors: vec![0, 250], capacity: 8, overflow: Overflow::Shed, ..Settings::default() };
    let mut scheduler = Scheduler::<u32>::new(&settings);
    for task in 0..8 {
        let _ = scheduler.push(1, &["batch"], Ask::of(10), task).unwrap();
    }
    for task in 0..20 {
        let _ = scheduler.push(0, &["chat"], Ask::of(10), 100 + task).map_err(|refused| refused.reason);
    }
    assert_eq!((scheduler.waiting(0), scheduler.waiting(1)), (6, 2));
    // What is left of it leaves, and it may take its part back from the band above.
    while scheduler.waiting(1) > 0 {
        let _ = scheduler.pop();
    }
    for task in 0..20 {
        let _ = scheduler.push(0, &["chat"], Ask::of(10), 200 + task).map_err(|refused| refused.reason);
    }
    assert_eq!((scheduler.waiting(0), scheduler.waiting(1)), (8, 0));
    for task in 0..5 {
        let _ = scheduler.push(1, &["batch"], Ask::of(10), 300 + task).map_err(|refused| refused.reason);
    }
    assert_eq!((scheduler.waiting(0), scheduler.waiting(1)), (6, 2));
}

#[test]
fn every_bound_refuses_with_its_reason() {
    let settings = Settings { flow_capacity: 1, max_nodes: 5, ..Settings::default() };
    let mut scheduler = Scheduler::<()>::new(&settings);
    let reason =
        |pushed: Result<bellwether_queue::Pushed<()>, bellwether_queue::Refused<()>>| pushed.unwrap_err().reason;
    let _ = scheduler.push(0, &["a", "b"], Ask::of(1), ()).unwrap();
    assert_eq!(reason(scheduler.push(0, &["a", "b"], Ask::of(1), ())), Reason::FlowFull);
    assert_eq!(reason(scheduler.push(0, &["c"], Ask::of(1), ())), Reason::TooManyFlows);
    for wrong in [&[] as &[&str], &["a"], &["a", "b", "c"]] {
        assert_eq!(reason(scheduler.push(0, wrong, Ask::of(1), ())), Reason::NoSuchFlow);
    }
    assert_eq!(reason(scheduler.push(9, &["a", "b"], Ask::of(1), ())), Reason::NoSuchFlow);
    assert_eq!(scheduler.nodes(), 5);
}

/// One run after another under one tenant: what is remembered of them is bounded.
#[test]
fn flows_that_come_once_and_go_do_not_pile_up() {
    let settings = Settings { max_idle: 16, max_nodes: 100, ..Settings::default() };
    let mut scheduler = Scheduler::<u32>::new(&settings);
    for run in 0..10_000 {
        let path = ["tenant", &run.to_string(), "coder"];
        let _ = scheduler.push(0, &path, Ask::of(100), run).unwrap();
        let granted = scheduler.grant().unwrap();
        scheduler.settle(granted.id, 150);
        assert!(scheduler.nodes() <= 3 + 1 + 2 * 18, "{}", scheduler.nodes());
    }
}

/// A flow that owes something, is held back by a cap and has a task again was once forgotten with that task, as soon as
/// virtual time had come to where it stood.
#[test]
fn a_debtor_that_is_held_back_keeps_its_tasks() {
    let mut scheduler = Scheduler::<&str>::new(&Settings::default());
    for _ in 0..5 {
        let _ = scheduler.push(0, &["other"], Ask::of(100), "other").unwrap();
    }
    let _ = scheduler.push(0, &["debtor"], Ask::of(100), "first").unwrap();
    while scheduler.pop().unwrap().task != "first" {}
    scheduler.set_cap(&["debtor"], 0);
    let _ = scheduler.push(0, &["debtor"], Ask::of(100), "second").unwrap();
    while scheduler.pop().is_some() {}
    assert_eq!(scheduler.status(0, &["debtor"]).map(|status| status.waiting), Some(1));
    scheduler.set_cap(&["debtor"], 1);
    assert_eq!(scheduler.pop().map(|granted| granted.task), Some("second"));
}

#[test]
fn a_refused_push_leaves_no_idle_flow_behind_that_is_never_forgotten() {
    let mut scheduler = Scheduler::<u32>::new(&Settings { max_nodes: 8, ..Settings::default() });
    let busy = scheduler.push(0, &["busy", "run"], Ask::of(1), 0).unwrap();
    let _ = scheduler.push(0, &["busy", "run"], Ask::of(1), 1).unwrap();
    let _ = scheduler.push(0, &["group", "run"], Ask::of(100), 2).unwrap();
    let _ = scheduler.push(0, &["flow"], Ask::of(100), 3).unwrap();
    // One each; then the group and the flow are idle and owe something, and there are as many nodes as there may be.
    let granted: Vec<_> = std::iter::repeat_with(|| scheduler.grant().unwrap()).take(3).collect();
    assert!(granted.iter().any(|granted| granted.id == busy.id));
    for granted in granted {
        scheduler.settle(granted.id, u64::from(granted.cost));
    }
    let before = scheduler.nodes();
    assert!(scheduler.status(0, &["group"]).is_some() && scheduler.status(0, &["flow"]).is_some());
    assert_eq!(scheduler.push(0, &["flow", "run"], Ask::of(1), 4).unwrap_err().reason, Reason::NoSuchFlow);
    let long = ["group", "a", "b", "c", "d"];
    assert_eq!(scheduler.push(0, &long, Ask::of(1), 5).unwrap_err().reason, Reason::TooManyFlows);
    assert_eq!(scheduler.nodes(), before, "nothing was made");
    assert!(scheduler.pop().is_some());
    assert_eq!((scheduler.len(), scheduler.in_flight(), scheduler.nodes()), (0, 0, 3), "the bands alone are left");
}
