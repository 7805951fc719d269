//! Putting a team together, and why what was put together makes no sense.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bellwether_core::{Journal, Observer};
use bellwether_router::{FirstTier, Router};

use super::{Settings, Team};
use crate::events::{Events, Feed};
use crate::review::{Check, ReviewRules};
use crate::role::{Role, RoleKind};

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
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
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
        sound(&roles)?;
        let roles = roles.into_iter().map(Arc::new).collect();
        Ok(Team { name, roles, settings, observer, router, journal, origin, checks, tenant })
    }
}

/// Whether each role makes sense by itself and beside the others.
fn sound(roles: &[Role]) -> Result<(), TeamError> {
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
        room(role)?;
    }
    if !roles.iter().any(|role| role.kind == RoleKind::Worker) {
        return Err(TeamError::NoWorker);
    }
    Ok(())
}

/// Whether the longest answer of a role leaves something of each window for what it is asked.
fn room(role: &Role) -> Result<(), TeamError> {
    for (n, tier) in role.tiers.iter().enumerate() {
        if let (Some(answer), Some(window)) = (role.output_cap(n), tier.context)
            && role.window(n) == 0
        {
            let (role, model) = (Arc::clone(&role.name), Arc::clone(&tier.model));
            return Err(TeamError::NoRoom { role, model, answer, window });
        }
    }
    Ok(())
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
    /// A role may say as much as its model's window holds.
    #[error(
        "role {role:?} may say {answer} tokens, and the window of {model} holds {window}: nothing is left for what it is \
         asked; lower max_output_tokens"
    )]
    NoRoom {
        /// The role.
        role: Arc<str>,
        /// The model.
        model: Arc<str>,
        /// The most that the role may say.
        answer: u32,
        /// What its window holds.
        window: usize,
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
