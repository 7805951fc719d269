//! Living through a run: hands jobs to agents, hears what became of them, and tells everybody who watches.

mod joins;
mod letters;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bellwether_core::journal::JournalError;
use bellwether_core::{Fact, RunId, TaskId, TaskState, Timestamp};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::past::Past;
use super::snapshots::Snapshots;
use super::{Control, brief, routing};
use crate::agent::{Agent, Shared};
use crate::economy::Economy;
use crate::log::Log;
use crate::mailbox::Mailbox;
use crate::message::{Address, Assignment, Body, Envelope, Finished, Job, JobError, Product, Spent};
use crate::plan::Plan;
use crate::report::{Failure, Frame, RunReport};
use crate::review;
use crate::role::RoleKind;
use crate::state::{Attempt, Event, Move, Rules, State, Stop};
use crate::team::{OnInvalidPlan, Team};

pub(super) struct Runtime<'a> {
    team: &'a Team,
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
    pub(super) fn new(team: &'a Team, request: &'a str, run: RunId, log: Result<Option<Log>, JournalError>) -> Self {
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
            Err(error) => (None, Some(journal_failure(&error))),
        };
        let mut state = State::new(Rules::of(team));
        if let Some(failure) = broken {
            // A run that cannot be remembered does not begin: nothing may be paid for that a crash would lose.
            state.apply(Event::Stopped { stop: Stop::Hopeless(failure) }, Timestamp::ZERO);
        }
        Self {
            team,
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
    pub(super) async fn begin(mut self, control: &Control) -> RunReport {
        self.tell(&Fact::RunStarted { run: self.shared.run.clone(), team: Arc::clone(&self.team.name) });
        if self.team.role(RoleKind::Planner).is_none() && self.state.stop().is_none() {
            let plan = Plan::single(self.request, &self.shared.plan_rules, false);
            self.accept_plan(plan, Spent::ZERO).await;
        }
        self.live(control).await
    }

    /// Lives through the rest of a run.
    pub(super) async fn resume(mut self, past: Past, control: &Control) -> RunReport {
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
        self.live(control).await
    }

    async fn live(mut self, control: &Control) -> RunReport {
        let mut halt_at = self.shared.deadline;
        let mut stalled_at = None;
        let mut heard = u64::MAX;
        loop {
            self.join_all().await;
            self.assign_all().await;
            if self.state.is_over() {
                break;
            }
            let shared = Arc::clone(&self.shared);
            let stopped = self.state.stop().is_some();
            if self.heard != heard {
                heard = self.heard;
                stalled_at = Some(Instant::now() + self.team.settings.stall_after);
            }
            tokio::select! {
                biased;
                () = control.halt.cancelled() => self.halt(Stop::Asked).await,
                () = at(halt_at) => self.halt(Stop::Deadline).await,
                () = control.drain.cancelled(), if !stopped => {
                    let grace = Instant::now() + self.team.settings.grace;
                    halt_at = Some(halt_at.map_or(grace, |deadline| deadline.min(grace)));
                    self.record(vec![Event::Stopped { stop: Stop::Asked }]).await;
                }
                () = at(stalled_at) => {
                    stalled_at = None;
                    self.record(vec![Event::Stalled]).await;
                    continue;
                }
                envelope = shared.runtime.receive() => {
                    if let Some(Envelope { body: Body::Answer(finished) | Body::Finished(finished), .. }) = envelope {
                        self.hear(*finished).await;
                    }
                }
            }
        }
        self.finish().await
    }

    /// Hands every job that may begin to an agent of the role it is for. All of them are remembered before any is sent.
    async fn assign_all(&mut self) {
        let mut sent = Vec::new();
        let mut checks = Vec::new();
        let jobs = self.state.jobs();
        let left = self.shared.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let mut begun = routing::decide(self.team, &self.shared.run, &self.state, left, &jobs);
        for job in jobs {
            if let Job::Check { task, .. } = &job {
                checks.push(task.clone());
                begun.push(Event::Began { job, tier: 0 });
                continue;
            }
            let Some((role, tier, conversation)) = brief::of(self.team, self.request, &self.state, &job) else {
                continue;
            };
            let economy = self.state.economy();
            let fresh =
                |job: &Job| job.task().and_then(|task| self.state.task(task)).is_some_and(|t| t.stints.is_empty());
            let tier = match economy {
                Some(_) if job.phase() == "work" && fresh(&job) => 0,
                _ => routing::chosen(&begun, &job).unwrap_or(tier),
            };
            self.begun_under.insert(job.clone(), economy);
            let attempt = self.state.attempt(&job);
            let (output_cap, deadline) =
                (Economy::output_cap(economy, role.output_cap(tier)), self.task_deadline(&job));
            let called_off = CancellationToken::new();
            self.called_off.insert(job.clone(), called_off.clone());
            let assignment =
                Assignment { job: job.clone(), tier, output_cap, attempt, deadline, conversation, called_off };
            let body = match &job {
                Job::Answer { .. } => Body::Question(assignment),
                Job::Review { .. } => Body::ReviewRequest(assignment),
                Job::Work { round, .. } if *round > 0 => Body::Revise(assignment),
                Job::Audit { .. }
                | Job::Check { .. }
                | Job::Combine
                | Job::Digest { .. }
                | Job::Plan
                | Job::Work { .. } => Body::Assign(assignment),
            };
            begun.push(Event::Began { job, tier });
            sent.push((Arc::clone(&role.name), body));
        }
        if begun.is_empty() || !self.record(begun).await {
            return;
        }
        for (role, body) in sent {
            self.send(&role, body).await;
        }
        for task in checks {
            self.check(&task);
        }
    }

    /// Lets the team's checks look at a task's latest work, beside everything else.
    fn check(&mut self, task: &TaskId) {
        let Some(record) = self.state.task(task) else { return };
        let job = Job::Check { task: task.clone(), round: record.round };
        let work = record.drafts.last().map_or_else(String::new, |draft| draft.text.clone());
        let role = Arc::clone(&record.planned.role);
        let checks: Vec<_> = self.team.checks.iter().filter(|check| check.is_for(&role)).cloned().collect();
        let shared = Arc::clone(&self.shared);
        self.agents.spawn(async move {
            let findings = review::check::all(checks, work).await;
            let finished = Finished { job, result: Ok(Product::Findings(findings)), spent: Spent::ZERO };
            let body = Body::Finished(Box::new(finished));
            let envelope = shared.envelope(None, (Address::Runtime, &shared.own), Address::Runtime, body);
            if let Err(envelope) = shared.runtime.send(envelope).await {
                shared.bury(&envelope);
            }
        });
    }

    /// When a job's task has to be done: what a task asked for has no more time than the task itself.
    fn task_deadline(&self, job: &Job) -> Option<Instant> {
        let allowed = self.team.settings.task_deadline?;
        let mut record = self.state.task(job.task()?)?;
        while let Some(parent) = record.parent {
            record = &self.state.tasks()[parent];
        }
        let worked = self.now().since(record.began.unwrap_or_else(|| self.now()));
        Some(Instant::now() + allowed.saturating_sub(worked))
    }

    async fn send(&self, role: &Arc<str>, body: Body) {
        let to = Address::Role(Arc::clone(role));
        let envelope = self.shared.envelope(None, (Address::Runtime, &self.shared.own), to, body);
        if let Some(inbox) = self.inboxes.get(role)
            && let Err(envelope) = inbox.send(envelope).await
        {
            self.shared.bury(&envelope);
        }
    }

    /// Takes in what an agent reports.
    async fn hear(&mut self, finished: Finished) {
        self.heard += 1;
        let Finished { job, result, spent } = finished;
        self.called_off.remove(&job);
        let event = match (job, result) {
            (Job::Audit { task }, Ok(Product::Verdict(verdict))) => Event::Audited { task, verdict, spent },
            (Job::Answer { task, .. }, Ok(Product::Answer(text))) => Event::Answered { task, text, spent },
            (Job::Digest { task }, Ok(Product::Digest(text))) => Event::Digested { task, text, spent },
            (Job::Check { task, .. }, Ok(Product::Findings(findings))) => Event::Checked { task, findings },
            (Job::Plan, Ok(Product::Plan(plan))) => return self.accept_plan(plan, spent).await,
            (Job::Combine, Ok(Product::Whole(text))) => Event::Combined { text, spent },
            (Job::Review { task, .. }, Ok(Product::Verdict(verdict))) => Event::Judged { task, verdict, spent },
            (Job::Work { task, round }, Ok(Product::Work(text))) => match self.understand(&task, text, spent) {
                Ok(events) => {
                    self.record(events).await;
                    return;
                }
                Err(error) => return self.unusable(Job::Work { task, round }, error, spent).await,
            },
            (job, Err(JobError::CalledOff)) => Event::CalledOff { job, spent },
            (job, Ok(_)) => {
                let problems = vec!["it is not what was asked for".to_owned()];
                return self.unusable(job, JobError::Unusable { answer: String::new(), problems }, spent).await;
            }
            (job, Err(error @ JobError::Unusable { .. })) => return self.unusable(job, error, spent).await,
            (job, Err(error)) => {
                let failure = Failure::from(&error);
                match self.economy(&job, &failure) {
                    Some(economy) => Event::Economised { job, economy, spent },
                    None => Event::Failed { job, failure, spent },
                }
            }
        };
        self.record(vec![event]).await;
    }

    /// The step down under which a job that the budget did not cover may still fit.
    fn economy(&self, job: &Job, failure: &Failure) -> Option<Economy> {
        let dispensable = matches!(job, Job::Audit { .. });
        if self.state.stop().is_some() || dispensable || !failure.is_near_the_cap() {
            return None;
        }
        let now = self.state.economy();
        if self.begun_under.get(job).is_some_and(|under| *under < now) {
            // The run has stepped down since: that may be enough.
            return now;
        }
        let (role, tier, _) = brief::of(self.team, self.request, &self.state, job)?;
        let may_skip_review = self.team.settings.may_skip_review && self.team.role(RoleKind::Reviewer).is_some();
        Economy::next(now, job, role, tier, may_skip_review)
    }

    /// Asks again, if that is allowed; else the job came to nothing, or the request is worked on as a whole.
    async fn unusable(&mut self, job: Job, error: JobError, spent: Spent) {
        let failure = Failure::from(&error);
        if job == Job::Plan {
            self.tell(&Fact::PlanRejected { run: self.shared.run.clone(), reason: failure.message.clone() });
        }
        let event = match error {
            JobError::Unusable { answer, problems } if self.state.may_ask_again(&job) => {
                Event::Unusable { job, attempt: Attempt { answer, problems }, spent }
            }
            _ if job == Job::Plan && self.team.settings.on_invalid_plan == OnInvalidPlan::Fallback => {
                let plan = Plan::single(self.request, &self.shared.plan_rules, true);
                return self.accept_plan(plan, spent).await;
            }
            _ => Event::Failed { job, failure, spent },
        };
        self.record(vec![event]).await;
    }

    async fn accept_plan(&mut self, plan: Plan, spent: Spent) {
        let approval = self.team.settings.approve_plan;
        self.record(vec![Event::Planned { plan, spent, approval }]).await;
    }

    /// Tells what a reviewer said of a task in `round`, and what followed from it.
    fn tell_review(&self, task: &TaskId, round: u32, score: f64) {
        let (Some(record), run) = (self.state.task(task), self.shared.run.clone()) else { return };
        let accepted = record.state == TaskState::Accepted;
        self.tell(&Fact::TaskReviewed { run, task: task.clone(), round, score, accepted });
    }

    /// Remembers events, folds them into the state and tells which tasks they moved. If they cannot be remembered, the
    /// run begins nothing further; whether they could.
    async fn record(&mut self, events: Vec<Event>) -> bool {
        let now = self.now();
        let written = match &self.log {
            Some(log) => log.write(now, &events).await.map(|seq| self.snapshots.consider(self.team, log, seq)),
            None => Ok(()),
        };
        let Err(error) = written else {
            events.into_iter().for_each(|event| self.fold(event, now));
            return true;
        };
        self.log = None;
        // What was about to begin did not; what came in is kept for the report.
        for event in events.into_iter().filter(|event| !matches!(event, Event::Began { .. })) {
            self.fold(event, now);
        }
        self.fold(Event::Stopped { stop: Stop::Hopeless(journal_failure(&error)) }, now);
        if matches!(error, JournalError::Fenced { .. }) {
            // Another process does it now: every further token would be paid for twice.
            self.drop_all(now);
        }
        false
    }

    fn fold(&mut self, event: Event, now: Timestamp) {
        match &event {
            Event::Planned { plan, .. } => self.tell_plan(plan),
            Event::Spawned { task, tasks, .. } => self.tell_spawned(task, tasks),
            Event::Undelivered { letter } => self.tell_dead(letter),
            Event::Routed { task, route } => {
                let (tier, why) = (Arc::clone(&route.name), route.why.clone());
                let (run, task, explored) = (self.shared.run.clone(), task.clone(), route.explored);
                self.tell(&Fact::RouteDecided { run, task, tier, explored, why });
            }
            _ => {}
        }
        let reviewed = match &event {
            Event::Judged { task, verdict, .. } => {
                self.state.task(task).map(|record| (task.clone(), record.round, verdict.score))
            }
            _ => None,
        };
        let audited = if let Event::Audited { task, .. } = &event { Some(task.clone()) } else { None };
        let moves = self.state.apply(event, now);
        if let Some(task) = audited
            && let Some(agreed) = routing::audited(self.team, &self.shared.run, &self.state, &task)
        {
            self.tell(&Fact::TaskAudited { run: self.shared.run.clone(), task, agreed });
        }
        if let Some((task, round, score)) = reviewed {
            self.tell_review(&task, round, score);
        }
        for moved in moves {
            self.tell_move(&moved);
            routing::teach(self.team, &self.shared.run, &self.state, moved.task);
        }
    }

    /// Stops the agents in the middle of what they do.
    async fn halt(&mut self, stop: Stop) {
        self.agents.abort_all();
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
            let _ = log.finish(now, report.outcome).await;
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
        report(self.team, self.request, &self.shared.run, &self.state, now)
    }

    fn tell_plan(&self, plan: &Plan) {
        self.tell(&Fact::PlanAccepted {
            run: self.shared.run.clone(),
            tasks: plan.tasks.iter().map(|task| (task.id.clone(), Arc::clone(&task.title))).collect(),
            degraded: plan.degraded,
        });
    }

    fn tell_move(&self, moved: &Move) {
        let record = &self.state.tasks()[moved.task];
        self.tell(&Fact::TaskMoved {
            run: self.shared.run.clone(),
            task: record.planned.id.clone(),
            role: Arc::clone(&record.planned.role),
            from: moved.from,
            to: moved.to,
            round: record.round,
        });
    }

    fn tell(&self, fact: &Fact) {
        self.shared.observer.observe(fact);
    }
}

/// What is remembered of a run, as a report.
pub(super) fn recall(team: &Team, run: &RunId, past: &Past) -> RunReport {
    report(team, &past.opening.request, run, &past.state, past.at)
}

fn report(team: &Team, request: &str, run: &RunId, state: &State, now: Timestamp) -> RunReport {
    let model = |role: &str, tier: usize| {
        let tier = team.named(role).and_then(|role| role.tiers.get(tier));
        tier.map_or_else(|| "".into(), |tier| Arc::clone(&tier.model))
    };
    let wall = now.since(Timestamp::ZERO);
    RunReport::new(state, &Frame { run, team: &team.name, request, wall, model: &model })
}

fn journal_failure(error: &JournalError) -> Failure {
    let source = std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"));
    Failure { kind: "journal".to_owned(), message: format!("{error}{source}"), provider: None }
}

/// Waits until `moment`, or for ever if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
