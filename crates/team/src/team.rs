//! A team: its roles, its rules, and how to put one together.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{Class, Journal, Observer};
use bellwether_router::{FirstTier, Router};
use serde::{Deserialize, Serialize};

use crate::events::{Events, Feed};
use crate::plan::{Means, PlanRules, SpawnRules};
use crate::review::{Check, ReviewRules};
use crate::role::{Role, RoleKind};

/// A team that can run. Cheap to clone; runs of one team share nothing but its providers.
#[derive(Clone, Debug)]
pub struct Team {
    pub(crate) name: Arc<str>,
    pub(crate) roles: Vec<Arc<Role>>,
    pub(crate) settings: Settings,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) router: Arc<dyn Router>,
    pub(crate) journal: Option<Arc<dyn Journal>>,
    pub(crate) origin: Option<Arc<str>>,
    pub(crate) checks: Vec<Arc<dyn Check>>,
    pub(crate) tenant: Arc<str>,
}

/// What a team keeps to. Every limit is finite.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most agents at work at once.
    pub max_parallel: NonZeroUsize,
    /// The most subtasks a plan may have.
    pub max_tasks: NonZeroUsize,
    /// The most subtasks of a plan in a row, each needing the one before.
    pub max_depth: NonZeroUsize,
    /// How often a planner is told what is wrong with its plan before the next tier is asked, once.
    pub plan_repairs: u32,
    /// Whether a plan of simple tasks becomes one task, done by one worker.
    pub right_size: bool,
    /// How far tasks may ask for further ones, if their role may.
    pub spawn: SpawnRules,
    /// How many questions a task may ask others, if its role may.
    pub max_questions: u32,
    /// What the run may take: a plan that would take more is not begun.
    pub means: Means,
    /// How often a model is asked again in all if its answer cannot be used: at least once.
    pub max_attempts: u32,
    /// What is good enough, and how often work may go back.
    pub review: ReviewRules,
    /// Whether work may go unreviewed when the budget does not cover the review.
    pub may_skip_review: bool,
    /// What to do if no plan can be read from the planner's answers.
    pub on_invalid_plan: OnInvalidPlan,
    /// Whether a run waits for somebody to agree to its plan; see [`Team::approve`].
    pub approve_plan: bool,
    /// Whether a task begins as soon as what it needs is there. Otherwise the plan is worked through row by row, and in
    /// each row all work is done before any is reviewed.
    pub pipelined: bool,
    /// What to do when a task comes to nothing.
    pub on_task_failure: OnTaskFailure,
    /// The most time a task may take from its first agent's begin; unlimited if absent.
    pub task_deadline: Option<Duration>,
    /// After how long without any change a run is said to be stalled. Nothing is stopped for it.
    pub stall_after: Duration,
    /// The most time a run may take; unlimited if absent.
    pub deadline: Option<Duration>,
    /// How long calls in flight may go on after a run was asked to stop.
    pub grace: Duration,
    /// After how many entries of a run a snapshot of it is left in the journal; in a long run, after a quarter of them.
    pub snapshot_every: NonZeroU64,
    /// How urgent the team's calls are.
    pub class: Class,
    /// The share of its runs, relative to other runs on the same quota.
    pub weight: NonZeroU32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_parallel: NonZeroUsize::MIN.saturating_add(7),
            max_tasks: NonZeroUsize::MIN.saturating_add(23),
            max_depth: NonZeroUsize::MIN.saturating_add(7),
            plan_repairs: 2,
            right_size: true,
            spawn: SpawnRules::default(),
            max_questions: 2,
            means: Means::default(),
            max_attempts: 3,
            review: ReviewRules::default(),
            may_skip_review: true,
            on_invalid_plan: OnInvalidPlan::Fallback,
            approve_plan: false,
            pipelined: true,
            on_task_failure: OnTaskFailure::ContinueIndependent,
            task_deadline: None,
            stall_after: Duration::from_secs(300),
            deadline: None,
            grace: Duration::from_secs(20),
            snapshot_every: NonZeroU64::MIN.saturating_add(255),
            class: Class::Standard,
            weight: NonZeroU32::MIN,
        }
    }
}

/// What to do if no plan can be read from the planner's answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OnInvalidPlan {
    /// The run fails.
    Fail,
    /// The request is worked on as a whole.
    Fallback,
}

/// What to do when a task comes to nothing. What needs it is skipped in any case.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTaskFailure {
    /// Everything else goes on.
    ContinueIndependent,
    /// Nothing further begins.
    FailFast,
    /// Everything else goes on as long as this share of the tasks can still be done; with it, the run counts as done.
    Quorum(Share),
}

/// A share of a whole, from 0 to 1.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Share(f64);

impl Share {
    /// The share, if it lies between 0 and 1.
    #[must_use]
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// The share as a number from 0 to 1.
    #[must_use]
    pub const fn value(self) -> f64 {
        self.0
    }

    /// So many of `all`, rounded up.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "plans have far fewer than 2^52 tasks"
    )]
    pub fn of(self, all: usize) -> usize {
        (self.0 * all as f64).ceil() as usize
    }
}

impl Team {
    /// Begins to put a team together. Three agents, and what they did:
    ///
    /// ```
    /// use std::sync::Arc;
    /// use bellwether_team::{ChatProvider, Role, Team, Tier};
    /// # use bellwether_core::ChatResponse;
    /// # use bellwether_provider::Scripted;
    /// # async fn three(provider: Arc<dyn ChatProvider>) -> Result<(), bellwether_team::TeamError> {
    /// let tier = Tier::new(provider, "your-model");
    /// let team = Team::builder("feature")
    ///     .role(Role::planner("lead", "You are a tech lead: break the task down.", tier.clone()))
    ///     .role(Role::worker("coder", "You write clean, documented Rust.", tier.clone()))
    ///     .role(Role::reviewer("critic", "You review for security, speed and clarity.", tier))
    ///     .build()?;
    /// let report = team.run("An async HTTP client with retries").await;
    /// for task in &report.tasks {
    ///     println!("{} {}: {}", task.task_id, task.title, task.state.as_str());
    /// }
    /// # assert_eq!(report.outcome, bellwether_team::RunOutcome::Succeeded);
    /// # Ok(())
    /// # }
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    /// # let provider = Scripted::answering(|_, context| Ok(ChatResponse::text(match context.phase {
    /// #     "plan" => "1. Write it\n2. Test it",
    /// #     "review" => "Verdict: accept\nScore: 0.9",
    /// #     _ => "done",
    /// # })));
    /// # runtime.block_on(three(Arc::new(provider))).unwrap();
    /// ```
    #[must_use]
    pub fn builder(name: impl Into<Arc<str>>) -> TeamBuilder {
        TeamBuilder {
            name: name.into(),
            roles: Vec::new(),
            settings: Settings::default(),
            observer: Arc::new(()),
            feeds: Vec::new(),
            router: Arc::new(FirstTier),
            journal: None,
            origin: None,
            checks: Vec::new(),
            tenant: "default".into(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its roles, in the order in which they were added.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.iter().map(|role| &**role)
    }

    /// Its checks, in the order in which they were added.
    pub fn checks(&self) -> impl Iterator<Item = &dyn Check> {
        self.checks.iter().map(|check| &**check)
    }

    /// Its rules.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the results of its runs depend on, by name. What only says how fast or how far they go is not among it.
    pub(crate) fn terms(&self) -> BTreeMap<String, String> {
        let ReviewRules { threshold, max_rounds, .. } = self.settings.review;
        let mut terms = BTreeMap::from([("review".to_owned(), format!("threshold {threshold}, rounds {max_rounds}"))]);
        if !self.checks.is_empty() {
            let names: Vec<&str> = self.checks.iter().map(|check| check.id()).collect();
            terms.insert("checks".to_owned(), names.join(", "));
        }
        for role in self.roles() {
            let models: Vec<&str> = role.tiers.iter().map(|tier| &*tier.model).collect();
            let name = format!("role {}", role.name);
            terms.insert(format!("{name}: kind"), role.kind.as_str().to_owned());
            terms.insert(format!("{name}: models"), models.join(", "));
            terms.insert(format!("{name}: prompt"), role.prompt.to_string());
        }
        terms
    }

    /// What this team's plans keep to.
    pub(crate) fn plan_rules(&self) -> PlanRules {
        let Settings { max_tasks, max_depth, right_size, means, .. } = self.settings;
        let workers = self.workers();
        // The first tier is the cheapest.
        let price = |role: &&Role| Some((Arc::clone(&role.name), role.tiers.first()?.price?));
        PlanRules {
            max_tasks: max_tasks.get(),
            max_depth: max_depth.get(),
            right_size,
            means,
            prices: workers.iter().filter_map(price).collect(),
            ..PlanRules::new(workers.iter().map(|role| Arc::clone(&role.name)))
        }
    }

    pub(crate) fn workers(&self) -> Vec<&Role> {
        self.roles().filter(|role| role.kind == RoleKind::Worker).collect()
    }

    pub(crate) fn role(&self, kind: RoleKind) -> Option<&Arc<Role>> {
        self.roles.iter().find(|role| role.kind == kind)
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.iter().find(|role| &*role.name == name)
    }
}

/// Puts a team together.
#[derive(Debug)]
pub struct TeamBuilder {
    name: Arc<str>,
    roles: Vec<Role>,
    settings: Settings,
    observer: Arc<dyn Observer>,
    feeds: Vec<Arc<dyn Observer>>,
    router: Arc<dyn Router>,
    journal: Option<Arc<dyn Journal>>,
    origin: Option<Arc<str>>,
    checks: Vec<Arc<dyn Check>>,
    tenant: Arc<str>,
}

impl TeamBuilder {
    /// Adds a role. A team needs a worker; it may have one planner, one reviewer, one synthesizer, and any
    /// number of workers.
    #[must_use]
    pub fn role(mut self, role: Role) -> Self {
        self.roles.push(role);
        self
    }

    /// Adds a check: it looks at each piece of work before any reviewer does.
    #[must_use]
    pub fn check(mut self, check: Arc<dyn Check>) -> Self {
        self.checks.push(check);
        self
    }

    /// Sets the rules.
    #[must_use]
    pub const fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets who hears the run's facts; give the same observer to the dispatch around the provider.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Adds a stream of what happens in the team's runs, which keeps at least so many facts for a reader that is slow;
    /// beside whatever observer is set.
    #[must_use]
    pub fn events(mut self, capacity: NonZeroUsize) -> (Self, Events) {
        let (feed, events) = Feed::new(capacity);
        self.feeds.push(Arc::new(feed));
        (self, events)
    }

    /// Sets who picks the tiers; the first tier of each role if not set.
    #[must_use]
    pub fn router(mut self, router: Arc<dyn Router>) -> Self {
        self.router = router;
        self
    }

    /// Sets where runs are remembered, so that they can be resumed; without it a run is forgotten when it ends.
    #[must_use]
    pub fn journal(mut self, journal: Arc<dyn Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Sets where the team comes from, such as the path of its file; the journal keeps it, so that whoever resumes a run
    /// finds the team again under `origin` in the run's first entry.
    #[must_use]
    pub fn origin(mut self, origin: impl Into<Arc<str>>) -> Self {
        self.origin = Some(origin.into());
        self
    }

    /// Sets who pays for the team's calls: a quota is shared between tenants first, and a tenant may have a budget of
    /// its own. `default` if not set.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<Arc<str>>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// The team.
    ///
    /// # Errors
    ///
    /// [`TeamError`] if a role or a rule makes no sense.
    pub fn build(self) -> Result<Team, TeamError> {
        let Self { name, roles, settings, mut observer, mut feeds, router, journal, origin, checks, tenant } = self;
        if !feeds.is_empty() {
            feeds.insert(0, observer);
            observer = Arc::new(feeds);
        }
        if settings.max_attempts == 0 {
            return Err(TeamError::NoAttempts);
        }
        let ReviewRules { threshold, min_gain, .. } = settings.review;
        if !(0.0..=1.0).contains(&threshold) {
            return Err(TeamError::Threshold { threshold });
        }
        if !(min_gain > 0.0 && min_gain <= 1.0) {
            return Err(TeamError::MinGain { min_gain });
        }
        if let Some(n) = (0..checks.len()).find(|&n| checks[..n].iter().any(|other| other.id() == checks[n].id())) {
            return Err(TeamError::SameCheck { check: checks[n].id().to_owned() });
        }
        for (n, role) in roles.iter().enumerate() {
            let name = || Arc::clone(&role.name);
            if role.name.trim().is_empty() {
                return Err(TeamError::Nameless { n: n + 1 });
            }
            if roles[..n].iter().any(|other| other.name == role.name) {
                return Err(TeamError::SameName { role: name() });
            }
            if role.prompt.trim().is_empty() {
                return Err(TeamError::NoPrompt { role: name() });
            }
            if role.tiers.is_empty() {
                return Err(TeamError::NoTiers { role: name() });
            }
            if role.kind != RoleKind::Worker && roles[..n].iter().any(|other| other.kind == role.kind) {
                return Err(TeamError::SameKind { role: name() });
            }
        }
        if !roles.iter().any(|role| role.kind == RoleKind::Worker) {
            return Err(TeamError::NoWorker);
        }
        let roles = roles.into_iter().map(Arc::new).collect();
        Ok(Team { name, roles, settings, observer, router, journal, origin, checks, tenant })
    }
}

/// Why a team makes no sense.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TeamError {
    /// A rise of the score that is none, or can never be.
    #[error("the least gain of a review round is {min_gain}: it has to be above 0 and at most 1")]
    MinGain {
        /// The rise.
        min_gain: f64,
    },
    /// A role has no name.
    #[error("role number {n} has no name")]
    Nameless {
        /// Which one, counted from 1.
        n: usize,
    },
    /// No attempt is allowed.
    #[error("max_attempts is 0: allow at least one attempt")]
    NoAttempts,
    /// A role has no prompt.
    #[error("role {role:?} has no prompt: say what it is to do")]
    NoPrompt {
        /// The role.
        role: Arc<str>,
    },
    /// A role has no model.
    #[error("role {role:?} has no tiers: name at least one model")]
    NoTiers {
        /// The role.
        role: Arc<str>,
    },
    /// Nobody does the work.
    #[error("the team has no worker: add a role of kind \"worker\"")]
    NoWorker,
    /// Two checks of one name.
    #[error("there are two checks named {check:?}")]
    SameCheck {
        /// The name.
        check: String,
    },
    /// A second planner, reviewer or synthesizer.
    #[error(
        "role {role:?} is a second one of its kind: a team has at most one planner, one reviewer and one synthesizer"
    )]
    SameKind {
        /// The role.
        role: Arc<str>,
    },
    /// Two roles of one name.
    #[error("there are two roles named {role:?}")]
    SameName {
        /// The name.
        role: Arc<str>,
    },
    /// A threshold that no score can be measured against.
    #[error("the review threshold is {threshold}: it has to lie between 0 and 1")]
    Threshold {
        /// The threshold.
        threshold: f64,
    },
}
