//! Living through a run: hands jobs to agents, hears what became of them, and tells everybody who watches.

mod assign;
mod hear;
mod joins;
mod letters;
mod record;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bellwether_core::journal::JournalError;
use bellwether_core::{Fact, RunId, Timestamp};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::past::Past;
use super::snapshots::Snapshots;
use super::{Control, routing};
use crate::agent::{Agent, Shared};
use crate::economy::Economy;
use crate::log::Log;
use crate::mailbox::Mailbox;
use crate::message::{Address, Body, Envelope, Job, Spent};
use crate::plan::Plan;
use crate::report::{Failure, Frame, RunReport};
use crate::role::RoleKind;
use crate::state::{Event, Move, Rules, State, Stop};
use crate::team::Team;

pub(super) struct Runtime<'a> {
    team: &'a Team,
    control: &'a Control,
    /// Whether the journal knows of it, if there is one.
    is_known: bool,
    request: &'a str,
    log: Option<Log>,
    /// When this process began to work on it.
    began: Instant,
    /// How long others had worked on it before.
    before: Timestamp,
    state: State,
    shared: Arc<Shared>,
    inboxes: HashMap<Arc<str>, Arc<Mailbox>>,
    agents: JoinSet<()>,
    /// How many answers have come in.
    heard: u64,
    snapshots: Snapshots,
    /// The step down under which each job was begun.
    begun_under: HashMap<Job, Option<Economy>>,
    /// How to stop each job under way.
    called_off: HashMap<Job, CancellationToken>,
}

impl<'a> Runtime<'a> {
    pub(super) fn new(
        team: &'a Team,
        request: &'a str,
        run: RunId,
        log: Result<Option<Log>, JournalError>,
        control: &'a Control,
    ) -> Self {
        let settings = team.settings;
        let began = Instant::now();
        let parallel = settings.max_parallel.get();
        let shared = Arc::new(Shared {
            run,
            team: Arc::clone(&team.name),
            tenant: Arc::clone(&team.tenant),
            class: settings.class,
            weight: settings.weight,
            deadline: settings.deadline.map(|deadline| began + deadline),
            request: request.into(),
            plan_rules: team.plan_rules(),
            observer: Arc::clone(&team.observer),
            // No more jobs than this are ever under way, so no sender ever waits.
            runtime: Mailbox::new(parallel),
            sent: AtomicU64::new(0),
            own: AtomicU64::new(0),
            dead: Default::default(),
        });
        let mut agents = JoinSet::new();
        let mut inboxes = HashMap::new();
        for role in &team.roles {
            let inbox = Arc::new(Mailbox::new(parallel));
            for n in 1..=role.instances.get().min(parallel) {
                let agent = Agent {
                    address: Address::Agent(Arc::clone(&role.name), n),
                    role: Arc::clone(role),
                    inbox: Arc::clone(&inbox),
                    sent: Arc::default(),
                    shared: Arc::clone(&shared),
                };
                agents.spawn(agent.live());
            }
            inboxes.insert(Arc::clone(&role.name), inbox);
        }
        let (log, broken) = match log {
            Ok(log) => (log, None),
            Err(error) => (None, Some(Failure::of_the_journal(&error))),
        };
        let mut state = State::new(Rules::of(team));
        let is_known = broken.is_none();
        if let Some(failure) = broken {
            // A run that cannot be remembered does not begin: nothing may be paid for that a crash would lose.
            state.apply(Event::Stopped { stop: Stop::Hopeless(failure) }, Timestamp::ZERO);
        }
        Self {
            team,
            control,
            is_known,
            request,
            log,
            began,
            before: Timestamp::ZERO,
            state,
            shared,
            inboxes,
            agents,
            heard: 0,
            snapshots: Snapshots::after(0),
            begun_under: HashMap::new(),
            called_off: HashMap::new(),
        }
    }

    /// Lives through a new run.
    pub(super) async fn begin(mut self) -> RunReport {
        self.tell(&Fact::RunStarted { run: self.shared.run.clone(), team: Arc::clone(&self.team.name) });
        self.do_without_a_planner().await;
        self.live().await
    }

    /// The request as a whole is the plan if nobody makes one.
    async fn do_without_a_planner(&mut self) {
        let wanting = self.state.plan().is_none() && self.state.stop().is_none();
        if wanting && self.team.role(RoleKind::Planner).is_none() {
            let plan = Plan::single(self.request, &self.shared.plan_rules, false);
            self.accept_plan(plan, Spent::ZERO).await;
        }
    }

    /// Lives through the rest of a run.
    pub(super) async fn resume(mut self, past: Past) -> RunReport {
        let Past { state, at, kept, .. } = past;
        (self.before, self.state, self.snapshots) = (at, state, Snapshots::after(kept));
        self.tell(&Fact::RunStarted { run: self.shared.run.clone(), team: Arc::clone(&self.team.name) });
        let rules = Rules::of(self.team);
        let mut events = vec![Event::Resumed];
        if *self.state.rules() != rules {
            // What was decided under the old ones stays decided.
            events.insert(0, Event::Adopted { rules: Box::new(rules) });
        }
        self.record(events).await;
        // Whoever watches this process has seen nothing of the run yet.
        if let Some(plan) = self.state.plan() {
            self.tell_plan(plan);
        }
        for task in 0..self.state.tasks().len() {
            let to = self.state.tasks()[task].state;
            self.tell_move(&Move { task, from: None, to });
            // What the process before this one may not have come to say.
            routing::teach(self.team, &self.shared.run, &self.state, task);
            routing::audited(self.team, &self.shared.run, &self.state, &self.state.tasks()[task].planned.id);
        }
        // The planner may have left meanwhile.
        self.do_without_a_planner().await;
        self.live().await
    }

    async fn live(mut self) -> RunReport {
        let control = self.control;
        let mut halt_at = self.shared.deadline;
        let mut stalled_at = None;
        let mut drains = false;
        let mut heard = u64::MAX;
        loop {
            self.join_all().await;
            while self.assign_all().await {}
            if self.state.is_over() {
                break;
            }
            let shared = Arc::clone(&self.shared);
            let stopped = self.state.stop().is_some_and(|stop| !stop.leaves_the_whole());
            if self.heard != heard {
                heard = self.heard;
                stalled_at = Some(Instant::now() + self.team.settings.stall_after);
            }
            tokio::select! {
                biased;
                () = control.halt.cancelled() => self.halt(Stop::Asked).await,
                () = at(halt_at) => self.halt(Stop::Deadline).await,
                () = control.drain.cancelled(), if !drains => {
                    drains = true;
                    let grace = Instant::now() + self.team.settings.grace;
                    halt_at = Some(halt_at.map_or(grace, |deadline| deadline.min(grace)));
                    if !stopped {
                        self.record(vec![Event::Stopped { stop: Stop::Asked }]).await;
                    }
                }
                () = at(stalled_at) => {
                    stalled_at = None;
                    self.record(vec![Event::Stalled]).await;
                    continue;
                }
                envelope = shared.runtime.receive() => {
                    self.hear_out(envelope).await;
                }
            }
        }
        self.finish().await
    }

    async fn hear_out(&mut self, envelope: Option<Envelope>) {
        if let Some(Envelope { body: Body::Answer(finished) | Body::Finished(finished), .. }) = envelope {
            self.hear(*finished).await;
        }
    }

    /// Stops the agents in the middle of what they do.
    async fn halt(&mut self, stop: Stop) {
        self.agents.abort_all();
        // What has come in while nobody listened, be it because the disk was slow, is paid for.
        while let Some(envelope) = self.shared.runtime.take() {
            self.hear_out(Some(envelope)).await;
        }
        let dropped = self.state.in_flight().iter().cloned().map(|job| Event::Dropped { job });
        let events = std::iter::once(Event::Stopped { stop }).chain(dropped).collect();
        if !self.record(events).await {
            self.drop_all(self.now());
        }
    }

    fn drop_all(&mut self, now: Timestamp) {
        self.agents.abort_all();
        for job in self.state.in_flight().to_vec() {
            self.fold(Event::Dropped { job }, now);
        }
    }

    fn now(&self) -> Timestamp {
        self.before + self.began.elapsed()
    }

    async fn finish(mut self) -> RunReport {
        for inbox in self.inboxes.values() {
            inbox.close();
        }
        while self.agents.join_next().await.is_some() {}
        for inbox in self.inboxes.values() {
            for envelope in inbox.drain() {
                self.shared.bury(&envelope);
            }
        }
        self.bury_all().await;
        let now = self.now();
        let report = self.report(now);
        if let Some(log) = self.log.take() {
            // Everything that counts is remembered already; without this entry the run only looks unfinished.
            let _ = self.control.in_time(log.finish(now, report.outcome)).await;
        }
        self.tell(&Fact::RunFinished {
            run: self.shared.run.clone(),
            team: Arc::clone(&self.team.name),
            outcome: report.outcome,
            took: report.wall,
        });
        report
    }

    fn report(&self, now: Timestamp) -> RunReport {
        let report = report(self.team, self.request, &self.shared.run, &self.state, now);
        RunReport { resumable: report.resumable && self.is_known, ..report }
    }
}

/// What is remembered of a run, as a report.
pub(super) fn recall(team: &Team, past: &Past) -> RunReport {
    report(team, &past.opening.request, &past.run, &past.state, past.at)
}

fn report(team: &Team, request: &str, run: &RunId, state: &State, now: Timestamp) -> RunReport {
    let model = |role: &str, tier: usize| {
        let tier = team.named(role).and_then(|role| role.tiers.get(tier));
        tier.map_or_else(|| "".into(), |tier| Arc::clone(&tier.model))
    };
    let wall = now.since(Timestamp::ZERO);
    RunReport::new(state, &Frame { run, team: &team.name, request, wall, model: &model })
}

/// Waits until `moment`, or for ever if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
