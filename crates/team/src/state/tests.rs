//! Laws that hold for every plan, every result and every moment of being stopped.

use std::collections::HashMap;

use bellwether_core::ProviderError;
use proptest::prelude::*;

use super::*;
use crate::plan::PlannedTask;
use crate::verdict::Decision;

fn rules(max_parallel: usize) -> Rules {
    Rules { max_parallel, max_rounds: 1, threshold: 0.8, planned: true, reviewed: true }
}

fn task(n: usize, depends_on: &[usize]) -> PlannedTask {
    let id = |n: usize| TaskId::from(format!("t{}", n + 1));
    PlannedTask {
        id: id(n),
        title: "a task".into(),
        objective: "do it".to_owned(),
        acceptance: Vec::new(),
        role: "coder".into(),
        depends_on: depends_on.iter().map(|n| id(*n)).collect(),
        complexity: 3,
    }
}

fn plan(tasks: Vec<PlannedTask>) -> Plan {
    Plan { summary: String::new(), tasks, degraded: false }
}

fn verdict(decision: Decision, score: f64) -> Verdict {
    Verdict { decision, score, summary: String::new(), issues: Vec::new() }
}

fn failed(kind: ErrorKind) -> JobError {
    ProviderError::new(kind, "it failed").into()
}

/// A state with these tasks, every one of them pending.
fn planned(rules: Rules, tasks: Vec<PlannedTask>) -> State {
    let mut state = State::new(rules);
    state.apply(Event::Planned(plan(tasks), Spent::ZERO), Timestamp::ZERO);
    state
}

fn begin_all(state: &mut State) -> Vec<Job> {
    let jobs = state.jobs();
    for job in &jobs {
        state.apply(Event::Began(job.clone(), 0), Timestamp::ZERO);
    }
    jobs
}

/// What becomes of a job in a generated schedule.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Good,
    Poor,
    Unusable,
    Broken,
    Hopeless,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Good), 3 => Just(Fate::Poor), 1 => Just(Fate::Unusable), 1 => Just(Fate::Broken),
        1 => Just(Fate::Hopeless),
    ]
}

fn landed(job: &Job, fate: Fate) -> Event {
    let spent = Spent { calls: 1, ..Spent::ZERO };
    match (job, fate) {
        (_, Fate::Broken) => Event::Failed(job.clone(), failed(ErrorKind::Upstream), spent),
        (_, Fate::Hopeless) => Event::Failed(job.clone(), failed(ErrorKind::QuotaExhausted), spent),
        (_, Fate::Unusable) => Event::Failed(job.clone(), JobError::Unusable("no".to_owned()), spent),
        (Job::Work { task, .. }, _) => Event::Produced(task.clone(), "work".to_owned(), spent),
        (Job::Review { task, .. }, Fate::Good) => Event::Judged(task.clone(), verdict(Decision::Accept, 0.9), spent),
        (Job::Review { task, .. }, _) => Event::Judged(task.clone(), verdict(Decision::Revise, 0.5), spent),
        (Job::Plan, _) => Event::Planned(plan(Vec::new()), spent),
    }
}

prop_compose! {
    /// Up to 16 tasks, each needing some of those before it.
    fn tasks()(needs in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..3), 1..16))
        -> Vec<PlannedTask> {
        needs.iter().enumerate().map(|(n, needs)| {
            let mut needs: Vec<usize> = if n == 0 { Vec::new() } else { needs.iter().map(|i| i.index(n)).collect() };
            needs.sort_unstable();
            needs.dedup();
            task(n, &needs)
        }).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// However jobs end, in whatever order, and whenever the run is stopped: never too many at once, no work or
    /// review of a round twice, nothing begun before what it needs, and every task comes to rest exactly once.
    #[test]
    fn every_task_comes_to_rest_exactly_once(
        tasks in tasks(),
        max_parallel in 1usize..5,
        fates in prop::collection::vec((any::<prop::sample::Index>(), fate()), 1..200),
        stop_after in prop::option::of(0usize..40),
    ) {
        let mut state = planned(rules(max_parallel), tasks.clone());
        let mut begun: HashMap<Job, usize> = HashMap::new();
        let mut rests: HashMap<usize, usize> = HashMap::new();
        let mut step = 0;
        while !state.is_over() {
            for job in begin_all(&mut state) {
                *begun.entry(job.clone()).or_default() += 1;
                if let Job::Work { task, round: 0 } = &job {
                    let needs = &state.task(task).unwrap().planned.depends_on;
                    prop_assert!(needs.iter().all(|id| state.task(id).unwrap().best().is_some()));
                }
            }
            prop_assert!(state.in_flight().len() <= max_parallel);
            prop_assert!(!state.in_flight().is_empty(), "a run that is not over has something under way");
            let (which, fate) = fates[step % fates.len()];
            let job = state.in_flight()[which.index(state.in_flight().len())].clone();
            let mut moves = state.apply(landed(&job, fate), Timestamp::from_millis(step as u64));
            step += 1;
            if stop_after == Some(step) {
                moves.extend(state.apply(Event::Stopped(Stop::Asked), Timestamp::ZERO));
            }
            for moved in moves.iter().filter(|moved| moved.to.is_final()) {
                *rests.entry(moved.task).or_default() += 1;
            }
        }
        prop_assert!(begun.values().all(|times| *times == 1), "each step is taken once: {begun:?}");
        for n in 0..tasks.len() {
            prop_assert!(state.tasks()[n].state.is_final());
            prop_assert_eq!(rests.get(&n), Some(&1));
        }
        prop_assert_eq!(state.spent().calls as usize, step);
    }
}

#[test]
fn a_plan_comes_first_and_is_asked_for_once() {
    let mut state = State::new(rules(4));
    assert_eq!(begin_all(&mut state), [Job::Plan]);
    assert_eq!(state.jobs(), []);
    state.apply(Event::Planned(plan(vec![task(0, &[]), task(1, &[0])]), Spent::ZERO), Timestamp::ZERO);
    assert_eq!(state.jobs(), [Job::Work { task: "t1".into(), round: 0 }]);
}

#[test]
fn a_key_that_is_refused_stops_everything_else() {
    let mut state = planned(rules(1), vec![task(0, &[]), task(1, &[])]);
    let jobs = begin_all(&mut state);
    state.apply(Event::Failed(jobs[0].clone(), failed(ErrorKind::Auth), Spent::ZERO), Timestamp::ZERO);
    assert!(state.is_over());
    assert_eq!(state.outcome(), RunOutcome::Failed);
    let states: Vec<TaskState> = state.tasks().iter().map(|task| task.state).collect();
    assert_eq!(states, [TaskState::Failed, TaskState::Cancelled]);
}

#[test]
fn the_better_draft_is_kept_if_a_revision_makes_it_worse() {
    let mut state = planned(rules(1), vec![task(0, &[])]);
    for (round, (text, score)) in [("first", 0.7), ("second", 0.4)].into_iter().enumerate() {
        let round = u32::try_from(round).unwrap();
        assert_eq!(begin_all(&mut state), [Job::Work { task: "t1".into(), round }]);
        state.apply(Event::Produced("t1".into(), text.to_owned(), Spent::ZERO), Timestamp::ZERO);
        assert_eq!(begin_all(&mut state), [Job::Review { task: "t1".into(), round }]);
        state.apply(Event::Judged("t1".into(), verdict(Decision::Revise, score), Spent::ZERO), Timestamp::ZERO);
    }
    assert!(state.is_over());
    assert_eq!(state.tasks()[0].state, TaskState::Rejected);
    assert_eq!(state.tasks()[0].best().unwrap().text, "first");
    assert_eq!(state.outcome(), RunOutcome::SucceededWithDefects);
}

#[test]
fn a_reviewer_that_fails_is_no_verdict() {
    let mut state = planned(rules(1), vec![task(0, &[])]);
    begin_all(&mut state);
    state.apply(Event::Produced("t1".into(), "work".to_owned(), Spent::ZERO), Timestamp::ZERO);
    let review = begin_all(&mut state);
    state.apply(Event::Failed(review[0].clone(), failed(ErrorKind::Upstream), Spent::ZERO), Timestamp::ZERO);
    assert_eq!(state.tasks()[0].state, TaskState::Unreviewed);
    assert_eq!(state.tasks()[0].best().unwrap().text, "work");
}

#[test]
fn what_needs_a_failed_task_is_skipped_and_the_rest_goes_on() {
    let mut state = planned(rules(1), vec![task(0, &[]), task(1, &[0]), task(2, &[1]), task(3, &[])]);
    let jobs = begin_all(&mut state);
    state.apply(Event::Failed(jobs[0].clone(), failed(ErrorKind::Upstream), Spent::ZERO), Timestamp::ZERO);
    assert_eq!(state.jobs(), [Job::Work { task: "t4".into(), round: 0 }]);
    assert_eq!([1, 2].map(|n| state.tasks()[n].state), [TaskState::Skipped; 2]);
}
