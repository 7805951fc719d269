//! Laws that hold for every plan, every result and every moment of being stopped.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use bellwether_core::{ErrorKind, ProviderError, RunOutcome};
use proptest::prelude::*;

use super::*;
use crate::message::JobError;
use crate::plan::{Join, PlannedTask, SpawnRules};
use crate::question::Question;
use crate::review::{Finding, ReviewRules};
use crate::team::{OnTaskFailure, Share};
use crate::verdict::{Decision, Verdict};

fn rules(max_parallel: usize) -> Rules {
    let windows = BTreeMap::from([("coder".into(), vec![100])]);
    let review = ReviewRules { max_rounds: 1, ..ReviewRules::default() };
    Rules {
        max_parallel,
        max_attempts: 2,
        plan_repairs: 1,
        plan_tiers: 1,
        review,
        pipelined: true,
        on_failure: OnTaskFailure::ContinueIndependent,
        combined: None,
        max_questions: 2,
        planned: true,
        spawn: SpawnRules { max_tasks: 6, max_depth: 2, join: Join::All },
        checked: false,
        judges: 1,
        windows,
        instances: BTreeMap::new(),
        judge: Some("critic".into()),
    }
}

fn task(n: usize, depends_on: &[usize]) -> PlannedTask {
    let id = |n: usize| TaskId::from(format!("t{}", n + 1));
    PlannedTask {
        id: id(n),
        title: "a task".into(),
        objective: "do it".to_owned(),
        deliverable: String::new(),
        acceptance: Vec::new(),
        boundaries: Vec::new(),
        role: "coder".into(),
        depends_on: depends_on.iter().map(|n| id(*n)).collect(),
        wants: Vec::new(),
        complexity: 3,
        est_output_tokens: None,
        tags: Vec::new(),
    }
}

fn plan(tasks: Vec<PlannedTask>) -> Plan {
    Plan { tasks, ..Plan::default() }
}

fn verdict(decision: Decision, score: f64) -> Verdict {
    Verdict::new(decision, score)
}

fn finding(pass: bool) -> Finding {
    Finding { id: "tests".to_owned(), must: true, pass, evidence: "1 failed".to_owned() }
}

fn failed(kind: ErrorKind) -> Failure {
    Failure::from(&JobError::from(ProviderError::new(kind, "it failed")))
}

fn failure(job: &Job, kind: ErrorKind) -> Event {
    Event::Failed { job: job.clone(), failure: failed(kind), spent: Spent::ZERO }
}

fn produced(task: &str, text: &str) -> Event {
    Event::Produced { task: task.into(), text: text.to_owned(), spent: Spent::ZERO }
}

/// A state with these tasks, every one of them pending.
fn planned(rules: Rules, tasks: Vec<PlannedTask>) -> State {
    let mut state = State::new(rules);
    state.apply(Event::Planned { plan: plan(tasks), spent: Spent::ZERO, approval: false }, Timestamp::ZERO);
    state
}

fn begin_all(state: &mut State) -> Vec<Job> {
    let jobs = state.jobs();
    for job in &jobs {
        state.apply(Event::Began { job: job.clone(), tier: 0 }, Timestamp::ZERO);
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
    Overflown,
    Penniless,
    Spawning(Join),
    Asking,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Good), 3 => Just(Fate::Poor), 1 => Just(Fate::Unusable), 1 => Just(Fate::Broken),
        1 => Just(Fate::Hopeless), 1 => Just(Fate::Overflown), 1 => Just(Fate::Penniless),
        2 => Just(Fate::Asking),
        2 => prop_oneof![Just(Join::All), Just(Join::Any), Just(Join::Quorum(2))].prop_map(Fate::Spawning),
    ]
}

fn landed(state: &State, job: &Job, fate: Fate) -> Event {
    let spent = Spent { calls: 1, ..Spent::ZERO };
    let failed = |kind| Event::Failed { job: job.clone(), failure: failed(kind), spent };
    let judged =
        |task: &TaskId, decision, score| Event::Judged { task: task.clone(), verdict: verdict(decision, score), spent };
    match (job, fate) {
        // Whom nobody needs any more is stopped, unless it is quicker.
        (_, Fate::Poor | Fate::Broken) if job.is_paid() && state.unwanted().any(|unwanted| unwanted == job) => {
            Event::CalledOff { job: job.clone(), spent }
        }
        (Job::Work { task, .. }, Fate::Spawning(join)) if state.room_to_spawn(task).is_ok_and(|room| room > 2) => {
            let child = |n: usize, needs: Vec<TaskId>| {
                let planned = tests::task(n, &[]);
                PlannedTask { id: format!("{task}.{n}").into(), depends_on: needs, ..planned }
            };
            let tasks = vec![child(1, vec![]), child(2, vec![]), child(3, vec![format!("{task}.1").into()])];
            Event::Spawned { task: task.clone(), tasks, join, mended: Vec::new(), spent }
        }
        (Job::Work { task, .. }, Fate::Asking) if state.questions_left(state.task(task).unwrap()) > 0 => {
            let question = Question { to: "coder".to_owned(), text: "why?".to_owned() };
            Event::Asked { task: task.clone(), question, spent }
        }
        (_, Fate::Asking | Fate::Spawning(_)) => landed(state, job, Fate::Good),
        (Job::Check { .. }, Fate::Broken | Fate::Hopeless | Fate::Overflown | Fate::Penniless | Fate::Unusable) => {
            landed(state, job, Fate::Poor)
        }
        (_, Fate::Broken) => failed(ErrorKind::Upstream),
        (_, Fate::Overflown) => failed(ErrorKind::ContextLength),
        (_, Fate::Hopeless) => failed(ErrorKind::QuotaExhausted),
        (_, Fate::Penniless) => failed(ErrorKind::BudgetExceeded),
        (_, Fate::Unusable) if state.may_ask_again(job) => {
            let attempt = Attempt { answer: "no".to_owned(), problems: vec!["it says no".to_owned()] };
            Event::Unusable { job: job.clone(), attempt, spent }
        }
        (_, Fate::Unusable) => failed(ErrorKind::Decode),
        (Job::Answer { task, .. }, _) => Event::Answered { task: task.clone(), text: "so".to_owned(), spent },
        (Job::Audit { task }, _) => {
            Event::Audited { task: task.clone(), verdict: verdict(Decision::Accept, 0.9), spent }
        }
        (Job::Digest { task }, _) => Event::Digested { task: task.clone(), text: "w".to_owned(), spent },
        (Job::Check { task, .. }, Fate::Good) => Event::Checked { task: task.clone(), findings: vec![finding(true)] },
        (Job::Check { task, .. }, _) => Event::Checked { task: task.clone(), findings: vec![finding(false)] },
        (Job::Work { task, round }, _) => Event::Produced { task: task.clone(), text: format!("work {round}"), spent },
        (Job::Review { task, .. }, Fate::Good) => judged(task, Decision::Accept, 0.9),
        (Job::Review { task, .. }, _) => judged(task, Decision::Revise, 0.5),
        (Job::Combine, _) => Event::Combined { text: "whole".to_owned(), spent },
        (Job::Plan, _) => Event::Planned { plan: plan(Vec::new()), spent, approval: false },
    }
}

/// Whether a state could not be told from another, apart from what is under way.
fn same(a: &State, b: &State) -> bool {
    a.tasks == b.tasks && a.stop == b.stop && a.planning == b.planning && a.plan == b.plan
}

/// With and without strict phases, a synthesizer, and patience with failures.
fn any_flow() -> impl Strategy<Value = Rules> {
    let on_failure = prop_oneof![
        Just(OnTaskFailure::ContinueIndependent),
        Just(OnTaskFailure::FailFast),
        (0.0..=1.0).prop_map(|share| OnTaskFailure::Quorum(Share::new(share).unwrap())),
    ];
    let flow = (any_rules(), any::<bool>(), any::<bool>(), on_failure);
    flow.prop_map(|(rules, pipelined, combined, on_failure)| {
        let combined = combined.then_some(3);
        Rules { pipelined, combined, on_failure, ..rules }
    })
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

prop_compose! {
    /// With and without checks and reviewers, with more judges than one and a ladder to climb.
    fn any_rules()(
        max_parallel in 1usize..5, max_rounds in 0u32..4, tiers in 1usize..4, max_escalations in 0u32..3,
        checked: bool, judges in 0u32..3, fails: bool, window in 1usize..10,
        agents in prop::collection::btree_map(prop_oneof![Just("coder"), Just("critic")], 1usize..3, 0..3),
    ) -> Rules {
        let on_exhausted = if fails { OnExhausted::Fail } else { OnExhausted::AcceptBest };
        let review = ReviewRules { max_rounds, max_escalations, on_exhausted, ..ReviewRules::default() };
        let windows = BTreeMap::from([("coder".into(), vec![window; tiers])]);
        let instances = agents.into_iter().map(|(role, agents)| (role.into(), agents)).collect();
        Rules { review, checked, judges, windows, instances, ..rules(max_parallel) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// However jobs end, in whatever order, and whenever the run is stopped: never too many at once, no work or
    /// review of a round twice, nothing begun before what it needs, and every task comes to rest exactly once.
    #[test]
    fn every_task_comes_to_rest_exactly_once(
        tasks in tasks(),
        rules in any_flow(),
        fates in prop::collection::vec((any::<prop::sample::Index>(), fate()), 1..200),
        stop_after in prop::option::of(0usize..40),
    ) {
        let (max_parallel, instances) = (rules.max_parallel, rules.instances.clone());
        let mut state = planned(rules, tasks.clone());
        let mut begun: HashMap<(Job, u32), usize> = HashMap::new();
        let mut rests: HashMap<usize, usize> = HashMap::new();
        let (mut step, mut checks) = (0, 0);
        while !state.is_over() {
            for job in begin_all(&mut state) {
                *begun.entry((job.clone(), state.attempt(&job))).or_default() += 1;
                if let Job::Work { task, round: 0 } = &job {
                    let needs = &state.task(task).unwrap().planned.depends_on;
                    prop_assert!(needs.iter().all(|id| state.task(id).unwrap().best().is_some()));
                }
            }
            prop_assert!(state.in_flight().len() <= max_parallel);
            for (role, agents) in &instances {
                let at_work = state.in_flight().iter().filter(|job| state.doer(job) == Some(role)).count();
                prop_assert!(at_work <= *agents, "{role} has {agents}: {:?}", state.in_flight());
            }
            prop_assert!(!state.in_flight().is_empty(), "a run that is not over has something under way");
            let (which, fate) = fates[step % fates.len()];
            let job = state.in_flight()[which.index(state.in_flight().len())].clone();
            let event = landed(&state, &job, fate);
            let mut moves = state.apply(event, Timestamp::from_millis(step as u64));
            while let Some(joined) = state.due_join() {
                moves.extend(state.apply(joined, Timestamp::ZERO));
            }
            step += 1;
            checks += usize::from(!job.is_paid());
            if stop_after == Some(step) {
                moves.extend(state.apply(Event::Stopped { stop: Stop::Asked }, Timestamp::ZERO));
            }
            for moved in moves.iter().filter(|moved| moved.to.is_final()) {
                *rests.entry(moved.task).or_default() += 1;
            }
        }
        prop_assert!(begun.values().all(|times| *times == 1), "each step is taken once: {begun:?}");
        for n in 0..state.tasks().len() {
            prop_assert!(state.tasks()[n].state.is_final());
            prop_assert_eq!(rests.get(&n), Some(&1));
        }
        prop_assert_eq!(state.spent().calls as usize, step - checks);
    }

    /// A run that is cut off after any event and folded again from what is remembered goes on as if nothing had
    /// happened: the same fold, nothing done twice that was finished, and every task at rest in the end.
    #[test]
    fn a_fold_of_what_is_remembered_is_the_run_itself(
        tasks in tasks(),
        rules in any_flow(),
        fates in prop::collection::vec((any::<prop::sample::Index>(), fate()), 1..200),
        cuts in prop::collection::vec(1usize..30, 0..6),
    ) {
        let mut log = vec![Event::Planned { plan: plan(tasks.clone()), spent: Spent::ZERO, approval: false }];
        let mut state = planned(rules.clone(), tasks.clone());
        let mut finished: HashMap<(Job, u32), usize> = HashMap::new();
        let (mut step, mut cuts) = (0, cuts.into_iter());
        let mut next_cut = cuts.next();
        while !state.is_over() {
            for job in state.jobs() {
                let event = Event::Began { job, tier: 0 };
                state.apply(event.clone(), Timestamp::ZERO);
                log.push(event);
            }
            let (which, fate) = fates[step % fates.len()];
            let job = state.in_flight()[which.index(state.in_flight().len())].clone();
            let event = landed(&state, &job, fate);
            *finished.entry((job.clone(), state.attempt(&job))).or_default() += 1;
            state.apply(event.clone(), Timestamp::ZERO);
            log.push(event);
            while let Some(joined) = state.due_join() {
                state.apply(joined.clone(), Timestamp::ZERO);
                log.push(joined);
            }
            step += 1;
            if next_cut.is_some_and(|cut| step % cut == 0) {
                next_cut = cuts.next();
                // Remembered as text, as a journal does.
                let text = serde_json::to_string(&log).unwrap();
                let mut again = State::new(rules.clone());
                for event in serde_json::from_str::<Vec<Event>>(&text).unwrap() {
                    again.apply(event, Timestamp::ZERO);
                }
                prop_assert!(same(&again, &state), "{again:?}\n{state:?}");
                again.apply(Event::Resumed, Timestamp::ZERO);
                log.push(Event::Resumed);
                while let Some(joined) = again.due_join() {
                    again.apply(joined.clone(), Timestamp::ZERO);
                    log.push(joined);
                }
                state = again;
            }
        }
        prop_assert!(state.tasks().iter().all(|task| task.state.is_final()));
        let hopeless = |log: &[Event]| log.iter().any(|event| matches!(event, Event::Stopped { .. } | Event::Failed { .. }));
        prop_assert!(hopeless(&log) || finished.values().all(|times| *times == 1), "{finished:?}");
    }
}

/// Something that happens to a run beside its jobs.
#[derive(Clone, Debug)]
enum Aside {
    Adopted(f64),
    Economised(Economy),
    Resumed,
    Retried,
    Routed(f64),
    Stalled,
    Stopped,
}

fn aside() -> impl Strategy<Value = Option<Aside>> {
    let any = prop_oneof![
        (0.0..1.0).prop_map(Aside::Adopted),
        prop::sample::select(vec![Economy::CheaperTier, Economy::SmallerOutput, Economy::NoReview])
            .prop_map(Aside::Economised),
        Just(Aside::Resumed),
        Just(Aside::Retried),
        (0.0..1.0).prop_map(Aside::Routed),
        Just(Aside::Stalled),
        Just(Aside::Stopped),
    ];
    prop_oneof![4 => Just(None), 1 => any.prop_map(Some)]
}

fn meanwhile(state: &State, aside: Aside) -> Option<Event> {
    Some(match aside {
        Aside::Adopted(threshold) => {
            let mut rules = state.rules().clone();
            rules.review.threshold = threshold;
            Event::Adopted { rules: Box::new(rules) }
        }
        Aside::Economised(economy) => {
            let spent = Spent { retries: 1, ..Spent::ZERO };
            Event::Economised { job: state.in_flight().first()?.clone(), economy, spent }
        }
        Aside::Resumed => Event::Resumed,
        Aside::Retried => Event::Retried { tasks: state.failed() },
        Aside::Routed(propensity) => {
            let route = serde_json::json!({
                "tier": 0, "name": "m", "why": "it fits", "mode": "thompson", "bucket": 1, "propensity": propensity,
                "features": bellwether_router::Features::default(),
            });
            let route = serde_json::from_value(route).expect("these are a route's fields");
            Event::Routed { task: state.tasks().first()?.planned.id.clone(), route }
        }
        Aside::Stalled => Event::Stalled,
        Aside::Stopped => Event::Stopped { stop: Stop::Asked },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// A state that is frozen and thawed before every event stays equal to the one that folds all of them, whatever
    /// happens: a snapshot at any entry stands for all entries before it.
    #[test]
    fn a_snapshot_at_any_entry_is_the_fold_of_all_before_it(
        tasks in tasks(),
        rules in any_flow(),
        fates in prop::collection::vec((any::<prop::sample::Index>(), fate(), 0.0..1.0, aside()), 1..200),
    ) {
        let mut whole = State::new(rules);
        let mut thawed = whole.clone();
        let mut step = 0;
        let mut happen = |whole: &mut State, event: Event, step: usize| {
            let at = Timestamp::from_nanos(step as u64);
            // As a journal gives it back.
            let event: Event = serde_json::from_value(serde_json::json!(event)).expect("it was an event");
            whole.apply(event.clone(), at);
            let frozen = thawed.freeze(at, &());
            let (mut again, moment, ()) = State::thaw(&frozen).expect("it was frozen here");
            prop_assert_eq!(moment, at);
            again.apply(event, at);
            prop_assert_eq!(&again, &*whole);
            thawed = again;
            Ok(())
        };
        happen(&mut whole, Event::Planned { plan: plan(tasks), spent: Spent::ZERO, approval: false }, 0)?;
        while !whole.is_over() && step < 400 {
            let (which, fate, score, aside) = fates[step % fates.len()].clone();
            step += 1;
            for job in whole.jobs() {
                happen(&mut whole, Event::Began { job, tier: 0 }, step)?;
            }
            if let Some(event) = aside.and_then(|aside| meanwhile(&whole, aside)) {
                happen(&mut whole, event, step)?;
            }
            if whole.in_flight().is_empty() {
                continue;
            }
            let job = whole.in_flight()[which.index(whole.in_flight().len())].clone();
            let mut event = landed(&whole, &job, fate);
            if let Event::Judged { verdict, .. } = &mut event {
                verdict.score = score;
            }
            happen(&mut whole, event, step)?;
        }
    }
}

#[test]
fn a_snapshot_of_another_version_or_with_damage_is_not_understood() {
    let state = planned(rules(2), vec![task(0, &[]), task(1, &[0])]);
    let at = Timestamp::from_millis(7);
    let frozen = state.freeze(at, &());
    assert_eq!(State::thaw(&frozen), Some((state, at, ())));
    let text = String::from_utf8(frozen).expect("it is text");
    let thaw = |text: String| State::thaw::<()>(text.as_bytes());
    assert_eq!(thaw(text.replacen("state 10", "state 0", 1)), None, "an older form");
    assert_eq!(thaw(text.replacen("state 10", "state 101", 1)), None, "a later form");
    assert_eq!(thaw(text.replacen("\"stalls\":0,", "", 1)), None, "something that later versions know is missing");
    assert_eq!(thaw(text[..text.len() - 1].to_owned()), None, "cut off");
}

/// Under a lower threshold than before, what was sent back under the old one was sent back all the same.
#[test]
fn other_rules_hold_from_when_they_were_adopted() {
    let judged =
        |score| Event::Judged { task: "t1".into(), verdict: verdict(Decision::Accept, score), spent: Spent::ZERO };
    let mut state = planned(rules(1), vec![task(0, &[])]);
    begin_all(&mut state);
    state.apply(produced("t1", "draft"), Timestamp::ZERO);
    begin_all(&mut state);
    state.apply(judged(0.7), Timestamp::ZERO);
    let lenient = ReviewRules { threshold: 0.6, ..state.rules().review };
    let adopted = Rules { review: lenient, ..rules(1) };
    state.apply(Event::Adopted { rules: Box::new(adopted) }, Timestamp::ZERO);
    state.apply(Event::Resumed, Timestamp::ZERO);
    assert_eq!(begin_all(&mut state), [Job::Work { task: "t1".into(), round: 1 }], "the revision that was asked for");
    state.apply(produced("t1", "second draft"), Timestamp::ZERO);
    begin_all(&mut state);
    state.apply(judged(0.65), Timestamp::ZERO);
    assert_eq!(state.tasks()[0].state, TaskState::Accepted, "the new measure holds from now on");
}

/// What a stop left lying is taken up again where it was: nothing that was accepted is done again.
#[test]
fn a_stopped_run_goes_on_where_it_was() {
    let mut state = planned(rules(2), vec![task(0, &[]), task(1, &[]), task(2, &[]), task(3, &[0])]);
    begin_all(&mut state);
    state.apply(produced("t1", "one"), Timestamp::ZERO);
    begin_all(&mut state);
    state.apply(
        Event::Judged { task: "t1".into(), verdict: verdict(Decision::Accept, 0.9), spent: Spent::ZERO },
        Timestamp::ZERO,
    );
    state.apply(produced("t2", "two"), Timestamp::ZERO);
    state.apply(Event::Stopped { stop: Stop::Asked }, Timestamp::ZERO);
    let states = |state: &State| state.tasks().iter().map(|task| task.state).collect::<Vec<_>>();
    use TaskState::{Accepted, Cancelled, Pending, Produced, Unreviewed};
    assert_eq!(states(&state), [Accepted, Unreviewed, Cancelled, Cancelled]);
    assert_eq!(state.outcome(), RunOutcome::Cancelled);
    state.apply(Event::Resumed, Timestamp::ZERO);
    assert_eq!(states(&state), [Accepted, Produced, Pending, Pending]);
    assert_eq!(state.jobs(), [Job::Review { task: "t2".into(), round: 0 }, Job::Work { task: "t3".into(), round: 0 }]);
}

/// With a key that works now, what only the key had failed is tried again, and what depends on it is no longer skipped.
#[test]
fn a_run_that_was_stopped_by_its_key_goes_on_with_another_one() {
    let mut state = planned(rules(1), vec![task(0, &[]), task(1, &[0])]);
    let jobs = begin_all(&mut state);
    state.apply(failure(&jobs[0], ErrorKind::Auth), Timestamp::ZERO);
    assert!(state.is_over());
    state.apply(Event::Resumed, Timestamp::ZERO);
    assert_eq!(state.jobs(), [Job::Work { task: "t1".into(), round: 0 }]);
    assert_eq!(state.tasks()[1].state, TaskState::Pending);
}

/// A work that was sent back when the run stopped is revised, not judged again.
#[test]
fn a_revision_that_was_due_is_still_due() {
    let mut state = planned(rules(1), vec![task(0, &[])]);
    begin_all(&mut state);
    state.apply(produced("t1", "draft"), Timestamp::ZERO);
    begin_all(&mut state);
    state.apply(Event::Stopped { stop: Stop::Asked }, Timestamp::ZERO);
    let wanting = Event::Judged { task: "t1".into(), verdict: verdict(Decision::Revise, 0.5), spent: Spent::ZERO };
    state.apply(wanting, Timestamp::ZERO);
    assert_eq!(state.tasks()[0].state, TaskState::Rejected);
    state.apply(Event::Resumed, Timestamp::ZERO);
    assert_eq!(state.jobs(), [Job::Work { task: "t1".into(), round: 1 }]);
}

#[test]
fn a_plan_comes_first_and_is_asked_for_once() {
    let mut state = State::new(rules(4));
    assert_eq!(begin_all(&mut state), [Job::Plan]);
    assert_eq!(state.jobs(), []);
    let plan = plan(vec![task(0, &[]), task(1, &[0])]);
    state.apply(Event::Planned { plan, spent: Spent::ZERO, approval: false }, Timestamp::ZERO);
    assert_eq!(state.jobs(), [Job::Work { task: "t1".into(), round: 0 }]);
}

#[test]
fn a_key_that_is_refused_stops_everything_else() {
    let mut state = planned(rules(1), vec![task(0, &[]), task(1, &[])]);
    let jobs = begin_all(&mut state);
    state.apply(failure(&jobs[0], ErrorKind::Auth), Timestamp::ZERO);
    assert!(state.is_over());
    assert_eq!(state.outcome(), RunOutcome::Failed);
    let states: Vec<TaskState> = state.tasks().iter().map(|task| task.state).collect();
    assert_eq!(states, [TaskState::Failed, TaskState::Cancelled]);
}

/// Only a lack of money leaves the whole to be made, once what is under way has ended: whoever asks the run to stop
/// then is obeyed.
#[test]
fn a_run_without_money_makes_a_whole_of_what_it_has_unless_it_is_stopped() {
    let rules = Rules { combined: Some(100), judges: 0, ..rules(2) };
    let mut state = planned(rules, (0..3).map(|n| task(n, &[])).collect());
    let (first, second) = (begin_all(&mut state), |state: &State| state.in_flight()[0].clone());
    state.apply(landed(&state, &first[0], Fate::Good), Timestamp::ZERO);
    let third = begin_all(&mut state);
    state.apply(landed(&state, &third[0], Fate::Penniless), Timestamp::ZERO);
    assert_eq!(state.jobs(), [], "the second is still under way");

    let mut stopped = state.clone();
    stopped.apply(Event::Stopped { stop: Stop::Asked }, Timestamp::ZERO);
    for (mut state, jobs, outcome) in
        [(state, vec![Job::Combine], RunOutcome::BudgetExhausted), (stopped, Vec::new(), RunOutcome::Cancelled)]
    {
        state.apply(landed(&state, &second(&state), Fate::Good), Timestamp::ZERO);
        assert_eq!((state.jobs(), state.outcome()), (jobs, outcome));
    }
}

/// What was skipped looked as if it was to be done, for the moment in which it was taken up: the whole was made and paid for
/// at every resume of a run that had come to its end in part.
#[test]
fn a_resume_that_adds_nothing_leaves_the_whole_as_it_is() {
    let rules = Rules { combined: Some(100), judges: 0, ..rules(2) };
    let mut state = planned(rules, vec![task(0, &[]), task(1, &[]), task(2, &[1])]);
    // What another one needs goes first.
    for (job, fate) in begin_all(&mut state).iter().zip([Fate::Broken, Fate::Good]) {
        state.apply(landed(&state, job, fate), Timestamp::ZERO);
    }
    assert_eq!(begin_all(&mut state), [Job::Combine]);
    state.apply(landed(&state, &Job::Combine, Fate::Good), Timestamp::ZERO);
    assert_eq!((state.is_over(), state.tasks()[2].state), (true, TaskState::Skipped));
    state.apply(Event::Resumed, Timestamp::ZERO);
    assert_eq!((state.is_over(), state.jobs()), (true, Vec::new()));
}

#[test]
fn the_better_draft_is_kept_if_a_revision_makes_it_worse() {
    let mut state = planned(rules(1), vec![task(0, &[])]);
    for (round, (text, score)) in [("first", 0.7), ("second", 0.4)].into_iter().enumerate() {
        let round = u32::try_from(round).unwrap();
        assert_eq!(begin_all(&mut state), [Job::Work { task: "t1".into(), round }]);
        state.apply(produced("t1", text), Timestamp::ZERO);
        assert_eq!(begin_all(&mut state), [Job::Review { task: "t1".into(), round }]);
        let wanting =
            Event::Judged { task: "t1".into(), verdict: verdict(Decision::Revise, score), spent: Spent::ZERO };
        state.apply(wanting, Timestamp::ZERO);
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
    state.apply(produced("t1", "work"), Timestamp::ZERO);
    let review = begin_all(&mut state);
    state.apply(failure(&review[0], ErrorKind::Upstream), Timestamp::ZERO);
    assert_eq!(state.tasks()[0].state, TaskState::Unreviewed);
    assert_eq!(state.tasks()[0].best().unwrap().text, "work");
}

#[test]
fn what_needs_a_failed_task_is_skipped_and_the_rest_goes_on() {
    let mut state = planned(rules(1), vec![task(0, &[]), task(1, &[0]), task(2, &[1]), task(3, &[])]);
    let jobs = begin_all(&mut state);
    state.apply(failure(&jobs[0], ErrorKind::Upstream), Timestamp::ZERO);
    assert_eq!(state.jobs(), [Job::Work { task: "t4".into(), round: 0 }]);
    assert_eq!([1, 2].map(|n| state.tasks()[n].state), [TaskState::Skipped; 2]);
}

/// The way from a task to the end of the plan decides, not the order in which the planner named them.
#[test]
fn the_longest_way_is_begun_first_and_what_has_begun_is_finished_first() {
    let mut tasks: Vec<PlannedTask> = (0..3).map(|n| task(n, &[])).collect();
    tasks.push(task(3, &[2]));
    let mut state = planned(rules(1), tasks);
    let mut order = Vec::new();
    while !state.is_over() {
        let job = begin_all(&mut state).remove(0);
        order.push(format!("{} {}", job.phase(), job.task().unwrap()));
        let event = landed(&state, &job, Fate::Good);
        state.apply(event, Timestamp::ZERO);
    }
    let steps = ["t3", "t1", "t2", "t4"].map(|task| [format!("work {task}"), format!("review {task}")]);
    assert_eq!(order[..2], steps[0], "what t4 waits for goes first, and is finished before anything else begins");
    assert_eq!(order.len(), 8);
    let mut long = task(0, &[]);
    long.est_output_tokens = Some(9_000);
    let mut state = planned(rules(1), vec![task(1, &[]), long]);
    assert_eq!(begin_all(&mut state)[0].task().unwrap().as_str(), "t1", "the one that makes more, named second");
}

#[test]
fn in_strict_phases_a_row_is_worked_on_then_reviewed_then_revised() {
    let strict = Rules { pipelined: false, ..rules(8) };
    let mut state = planned(strict, vec![task(0, &[]), task(1, &[]), task(2, &[0])]);
    let mut steps = Vec::new();
    while !state.is_over() {
        let jobs = begin_all(&mut state);
        steps.push(
            jobs.iter().map(|job| format!("{} {}", job.phase(), job.task().unwrap())).collect::<Vec<_>>().join(", "),
        );
        for job in jobs {
            // While one job of a phase is under way, no other phase begins.
            let fate = if job == (Job::Review { task: "t1".into(), round: 0 }) { Fate::Poor } else { Fate::Good };
            let event = landed(&state, &job, fate);
            state.apply(event, Timestamp::ZERO);
            assert!(state.in_flight().is_empty() || state.jobs().is_empty());
        }
    }
    let want = ["work t1, work t2", "review t1, review t2", "work t1", "review t1", "work t3", "review t3"];
    assert_eq!(steps, want);
}

/// A question lay in a mailbox when its run was stopped: that is no word of whoever was asked.
#[test]
fn a_question_that_nobody_came_to_read_is_still_open() {
    let mut state = planned(rules(2), vec![task(0, &[])]);
    let asked = begin_all(&mut state);
    let question = Question { to: "coder".to_owned(), text: "which port?".to_owned() };
    state.apply(Event::Asked { task: "t1".into(), question, spent: Spent::ZERO }, Timestamp::ZERO);
    let job = begin_all(&mut state).remove(0);
    let letter = |from: &str| DeadLetter {
        from: from.to_owned(),
        to: "coder".to_owned(),
        what: "question".to_owned(),
        task: Some("t1".into()),
        reason: "the run ended before anybody read it".to_owned(),
    };
    state.apply(Event::Stopped { stop: Stop::Asked }, Timestamp::ZERO);
    state.apply(Event::Dropped { job: job.clone() }, Timestamp::ZERO);
    state.apply(Event::Undelivered { letter: letter("runtime") }, Timestamp::ZERO);
    state.apply(Event::Resumed, Timestamp::ZERO);
    assert_eq!(state.jobs(), [job], "it is asked again");
    state.apply(Event::Undelivered { letter: letter("t1") }, Timestamp::ZERO);
    assert_eq!(state.jobs(), asked, "whom it cannot reach is no help: it goes on without");
}

/// What becomes of a job is the same whenever it is asked for, and nothing that stops a run for good.
fn fated(fates: &[Fate], job: &Job, attempt: u32) -> Fate {
    let mut hasher = DefaultHasher::new();
    (job, attempt).hash(&mut hasher);
    let fate = usize::try_from(hasher.finish() % fates.len() as u64).map(|at| fates[at]).unwrap_or(Fate::Good);
    match fate {
        Fate::Hopeless | Fate::Penniless => Fate::Good,
        Fate::Spawning(_) => Fate::Spawning(Join::All),
        fate => fate,
    }
}

/// Lives through a run that is stopped after these steps, in the middle of what is under way or once that is done, and each
/// time goes on.
fn stopped_after(mut state: State, fates: &[Fate], stops: &[(usize, bool)]) -> State {
    let (mut step, mut stops) = (0, stops.iter());
    let mut next = stops.next();
    let land = |state: &mut State, job: &Job| {
        let unwanted = state.unwanted().any(|unwanted| unwanted == job);
        let event = if unwanted && job.is_paid() {
            Event::CalledOff { job: job.clone(), spent: Spent::ZERO }
        } else {
            landed(state, job, fated(fates, job, state.attempt(job)))
        };
        state.apply(event, Timestamp::ZERO);
        while let Some(joined) = state.due_join() {
            state.apply(joined, Timestamp::ZERO);
        }
    };
    while !state.is_over() {
        begin_all(&mut state);
        step += 1;
        match next.filter(|(after, _)| *after <= step) {
            None => {
                let job = state.in_flight()[0].clone();
                land(&mut state, &job);
            }
            Some((_, halts)) => {
                (step, next) = (0, stops.next());
                state.apply(Event::Stopped { stop: Stop::Asked }, Timestamp::ZERO);
                while let Some(job) = state.in_flight().first().cloned() {
                    if *halts {
                        state.apply(Event::Dropped { job }, Timestamp::ZERO);
                    } else {
                        land(&mut state, &job);
                    }
                }
                assert!(state.is_over(), "nothing begins in a run that is stopped");
                state.apply(Event::Resumed, Timestamp::ZERO);
                while let Some(joined) = state.due_join() {
                    state.apply(joined, Timestamp::ZERO);
                }
            }
        }
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// A stop is no reason for anything: a run that was stopped at any moments, in either way, and resumed comes to the end of
    /// one that was not.
    #[test]
    fn a_run_that_was_stopped_comes_to_the_end_of_one_that_was_not(
        tasks in tasks().prop_map(|mut tasks| { tasks.truncate(6); tasks }),
        rules in any_flow(),
        fates in prop::collection::vec(fate(), 1..40),
        stops in prop::collection::vec((0usize..12, any::<bool>()), 1..6),
    ) {
        let spawn = SpawnRules { max_tasks: 1_000, max_depth: 1, join: Join::All };
        let rules = Rules { spawn, on_failure: OnTaskFailure::ContinueIndependent, ..rules };
        // What nobody needs any more is stopped wherever it is.
        let end = |state: &State| -> Vec<_> {
            let ends = state.planned().map(|task| {
                let drafts: Vec<_> = task.drafts.iter().map(|draft| (draft.text.clone(), draft.verdict.clone())).collect();
                let failure = task.failure.as_ref().map(|failure| failure.kind.clone());
                (task.state, task.round, task.tier, failure, drafts, task.asked.len())
            });
            ends.collect()
        };
        let whole = stopped_after(planned(rules.clone(), tasks.clone()), &fates, &[]);
        let stopped = stopped_after(planned(rules, tasks), &fates, &stops);
        prop_assert_eq!(end(&stopped), end(&whole));
        prop_assert_eq!(stopped.outcome(), whole.outcome());
        prop_assert_eq!(stopped.whole().is_some(), whole.whole().is_some());
    }
}
