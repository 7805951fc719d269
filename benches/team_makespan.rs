//! How near a team comes to the shortest time its plan allows, beside working in the planner's order and in strict phases.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench team_makespan
//! ```
//!
//! First 1 plan, 20 pieces of work and 20 reviews of 100 ms each in real time: the ideal is 300 ms. Then random plans in
//! virtual time: tasks whose sizes are spread lognormally and known to the planner, calls that take as long as the size
//! says, more or less (lognormally again, unknown to anybody), on m agents. No order can be shorter than the longest chain
//! or than the work divided by m. Fails above 1.03, and above a median of 1.15.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bellwether_provider::{CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, ProviderError};
use bellwether_team::{Role, RunOutcome, Settings, Team, Tier};
use fastrand::Rng;
use serde_json::json;
use tokio::time::Instant;

/// Answers after a time that depends on what is asked for.
#[derive(Debug)]
struct Timed {
    plan: String,
    planning: Duration,
    /// How long the work of each task takes; the reviews as long as the planning.
    work: HashMap<String, Duration>,
}

#[async_trait]
impl ChatProvider for Timed {
    fn name(&self) -> &'static str {
        "timed"
    }

    async fn stream(&self, _: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        let task = context.task.as_ref().map_or("", |task| task.as_str());
        let (text, took) = match context.phase {
            "plan" => (self.plan.as_str(), self.planning),
            "review" => (r#"{"decision": "accept", "score": 0.9}"#, self.planning),
            _ => ("done", self.work.get(task).copied().unwrap_or(self.planning)),
        };
        tokio::time::sleep(took).await;
        Ok(ChatStream::ready(ChatResponse::text(text)))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

fn team(provider: Timed, agents: usize, reviewed: bool, pipelined: bool) -> Team {
    let tier = Tier::new(Arc::new(provider), "model");
    let most = NonZeroUsize::new(agents).expect("there are agents");
    let worker = Role { instances: most, ..Role::worker("coder", "You code.", tier.clone()) };
    let mut builder = Team::builder("bench").role(Role::planner("lead", "You plan.", tier.clone())).role(worker);
    if reviewed {
        builder = builder.role(Role { instances: most, ..Role::reviewer("critic", "You review.", tier) });
    }
    let limit = NonZeroUsize::new(2_000).expect("two thousand is not zero");
    let settings =
        Settings { max_parallel: most, max_tasks: limit, max_depth: limit, pipelined, ..Settings::default() };
    builder.settings(settings).build().expect("the team makes sense")
}

/// A random plan: what each task needs, what the planner thinks it takes, and what it does take.
struct Dag {
    needs: Vec<Vec<usize>>,
    sizes: Vec<f64>,
    seconds: Vec<f64>,
}

impl Dag {
    fn random(tasks: usize, dice: &mut Rng) -> Self {
        let mut dag = Self { needs: Vec::new(), sizes: Vec::new(), seconds: Vec::new() };
        for n in 0..tasks {
            // Most tasks need up to three of those named shortly before; every tenth needs nobody.
            let most = if n == 0 || dice.u8(..10) == 0 { 0 } else { dice.usize(1..=3) };
            let needs: BTreeSet<usize> = (0..most).map(|_| n - 1 - dice.usize(..n.min(50))).collect();
            dag.needs.push(needs.into_iter().collect());
            let size = 5.0 * lognormal(0.8, dice);
            dag.sizes.push(size);
            dag.seconds.push(size * lognormal(0.4, dice));
        }
        dag
    }

    /// Under this no order comes: the longest chain, and the work divided by the agents.
    fn bound(&self, agents: usize) -> f64 {
        let mut ends: Vec<f64> = Vec::with_capacity(self.needs.len());
        for (n, needs) in self.needs.iter().enumerate() {
            let ready = needs.iter().map(|needed| ends[*needed]).fold(0.0, f64::max);
            ends.push(ready + self.seconds[n]);
        }
        let work: f64 = self.seconds.iter().sum();
        ends.into_iter().fold(0.0, f64::max).max(work / agents as f64)
    }

    /// The same agents, taking whatever has been ready the longest.
    fn first_come(&self, agents: usize) -> f64 {
        let mut free = vec![0.0_f64; agents];
        let mut ends: Vec<Option<f64>> = vec![None; self.needs.len()];
        let mut left: BTreeSet<usize> = (0..self.needs.len()).collect();
        while !left.is_empty() {
            let ready =
                |n: &usize| self.needs[*n].iter().try_fold(0.0_f64, |latest, needed| Some(latest.max(ends[*needed]?)));
            let candidates = left.iter().filter_map(|n| Some((ready(n)?, *n)));
            let (since, n) = candidates.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))).expect("no circle");
            let agent = free.iter_mut().min_by(|a, b| a.total_cmp(b)).expect("there are agents");
            *agent = agent.max(since) + self.seconds[n];
            ends[n] = Some(*agent);
            left.remove(&n);
        }
        ends.into_iter().flatten().fold(0.0, f64::max)
    }

    fn provider(&self) -> Timed {
        let task = |(n, needs): (usize, &Vec<usize>)| {
            let needs: Vec<String> = needs.iter().map(|needed| format!("t{}", needed + 1)).collect();
            let tokens = (self.sizes[n] * 60.0).ceil();
            json!({ "id": format!("t{}", n + 1), "title": format!("step {n}"), "depends_on": needs, "est_output_tokens": tokens })
        };
        let plan = json!({ "tasks": self.needs.iter().enumerate().map(task).collect::<Vec<_>>() }).to_string();
        let work = self.seconds.iter().enumerate();
        let work = work.map(|(n, seconds)| (format!("t{}", n + 1), Duration::from_secs_f64(*seconds))).collect();
        Timed { plan, planning: Duration::ZERO, work }
    }

    /// How long a team takes, in virtual time.
    fn lived(&self, agents: usize, pipelined: bool) -> f64 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime can be made");
        let report = runtime.block_on(team(self.provider(), agents, false, pipelined).run("build it"));
        assert_eq!(report.outcome, RunOutcome::Succeeded, "{}", report.reason);
        assert_eq!(report.tasks.len(), self.needs.len());
        report.wall.as_secs_f64()
    }
}

/// A factor whose median is 1 (Box and Muller 1958).
fn lognormal(sigma: f64, dice: &mut Rng) -> f64 {
    let (a, b) = (1.0 - dice.f64(), dice.f64());
    (sigma * (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()).exp()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The best of some runs in real time, as a multiple of the ideal.
fn in_real_time(runs: usize) -> f64 {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let call = Duration::from_millis(100);
    let once = || {
        let plan = (1..=20).map(|n| format!("{n}. step {n}\n")).collect();
        let team = team(Timed { plan, planning: call, work: HashMap::new() }, 20, true, true);
        let began = Instant::now();
        let report = runtime.block_on(team.run("build it"));
        assert_eq!((report.outcome, report.calls), (RunOutcome::Succeeded, 41));
        began.elapsed().as_secs_f64() / (3.0 * call.as_secs_f64())
    };
    median((0..runs).map(|_| once()).collect())
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn main() {
    let test = std::env::args().any(|arg| arg == "--test");
    let makespan = in_real_time(if test { 1 } else { 15 });
    println!("1 + 20 + 20 calls of 100 ms: {makespan:.4} of the ideal\n");
    assert!(test || makespan <= 1.03, "the makespan is {makespan:.4} of the ideal");

    println!("| tasks | agents | ours, median | worst | first come, median | strict phases, median |");
    println!("|---|---|---|---|---|---|");
    let (sizes, seeds): (&[usize], u64) = if test { (&[50], 1) } else { (&[50, 200, 500, 1_000, 2_000], 11) };
    let mut all = Vec::new();
    for &tasks in sizes {
        for agents in [4, 16, 64] {
            let (mut ours, mut first_come, mut strict) = (Vec::new(), Vec::new(), Vec::new());
            for seed in 0..seeds {
                let dag = Dag::random(tasks, &mut Rng::with_seed(seed));
                let bound = dag.bound(agents);
                ours.push(dag.lived(agents, true) / bound);
                first_come.push(dag.first_come(agents) / bound);
                strict.push(dag.lived(agents, false) / bound);
            }
            let worst = ours.iter().copied().fold(0.0, f64::max);
            let (first_come, strict) = (median(first_come), median(strict));
            println!(
                "| {tasks} | {agents} | {:.3} | {worst:.3} | {first_come:.3} | {strict:.3} |",
                median(ours.clone())
            );
            all.append(&mut ours);
        }
    }
    let all = median(all);
    println!("\nmedian over all plans: {all:.3} of the bound");
    assert!(all <= 1.15, "the median is {all:.3} of the bound");
}
