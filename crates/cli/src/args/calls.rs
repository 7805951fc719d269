//! Commands that make calls without a team, or answer them.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use bellwether_sim::Burst;
use clap::Args;

use super::{address, some_time};
use crate::command::load::FlowSpec;
use crate::quota;

/// One endpoint and its limits.
#[derive(Debug, Args)]
pub(crate) struct Endpoint {
    /// The endpoint; HolySheep if not given.
    #[arg(long, value_name = "URL")]
    pub(crate) base_url: Option<String>,
    /// The environment variable with the key; HOLYSHEEP_API_KEY if not given, which goes to HolySheep only.
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) api_key_env: Option<String>,
    /// Sends keys and prompts unencrypted to an `http://` address on another machine, such as a server in the same room.
    #[arg(long)]
    pub(crate) allow_insecure: bool,
    /// Requests per minute, if known; a limit that is not told is found.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rpm: Option<u64>,
    /// Tokens per minute, if known.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tpm: Option<u64>,
    /// The most calls in flight at once.
    #[arg(long, value_name = "N", default_value = "64")]
    pub(crate) max_in_flight: NonZeroUsize,
    /// Sends calls that take unusually long once more beside themselves while nobody else waits, for at most so many
    /// percent of the tokens; the first answer counts, and both may be billed.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) hedge: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Batch {
    /// The requests, one JSON object a line: OpenAI's batch lines, or bare request bodies.
    pub(crate) input: PathBuf,
    /// The results, one JSON object a line, in the order in which they come.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) endpoint: Endpoint,
    /// The model for lines that name none.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Gives up after this time, such as 90s or 10m; lines without an answer become errors.
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub(crate) deadline: Option<Duration>,
    /// The longest that one attempt at a line may take, waiting for its turn not included.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = some_time)]
    pub(crate) timeout: Duration,
    /// Goes on with the results that are there: only lines without one are sent.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Prints a summary as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Load {
    #[command(flatten)]
    pub(crate) endpoint: Endpoint,
    /// The model to ask.
    #[arg(long)]
    pub(crate) model: String,
    /// The flows, such as `greedy:weight=1,loops=20;light:weight=1,loops=2`.
    #[arg(long, value_name = "FLOWS", value_delimiter = ';', required = true)]
    pub(crate) flows: Vec<FlowSpec>,
    /// How long to begin new calls.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = some_time)]
    pub(crate) duration: Duration,
    /// The most calls to begin, over all flows.
    #[arg(long, value_name = "N")]
    pub(crate) requests: Option<NonZeroU64>,
    /// The most output tokens a call may buy.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: u32,
    /// What every call says.
    #[arg(long, default_value = "Say something short.")]
    pub(crate) prompt: String,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// How many calls each course makes.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=MOST_CALLS))]
    pub(crate) calls: u32,
    /// How many calls are made side by side where they are.
    #[arg(long, value_name = "N", default_value = "16")]
    pub(crate) concurrency: NonZeroUsize,
    /// The limit where there is one, in requests per minute; a second of it may come at once.
    #[arg(long, value_name = "N", default_value = "1200")]
    pub(crate) rpm: NonZeroU32,
    /// Time until the first token, give or take a fifth.
    #[arg(long, value_name = "TIME", default_value = "60ms", value_parser = humantime::parse_duration)]
    pub(crate) first_token: Duration,
    /// Decides how long each answer takes.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Prints one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The scenario file; flags change what it says.
    #[arg(long, value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// Where to listen: a port on this machine (0 picks a free one), or IP:PORT.
    #[arg(long, value_name = "ADDR", default_value = "8089", value_parser = address)]
    pub(crate) listen: SocketAddr,
    /// Decides every draw.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Requests per minute.
    #[arg(long, value_name = "N")]
    pub(crate) rpm: Option<NonZeroU32>,
    /// Tokens per minute.
    #[arg(long, value_name = "N")]
    pub(crate) tpm: Option<NonZeroU32>,
    /// Requests under way at once.
    #[arg(long, value_name = "N")]
    pub(crate) concurrency: Option<NonZeroU32>,
    /// The share of requests answered with 503, from 0 to 1.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) error_503: Option<f64>,
    /// The share of requests whose connection breaks, from 0 to 1.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub(crate) reset: Option<f64>,
    /// Answers COUNT requests after the first AFTER ones with 429; RETRY is what Retry-After says, such as 2s.
    #[arg(long, value_name = "AFTER:COUNT[:RETRY]", value_parser = burst)]
    pub(crate) burst: Vec<Burst>,
    /// Time until the first token, such as 200ms.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) first_token: Option<Duration>,
    /// Time for every output token, such as 5ms.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) per_token: Option<Duration>,
    /// How many subtasks the simulated planner makes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) plan_tasks: Option<u8>,
    /// The environment variable with the key that calls must carry; without it everybody is let in.
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) api_key_env: Option<String>,
    /// Prints the address as one JSON object, and the statistics as another at the end.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The most calls that a bench makes: all of them wait at once.
const MOST_CALLS: i64 = quota::CAPACITY as i64;

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "write a number from 0 to 1".to_owned())
}

fn burst(text: &str) -> Result<Burst, String> {
    let mut parts = text.splitn(3, ':');
    let mut number = || parts.next()?.parse().ok();
    let (after, count) =
        number().zip(number()).ok_or_else(|| "write AFTER:COUNT, such as 5:3, or 5:3:2s".to_owned())?;
    if count == 0 {
        return Err("a burst of no requests is none: COUNT is at least 1".to_owned());
    }
    let retry_after = parts.next().map(humantime::parse_duration).transpose().map_err(|error| error.to_string())?;
    Ok(Burst::Requests { after, count, retry_after })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_written_in_two_or_three_parts() {
        let two = Duration::from_secs(2);
        assert_eq!(burst("5:3:2s"), Ok(Burst::Requests { after: 5, count: 3, retry_after: Some(two) }));
        assert_eq!(burst("0:1"), Ok(Burst::Requests { after: 0, count: 1, retry_after: None }));
        assert!(burst("5").is_err() && burst("a:b").is_err() && burst("1:2:x").is_err() && burst("5:0").is_err());
    }
}
