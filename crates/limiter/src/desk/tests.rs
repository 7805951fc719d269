use std::num::NonZeroU32;
use std::sync::Arc as StdArc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use bellwether_core::Demand;
use loom::sync::{Arc, Mutex};
use proptest::prelude::*;

use super::*;
use crate::rate::Rate;
use crate::settings::{Concurrency, Limit, Limits, Settings};

const ONE: Demand = Demand { requests: 1, input_tokens: 0, output_tokens: 0 };

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: StdArc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn desk(places: u32, requests: Limit) -> Desk {
    let concurrency = NonZeroU32::new(places).map_or(Concurrency::Unlimited, Concurrency::Told);
    let limits = Limits { requests, concurrency, ..Limits::NONE };
    Desk::new(Quota::new(Settings { limits, ..Settings::default() }, Timestamp::ZERO))
}

/// One place and three who want it: in every order of their steps each gets it once, whoever gives up leaves nothing
/// behind, and whoever waits is woken.
#[test]
fn a_place_is_handed_on_in_every_order_of_steps() {
    let mut model = loom::model::Builder::new();
    // Every order in which a thread is interrupted at most twice; the desk has one lock, so more adds nothing new.
    model.preemption_bound = Some(2);
    model.check(|| {
        // Loom's threads have small stacks; the desk is made on a large one.
        let made = std::thread::spawn(|| Box::new(desk(1, Limit::None))).join().expect("it can be made");
        let desk = Arc::new(Mutex::new(made));
        let threads: Vec<_> = (0..2)
            .map(|who| {
                let desk = Arc::clone(&desk);
                loom::thread::spawn(move || take_and_give(&desk, who == 0))
            })
            .collect();
        take_and_give(&desk, false);
        for thread in threads {
            thread.join().expect("no thread panics");
        }
        let desk = desk.lock().expect("no thread panicked");
        assert_eq!(desk.quota.in_flight(), 0, "every place came back");
        assert_eq!((desk.waiting(), desk.called), (0, 0), "nobody was forgotten");
        assert_eq!(desk.ahead, [0; 4]);
    });
}

fn take_and_give(desk: &Mutex<Box<Desk>>, gives_up: bool) {
    let now = Timestamp::ZERO;
    loom::future::block_on(async {
        let mut place = None;
        let taken = std::future::poll_fn(|cx| {
            let mut desk = desk.lock().expect("no thread panicked");
            let answer = match place {
                None => match desk.enter(ONE, None, cx.waker(), now) {
                    Entry::Admitted(reservation) => Some(reservation),
                    Entry::Queued(queued) => {
                        place = Some(queued);
                        None
                    }
                    Entry::Refused(_) => unreachable!("there is no deadline"),
                },
                Some(place) => desk.poll(place, cx.waker(), now).map(|answer| answer.expect("no deadline")),
            };
            let wakes = desk.take_wakes();
            drop(desk);
            wakes.into_iter().for_each(Waker::wake);
            match answer {
                Some(reservation) => std::task::Poll::Ready(Some(reservation)),
                None if gives_up => std::task::Poll::Ready(None),
                None => std::task::Poll::Pending,
            }
        })
        .await;
        let mut desk = desk.lock().expect("no thread panicked");
        match (taken, place) {
            (Some(reservation), _) => desk.settle(reservation, &Outcome::Abandoned, now),
            (None, Some(place)) => desk.leave(place, now),
            (None, None) => {}
        }
        let wakes = desk.take_wakes();
        drop(desk);
        wakes.into_iter().for_each(Waker::wake);
    });
}

#[derive(Clone, Debug)]
enum Step {
    Come { deadline: Option<u16> },
    Leave(prop::sample::Index),
    Look(prop::sample::Index),
    Settle(prop::sample::Index, bool),
    Throttle(prop::sample::Index),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => prop::option::weighted(0.3, 0..3_000u16).prop_map(|deadline| Step::Come { deadline }),
        1 => index().prop_map(Step::Leave),
        1 => index().prop_map(Step::Look),
        3 => (index(), any::<bool>()).prop_map(|(which, unused)| Step::Settle(which, unused)),
        1 => index().prop_map(Step::Throttle),
        3 => (0..1_500u16).prop_map(Step::Wait),
    ]
}

struct Stage {
    desk: Desk,
    now: Timestamp,
    waiting: Vec<(Place, StdArc<Woken>, Waker)>,
    holding: Vec<(u64, Reservation)>,
    came: u64,
    born: Vec<(Place, u64)>,
    served: u64,
    /// The timer as the shell keeps it.
    timer: Option<(Timestamp, Waker)>,
}

impl Stage {
    fn arm(&mut self) {
        let armed = self.desk.arm_next().map(|(at, waker)| (at, waker.clone()));
        match armed {
            Some(armed) => self.timer = Some(armed),
            None if self.desk.alarm().is_none() => self.timer = None,
            None => {}
        }
    }

    fn wake(&mut self) {
        self.desk.take_wakes().into_iter().for_each(Waker::wake);
    }

    fn step(&mut self, step: &Step) {
        let now = self.now;
        match step {
            Step::Come { deadline } => {
                let woken = StdArc::new(Woken::default());
                let waker = Waker::from(StdArc::clone(&woken));
                let deadline = deadline.map(|after| now + Duration::from_millis(u64::from(after)));
                self.came += 1;
                match self.desk.enter(ONE, deadline, &waker, now) {
                    Entry::Admitted(reservation) => self.serve(self.came, reservation),
                    Entry::Queued(place) => {
                        self.waiting.push((place, woken, waker));
                        self.born.push((place, self.came));
                    }
                    Entry::Refused(_) => {}
                }
                self.arm();
            }
            Step::Leave(which) if !self.waiting.is_empty() => {
                let (place, ..) = self.waiting.remove(which.index(self.waiting.len()));
                self.desk.leave(place, now);
            }
            Step::Look(which) if !self.waiting.is_empty() => self.look(which.index(self.waiting.len())),
            Step::Settle(which, unused) if !self.holding.is_empty() => {
                let (_, reservation) = self.holding.remove(which.index(self.holding.len()));
                let outcome = if *unused { Outcome::Unused } else { Outcome::Abandoned };
                self.desk.settle(reservation, &outcome, now);
            }
            Step::Throttle(which) if !self.holding.is_empty() => {
                let (_, reservation) = self.holding.remove(which.index(self.holding.len()));
                let outcome = Outcome::Throttled { limits: RateLimits::default() };
                self.desk.settle(reservation, &outcome, now);
            }
            Step::Wait(millis) => {
                self.now = now + Duration::from_millis(u64::from(*millis));
                if let Some((_, waker)) = self.timer.take_if(|(at, _)| *at <= self.now) {
                    waker.wake();
                }
            }
            _ => {}
        }
        self.wake();
    }

    fn look(&mut self, which: usize) {
        let (place, woken, waker) = &self.waiting[which];
        woken.0.store(0, Ordering::SeqCst);
        let place = *place;
        let answer = self.desk.poll(place, waker, self.now);
        if let Some(answer) = answer {
            self.waiting.remove(which);
            if let Ok(reservation) = answer {
                let born = self.born.iter().find(|(other, _)| *other == place).expect("it came once").1;
                self.serve(born, reservation);
            }
        }
        self.arm();
    }

    /// In the order of coming: nobody is served after somebody who came later.
    fn serve(&mut self, born: u64, reservation: Reservation) {
        self.served += 1;
        self.holding.push((born, reservation));
    }

    /// Everybody who was woken comes, until nobody is.
    fn settle_down(&mut self) {
        while let Some(which) = self.waiting.iter().position(|(_, woken, _)| woken.0.load(Ordering::SeqCst) > 0) {
            self.look(which);
            self.wake();
        }
    }
}

proptest! {
    /// Whatever happens in whatever order: once everybody who was woken has come, either nobody waits, or the first
    /// waits for another call, or a timer is armed that wakes somebody who is still there, no later than it has to.
    #[test]
    fn nobody_is_forgotten(
        places in 0..4u32,
        per_second in prop::option::of(1..5u64),
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let requests = per_second.map_or(Limit::None, |rate| Limit::Told { rate: Rate::per_second(rate), burst: Some(1) });
        let mut stage = Stage {
            desk: desk(places, requests),
            now: Timestamp::ZERO,
            waiting: Vec::new(),
            holding: Vec::new(),
            came: 0,
            born: Vec::new(),
            served: 0,
            timer: None,
        };
        for step in &steps {
            stage.step(step);
            let mut calm = false;
            if matches!(step, Step::Wait(_)) {
                stage.settle_down();
                calm = true;
            }
            if calm && stage.desk.waiting() > 0 {
                match stage.desk.alarm() {
                    None => prop_assert!(!stage.holding.is_empty(), "waits for a call that is under way"),
                    Some(alarm) => {
                        let (at, waker) = stage.timer.as_ref().expect("somebody armed the timer");
                        prop_assert!(*at <= alarm.at, "no later than it has to");
                        prop_assert!(stage.waiting.iter().any(|(_, _, theirs)| theirs.will_wake(waker)));
                    }
                }
            }
        }
        // Everybody goes away, and nothing is left.
        for (place, ..) in std::mem::take(&mut stage.waiting) {
            stage.desk.leave(place, stage.now);
        }
        for (_, reservation) in std::mem::take(&mut stage.holding) {
            stage.desk.settle(reservation, &Outcome::Abandoned, stage.now);
        }
        prop_assert_eq!((stage.desk.waiting(), stage.desk.called), (0, 0));
        prop_assert_eq!(stage.desk.ahead, [0; 4]);
        prop_assert!(stage.desk.deadlines.is_empty());
        prop_assert_eq!(stage.desk.quota.in_flight(), 0);
    }
}
