//! Counting what became of many calls, flow by flow: for `batch` and `load`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bellwether_core::error::Phase;
use bellwether_core::fact::KeyState;
use bellwether_core::{ErrorKind, Fact, Observer, Usage, Usd};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::exit::{self, Exit, Failure};

/// Hears facts and counts them by flow. A flow is the run of a call's [`Flow`](bellwether_core::Flow): what shares a
/// quota by weight.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<Counts>,
    nobody_there: Notify,
    paused: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    flows: BTreeMap<Arc<str>, Count>,
    /// How often each call had its turn, and how long it waited for that, until somebody asks for it.
    turns: BTreeMap<Arc<str>, Turns>,
    /// Whether any call was ever answered, and what the last one failed of that was not.
    any_answered: bool,
    failed_last: Option<ErrorKind>,
    /// Until when the provider wants to be left alone, and how long that was when it was said.
    paused: Option<(Instant, Duration)>,
}

/// The turns of one call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turns {
    /// How many there were.
    pub(crate) count: u32,
    waited: Duration,
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
    /// Adds a finished call: how long it waited for its turns, how long it took from being asked to its end, or what it
    /// failed of.
    pub(crate) fn finished(&self, flow: &Arc<str>, waited: Duration, took: Result<Duration, ErrorKind>) {
        self.with(|counts| {
            let count = counts.flows.entry(Arc::clone(flow)).or_default();
            count.waits.add(waited);
            match took {
                Ok(latency) => {
                    count.ok += 1;
                    count.latencies.add(latency);
                }
                Err(kind) => count.failed.entry(kind.as_str()).or_insert(Failed { kind, calls: 0 }).calls += 1,
            }
        });
    }

    /// The turns that a call had; forgets them. A call is known by its task.
    pub(crate) fn take_turns(&self, call: &str) -> Turns {
        self.with(|counts| counts.turns.remove(call)).unwrap_or_default()
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

    /// Waits until the provider asks for a long pause, longer than it did before; how long it is.
    pub(crate) async fn long_pause(&self) -> Duration {
        self.paused.notified().await;
        self.with(|counts| counts.paused).unwrap_or_else(|| (Instant::now(), Duration::ZERO)).1
    }

    /// How a program ends of which so much was answered, and what to do about it if all failed of the same.
    pub(crate) fn exit(&self) -> (Exit, Option<&'static str>) {
        self.with(|counts| {
            let any_ok = counts.flows.values().any(|count| count.ok > 0);
            let failed = counts.flows.values().flat_map(|count| &count.failed);
            let mut kinds: BTreeMap<_, _> = failed.map(|(name, failed)| (*name, failed.kind)).collect();
            let late = kinds.remove(ErrorKind::DeadlineExceeded.as_str());
            let mut kinds = kinds.into_values();
            let of = |kind| (exit::of_kind(kind), exit::remedy(kind));
            match (kinds.next(), kinds.next()) {
                (None, _) => late.map_or((Exit::Done, None), of),
                // Whose time was up waited for what the others failed of.
                (Some(kind), None) if !any_ok => of(kind),
                _ => (if any_ok { Exit::Partial } else { Exit::Failed }, None),
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
                    if let Some(task) = &call.context.task {
                        let turns = counts.turns.entry(task.as_str().into()).or_default();
                        turns.count += 1;
                        turns.waited += *waited;
                    }
                }
                Fact::CallCompleted { call, usage, .. } => {
                    of(call, &|count| count.usage += *usage);
                    counts.any_answered = true;
                }
                Fact::CallFailed { kind, .. } => counts.failed_last = Some(*kind),
                Fact::CallHedged { call, .. } => of(call, &|count| count.hedges += 1),
                Fact::CallRetried { call, .. } => of(call, &|count| count.retries += 1),
                Fact::CallThrottled { call, retry_after } => {
                    of(call, &|count| count.throttled += 1);
                    counts.any_answered = true;
                    if let Some(wait) = retry_after.filter(|wait| *wait >= LONG) {
                        let (now, before) = (Instant::now(), counts.paused);
                        let ends = now.checked_add(wait).unwrap_or(now);
                        if before.is_none_or(|(until, _)| ends >= until + LONG) {
                            counts.paused = Some((ends, wait));
                            self.paused.notify_one();
                        }
                    }
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

impl Turns {
    /// How long a call waited that took so long in all. One that never had a turn did nothing else.
    pub(crate) const fn waited(self, took: Duration) -> Duration {
        if self.count == 0 { took } else { self.waited }
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

/// A pause that somebody who looks on would wonder about.
const LONG: Duration = Duration::from_secs(60);
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
mod tests;
