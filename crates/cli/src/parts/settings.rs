//! From a team file to what the team keeps to.

use std::num::{NonZeroU32, NonZeroU64};

use bellwether_budget::Caps;
use bellwether_core::Class;
use bellwether_team::plan::Means;
use bellwether_team::{OnInvalidPlan, OnTaskFailure, Settings, Share, SpawnRules};

use super::{Overrides, places, set};
use crate::exit::Failure;
use crate::team_file::TeamFile;
use crate::team_file::raw::{Count, RawClass, RawOnInvalid, RawOnTaskFailure, RawPlan};
use crate::{checks, purse};

pub(super) fn settings(file: &TeamFile, overrides: &Overrides) -> Result<Settings, Failure> {
    let raw = &file.raw;
    let mut settings = Settings::default();
    if let Some(count) = overrides.max_parallel.map(Count).or(raw.workflow.max_parallel) {
        settings.max_parallel = places(count);
    }
    if let Some(count) = raw.plan.max_tasks {
        settings.max_tasks = places(count);
    }
    if let Some(count) = raw.plan.max_depth {
        settings.max_depth = places(count);
    }
    settings.spawn = spawn(&raw.plan);
    settings.max_questions = raw.workflow.max_questions.unwrap_or(settings.max_questions);
    settings.plan_repairs = raw.plan.repair_attempts.unwrap_or(settings.plan_repairs);
    settings.right_size = raw.plan.right_size.unwrap_or(settings.right_size);
    let Caps { usd, tokens, calls, .. } = purse::caps(file, overrides);
    settings.means = Means { usd, tokens, calls };
    settings.reserve_for_synthesis = purse::reserve(file);
    if let Some(Count(attempts)) = raw.workflow.max_attempts {
        settings.max_attempts = attempts;
    }
    settings.review = checks::rules(&raw.review);
    settings.may_skip_review = raw.review.may_skip.unwrap_or(settings.may_skip_review);
    settings.on_invalid_plan = match raw.plan.on_invalid {
        RawOnInvalid::Fail => OnInvalidPlan::Fail,
        RawOnInvalid::Fallback => OnInvalidPlan::Fallback,
    };
    settings.deadline = overrides.deadline.or_else(|| raw.budget.deadline.map(|span| span.0));
    set(&mut settings.grace, raw.workflow.grace);
    if let Some(Count(weight)) = raw.team.weight {
        settings.weight = NonZeroU32::MIN.saturating_add(weight - 1);
    }
    settings.class = match raw.team.class {
        RawClass::Batch => Class::Batch,
        RawClass::Interactive => Class::Interactive,
        RawClass::Standard => Class::Standard,
    };
    settings.approve_plan = overrides.approve_plan || raw.approval.plan;
    if let Some(Count(entries)) = raw.journal.snapshot_every {
        settings.snapshot_every = NonZeroU64::MIN.saturating_add(u64::from(entries) - 1);
    }
    settings.pipelined = raw.workflow.pipelined.unwrap_or(settings.pipelined);
    settings.on_task_failure = on_task_failure(file)?;
    settings.task_deadline = raw.workflow.task_deadline.map(|span| span.0);
    set(&mut settings.stall_after, raw.workflow.stall_after);
    Ok(settings)
}

/// How far tasks may ask for further ones.
fn spawn(raw: &RawPlan) -> SpawnRules {
    let usual = SpawnRules::default();
    SpawnRules {
        max_tasks: raw.max_spawn.map_or(usual.max_tasks, |most| usize::try_from(most).unwrap_or(usize::MAX)),
        max_depth: raw.max_spawn_depth.unwrap_or(usual.max_depth),
        join: raw.join.map_or(usual.join, |join| join.0),
    }
}

/// What to do when a task comes to nothing; a quorum needs to know how much of the plan it is.
fn on_task_failure(file: &TeamFile) -> Result<OnTaskFailure, Failure> {
    let workflow = &file.raw.workflow;
    let wrong = |what: &str| Failure::usage(file.mistake(None, what));
    match (workflow.on_task_failure, workflow.quorum) {
        (RawOnTaskFailure::Quorum, Some(share)) => Share::new(share)
            .map(OnTaskFailure::Quorum)
            .ok_or_else(|| wrong("workflow.quorum has to lie between 0 and 1")),
        (RawOnTaskFailure::Quorum, None) => {
            Err(wrong("on_task_failure = \"quorum\" needs quorum = 0.0 to 1.0, the share of tasks that must succeed"))
        }
        (_, Some(_)) => Err(wrong("quorum has no effect without on_task_failure = \"quorum\"")),
        (RawOnTaskFailure::ContinueIndependent, None) => Ok(OnTaskFailure::ContinueIndependent),
        (RawOnTaskFailure::FailFast, None) => Ok(OnTaskFailure::FailFast),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_says_how_urgent_it_is_and_how_much_it_weighs() {
        let text = "schema = 1\nprovider = {}\nmodels = {}\nroles = {}\n\
                    team = { name = 't', class = 'batch', weight = 7 }\n";
        let file = TeamFile::parse("team.toml".as_ref(), text.to_owned()).unwrap();
        let settings = settings(&file, &Overrides::default()).expect("the file is right");
        assert_eq!((settings.class, settings.weight.get()), (Class::Batch, 7));
    }
}
