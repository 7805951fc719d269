//! The one place that asks the router, and the one that tells it what became of its decisions.

use std::sync::Arc;
use std::time::Duration;

use bellwether_core::{RunId, TaskId};
use bellwether_router::{Audit, Brief, Features, Lesson, Means, Offer, TaskProfile};

use crate::message::Job;
use crate::role::{Role, RoleKind};
use crate::state::audit::Audited;
use crate::state::{Event, Record, State};
use crate::team::Team;

/// The tiers on which tasks start that are about to begin. What was decided before stays decided, so that a resumed
/// run goes the same way.
pub(super) fn decide(team: &Team, run: &RunId, state: &State, left: Option<Duration>, jobs: &[Job]) -> Vec<Event> {
    let means = Means {
        spent: state.spent().usage.cost.unwrap_or_default(),
        done: state.tasks().iter().filter(|record| record.state.is_final()).count(),
        tasks: state.tasks().len(),
        time_left: left,
    };
    let unrouted = |job: &Job| match job {
        Job::Work { task, .. } => state.task(task).filter(|record| record.route.is_none() && record.stints.is_empty()),
        _ => None,
    };
    let decided = jobs.iter().filter_map(unrouted).filter_map(|record| {
        let role = team.named(&record.planned.role)?;
        let mut route = team.router.route(&profile(team, run, role, record, means));
        route.tier = route.tier.min(role.tiers.len() - 1);
        Some(Event::Routed { task: record.planned.id.clone(), route: Box::new(route) })
    });
    decided.collect()
}

/// The tier that was just decided on for a job.
pub(super) fn chosen(decided: &[Event], job: &Job) -> Option<usize> {
    decided.iter().find_map(|event| match event {
        Event::Routed { task, route } if job.phase() == "work" && job.task() == Some(task) => Some(route.tier),
        _ => None,
    })
}

fn profile(team: &Team, run: &RunId, role: &Role, record: &Record, means: Means) -> TaskProfile {
    let planned = &record.planned;
    let features = Features::of(&Brief {
        objective: &planned.objective,
        criteria: &planned.acceptance,
        tags: &planned.tags,
        complexity: planned.complexity,
        needs: planned.depends_on.len() + planned.wants.len(),
        output_tokens: planned.est_output_tokens,
    });
    let offer = |tier: &crate::role::Tier| Offer {
        name: Arc::clone(&tier.name),
        model: Arc::clone(&tier.model),
        price: tier.price,
    };
    TaskProfile {
        run: run.clone(),
        task: planned.id.clone(),
        role: Arc::clone(&role.name),
        tiers: role.tiers.iter().map(offer).collect(),
        features,
        escalations: team.settings.review.max_escalations,
        means,
    }
}

/// Tells the router what an audit of a task's judge came to, if there was one; it knows what it heard before. Whether the
/// second judge agreed.
pub(super) fn audited(team: &Team, run: &RunId, state: &State, task: &TaskId) -> Option<bool> {
    let record = state.task(task)?;
    let agreed = match record.audited? {
        Audited::Agreed => true,
        Audited::Disagreed => false,
        Audited::Nobody => return None,
    };
    let judge = team.role(RoleKind::Reviewer)?.tiers.get(record.judge)?;
    team.router.audited(&Audit { run: run.clone(), task: task.clone(), judge: Arc::clone(&judge.model), agreed });
    Some(agreed)
}

/// Tells the router what became of a task on each tier it was on. It knows what it heard before.
pub(super) fn teach(team: &Team, run: &RunId, state: &State, task: usize) {
    let record = &state.tasks()[task];
    let (Some(route), Some(role)) = (&record.route, team.named(&record.planned.role)) else { return };
    // A run that was stopped may still come back to it.
    if state.stop().is_some() && record.state == bellwether_core::TaskState::Rejected {
        return;
    }
    let judge = team.role(RoleKind::Reviewer).and_then(|role| role.tiers.get(record.judge));
    let judge = judge.map(|tier| Arc::clone(&tier.model));
    for outcome in record.outcomes() {
        let Some(tier) = role.tiers.get(outcome.stint.tier) else { continue };
        team.router.learn(&Lesson {
            run: run.clone(),
            task: record.planned.id.clone(),
            stint: u32::try_from(outcome.n).unwrap_or(u32::MAX),
            role: Arc::clone(&role.name),
            route: route.clone(),
            tier: outcome.stint.tier,
            model: Arc::clone(&tier.model),
            ending: outcome.ending,
            judge: judge.clone(),
            cost: outcome.cost,
            review_cost: outcome.review_cost,
            took: outcome.took,
        });
    }
}
