//! A run with everything in it, ended at every moment in every way: it goes on to the same end, and pays for nothing twice but
//! for what was under way.

mod play;

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bellwether_budget::{Amount, Budgeted, Caps, Ledger, Scope};
use bellwether_core::journal::{Entry, Snapshot};
use bellwether_core::test_util::MemoryJournal;
use bellwether_core::{ErrorKind, Journal, RunOutcome};
use bellwether_provider::Scripted;
use bellwether_team::{ChangedTerms, Control, Ruling, RunReport, Settings};
use play::{Failing, asked, cut_off, decide, end, failing_at, model, parallel, run, team, team_on, to_the_end, whole};

#[tokio::test(start_paused = true)]
async fn killed_after_any_entry() {
    for most in [1, 3] {
        let whole = whole(parallel(most)).await;
        // An append is there as a whole or not at all.
        let torn = |cut: &usize| whole.entries.get(*cut).is_some_and(|next| next.kind == "undelivered");
        for cut in (1..=whole.entries.len()).filter(|cut| !torn(cut)) {
            let (provider, journal) = (model(), cut_off(&whole.entries[..cut]).await);
            let team = team(&provider, &journal, parallel(most));
            let what = format!("{most} at once, cut after {cut}");
            let begun = team.resume(run(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
            let report = to_the_end(&team, begun).await;
            assert_eq!(end(&report), whole.end, "{what}");
            let again = whole.holds(&provider, &what);
            let paid = |entry: &&Entry| entry.kind == "began" && entry.body["event"]["job"].get("check").is_none();
            let begun = whole.entries[..cut].iter().filter(paid).count();
            let repeated = begun + again.len() - whole.asked.len();
            assert_eq!(repeated, report.possible_duplicates as usize, "{what}");
            assert!(repeated <= most, "{what}: at most what was under way is repeated");
            assert_eq!(report.calls, whole.calls + report.possible_duplicates, "{what}");
            let booked = team.accounts(&run()).await.expect("it is known");
            let known: u32 =
                booked.iter().map(|booked| booked.spent.calls + u32::from(booked.in_doubt.is_some())).sum();
            assert_eq!(known, report.calls, "{what}: budgets know of every call");
        }
    }
}

/// What stops a run in the middle.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Deadline,
    Drain,
    Halt,
}

#[tokio::test(start_paused = true)]
async fn stopped_at_any_moment() {
    let whole = whole(parallel(3)).await;
    for blow in [Blow::Drain, Blow::Halt, Blow::Deadline] {
        for half in 0..60 {
            // Between the answers, and at the very moment of one.
            let moment = Duration::from_millis(500 * half);
            let what = format!("{blow:?} after {moment:?}");
            let (provider, journal) = (model(), Arc::new(MemoryJournal::default()) as Arc<dyn Journal>);
            let deadline = matches!(blow, Blow::Deadline).then_some(moment);
            let stopping = team(&provider, &journal, Settings { deadline, ..parallel(3) });
            let begun = stopping.run_with("build it", run(), &Control::default()).await;
            if begun.outcome == RunOutcome::Parked {
                stopping.approve(run(), Ruling::Approve).await.expect("the plan waits");
            }
            let (control, steady) = (Control::default(), team(&provider, &journal, parallel(3)));
            let stop = async {
                tokio::time::sleep(moment).await;
                match blow {
                    Blow::Deadline => {}
                    Blow::Drain => control.drain(),
                    Blow::Halt => control.halt(),
                }
            };
            let resumed = stopping.resume(run(), ChangedTerms::Refuse, &control);
            let (stopped, ()) = tokio::join!(resumed, stop);
            let stopped = stopped.expect("it goes on");
            let before: BTreeSet<String> = asked(&provider).into_iter().map(|(key, _)| key).collect();
            let report = to_the_end(&steady, stopped).await;
            assert_eq!(end(&report), whole.end, "{what}");
            let keys: Vec<String> = asked(&provider).into_iter().map(|(key, _)| key).collect();
            let all: BTreeSet<String> = keys.iter().cloned().collect();
            let wanted: BTreeSet<String> = whole.asked.keys().cloned().collect();
            assert_eq!(all, wanted, "{what}: {before:?}");
            let repeated = keys.len() - all.len();
            let most = if matches!(blow, Blow::Drain) { 0 } else { 3 };
            assert!(repeated <= most, "{what}: {repeated} are paid for twice");
        }
    }
}

/// No process comes further than a few entries, and the next one begins where the last snapshot or entry is.
#[tokio::test(start_paused = true)]
async fn cut_off_again_and_again() {
    let few = Settings { snapshot_every: NonZeroU64::MIN.saturating_add(4), ..parallel(3) };
    let whole = whole(few).await;
    for left in [3, 4, 7] {
        let provider = model();
        let mut journal = cut_off(&whole.entries[..1]).await;
        let (mut processes, mut report) = (0, None);
        while report.as_ref().is_none_or(|report: &RunReport| report.resumable) {
            let healthy = team(&provider, &journal, few);
            if let Some(parked) = report.filter(|report| report.outcome == RunOutcome::Parked) {
                decide(&healthy, &parked).await;
            }
            let failing: Arc<dyn Journal> = Arc::new(Failing { inner: Arc::clone(&journal), left: left.into() });
            let dying = team(&provider, &failing, few);
            dying.resume(run(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
            let entries = journal.load(&run()).await.expect("memory does not fail");
            let snapshot = journal.last_snapshot(&run()).await.expect("memory does not fail");
            journal = cut_off(&entries).await;
            if let Some(Snapshot { seq, state, .. }) = snapshot {
                let lease = journal.lease(&run()).await.expect("the run is free");
                journal.snapshot(&lease, seq, state).await.expect("memory does not fail");
                journal.release(&lease).await.expect("memory does not fail");
            }
            report = Some(team(&provider, &journal, few).recall(run()).await.expect("it is known"));
            processes += 1;
            assert!(processes < 400, "{left}: it comes no further");
        }
        let report = report.expect("some process ended it");
        let what = format!("{left} entries a process, {processes} processes");
        assert_eq!(end(&report), whole.end, "{what}");
        let keys: Vec<String> = asked(&provider).into_iter().map(|(key, _)| key).collect();
        let all: BTreeSet<&String> = keys.iter().collect();
        assert_eq!(all, whole.asked.keys().collect(), "{what}");
        assert!(keys.len() - all.len() <= 3 * processes, "{what}: {} calls", keys.len());
        assert_eq!(report.calls as usize, keys.len(), "{what}: each call is counted");
        let plain = cut_off(&journal.load(&run()).await.expect("memory does not fail")).await;
        let folded = team(&provider, &plain, few).recall(run()).await.expect("it is known");
        assert_eq!((end(&folded), folded.calls), (end(&report), report.calls), "{what}: with snapshots and without");
    }
}

/// So many calls are paid for, however many processes share them; with more of them the run comes to its usual end.
#[tokio::test(start_paused = true)]
async fn a_cap_holds_over_processes_that_die() {
    let one = parallel(1);
    let whole = whole(one).await;
    for cap in [3, 8, 15, 22, 30] {
        let provider = model();
        let mut journal = cut_off(&whole.entries[..1]).await;
        let mut before = usize::MAX;
        while before != provider.calls().len() {
            before = provider.calls().len();
            let caps = [(Scope::Everything, Caps { calls: Some(cap), ..Caps::default() })];
            let purse = Budgeted::new(Arc::<Scripted>::clone(&provider) as _, Ledger::new(caps));
            let healthy = team(&provider, &journal, one);
            let past = healthy.past(&run()).await.expect("it is known");
            for booked in past.accounts(&healthy) {
                let calls = u64::from(booked.spent.calls) + u64::from(booked.in_doubt.is_some());
                purse.book(&booked.context, Amount { calls, ..Amount::default() });
            }
            let report = past.report(&healthy);
            if report.outcome == RunOutcome::Parked {
                decide(&healthy, &report).await;
            }
            let failing: Arc<dyn Journal> = Arc::new(Failing { inner: Arc::clone(&journal), left: 9.into() });
            let dying = team_on(Arc::new(purse), &failing, one);
            dying.resume(run(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
            journal = cut_off(&journal.load(&run()).await.expect("memory does not fail")).await;
        }
        assert!(
            provider.calls().len() <= usize::try_from(cap).expect("it is small"),
            "{cap}: {}",
            provider.calls().len()
        );
        let rich = team(&provider, &journal, one);
        let begun = rich.resume(run(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
        let report = to_the_end(&rich, begun).await;
        assert_eq!(end(&report), whole.end, "{cap}");
        let mut questions = HashMap::new();
        for (key, question) in asked(&provider) {
            let known = questions.entry(key.clone()).or_insert_with(|| question.clone());
            assert_eq!(*known, question, "{cap}: {key} stands for two questions");
        }
    }
}

/// One call after the other fails once, in every way: what a resume can mend it mends, what only somebody's wish can does that.
#[tokio::test(start_paused = true)]
async fn each_call_fails_once() {
    let one = parallel(1);
    let whole = whole(one).await;
    for kind in [ErrorKind::Auth, ErrorKind::BudgetExceeded, ErrorKind::QuotaExhausted, ErrorKind::Upstream] {
        for n in 0..whole.asked.len() {
            let what = format!("{kind:?} at call {n}");
            let (provider, journal) = (failing_at(n, kind), Arc::new(MemoryJournal::default()) as Arc<dyn Journal>);
            let team = team(&provider, &journal, one);
            let begun = team.run_with("build it", run(), &Control::default()).await;
            let mut report = to_the_end(&team, begun).await;
            let own = kind == ErrorKind::Upstream;
            if own && report.retriable {
                assert!(team.retry(&run(), ChangedTerms::Refuse).await.expect("it is known"), "{what}");
                let again = team.resume(run(), ChangedTerms::Refuse, &Control::default()).await.expect("it goes on");
                report = to_the_end(&team, again).await;
            }
            assert_eq!(end(&report), whole.end, "{what}: {}", report.reason);
            assert!(!report.retriable && !report.resumable, "{what}");
            // An audit that fails is left out.
            let counts = |key: &String| !key.contains("-audit-");
            let keys: Vec<String> = asked(&provider).into_iter().map(|(key, _)| key).filter(counts).collect();
            let all: BTreeSet<&String> = keys.iter().collect();
            // Near a cap there is a way to do with less, and a whole of less.
            if matches!(kind, ErrorKind::Auth | ErrorKind::QuotaExhausted) {
                assert_eq!(all, whole.asked.keys().filter(|key| counts(key)).collect(), "{what}");
                assert!(keys.len() <= all.len() + 1, "{what}: only what failed is asked again");
            }
        }
    }
}
