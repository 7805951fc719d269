//! `bellwether simulate`: serves a simulated provider until it is stopped.

use bellwether_sim::{ApiKey, Limit, Scenario, Simulator};
use serde_json::json;

use crate::args::Simulate;
use crate::exit::{Exit, Failure};
use crate::session;
use crate::terminal::{note, out};

pub(crate) async fn run(args: Simulate) -> Result<Exit, Failure> {
    let (json, listen) = (args.json, args.listen);
    let simulator = Simulator::start(scenario(args)?, listen).await.map_err(|error| {
        Failure::io(format!("cannot listen at {listen}"), &error)
            .remedy("another --listen address, or port 0 for a free one")
    })?;
    if json {
        out(&format!("{}\n", json!({ "base_url": simulator.base_url() })));
    } else {
        out(&format!("simulated provider at {}\n", simulator.base_url()));
        note("statistics at /stats; Ctrl-C ends it");
    }
    session::signal().await;
    let so_far = simulator.stats();
    // Answers under way are given to the end, and counted; a second signal does not wait for them.
    let stats = tokio::select! {
        stats = simulator.shutdown() => stats,
        () = session::signal() => so_far,
    };
    if json {
        let stats = serde_json::to_string(&stats).map_err(|error| Failure::new(Exit::Io, error.to_string()))?;
        out(&format!("{stats}\n"));
    } else {
        note(&format!(
            "{} requests, {} told to slow down, at most {} at once, {} tokens in, {} out",
            stats.requests, stats.throttled, stats.peak_in_flight, stats.input_tokens, stats.output_tokens
        ));
    }
    Ok(Exit::Done)
}

/// The scenario file, changed by the flags.
fn scenario(args: Simulate) -> Result<Scenario, Failure> {
    let mut scenario = match &args.scenario {
        None => Scenario::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", path.display())))?;
            Scenario::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?
        }
    };
    scenario.seed = args.seed.unwrap_or(scenario.seed);
    if args.rpm.is_some() || args.tpm.is_some() || args.concurrency.is_some() {
        let limit = Limit { rpm: args.rpm, tpm: args.tpm, concurrency: args.concurrency, ..Limit::default() };
        scenario.limits.push(limit);
    }
    scenario.faults.error_503 = args.error_503.unwrap_or(scenario.faults.error_503);
    scenario.faults.reset = args.reset.unwrap_or(scenario.faults.reset);
    scenario.check().map_err(|error| Failure::usage(error).remedy("smaller --error-503 or --reset"))?;
    scenario.bursts.extend(args.burst);
    scenario.latency.first_token = args.first_token.unwrap_or(scenario.latency.first_token);
    scenario.latency.per_token = args.per_token.unwrap_or(scenario.latency.per_token);
    scenario.answers.plan_tasks = args.plan_tasks.map_or(scenario.answers.plan_tasks, usize::from);
    if let Some(variable) = args.api_key_env {
        let key = std::env::var(&variable).ok().filter(|key| !key.is_empty());
        let key = key.ok_or_else(|| Failure::usage(format!("the environment variable {variable} is not set")))?;
        let key = ApiKey::try_from(key.trim().to_owned());
        scenario.api_key = Some(key.map_err(|why| Failure::usage(format!("{variable}: {why}")))?);
    }
    Ok(scenario)
}
