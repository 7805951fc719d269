//! The whole system on a paused clock: teams, dispatch with breaker, retry budget and parking, fair queue, limiter, budget
//! and journal around a provider that refuses, fails, stalls, cuts answers short and runs out of credit. One number, the seed, decides everything.
//!
//! ```sh
//! SIMULATION_SEEDS=20000 SIMULATION_TWICE=1000 cargo test -p bellwether --test simulation
//! SIMULATION_SEED=4711 cargo test -p bellwether --test simulation -- --nocapture one_seed
//! ```
//!
//! - [`world`]: what the seed decides.
//! - [`provider`]: the provider, and what it holds us to.
//! - [`watch`]: the laws, held against every fact.
//! - [`play`]: one seed, from the first call to the last settlement.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a seed is named and its story is told")]

#[path = "../../src/estimates.rs"]
mod estimates;
#[path = "../../src/guard.rs"]
#[expect(dead_code, reason = "here a world's seed takes the place of a random one")]
mod guard;
mod play;
mod provider;
mod watch;
mod world;

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::play::{Played, play};

#[test]
fn no_seed_breaks_a_law() {
    let seeds = asked("SIMULATION_SEEDS").unwrap_or(300);
    let played = all(seeds, play);
    let sum = |of: fn(&Played) -> u64| played.iter().map(of).sum::<u64>();
    let (calls, completed, throttled) = (sum(|one| one.calls), sum(|one| one.completed), sum(|one| one.throttled));
    println!("{seeds} seeds: {calls} calls, {completed} answered, {throttled} told to slow down");
    let (opened, parked) = (sum(|one| one.opened), sum(|one| one.parked));
    println!("keys opened {opened} times and were parked {parked} times");
    println!("{} tasks accepted, {} runs resumed", sum(|one| one.accepted), sum(|one| one.resumed));
    // A world in which nothing happens would prove nothing.
    assert!(calls > 10 * seeds && completed > 5 * seeds, "too little happens");
    assert!(opened > 0 && parked > 0, "no key failed for long");
    assert!(throttled > 0 && sum(|one| one.resumed) > 0 && sum(|one| one.accepted) > seeds, "too little happens");
}

#[test]
fn the_same_seed_is_the_same_story() {
    let seeds = asked("SIMULATION_TWICE").unwrap_or(40);
    let differ = all(seeds, |seed| {
        let (first, again) = (play(seed), play(seed));
        (first.hash != again.hash).then_some(seed)
    });
    let differ: Vec<u64> = differ.into_iter().flatten().collect();
    assert!(differ.is_empty(), "these seeds do not repeat themselves: {differ:?}; {}", repeat(differ[0]));
}

/// Plays the one seed that was asked for and prints its story.
#[test]
fn one_seed() {
    let seed = asked("SIMULATION_SEED").unwrap_or(1);
    let played = play(seed);
    println!("{}", played.story.join("\n"));
    assert_eq!(played.hash, play(seed).hash);
}

/// `one` for each seed, on all cores. A seed that fails names itself.
fn all<T: Send>(seeds: u64, one: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(0);
    let results = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let named = Named(seed);
                    let result = one(seed);
                    std::mem::forget(named);
                    results.lock().expect("nobody panics with it").push(result);
                }
            });
        }
    });
    results.into_inner().expect("nobody panics with it")
}

/// Names the seed if it is dropped by a panic.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        eprintln!("seed {} failed; {}", self.0, repeat(self.0));
    }
}

fn repeat(seed: u64) -> String {
    format!("see it again: SIMULATION_SEED={seed} cargo test -p bellwether --test simulation -- --nocapture one_seed")
}

fn asked(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|number| number.parse().expect("it is a whole number"))
}
