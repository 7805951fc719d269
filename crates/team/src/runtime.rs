//! Living through a run: hands jobs to agents, hears what became of them, and tells everybody who watches.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bellwether_core::router::{Lesson, TaskProfile};
use bellwether_core::{Fact, Message, RunId, TaskId, Timestamp};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::agent::{Agent, Shared};
use crate::history::History;
use crate::mailbox::Mailbox;
use crate::message::{Address, Assignment, Body, Envelope, Finished, Job, JobError, Product, Spent};
use crate::plan::{Plan, PlanRules};
use crate::prompt::{self, Input};
use crate::report::{Frame, RunReport};
use crate::role::{Role, RoleKind};
use crate::state::{Event, Record, Rules, State, Stop};
use crate::team::{OnInvalidPlan, Team};
use crate::verdict::Verdict;

/// Stops a run from outside. Cheap to clone; all clones stop the same runs.
#[derive(Clone, Debug, Default)]
pub struct Control {
    drain: CancellationToken,
    halt: CancellationToken,
}

impl Control {
    /// Begins no new work; calls in flight may finish within the team's grace.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Stops at once; calls in flight are cancelled and may be billed.
    pub fn halt(&self) {
        self.drain.cancel();
        self.halt.cancel();
    }
}

impl Team {
    /// Works on `request` and reports what came of it. Failures are part of the report.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the agents and cancels their calls, which may be billed; the work is lost. Use
    /// [`Team::run_with`] to stop a run and keep its work.
    pub async fn run(&self, request: &str) -> RunReport {
        self.run_with(request, new_run_id(), &Control::default()).await
    }

    /// Works on `request` under a given id, until done or stopped.
    ///
    /// # Cancel safety
    ///
    /// As for [`Team::run`].
    pub async fn run_with(&self, request: &str, run: RunId, control: &Control) -> RunReport {
        Runtime::new(self, request, run).live(control).await
    }
}

/// A new run's id: sorts by time, otherwise random (UUID version 7).
#[must_use]
pub fn new_run_id() -> RunId {
    Uuid::now_v7().to_string().into()
}

struct Runtime<'a> {
    team: &'a Team,
    request: &'a str,
    began: Instant,
    state: State,
    shared: Arc<Shared>,
    inboxes: HashMap<Arc<str>, Arc<Mailbox>>,
    agents: JoinSet<()>,
}

impl<'a> Runtime<'a> {
    fn new(team: &'a Team, request: &'a str, run: RunId) -> Self {
        let settings = team.settings;
        let began = Instant::now();
        let parallel = settings.max_parallel.get();
        let rules = Rules {
            max_parallel: parallel,
            max_rounds: settings.max_rounds,
            threshold: settings.threshold,
            planned: team.role(RoleKind::Planner).is_some(),
            reviewed: team.role(RoleKind::Reviewer).is_some(),
        };
        let shared = Arc::new(Shared {
            run,
            team: Arc::clone(&team.name),
            class: settings.class,
            deadline: settings.deadline.map(|deadline| began + deadline),
            max_attempts: settings.max_attempts,
            plan_rules: PlanRules {
                roles: team.workers().iter().map(|role| Arc::clone(&role.name)).collect(),
                max_tasks: settings.max_tasks.get(),
            },
            observer: Arc::clone(&team.observer),
            // No more jobs than this are ever under way, so no sender ever waits.
            runtime: Mailbox::new(parallel),
            sent: AtomicU64::new(0),
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
                    shared: Arc::clone(&shared),
                };
                agents.spawn(agent.live());
            }
            inboxes.insert(Arc::clone(&role.name), inbox);
        }
        Self { team, request, began, state: State::new(rules), shared, inboxes, agents }
    }

    async fn live(mut self, control: &Control) -> RunReport {
        self.tell(&Fact::RunStarted { run: self.shared.run.clone(), team: Arc::clone(&self.team.name) });
        if self.team.role(RoleKind::Planner).is_none() {
            let plan = Plan::single(self.request, &self.shared.plan_rules, false);
            self.accept_plan(plan, Spent::ZERO);
        }
        let mut halt_at = self.shared.deadline;
        loop {
            for job in self.state.jobs() {
                self.assign(job).await;
            }
            if self.state.is_over() {
                break;
            }
            let shared = Arc::clone(&self.shared);
            let stopped = self.state.stop().is_some();
            tokio::select! {
                biased;
                () = control.halt.cancelled() => self.halt(Stop::Asked),
                () = at(halt_at) => self.halt(Stop::Deadline),
                () = control.drain.cancelled(), if !stopped => {
                    let grace = Instant::now() + self.team.settings.grace;
                    halt_at = Some(halt_at.map_or(grace, |deadline| deadline.min(grace)));
                    self.apply(Event::Stopped(Stop::Asked));
                }
                envelope = shared.runtime.receive() => {
                    if let Some(Envelope { body: Body::Finished(finished), .. }) = envelope {
                        self.hear(*finished);
                    }
                }
            }
        }
        self.finish().await
    }

    /// Hands a job to an agent of the role it is for.
    async fn assign(&mut self, job: Job) {
        let Some((role, tier, conversation)) = self.brief(&job) else { return };
        let role = Arc::clone(&role.name);
        let assignment = Assignment { job: job.clone(), tier, conversation };
        let body = match &job {
            Job::Review { .. } => Body::ReviewRequest(assignment),
            Job::Work { round, .. } if *round > 0 => Body::Revise(assignment),
            Job::Plan | Job::Work { .. } => Body::Assign(assignment),
        };
        self.apply(Event::Began(job, tier));
        self.send(&role, body).await;
    }

    async fn send(&self, role: &Arc<str>, body: Body) {
        let to = Address::Role(Arc::clone(role));
        let envelope = self.shared.envelope(None, Address::Runtime, to, body);
        if let Some(inbox) = self.inboxes.get(role)
            && let Err(envelope) = inbox.send(envelope).await
        {
            self.shared.bury(&envelope);
        }
    }

    /// Who does a job, on which tier, and what is said to them.
    fn brief(&self, job: &Job) -> Option<(&'a Role, usize, Vec<Message>)> {
        let team = self.team;
        match job {
            Job::Plan => {
                let role: &Role = team.role(RoleKind::Planner)?;
                let max_tasks = team.settings.max_tasks.get();
                Some((role, 0, prompt::plan(role, self.request, &team.workers(), max_tasks)))
            }
            Job::Review { task, .. } => {
                let role: &Role = team.role(RoleKind::Reviewer)?;
                let record = self.state.task(task)?;
                let work = &record.drafts.last()?.text;
                Some((role, 0, prompt::review(role, self.request, &record.planned, work, record.open_issues())))
            }
            Job::Work { task, round } => {
                let record = self.state.task(task)?;
                let role: &Role = team.named(&record.planned.role)?;
                let tier = if *round == 0 { self.route(role, record) } else { record.tier };
                Some((role, tier, self.work_so_far(role, record)))
            }
        }
    }

    /// The conversation of a task: its brief, then each draft with what the reviewer said of it.
    fn work_so_far(&self, role: &Role, record: &Record) -> Vec<Message> {
        let Some(plan) = self.state.plan() else { return Vec::new() };
        let needed = record.planned.depends_on.iter().filter_map(|id| self.state.task(id));
        let inputs: Vec<Input<'_>> = needed
            .map(|needed| Input { task: &needed.planned, work: needed.best().map(|draft| draft.text.as_str()) })
            .collect();
        let brief = prompt::work(role, self.request, plan, &record.planned, &inputs);
        let mut history = History::new(brief, role.history_tokens);
        for draft in &record.drafts {
            if let Some(verdict) = &draft.verdict {
                let said = Message::assistant(draft.text.as_str());
                history.push(said, prompt::revise(&verdict.issues, &verdict.summary));
            }
        }
        history.messages()
    }

    fn route(&self, role: &Role, record: &Record) -> usize {
        let profile = profile(role, record);
        self.team.router.route(&profile).tier.min(role.tiers.len() - 1)
    }

    /// Takes in what an agent reports.
    fn hear(&mut self, finished: Finished) {
        let Finished { job, result, spent } = finished;
        let event = match (job, result) {
            (_, Ok(Product::Plan(plan))) => return self.accept_plan(plan, spent),
            (Job::Plan, Err(JobError::Unusable(_)))
                if self.team.settings.on_invalid_plan == OnInvalidPlan::Fallback =>
            {
                let plan = Plan::single(self.request, &self.shared.plan_rules, true);
                return self.accept_plan(plan, spent);
            }
            (Job::Review { task, round }, Ok(Product::Verdict(verdict))) => {
                self.reviewed(&task, round, &verdict);
                Event::Judged(task, verdict, spent)
            }
            (Job::Work { task, .. }, Ok(Product::Work(text))) => Event::Produced(task, text, spent),
            (job, Ok(_)) => Event::Failed(job, JobError::Unusable("it is not what was asked for".to_owned()), spent),
            (job, Err(error)) => Event::Failed(job, error, spent),
        };
        self.apply(event);
    }

    fn accept_plan(&mut self, plan: Plan, spent: Spent) {
        self.tell(&Fact::PlanAccepted {
            run: self.shared.run.clone(),
            tasks: plan.tasks.iter().map(|task| (task.id.clone(), Arc::clone(&task.title))).collect(),
            degraded: plan.degraded,
        });
        self.apply(Event::Planned(plan, spent));
    }

    fn reviewed(&self, task: &TaskId, round: u32, verdict: &Verdict) {
        let accepted = verdict.accepts(self.team.settings.threshold);
        let run = self.shared.run.clone();
        self.tell(&Fact::TaskReviewed { run: run.clone(), task: task.clone(), round, score: verdict.score, accepted });
        if let Some(record) = self.state.task(task)
            && let Some(role) = self.team.named(&record.planned.role)
        {
            self.team.router.learn(&Lesson {
                run,
                task: task.clone(),
                round,
                profile: profile(role, record),
                tier: record.tier,
                accepted,
                cost: record.spent.usage.cost,
            });
        }
    }

    /// Folds an event into the state and tells which tasks it moved.
    fn apply(&mut self, event: Event) {
        let now = Timestamp::from(self.began.elapsed());
        for moved in self.state.apply(event, now) {
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
    }

    /// Stops the agents in the middle of what they do.
    fn halt(&mut self, stop: Stop) {
        self.apply(Event::Stopped(stop));
        self.agents.abort_all();
        for job in self.state.in_flight().to_vec() {
            self.apply(Event::Dropped(job));
        }
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
        let model = |role: &str, tier: usize| {
            let tier = self.team.named(role).and_then(|role| role.tiers.get(tier));
            tier.map_or_else(|| "".into(), |tier| Arc::clone(&tier.model))
        };
        let wall = self.began.elapsed();
        let frame = Frame { run: &self.shared.run, team: &self.team.name, request: self.request, wall, model: &model };
        let report = RunReport::new(&self.state, &frame);
        self.tell(&Fact::RunFinished {
            run: self.shared.run.clone(),
            team: Arc::clone(&self.team.name),
            outcome: report.outcome,
            took: wall,
        });
        report
    }

    fn tell(&self, fact: &Fact) {
        self.shared.observer.observe(fact);
    }
}

fn profile(role: &Role, record: &Record) -> TaskProfile {
    TaskProfile { role: Arc::clone(&role.name), complexity: record.planned.complexity, tiers: role.tiers.len() }
}

/// Waits until `moment`, or for ever if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
