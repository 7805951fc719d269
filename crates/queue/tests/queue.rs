//! The queue as tasks of a runtime use it, on a paused clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bellwether_core::test_util::{Recorder, queue as conformance};
use bellwether_queue::{
    Ask, AtTheDoor, Class, Fact, FairQueue, Flow, Overflow, Reason, Settings, Shed, TaskQueue, Ticket, TicketId,
    TicketQueue, Why,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

fn small(capacity: usize) -> Settings {
    Settings { capacity, ..Settings::default() }
}

fn ticket(id: u64, run: &str) -> Ticket {
    let flow = Flow::new("team", run, "coder");
    let weight = std::num::NonZeroU32::MIN;
    Ticket { id: TicketId(id), flow, weight, class: Class::Standard, cost: 1_000, deadline: None }
}

fn tickets(settings: &Settings, at_the_door: AtTheDoor) -> (Arc<TicketQueue>, Arc<Recorder>) {
    let recorder = Arc::<Recorder>::default();
    let observer = Arc::<Recorder>::clone(&recorder);
    (Arc::new(TicketQueue::new(settings, at_the_door, observer)), recorder)
}

#[tokio::test(start_paused = true)]
async fn it_keeps_the_promises_of_a_task_queue() {
    for at_the_door in [AtTheDoor::Refuse, AtTheDoor::Wait] {
        for overflow in [Overflow::Refuse, Overflow::Shed] {
            let settings = Settings { overflow, ..Settings::default() };
            conformance(&*tickets(&settings, at_the_door).0).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pusher_waits_for_room_and_tenants_take_turns() {
    let queue = FairQueue::new(&small(1));
    queue.push(0, &["greedy"], Ask::of(1), 0).await.unwrap().keep();
    let mut pushers = JoinSet::new();
    for (tenant, task) in [("greedy", 1), ("greedy", 2), ("greedy", 3), ("light", 4)] {
        let queue = queue.clone();
        pushers.spawn(async move { queue.push(0, &[tenant], Ask::of(1), task).await.unwrap().keep() });
        sleep(Duration::from_millis(1)).await;
    }
    let refused = queue.try_push(0, &["light"], Ask::of(1), 9).unwrap_err();
    assert_eq!((refused.reason, refused.task), (Reason::Full, 9));
    let mut order = Vec::new();
    for _ in 0..5 {
        order.push(queue.next().await.unwrap().settle(1));
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(order, [0, 1, 4, 2, 3]);
    assert_eq!(queue.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_when_to_come_back() {
    let queue = FairQueue::new(&small(4));
    for round in 0..20 {
        queue.try_push(0, &["flow"], Ask::of(1), round).unwrap().keep();
        let _ = queue.next().await.unwrap().settle(1);
        sleep(Duration::from_millis(250)).await;
    }
    for task in 0..4 {
        queue.try_push(0, &["flow"], Ask::of(1), task).unwrap().keep();
    }
    let refused = queue.try_push(0, &["flow"], Ask::of(1), 4).unwrap_err();
    assert_eq!(refused.retry_after, Some(Duration::from_millis(250)));
    let wrong = queue.try_push(7, &["flow"], Ask::of(1), 4).unwrap_err();
    assert_eq!((wrong.reason, wrong.retry_after), (Reason::NoSuchFlow, None));
}

#[tokio::test(start_paused = true)]
async fn a_pusher_that_gives_up_leaves_nothing_and_lets_the_next_one_in() {
    let queue = FairQueue::new(&small(1));
    let place = queue.push(0, &["a"], Ask::of(1), 1).await.unwrap();
    assert!(timeout(Duration::from_secs(1), queue.push(0, &["a"], Ask::of(1), 2)).await.is_err());
    let other = queue.clone();
    let mut pushers = JoinSet::new();
    pushers.spawn(async move { other.push(0, &["b"], Ask::of(1), 3).await.unwrap().keep() });
    sleep(Duration::from_millis(1)).await;
    drop(place);
    pushers.join_next().await.unwrap().unwrap();
    assert_eq!((queue.len(), queue.next().await.map(|grant| *grant)), (1, Some(3)));
}

#[tokio::test(start_paused = true)]
async fn a_pusher_that_gives_up_after_it_was_called_passes_its_call_on_to_one_that_came_meanwhile() {
    let queue = FairQueue::new(&small(1));
    let place = queue.push(0, &["a"], Ask::of(1), 1).await.unwrap();
    let mut first = Box::pin(queue.push(0, &["a"], Ask::of(1), 2));
    assert!(timeout(Duration::ZERO, &mut first).await.is_err());
    drop(place);
    // It was called, and has not come yet; whoever comes now stands behind it.
    let other = queue.clone();
    let mut pushers = JoinSet::new();
    pushers.spawn(async move { other.push(0, &["b"], Ask::of(1), 3).await.unwrap().keep() });
    sleep(Duration::from_millis(1)).await;
    assert!(queue.is_empty(), "nobody overtakes");
    drop(first);
    timeout(Duration::from_secs(1), pushers.join_next()).await.expect("there is room").unwrap().unwrap();
    assert_eq!(queue.next().await.map(|grant| *grant), Some(3));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_a_called_pusher_has_no_use_for_goes_to_one_that_came_meanwhile() {
    let queue = FairQueue::new(&Settings { flow_capacity: 1, ..small(2) });
    let places =
        [queue.push(0, &["a"], Ask::of(1), 1).await.unwrap(), queue.push(0, &["b"], Ask::of(1), 2).await.unwrap()];
    let mut both = [3, 4].map(|task| Box::pin(queue.push(0, &["c"], Ask::of(1), task)));
    for waits in &mut both {
        assert!(timeout(Duration::ZERO, waits).await.is_err());
    }
    drop(places);
    let other = queue.clone();
    let mut pushers = JoinSet::new();
    pushers.spawn(async move { other.push(0, &["d"], Ask::of(1), 5).await.unwrap().keep() });
    sleep(Duration::from_millis(1)).await;
    let [first, mut second] = both;
    first.await.unwrap().keep();
    assert!(timeout(Duration::ZERO, &mut second).await.is_err(), "its flow has as many as it may");
    timeout(Duration::from_secs(1), pushers.join_next()).await.expect("there is room").unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn two_places_that_become_free_together_let_two_pushers_in() {
    let queue = FairQueue::new(&small(2));
    let places =
        [queue.push(0, &["a"], Ask::of(1), 1).await.unwrap(), queue.push(0, &["a"], Ask::of(1), 2).await.unwrap()];
    let mut pushers = JoinSet::new();
    for task in [3, 4] {
        let queue = queue.clone();
        pushers.spawn(async move { queue.push(0, &["b"], Ask::of(1), task).await.unwrap().keep() });
    }
    sleep(Duration::from_millis(1)).await;
    drop(places);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(queue.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn guards_cancel_and_settle_when_they_are_dropped() {
    let queue = FairQueue::new(&Settings::default());
    let kept = queue.push(0, &["a"], Ask::of(10), "kept").await.unwrap();
    let dropped = queue.push(0, &["a"], Ask::of(10), "dropped").await.unwrap();
    let cancelled = queue.push(0, &["a"], Ask::of(10), "cancelled").await.unwrap();
    drop(dropped);
    assert_eq!(cancelled.cancel(), Some("cancelled"));
    assert_eq!(queue.len(), 1);
    let grant = queue.next().await.unwrap();
    assert_eq!((queue.len(), queue.in_flight(), grant.cost(), grant.band()), (0, 1, 10, 0));
    assert_eq!(kept.cancel(), None);
    drop(grant);
    assert_eq!(queue.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cap_can_be_raised_while_a_taker_waits() {
    let queue = FairQueue::new(&Settings::default());
    queue.set_cap(&["a"], 0);
    queue.push(0, &["a"], Ask::of(1), 1).await.unwrap().keep();
    let start = Instant::now();
    let taker = async { queue.next().await.map(|grant| *grant) };
    let raiser = async {
        sleep(Duration::from_secs(5)).await;
        queue.set_cap(&["a"], 1);
        queue.set_weight(&["a"], 3.try_into().unwrap());
    };
    let (taken, ()) = tokio::join!(taker, raiser);
    assert_eq!((taken, start.elapsed()), (Some(1), Duration::from_secs(5)));
    let status = queue.status(0, &["a"]);
    assert!(status.is_none_or(|status| status.weight.get() == 3 && status.cap == 1));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_passes_on_time_although_nothing_can_be_taken() {
    let gone = Arc::new(Mutex::new(Vec::new()));
    let (heard, start) = (Arc::clone(&gone), Instant::now());
    let queue = FairQueue::with_shed(&Settings::default(), move |shed: Shed<u32>| {
        heard.lock().unwrap().push((shed.task, shed.why, start.elapsed()));
    });
    queue.set_cap(&["held"], 0);
    let due = |seconds| Ask::of(1).until(queue.timestamp((start + Duration::from_secs(seconds)).into_std()));
    queue.push(0, &["held"], due(9), 9).await.unwrap().keep();
    queue.push(0, &["held"], due(3), 3).await.unwrap().keep();
    assert!(timeout(Duration::from_secs(20), queue.next()).await.is_err());
    let gone = gone.lock().unwrap().clone();
    let after = |seconds| Duration::from_secs(seconds)..Duration::from_millis(seconds * 1_000 + 2);
    assert_eq!(
        gone.iter().map(|(task, why, _)| (*task, *why)).collect::<Vec<_>>(),
        [(3, Why::Expired), (9, Why::Expired)]
    );
    assert!(after(3).contains(&gone[0].2) && after(9).contains(&gone[1].2));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_comes_while_takers_wait_passes_on_time_whoever_of_them_leaves() {
    let gone = Arc::new(Mutex::new(Vec::new()));
    let (heard, start) = (Arc::clone(&gone), Instant::now());
    let queue = FairQueue::with_shed(&Settings::default(), move |shed: Shed<u32>| {
        heard.lock().unwrap().push((shed.task, start.elapsed().as_secs()));
    });
    queue.set_cap(&["held"], 0);
    let mut takers = JoinSet::new();
    for patience in [1, 2, 30] {
        let queue = queue.clone();
        takers.spawn(async move { timeout(Duration::from_secs(patience), queue.next()).await.is_err() });
    }
    sleep(Duration::from_millis(1)).await;
    let due = |seconds| Ask::of(1).until(queue.timestamp((start + Duration::from_secs(seconds)).into_std()));
    queue.push(0, &["held"], due(9), 9).await.unwrap().keep();
    queue.push(0, &["held"], due(3), 3).await.unwrap().keep();
    assert!(takers.join_all().await.into_iter().all(|waited| waited));
    assert_eq!(*gone.lock().unwrap(), [(3, 3), (9, 9)]);
}

#[tokio::test(start_paused = true)]
async fn takers_and_pushers_in_crowds_lose_nothing() {
    let queue = FairQueue::new(&small(3));
    let mut crowd = JoinSet::new();
    for tenant in 0..20_u32 {
        let queue = queue.clone();
        crowd.spawn(async move {
            for task in 0..50 {
                queue.push((tenant % 3) as usize, &[&tenant.to_string()], Ask::of(7), task).await.unwrap().keep();
            }
            0
        });
    }
    let mut takers = JoinSet::new();
    for _ in 0..8 {
        let queue = queue.clone();
        takers.spawn(async move {
            let mut taken = 0;
            // Every third taker gives up now and then.
            while let Some(grant) = queue.next().await {
                taken += 1;
                if taken % 3 == 0 {
                    let _ =
                        timeout(Duration::ZERO, queue.next()).await.map(|grant| taken += u32::from(grant.is_some()));
                }
                sleep(Duration::from_micros(u64::from(taken % 5))).await;
                let _ = grant.settle(u64::from(taken % 11));
            }
            taken
        });
    }
    crowd.join_all().await;
    queue.close();
    assert_eq!(takers.join_all().await.iter().sum::<u32>(), 1_000);
    assert_eq!((queue.len(), queue.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn weights_of_tickets_are_those_of_their_workflows() {
    let (queue, _) = tickets(&Settings::default(), AtTheDoor::Refuse);
    for id in 0..400 {
        let (run, weight) = [("light", 1_u32), ("heavy", 3)][id as usize % 2];
        queue.push(Ticket { weight: weight.try_into().unwrap(), ..ticket(id, run) }).await.unwrap();
    }
    let mut heavy = 0;
    for _ in 0..200 {
        let taken = queue.next().await.unwrap();
        heavy += u32::from(&*taken.flow.run == "heavy");
        queue.settle(taken.id, taken.cost);
    }
    assert_eq!(heavy, 150);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_that_has_to_go_is_told_and_its_name_is_free_again() {
    let settings = Settings { overflow: Overflow::Shed, ..small(2) };
    let (queue, recorder) = tickets(&settings, AtTheDoor::Refuse);
    queue.push(ticket(1, "greedy")).await.unwrap();
    queue.push(ticket(2, "greedy")).await.unwrap();
    assert!(queue.push(ticket(3, "greedy")).await.is_err(), "the greedy flow itself is refused");
    queue.push(ticket(4, "light")).await.unwrap();
    let shed = |fact: &Fact| matches!(fact, Fact::TicketShed { ticket: TicketId(2), expired: false, .. });
    assert_eq!((recorder.count(shed), queue.len()), (1, 2));
    assert!(!queue.cancel(TicketId(2)));
    let deadline = Some((Instant::now() + Duration::from_secs(1)).into_std());
    assert!(queue.cancel(TicketId(1)) && queue.cancel(TicketId(4)));
    queue.set_cap(&["default", "team/late"], 0);
    queue.push(Ticket { deadline, ..ticket(2, "late") }).await.unwrap();
    assert!(timeout(Duration::from_secs(3), queue.next()).await.is_err());
    let expired = |fact: &Fact| matches!(fact, Fact::TicketShed { ticket: TicketId(2), expired: true, .. });
    assert_eq!((recorder.count(expired), queue.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_used_again_stands_for_the_new_ticket_alone() {
    let (queue, _) = tickets(&Settings::default(), AtTheDoor::Refuse);
    queue.push(ticket(1, "a")).await.unwrap();
    queue.push(ticket(1, "b")).await.unwrap();
    assert_eq!(queue.len(), 1);
    assert_eq!(&*queue.next().await.unwrap().flow.run, "b");
    // Taken and never settled; the new one may still come.
    queue.push(ticket(1, "c")).await.unwrap();
    assert_eq!(&*queue.next().await.unwrap().flow.run, "c");
    queue.settle(TicketId(1), 5);
    queue.settle(TicketId(1), 5);
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_ticket_waits_at_the_door_if_that_is_wanted() {
    let (queue, _) = tickets(&small(1), AtTheDoor::Wait);
    queue.push(ticket(1, "a")).await.unwrap();
    let later = async {
        sleep(Duration::from_secs(2)).await;
        queue.next().await.unwrap().id
    };
    let start = Instant::now();
    let (pushed, first) = tokio::join!(queue.push(ticket(2, "b")), later);
    assert_eq!((pushed, first, start.elapsed()), (Ok(()), TicketId(1), Duration::from_secs(2)));
    assert_eq!(queue.next().await.unwrap().id, TicketId(2));
}
