//! One seed, from the first call to the last settlement.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bellwether_budget::{Budgeted, Caps, Ledger, Scope};
use bellwether_core::test_util::MemoryJournal;
use bellwether_core::{ChatProvider, Journal, Observer, Price, RunId, TaskState, Usd};
use bellwether_dispatch::{Dispatch, TaskQueue};
use bellwether_limiter::{Concurrency, Limit, Limiter, Limits, Rate, RateLimiter, Settings};
use bellwether_queue::{AtTheDoor, TicketQueue};
use bellwether_team::{ChangedTerms, Control, ResumeError, ReviewRules, Role, RunOutcome, RunReport, Team, Tier};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::estimates::Estimates;
use crate::guard;
use crate::provider::{Books, Provider};
use crate::watch::Watch;
use crate::world::{Misfortune, Run, World};

/// What came of a seed.
#[derive(Debug, Default)]
pub(crate) struct Played {
    pub(crate) calls: u64,
    pub(crate) completed: u64,
    pub(crate) throttled: u64,
    pub(crate) accepted: u64,
    pub(crate) resumed: u64,
    /// How often the breaker opened, and how often the key was parked.
    pub(crate) opened: u64,
    pub(crate) parked: u64,
    pub(crate) story: Vec<String>,
    pub(crate) hash: u64,
}

/// Plays a seed.
///
/// # Panics
///
/// If a law is broken; it says which.
pub(crate) fn play(seed: u64) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime can be made").block_on(live(World::of(seed)))
}

/// What all runs of a world share.
struct Stage {
    world: Arc<World>,
    watch: Arc<Watch>,
    provider: Arc<Provider>,
    dispatch: Arc<Dispatch>,
    limiter: Limiter,
    queue: Arc<TicketQueue>,
}

/// What came of a run: what was remembered when it was cut off, and the report in the end.
struct Told {
    n: usize,
    before: Option<RunReport>,
    report: Option<RunReport>,
}

async fn live(world: World) -> Played {
    let stage = Arc::new(Stage::set(world));
    let mut runs = JoinSet::new();
    for n in 0..stage.world.runs.len() {
        let stage = Arc::clone(&stage);
        runs.spawn(async move { stage.run(n).await });
    }
    let mut told = Vec::new();
    // With nothing left to wait for, a paused clock jumps here.
    let ended = timeout(FOREVER, async {
        while let Some(one) = runs.join_next().await {
            told.push(one.expect("no run panics"));
        }
        stage.dispatch.shutdown().await;
    });
    if ended.await.is_err() {
        stage.watch.broken(["it never ended".to_owned()]);
    }
    drop(runs);
    // What was cut off is dropped when its task is polled again.
    sleep(Duration::from_millis(1)).await;
    stage.end(&told)
}

impl Stage {
    fn set(world: World) -> Self {
        let world = Arc::new(world);
        let caps = Caps {
            usd: world.budget.money.then(|| Usd::from_nanos(1_000_000_000)),
            tokens: world.budget.tokens,
            calls: world.budget.calls,
            time: None,
        };
        let watch = Arc::new(Watch::new(caps));
        let observer = Arc::<Watch>::clone(&watch) as Arc<dyn Observer>;
        let provider = Arc::new(Provider::new(Arc::clone(&world)));
        let per_mtok = |dollars: f64| Usd::from_dollars(dollars).expect("it is an amount");
        let price =
            Price { input_per_mtok: per_mtok(1.0), cached_per_mtok: per_mtok(0.5), output_per_mtok: per_mtok(10.0) };
        let ledger = Ledger::new([(Scope::Everything, caps)]);
        let inner = Arc::<Provider>::clone(&provider) as Arc<dyn ChatProvider>;
        let budget = Arc::new(Budgeted::new(inner, ledger).price("model", price));
        watch.look_into(Arc::clone(&budget));
        let limiter = Limiter::observed("key", settings(&world), Arc::clone(&observer));
        let queue = bellwether_queue::Settings::default();
        let queue = Arc::new(TicketQueue::new(&queue, AtTheDoor::Refuse, Arc::clone(&observer)));
        let dispatch = Dispatch::builder(budget as Arc<dyn ChatProvider>)
            .queue(Arc::<TicketQueue>::clone(&queue) as Arc<dyn TaskQueue>)
            .limiter(Arc::new(limiter.clone()) as Arc<dyn RateLimiter>)
            .estimator(Arc::new(Estimates::default()))
            .observer(observer)
            .seed(world.seed);
        let dispatch = if world.guarded { dispatch.guard(guard::seeded(world.seed)) } else { dispatch }.build();
        Self { world, watch, provider, dispatch: Arc::new(dispatch), limiter, queue }
    }

    async fn run(&self, n: usize) -> Told {
        let run = &self.world.runs[n];
        let id = RunId::from(format!("run{n}"));
        let journal = run.journal.then(|| Arc::new(MemoryJournal::default()));
        let team = self.team(run, journal.clone());
        let control = Control::default();
        sleep(run.begins).await;
        let working = team.run_with("the task", id.clone(), &control);
        let Some((after, misfortune)) = run.befalls else {
            return Told { n, before: None, report: Some(working.await) };
        };
        let mut working = Box::pin(working);
        if let Ok(report) = timeout(after, &mut working).await {
            return Told { n, before: None, report: Some(report) };
        }
        match misfortune {
            Misfortune::Crash => drop(working),
            Misfortune::Drain => {
                control.drain();
                working.await;
            }
            Misfortune::Halt => {
                control.halt();
                working.await;
            }
        }
        let journal = journal.expect("who is cut off has one");
        // The process that held the run is gone.
        if let Ok(lease) = journal.take_over(&id).await {
            journal.release(&lease).await.expect("memory does not fail");
        }
        let before = team.recall(id.clone()).await.ok();
        let mut report = team.resume(id.clone(), ChangedTerms::Refuse, &Control::default()).await;
        if let Some(first) = report.as_ref().ok().filter(|first| first.retriable).cloned() {
            report = self.again(&team, id, &first).await;
        }
        if before.is_some() && report.is_err() {
            self.watch.broken([format!("run{n} could not be resumed: {:?}", report.as_ref().err())]);
        }
        Told { n, before, report: report.ok() }
    }

    /// Somebody wants what came to nothing to be tried again: what was accepted stays as it is.
    async fn again(&self, team: &Team, id: RunId, first: &RunReport) -> Result<RunReport, ResumeError> {
        team.retry(&id, ChangedTerms::Refuse).await?;
        let second = team.resume(id, ChangedTerms::Refuse, &Control::default()).await?;
        for (before, after) in first.tasks.iter().zip(&second.tasks).filter(|(before, _)| before.success) {
            if (after.state, &after.result) != (before.state, &before.result) {
                self.watch
                    .broken([format!("{} of {} was accepted, and is not any more", before.task_id, first.run_id)]);
            }
        }
        Ok(second)
    }

    fn team(&self, run: &Run, journal: Option<Arc<MemoryJournal>>) -> Team {
        let tier = Tier::new(Arc::<Dispatch>::clone(&self.dispatch) as Arc<dyn ChatProvider>, "model");
        let role = |role: Role| Role { max_output_tokens: Some(500), timeout: run.timeout, ..role };
        let mut team = Team::builder("team").role(role(Role::worker("coder", "You write.", tier.clone())));
        if run.planner {
            team = team.role(role(Role::planner("lead", "You plan.", tier.clone())));
        }
        if run.reviewer {
            team = team.role(role(Role::reviewer("critic", "You review.", tier)));
        }
        let settings = bellwether_team::Settings {
            max_parallel: NonZeroUsize::new(run.parallel).expect("somebody works"),
            max_attempts: run.attempts,
            right_size: run.right_size,
            review: ReviewRules { max_rounds: run.rounds, ..ReviewRules::default() },
            deadline: run.deadline,
            class: run.class,
            weight: run.weight,
            ..bellwether_team::Settings::default()
        };
        team = team.settings(settings).observer(Arc::<Watch>::clone(&self.watch) as Arc<dyn Observer>);
        if let Some(journal) = journal {
            team = team.journal(journal);
        }
        team.build().expect("the team makes sense")
    }

    /// Holds the end against the laws.
    fn end(&self, told: &[Told]) -> Played {
        let books = self.provider.books();
        let snapshot = self.limiter.snapshot();
        let account = self.watch.account();
        self.watch.broken(self.provider.broken());
        for (what, left) in [
            ("calls under way at the provider", u64::from(self.provider.in_flight())),
            ("permits out", u64::from(snapshot.in_flight)),
            ("calls waiting at the limiter", snapshot.waiting as u64),
            ("calls waiting in the queue", self.queue.len() as u64),
            ("calls reserved", account.reserved.calls),
            ("tokens reserved", account.reserved.tokens),
            ("dollars reserved", account.reserved.usd.as_nanos()),
        ] {
            if left > 0 {
                self.watch.broken([format!("{left} {what} in the end")]);
            }
        }
        if account.spent.calls != books.arrived || account.spent.tokens < books.tokens {
            self.watch.broken([format!("the budget knows of {:?}, the provider of {books:?}", account.spent)]);
        }
        told.iter().for_each(|told| self.nothing_is_lost(told, &books));
        let (calls, completed, story, hash, broken) = self.watch.end();
        if !broken.is_empty() {
            let tail = story.len().saturating_sub(60);
            panic!(
                "{:#?}\nthe end of the story:\n{}\nbroken:\n{}",
                self.world,
                story[tail..].join("\n"),
                broken.join("\n")
            );
        }
        let reports = || told.iter().filter_map(|told| told.report.as_ref());
        let accepted = reports().map(|report| report.count(TaskState::Accepted) as u64).sum();
        let resumed = told.iter().filter(|told| told.before.is_some()).count() as u64;
        let changes =
            |to: &str| story.iter().filter(|line| line.contains("KeyChanged") && line.contains(to)).count() as u64;
        let (opened, parked) = (changes("state: Open"), changes("state: Parked"));
        Played { calls, completed, throttled: books.throttled, accepted, resumed, opened, parked, story, hash }
    }

    /// What was delivered is in the report, nothing else is, and what was accepted stays accepted.
    fn nothing_is_lost(&self, told: &Told, books: &Books) {
        let Some(report) = &told.report else { return };
        let broken = |what: String| self.watch.broken([what]);
        let cut = self.world.runs[told.n].befalls.is_some()
            || matches!(report.outcome, RunOutcome::DeadlineExceeded | RunOutcome::Parked);
        for task in &report.tasks {
            let key = (report.run_id.to_string(), task.task_id.to_string(), "work");
            let texts = books.texts.get(&key).map(Vec::as_slice).unwrap_or_default();
            match &task.result {
                Some(text) if !texts.contains(text) => broken(format!("{key:?}: nobody ever said {text:?}")),
                None if !cut && texts.iter().any(|text| !text.is_empty()) => broken(format!("{key:?} is lost")),
                _ => {}
            }
            if !task.state.is_final() {
                broken(format!("{key:?} is reported as {:?}", task.state));
            }
        }
        for before in told.before.iter().flat_map(|before| &before.tasks) {
            let after = report.tasks.iter().find(|task| task.task_id == before.task_id);
            let kept = after.is_some_and(|after| after.success && after.result == before.result);
            if before.success && !kept {
                broken(format!("{} of run{} was accepted, and is {after:?}", before.task_id, told.n));
            }
        }
    }
}

fn settings(world: &World) -> Settings {
    let mut limits = Limits::default();
    if world.told {
        let [limit] = &world.limits[..] else { panic!("one limit is told") };
        let told = |rate: Option<std::num::NonZeroU32>, burst: Option<std::num::NonZeroU32>| {
            rate.map_or(Limit::None, |rate| Limit::Told {
                rate: Rate::per_minute(rate.get().into()),
                burst: burst.map(|burst| burst.get().into()),
            })
        };
        limits.requests = told(limit.rpm, limit.burst);
        limits.tokens = told(limit.tpm, limit.burst_tokens);
        limits.concurrency = limit.concurrency.map_or(Concurrency::Unlimited, Concurrency::Told);
    }
    Settings { limits, seed: world.seed, ..Settings::default() }
}

/// Longer than anything lasts that ends at all.
const FOREVER: Duration = Duration::from_secs(30 * 24 * 60 * 60);
