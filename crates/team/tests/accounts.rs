//! What a run took is known to whoever keeps its budgets, whoever has left the team, and wherever the accounts come from.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::error::Phase;
use bellwether_core::test_util::MemoryJournal;
use bellwether_core::{ChatProvider, ChatResponse, ErrorKind, Journal, ProviderError, RunId, RunOutcome};
use bellwether_provider::Scripted;
use bellwether_team::{Booked, Control, Role, Settings, Team, Tier};

fn model() -> Arc<Scripted> {
    let answering = Scripted::answering(|_, context| {
        Ok(ChatResponse::text(match context.phase {
            "work" if context.task.as_ref().is_some_and(|task| task.as_str() == "t1") => "",
            "plan" => "1. The first part\n2. The second part\n3. The third part",
            "review" => r#"{"decision": "accept", "score": 0.9}"#,
            _ => "the work",
        }))
    });
    Arc::new(answering.with_delay(Duration::from_secs(1)))
}

/// A whole team, of which somebody may leave.
fn all_but(gone: &str, journal: &Arc<dyn Journal>) -> Team {
    let tier = Tier::new(model() as Arc<dyn ChatProvider>, "model");
    let others = [
        Role::planner("lead", "You plan.", tier.clone()),
        Role::reviewer("critic", "You review.", tier.clone()),
        Role::synthesizer("editor", "You join.", tier.clone()),
    ];
    let coder = Role::worker(if gone == "coder" { "maker" } else { "coder" }, "You code.", tier);
    let staying = others.into_iter().filter(|role| &*role.name != gone);
    let snapshot_every = NonZeroU64::MIN.saturating_add(3);
    staying
        .fold(Team::builder("team").role(coder), |team, role| team.role(role))
        .settings(Settings { right_size: false, snapshot_every, ..Settings::default() })
        .journal(Arc::clone(journal))
        .build()
        .expect("the team makes sense")
}

fn run() -> RunId {
    RunId::from("r1")
}

async fn copy(journal: &Arc<dyn Journal>, entries: usize) -> Arc<dyn Journal> {
    let all = journal.load(&run()).await.expect("memory does not fail");
    let copy = MemoryJournal::default();
    let lease = copy.lease(&run()).await.expect("the run is free");
    copy.append(&lease, all[..entries].to_vec()).await.expect("memory does not fail");
    copy.release(&lease).await.expect("memory does not fail");
    Arc::new(copy)
}

fn calls(booked: &[Booked]) -> u32 {
    booked.iter().map(|booked| booked.spent.calls + u32::from(booked.in_doubt.is_some())).sum()
}

/// What a role took that has left the team was in no account, and its run could take it once more.
#[tokio::test(start_paused = true)]
async fn what_somebody_took_who_has_left_the_team_is_still_spent() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
    let report = all_but("nobody", &journal).run_with("build it", run(), &Control::default()).await;
    assert_eq!(report.outcome, RunOutcome::Partial);
    let entries = journal.load(&run()).await.expect("memory does not fail").len();
    for cut in 1..=entries {
        let cut_off = copy(&journal, cut).await;
        let known = calls(&all_but("nobody", &cut_off).accounts(&run()).await.expect("it is known"));
        for gone in ["coder", "lead", "critic", "editor"] {
            let booked = all_but(gone, &cut_off).accounts(&run()).await.expect("it is known");
            assert_eq!(calls(&booked), known, "{gone} left after {cut}");
        }
    }
}

/// A task that came to nothing lost its own account to the snapshot, and had its whole budget again when it was tried again.
#[tokio::test(start_paused = true)]
async fn a_task_that_is_taken_up_again_has_what_is_left_of_its_own_budget() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
    let team = all_but("nobody", &journal);
    let report = team.run_with("build it", run(), &Control::default()).await;
    assert_eq!((report.outcome, report.tasks[0].calls), (RunOutcome::Partial, 3));
    let last = journal.last_snapshot(&run()).await.expect("memory does not fail").expect("it left some");
    let entries = journal.load(&run()).await.expect("memory does not fail");
    let failed = entries.iter().position(|entry| entry.kind == "failed").expect("one came to nothing");
    assert!(last.seq > failed as u64 + 1, "the snapshot came after that");
    let of_the_first = |booked: &[Booked]| -> u32 {
        let own = booked.iter().filter(|booked| booked.context.task.as_ref().is_some_and(|task| task.as_str() == "t1"));
        own.map(|booked| booked.spent.calls).sum()
    };
    let kept = team.accounts(&run()).await.expect("it is known");
    let plain = copy(&journal, entries.len()).await;
    let plain = all_but("nobody", &plain).accounts(&run()).await.expect("it is known");
    assert_eq!((of_the_first(&kept), of_the_first(&plain)), (3, 3));
    assert_eq!(calls(&kept), calls(&plain));
}

/// A call that failed after it was sent may be billed. The budget was charged its most while the run was on, and nothing after a
/// resume.
#[tokio::test(start_paused = true)]
async fn a_call_that_may_be_billed_though_it_failed_is_in_doubt() {
    for may_have_executed in [true, false] {
        let answering = Scripted::answering(move |_, context| {
            if context.phase == "review" {
                let mut error = ProviderError::new(ErrorKind::Timeout(Phase::Total), "no answer in time");
                (error.details.may_have_executed, error.details.retries) = (may_have_executed, 2);
                return Err(error);
            }
            Ok(ChatResponse::text("the work"))
        });
        let provider = Arc::new(answering.with_delay(Duration::from_secs(7)));
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::default());
        let tier = Tier::new(provider as Arc<dyn ChatProvider>, "model");
        let critic = Role { max_output_tokens: Some(500), ..Role::reviewer("critic", "You review.", tier.clone()) };
        let team = Team::builder("team").role(Role::worker("coder", "You code.", tier)).role(critic);
        let team = team.journal(journal).build().expect("the team makes sense");
        let report = team.run_with("build it", run(), &Control::default()).await;
        let booked = team.accounts(&run()).await.expect("it is known");
        assert_eq!(calls(&booked), report.calls);
        let doubts: Vec<_> = booked.iter().filter_map(|booked| booked.in_doubt.as_ref()).collect();
        assert_eq!(doubts.len(), usize::from(may_have_executed));
        let longest = booked.iter().filter(|booked| booked.in_doubt.is_some()).map(|booked| booked.context.timeout);
        assert!(longest.eq(doubts.iter().map(|_| Some(Duration::from_secs(7)))), "how long it took is known");
        assert!(doubts.iter().all(|doubt| doubt.max_output_tokens == Some(500) && doubt.bytes > 100), "{doubts:?}");
        let again: u32 = booked.iter().map(|booked| booked.spent.retries).sum();
        assert_eq!(again, 2, "what was sent before it is counted");
    }
}
