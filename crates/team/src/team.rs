//! A team: its roles, its rules, and how to put one together.

mod builder;
mod settings;

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_core::{Journal, Observer};
use bellwether_router::Router;

use crate::plan::PlanRules;
use crate::review::{Check, ReviewRules};
use crate::role::{Role, RoleKind};

pub use builder::{TeamBuilder, TeamError};
pub use settings::{OnInvalidPlan, OnTaskFailure, Settings, Share};

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
        TeamBuilder::new(name.into())
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
        let Settings { max_tasks, max_depth, right_size, means, reserve_for_synthesis, .. } = self.settings;
        let held_back = self.role(RoleKind::Synthesizer).map_or(0.0, |_| reserve_for_synthesis.value());
        let workers = self.workers();
        // The first tier is the cheapest.
        let price = |role: &&Role| Some((Arc::clone(&role.name), role.tiers.first()?.price?));
        PlanRules {
            max_tasks: max_tasks.get(),
            max_depth: max_depth.get(),
            right_size,
            means: means.without(held_back),
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
