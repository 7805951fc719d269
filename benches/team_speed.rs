//! What a team costs by itself: processor time per step, memory per idle agent, and starting the program.
//!
//! ```sh
//! cargo build --release -p bellwether && cargo bench -p bellwether-benches --bench team_speed
//! ```
//!
//! The provider answers at once, so that what is left is ours. Fails above 60 us of processor time a step, under 15,000
//! steps a second, and above 1.5 KiB an idle agent.

use std::num::NonZeroUsize;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bellwether_provider::{CallContext, ChatProvider, ChatRequest, ChatResponse, ChatStream, ProviderError};
use bellwether_team::{Role, RunOutcome, Settings, Team, Tier};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use peak_alloc::PeakAlloc;
use tokio::task::JoinSet;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Answers at once, and notes how much memory is in use when it is asked for work.
#[derive(Debug, Default)]
struct AtOnce {
    in_use: AtomicUsize,
}

#[async_trait]
impl ChatProvider for AtOnce {
    fn name(&self) -> &'static str {
        "at-once"
    }

    async fn stream(&self, _: ChatRequest, context: CallContext) -> Result<ChatStream, ProviderError> {
        self.in_use.fetch_max(ALLOCATED.current_usage(), Ordering::SeqCst);
        Ok(ChatStream::ready(ChatResponse::text(match context.phase {
            "plan" => (1..=20).map(|n| format!("{n}. step {n}\n")).collect(),
            "review" => r#"{"decision": "accept", "score": 0.9}"#.to_owned(),
            _ => "done".to_owned(),
        })))
    }

    async fn models(&self) -> Result<Vec<String>, ProviderError> {
        Ok(Vec::new())
    }
}

fn usage(who: UsageWho) -> Usage {
    getrusage(who).expect("the system counts")
}

/// Seconds of this process's processors.
fn cpu() -> f64 {
    let used = usage(UsageWho::RUSAGE_SELF);
    (used.user_time().num_microseconds() + used.system_time().num_microseconds()) as f64 / 1e6
}

/// Microseconds of processor time for a step, and steps in a second, over many runs of 41 steps side by side.
fn steps(runs: usize) -> (f64, f64) {
    let tier = Tier::new(Arc::new(AtOnce::default()), "model");
    let team = Team::builder("bench")
        .role(Role::planner("lead", "You plan.", tier.clone()))
        .role(Role::worker("coder", "You code.", tier.clone()))
        .role(Role::reviewer("critic", "You review.", tier))
        .settings(Settings { max_parallel: NonZeroUsize::new(20).expect("not zero"), ..Settings::default() })
        .build()
        .expect("the team makes sense");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let (began, before) = (Instant::now(), cpu());
    let done: u32 = runtime.block_on(async {
        let mut done = 0;
        let mut under_way = JoinSet::new();
        for _ in 0..runs {
            // Twenty runs of up to twenty agents each: four hundred at once.
            if under_way.len() == 20 {
                done += under_way.join_next().await.expect("some are").expect("no run panics");
            }
            let team = team.clone();
            under_way.spawn(async move {
                let report = team.run("build it").await;
                assert_eq!(report.outcome, RunOutcome::Succeeded);
                report.calls
            });
        }
        while let Some(calls) = under_way.join_next().await {
            done += calls.expect("no run panics");
        }
        done
    });
    let done = f64::from(done);
    ((cpu() - before) * 1e6 / done, done / began.elapsed().as_secs_f64())
}

/// Bytes of memory for each agent that waits for work.
fn idle(agents: usize) -> f64 {
    let provider = Arc::new(AtOnce::default());
    let tier = Tier::new(Arc::<AtOnce>::clone(&provider), "model");
    let many = NonZeroUsize::new(agents).expect("there are agents");
    let team = Team::builder("bench")
        .role(Role { instances: many, ..Role::worker("coder", "You code.", tier) })
        .settings(Settings { max_parallel: many, ..Settings::default() })
        .build()
        .expect("the team makes sense");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
    let before = ALLOCATED.current_usage();
    let report = runtime.block_on(team.run("build it"));
    assert_eq!(report.calls, 1);
    (provider.in_use.load(Ordering::SeqCst) - before) as f64 / agents as f64
}

/// The median milliseconds from start to end of the program, and the most memory it ever had in MB.
#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn cold_start(runs: usize) {
    let here = std::env::current_exe().expect("this program has a path");
    let Some(program) = here.ancestors().nth(2).map(|folder| folder.join("bellwether")).filter(|path| path.exists())
    else {
        println!("cold start: not measured; cargo build --release -p bellwether");
        return;
    };
    let team = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/teams/feature.toml");
    for args in [&["--version"][..], &["check", team]] {
        let mut took: Vec<f64> = (0..runs)
            .map(|_| {
                let began = Instant::now();
                let ended = Command::new(&program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status();
                assert!(ended.is_ok_and(|ended| ended.success()), "{args:?}");
                began.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        took.sort_by(f64::total_cmp);
        let most = usage(UsageWho::RUSAGE_CHILDREN).max_rss() as f64 / 1024.0;
        println!("cold start of {}: {:.1} ms, {most:.1} MB at most", args[0], took[took.len() / 2]);
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
fn main() {
    let test = std::env::args().any(|arg| arg == "--test");
    // Before anything that makes this process large: a child begins as a copy of it.
    cold_start(if test { 1 } else { 21 });
    let (micros, per_second) = steps(if test { 20 } else { 2_000 });
    println!("{micros:.1} us of processor time a step, {per_second:.0} steps a second");
    assert!(test || micros <= 60.0 && per_second >= 15_000.0, "a step costs too much");
    let agents = if test { 1_000 } else { 500_000 };
    let bytes = idle(agents);
    println!("{bytes:.0} bytes an idle agent, {agents} of them in {:.0} MB", bytes * agents as f64 / 1e6);
    assert!(bytes <= 1_536.0, "an idle agent takes {bytes:.0} bytes");
}
