//! Counting what became of many calls, flow by flow: for `batch` and `load`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_core::error::Phase;
use bellwether_core::fact::KeyState;
use bellwether_core::{ErrorKind, Fact, Observer, Usage, Usd};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::exit::{self, Exit, Failure};

/// Hears facts and counts them by flow. A flow is the run of a call's [`Flow`](bellwether_core::Flow): what shares a
/// quota by weight.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<Counts>,
    nobody_there: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    flows: BTreeMap<Arc<str>, Count>,
    /// How long each call waited, until somebody asks for it.
    waits: BTreeMap<Arc<str>, Duration>,
    /// Whether any call was ever answered, and what the last one failed of that was not.
    any_answered: bool,
    failed_last: Option<ErrorKind>,
}

/// What became of a flow's calls.
#[derive(Clone, Debug, Default)]
struct Count {
    ok: u64,
    /// By kind of failure.
    failed: BTreeMap<&'static str, Failed>,
    throttled: u64,
    retries: u64,
    hedges: u64,
    waits: Spread,
    latencies: Spread,
    usage: Usage,
}

/// How many calls failed in one way.
#[derive(Clone, Copy, Debug)]
struct Failed {
    kind: ErrorKind,
    calls: u64,
}

impl Tally {
    /// Adds a finished call: how long it took from being asked to its end, or what it failed of.
    pub(crate) fn finished(&self, flow: &Arc<str>, took: Result<Duration, ErrorKind>) {
        self.with(|counts| {
            let count = counts.flows.entry(Arc::clone(flow)).or_default();
            match took {
                Ok(latency) => {
                    count.ok += 1;
                    count.latencies.add(latency);
                }
                Err(kind) => count.failed.entry(kind.as_str()).or_insert(Failed { kind, calls: 0 }).calls += 1,
            }
        });
    }

    /// How long a call waited for its turns, all together; forgets it.
    pub(crate) fn take_wait(&self, call: &str) -> Duration {
        self.with(|counts| counts.waits.remove(call)).unwrap_or_default()
    }

    /// Calls answered, calls failed, tokens and cost so far.
    pub(crate) fn so_far(&self) -> (u64, u64, u64, Usd) {
        self.with(|counts| {
            let usage: Usage = counts.flows.values().map(|count| count.usage).sum();
            let (ok, failed) = counts.flows.values().fold((0, 0), |sum, c| (sum.0 + c.ok, sum.1 + c.failures()));
            (ok, failed, usage.tokens(), usage.cost.unwrap_or_default())
        })
    }

    /// Everything, for machines.
    pub(crate) fn summary(&self, wall: Duration) -> Value {
        let flows = self.with(|counts| counts.flows.clone());
        let sum = |of: fn(&Count) -> u64| flows.values().map(of).sum::<u64>();
        let usage: Usage = flows.values().map(|count| count.usage).sum();
        let per_flow: Map<String, Value> = flows.iter().map(|(name, count)| (name.to_string(), count.json())).collect();
        let mut summary = json!({
            "ok": sum(|count| count.ok),
            "failed": sum(Count::failures),
            "failed_of": failed_of(flows.values()),
            "wall_s": wall.as_secs_f64(),
            "upstream_429": sum(|count| count.throttled),
            "retries": sum(|count| count.retries),
            "hedges": sum(|count| count.hedges),
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_usd": usage.cost.map(Usd::as_dollars),
            "flows": per_flow,
        });
        if let (Some(fields), Some((cpu, peak))) = (summary.as_object_mut(), resources()) {
            fields.insert("cpu_s".to_owned(), json!(cpu));
            fields.insert("peak_rss_kb".to_owned(), json!(peak));
        }
        summary
    }

    /// Waits until the endpoint has been given up for now without ever having been reached: that is no outage to be
    /// waited for, but a wrong address more likely than not.
    pub(crate) async fn nobody_there(&self) -> Failure {
        loop {
            self.nobody_there.notified().await;
            // A server that was started together with us may need a moment.
            sleep(GRACE).await;
            if !self.with(|counts| counts.any_answered) {
                break;
            }
        }
        let kind = ErrorKind::Connect;
        let failure = Failure::new(exit::of_kind(kind), "no call could connect, and none ever did".to_owned());
        failure.remedy(exit::remedy(kind).unwrap_or_default())
    }

    /// How a program ends of which so much was answered, and what to do about it if all failed of the same.
    pub(crate) fn exit(&self) -> (Exit, Option<&'static str>) {
        self.with(|counts| {
            let kinds: BTreeSet<_> = counts.flows.values().flat_map(|count| count.failed.keys()).collect();
            let mut failed = counts.flows.values().flat_map(|count| count.failed.values());
            match (counts.flows.values().any(|count| count.ok > 0), failed.next()) {
                (_, None) => (Exit::Done, None),
                // That the time was up says more than that some were in time.
                (any_ok, Some(Failed { kind, .. }))
                    if kinds.len() == 1 && (!any_ok || *kind == ErrorKind::DeadlineExceeded) =>
                {
                    (exit::of_kind(*kind), exit::remedy(*kind))
                }
                (true, _) => (Exit::Partial, None),
                (false, _) => (Exit::Failed, None),
            }
        })
    }

    fn with<T>(&self, count: impl FnOnce(&mut Counts) -> T) -> T {
        count(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Tally {
    fn observe(&self, fact: &Fact) {
        self.with(|counts| {
            let mut of = |call: &Arc<bellwether_core::Call>, add: &dyn Fn(&mut Count)| {
                add(counts.flows.entry(Arc::clone(&call.context.flow.run)).or_default());
            };
            match fact {
                Fact::CallAdmitted { call, waited, .. } => {
                    of(call, &|count| count.waits.add(*waited));
                    if let Some(task) = &call.context.task {
                        *counts.waits.entry(task.as_str().into()).or_default() += *waited;
                    }
                }
                Fact::CallCompleted { call, usage, .. } => {
                    of(call, &|count| count.usage += *usage);
                    counts.any_answered = true;
                }
                Fact::CallFailed { kind, .. } => counts.failed_last = Some(*kind),
                Fact::CallHedged { call, .. } => of(call, &|count| count.hedges += 1),
                Fact::CallRetried { call, .. } => of(call, &|count| count.retries += 1),
                Fact::CallThrottled { call, .. } => {
                    of(call, &|count| count.throttled += 1);
                    counts.any_answered = true;
                }
                Fact::KeyChanged { state: KeyState::Open, .. }
                    if !counts.any_answered && counts.failed_last.is_some_and(is_nobody) =>
                {
                    self.nobody_there.notify_one();
                }
                _ => {}
            }
        });
    }
}

impl Count {
    fn failures(&self) -> u64 {
        self.failed.values().map(|failed| failed.calls).sum()
    }

    fn json(&self) -> Value {
        let wait = self.waits.percentiles();
        let latency = self.latencies.percentiles();
        json!({
            "ok": self.ok,
            "failed": self.failures(),
            "failed_of": failed_of([self]),
            "upstream_429": self.throttled,
            "retries": self.retries,
            "hedges": self.hedges,
            "wait_s": { "p50": wait[0], "p95": wait[1], "p99": wait[2] },
            "latency_s": { "p50": latency[0], "p95": latency[1], "p99": latency[2] },
            "input_tokens": self.usage.input_tokens,
            "output_tokens": self.usage.output_tokens,
            "cost_usd": self.usage.cost.map(Usd::as_dollars),
        })
    }
}

/// Whether a call met nobody at all.
const fn is_nobody(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Connect | ErrorKind::Timeout(Phase::Connect))
}

/// How many calls failed of what.
fn failed_of<'a>(counts: impl IntoIterator<Item = &'a Count>) -> BTreeMap<&'static str, u64> {
    let mut calls = BTreeMap::new();
    for (kind, failed) in counts.into_iter().flat_map(|count| &count.failed) {
        *calls.entry(*kind).or_default() += failed.calls;
    }
    calls
}

/// The same for people, behind the number of calls that failed: ` (connect 4)`, or nothing.
pub(crate) fn failed_of_what(summary: &Value) -> String {
    let kinds = summary["failed_of"].as_object().into_iter().flatten();
    let kinds: Vec<String> = kinds.map(|(kind, calls)| format!("{kind} {calls}")).collect();
    if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) }
}

/// How long an endpoint that was never reached may take to come up.
const GRACE: Duration = Duration::from_secs(10);

/// How many durations there were of each length, to within a 128th of the length: it does not grow with their number.
#[derive(Clone, Debug, Default)]
struct Spread {
    total: u64,
    buckets: BTreeMap<u16, u64>,
}

impl Spread {
    fn add(&mut self, duration: Duration) {
        self.total += 1;
        *self.buckets.entry(Self::bucket(duration)).or_default() += 1;
    }

    /// The 50th, 95th and 99th percentile in seconds, by nearest rank; `None` of nothing.
    fn percentiles(&self) -> [Option<f64>; 3] {
        [50, 95, 99].map(|percent| {
            let rank = (self.total * percent).div_ceil(100);
            let mut seen = 0;
            let holds = |(_, count): &(&u16, &u64)| {
                seen += **count;
                seen >= rank
            };
            self.buckets.iter().find(holds).map(|(bucket, _)| Self::middle(*bucket).as_secs_f64())
        })
    }

    /// Microseconds below 256 by themselves, above that 128 buckets for each doubling.
    fn bucket(duration: Duration) -> u16 {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let doublings = (u64::BITS - micros.leading_zeros()).saturating_sub(8);
        let within = micros >> doublings;
        u16::try_from(u64::from(doublings) * 128 + within).unwrap_or(u16::MAX)
    }

    /// The middle of what falls into a bucket.
    fn middle(bucket: u16) -> Duration {
        let bucket = u64::from(bucket);
        let doublings = (bucket / 128).saturating_sub(1);
        let from = (bucket - doublings * 128) << doublings;
        Duration::from_micros(from + ((1 << doublings) >> 1))
    }
}

/// CPU seconds of this process so far, and the most memory it ever had, in KiB.
#[cfg(unix)]
fn resources() -> Option<(f64, i64)> {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;

    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let cpu = Duration::from_micros(u64::try_from(micros).ok()?);
    Some((cpu.as_secs_f64(), own_peak().unwrap_or_else(|| usage.max_rss())))
}

/// The most memory since the program was loaded. What Linux counts for the process begins with the memory of whoever
/// started it, which a small program would show as its own.
#[cfg(unix)]
fn own_peak() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(not(unix))]
const fn resources() -> Option<(f64, i64)> {
    None
}

#[cfg(test)]
mod tests {
    use bellwether_core::{Call, CallContext, Demand};

    use super::*;

    #[test]
    fn the_end_says_what_all_calls_failed_of_if_it_is_the_same() {
        let ended = |calls: &[Result<Duration, ErrorKind>]| {
            let tally = Tally::default();
            calls
                .iter()
                .zip(["a", "b"].into_iter().cycle())
                .for_each(|(call, flow)| tally.finished(&flow.into(), *call));
            (tally.exit().0, failed_of_what(&tally.summary(Duration::ZERO)))
        };
        let (ok, connect, busy) = (Ok(Duration::ZERO), Err(ErrorKind::Connect), Err(ErrorKind::Overloaded));
        assert_eq!(ended(&[]), (Exit::Done, String::new()));
        assert_eq!(ended(&[ok, ok]), (Exit::Done, String::new()));
        assert_eq!(ended(&[connect, connect, connect]), (Exit::Unreachable, " (connect 3)".to_owned()));
        assert_eq!(ended(&[connect, busy, connect]), (Exit::Failed, " (connect 2, overloaded 1)".to_owned()));
        let late = Err(ErrorKind::DeadlineExceeded);
        assert_eq!(ended(&[ok, late, late]), (Exit::Deadline, " (deadline_exceeded 2)".to_owned()));
        assert_eq!(ended(&[ok, late, busy]).0, Exit::Partial);
        assert_eq!(ended(&[Err(ErrorKind::Timeout(Phase::Connect))]).0, Exit::Unreachable);
        assert_eq!(ended(&[connect, busy, ok]), (Exit::Partial, " (connect 1, overloaded 1)".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_was_never_reached_is_given_up_and_one_that_came_up_is_not() {
        let call = Arc::new(Call {
            context: CallContext::default(),
            model: "m".into(),
            provider: "p".into(),
            demand: Demand { requests: 1, input_tokens: 1, output_tokens: 1 },
        });
        let failed = Fact::CallFailed { call: Arc::clone(&call), kind: ErrorKind::Connect, took: Duration::ZERO };
        let open = Fact::KeyChanged { provider: "p".into(), state: KeyState::Open, wait: None };
        let answered = Fact::CallThrottled { call, retry_after: None };
        let ends = async |facts: &[&Fact], later: &[&Fact]| {
            let tally = Tally::default();
            facts.iter().for_each(|fact| tally.observe(fact));
            let later = async {
                sleep(GRACE / 2).await;
                later.iter().for_each(|fact| tally.observe(fact));
                sleep(GRACE).await;
            };
            tokio::select! {
                biased;
                _ = tally.nobody_there() => true,
                () = later => false,
            }
        };
        assert!(ends(&[&failed, &open], &[]).await);
        assert!(!ends(&[&failed], &[]).await, "one failure is nothing yet");
        assert!(!ends(&[&answered, &failed, &open], &[]).await, "an outage is waited for");
        assert!(!ends(&[&failed, &open], &[&answered]).await, "it came up");
    }

    #[test]
    fn percentiles_are_by_nearest_rank_to_within_a_percent() {
        let mut spread = Spread::default();
        (1..=100).rev().map(Duration::from_secs).for_each(|second| spread.add(second));
        for (found, exact) in spread.percentiles().into_iter().zip([50.0, 95.0, 99.0]) {
            let found = found.expect("there are values");
            assert!((found - exact).abs() <= exact / 100.0, "{found} is not {exact}");
        }
        assert_eq!(Spread::default().percentiles(), [None; 3]);
    }

    #[test]
    fn a_bucket_holds_what_is_near_its_middle() {
        for micros in (0..500).chain((0..58).flat_map(|n| [1 << n, (1 << n) + 1, (1 << n) * 3 / 2])) {
            let middle = Spread::middle(Spread::bucket(Duration::from_micros(micros))).as_micros();
            assert!(middle.abs_diff(u128::from(micros)) <= u128::from(micros / 128), "{middle} is not {micros}");
        }
    }
}
