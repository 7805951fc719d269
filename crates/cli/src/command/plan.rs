//! `bellwether plan`: what a team would do and take, before it does it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use bellwether_core::Usd;
use bellwether_team::estimate::{Spawning, Spread};
use bellwether_team::plan::{Plan, PlannedTask};
use bellwether_team::{ChangedTerms, Estimate, Ruling, RunOutcome, RunReport, Team};
use serde_json::{Value, json};

use crate::args::{Plan as Args, Progress, View};
use crate::exit::{Exit, Failure};
use crate::memory;
use crate::parts::Overrides;
use crate::session::{self, Work};
use crate::team_file::TeamFile;
use crate::terminal::{cut, note, out, plain};

/// Plans, shows the plan and its estimate, and leaves the run parked; with `--approve` it goes on at once.
pub(crate) async fn run(args: Args) -> Result<Exit, Failure> {
    let file = TeamFile::read(&args.team).map_err(Failure::usage)?;
    if args.task.trim().is_empty() {
        return Err(Failure::usage("the task is empty").remedy("say what the team is to do"));
    }
    let named = args.journal.or_else(|| file.raw.journal.dir.as_ref().map(PathBuf::from));
    let journal = named.unwrap_or_else(|| memory::DIRECTORY.into());
    let view =
        View { json: args.json, output: args.output, progress: args.progress, metrics: None, ui: false, trace: None };
    let overrides = || Overrides { base_url: args.base_url.clone(), approve_plan: true, ..Overrides::default() };
    let quiet = View { output: None, progress: Progress::None, metrics: None, ui: false, trace: None, ..view };
    let begin = Work::Begin(args.task.trim().to_owned());
    let report = session::perform(&file, overrides(), &args.budget, begin, Some(&journal), &quiet).await?;
    let (RunOutcome::Parked, Some(plan)) = (report.outcome, &report.plan) else {
        session::show(&report, &quiet)?;
        return Ok(Exit::of(&report));
    };
    let team = session::at_rest(&file, None)?;
    let estimate = team.estimate(plan, &report.request);
    let tiers: Vec<_> = plan.tasks.iter().map(|task| tiers(&team, task)).collect();
    // With --approve the one object that --json promises is the report of the run.
    match (args.json, args.approve) {
        (true, false) => out(&format!("{}\n", machine(&report, plan, &estimate, &tiers))),
        (true, true) => {}
        (false, _) => out(&people(&report, plan, &estimate, &tiers)),
    }
    let at = session::beside(&journal);
    if !args.approve {
        note(&format!(
            "go on with: bellwether approve {}{at} && bellwether resume {}{at}",
            report.run_id, report.run_id
        ));
        return Ok(Exit::Done);
    }
    let store = memory::open(&journal, Some(&file))?;
    session::approve(&file, &report.run_id, Ruling::Approve, store).await?;
    let work = Work::Resume(report.run_id, ChangedTerms::Refuse);
    session::run(&file, overrides(), &args.budget, work, Some(journal), &view).await
}

/// The models that a task may be worked on with, the cheapest first.
fn tiers(team: &Team, task: &PlannedTask) -> Vec<String> {
    let role = team.roles().find(|role| role.name == task.role);
    role.into_iter().flat_map(|role| role.tiers.iter().map(|tier| tier.name.to_string())).collect()
}

fn machine(report: &RunReport, plan: &Plan, estimate: &Estimate, tiers: &[Vec<String>]) -> Value {
    let seconds = |time: Duration| time.as_secs_f64();
    let mut plan = json!(plan);
    for (task, tiers) in plan["tasks"].as_array_mut().into_iter().flatten().zip(tiers) {
        task["tiers"] = json!(tiers);
    }
    json!({
        "run_id": report.run_id.as_str(),
        "plan": plan,
        "planning": { "calls": report.calls, "cost_usd": report.cost_usd.map(|cost| cost.as_dollars()) },
        "estimate": {
            "calls": { "p50": estimate.calls.p50, "p90": estimate.calls.p90 },
            "tokens": { "p50": estimate.tokens.p50, "p90": estimate.tokens.p90 },
            "cost_usd": estimate.cost.map(|cost| json!({ "p50": cost.p50.as_dollars(), "p90": cost.p90.as_dollars() })),
            "seconds": { "p50": seconds(estimate.time.p50), "p90": seconds(estimate.time.p90) },
            "spawning": estimate.spawning.map(|most| json!({
                "tasks": most.tasks,
                "calls": most.calls,
                "tokens": most.tokens,
                "cost_usd": most.cost.map(Usd::as_dollars),
                "seconds": seconds(most.time),
            })),
        },
    })
}

fn people(report: &RunReport, plan: &Plan, estimate: &Estimate, tiers: &[Vec<String>]) -> String {
    let mut text = String::from("=== Plan ===\n");
    if !plan.summary.is_empty() {
        let _ = writeln!(text, "{}", plain(&plan.summary, false));
    }
    for assumption in &plan.assumptions {
        let _ = writeln!(text, "assumed: {}", plain(assumption, false));
    }
    let _ = writeln!(text, "\n{:<5} {:<12} {:<20} {:>4}  {:<12} Title", "Task", "Role", "Tiers", "Hard", "After");
    for (task, tiers) in plan.tasks.iter().zip(tiers) {
        let needs = task.depends_on.iter().map(ToString::to_string);
        let after: Vec<String> = needs.chain(task.wants.iter().map(|id| format!("({id})"))).collect();
        let _ = writeln!(
            text,
            "{:<5} {:<12} {:<20} {:>4}  {:<12} {}",
            task.id,
            cut(&plain(&task.role, false), 12),
            cut(&tiers.join(" > "), 20),
            task.complexity,
            cut(&after.join(" "), 12),
            cut(&plain(&task.title, false), 60),
        );
    }
    for mended in &plan.mended {
        let _ = writeln!(text, "mended: {}", cut(&plain(mended, false), 200));
    }
    if plan.degraded {
        text.push_str("No plan could be read from the planner's answers: one task for everything.\n");
    }
    let spent = report.cost_usd.map_or_else(|| "unknown".to_owned(), |cost| cost.to_string());
    let _ = writeln!(text, "\nSpent on planning:    {spent} in {} calls", report.calls);
    let cost = estimate
        .cost
        .map_or_else(|| "unknown: a model has no price".to_owned(), |cost| spread(&cost, ToString::to_string));
    let _ = writeln!(text, "Cost of the rest:     {cost}");
    let time = |time: &Duration| format!("{:.0}s", time.as_secs_f64());
    let _ = writeln!(text, "Time of the rest:     {}", spread(&estimate.time, time));
    let _ = writeln!(text, "Calls of the rest:    {}", spread(&estimate.calls, ToString::to_string));
    if let Some(Spawning { tasks, calls, cost, time, .. }) = estimate.spawning {
        let cost = cost.map_or_else(String::new, |cost| format!("{cost}, "));
        let time = time.as_secs_f64();
        let _ = writeln!(text, "With spawned tasks:   up to {tasks} more, then {cost}{time:.0}s, {calls} calls");
    }
    let _ = writeln!(text, "Run:                  {} (waits for approval)", report.run_id);
    text
}

fn spread<T>(of: &Spread<T>, show: impl Fn(&T) -> String) -> String {
    format!("{} half the time, {} nine times of ten", show(&of.p50), show(&of.p90))
}

/// What is said of a run that waits, to whoever began it.
pub(crate) fn waits(report: &RunReport, at: &str) {
    if let Some(plan) = &report.plan {
        let tasks: Vec<String> = plan.tasks.iter().map(|task| format!("{} {}", task.id, task.title)).collect();
        note(&format!("the plan: {}", cut(&plain(&tasks.join("; "), false), 400)));
    }
    note(&format!("agree with: bellwether approve {}{at}, or --deny REASON", report.run_id));
}
