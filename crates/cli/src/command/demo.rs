//! `bellwether demo`: the main job over real HTTP, against a simulator in the same process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use bellwether_sim::{Answers, Burst, Fail, Fault, Faults, Latency, Scenario, Simulator};

use super::FEATURE_TEAM;
use crate::args::Demo;
use crate::exit::{Exit, Failure};
use crate::memory;
use crate::parts::Overrides;
use crate::session::{self, Work};
use crate::team_file::TeamFile;
use crate::terminal::note;

pub(crate) async fn run(args: &Demo) -> Result<Exit, Failure> {
    let file = TeamFile::parse(Path::new("demo/team.toml"), FEATURE_TEAM.to_owned()).map_err(Failure::usage)?;
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let simulator = Simulator::start(scenario(args), addr)
        .await
        .map_err(|error| Failure::io("the simulator cannot listen on this machine", &error))?;
    note(&format!("simulated provider at {} (every answer is made up)", simulator.base_url()));
    let overrides = Overrides { base_url: Some(simulator.base_url()), ..Overrides::default() };
    // The page shows what a journal remembers.
    let journal = args.view.ui.then(|| memory::DIRECTORY.into());
    let exit = session::run(&file, overrides, &[], Work::Begin(args.task.clone()), journal, &args.view).await;
    simulator.shutdown().await;
    exit
}

/// Quick, but not healthy: one call fails, and a burst of others is told to slow down.
fn scenario(args: &Demo) -> Scenario {
    Scenario {
        seed: args.seed,
        answers: Answers { plan_tasks: usize::from(args.tasks), ..Answers::default() },
        latency: Latency {
            first_token: Duration::from_millis(150),
            per_token: Duration::from_millis(3),
            ..Latency::default()
        },
        faults: Faults { fail: vec![Fail { request: 2, with: Fault::Error503 }], ..Faults::default() },
        bursts: vec![Burst::Requests { after: 5, count: 2, retry_after: Some(Duration::from_secs(1)) }],
        ..Scenario::default()
    }
}
