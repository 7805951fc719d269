//! Two overloaded clients before a batching server, and a top band under tenfold overload, both in virtual time.
//!
//! ```sh
//! cargo bench -p bellwether-benches --bench queue_replay
//! ```
//!
//! The first is the workload of VTC (Sheng et al., *Fairness in Serving Large Language Models*, OSDI '24) with its
//! service measure: one for a token read, two for a token written, counted as they are read and written. The server
//! writes one token of each running request in each step; a finished request makes room for the next. VTC's rule
//! charges the prompt when a request is taken and each written token as it is written.

#![allow(clippy::print_stdout, reason = "tables are what this is for")]

mod queue_bands;

use std::collections::{HashMap, VecDeque};

use bellwether_queue::{Ask, Scheduler, Settings, TaskId};

/// The requests of one client.
#[derive(Clone, Copy)]
struct Client {
    /// Requests for each thousand steps.
    rate: f64,
    prompt: u64,
    /// The median answer, and how far answers spread around it.
    answer: f64,
    spread: f64,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    client: usize,
    prompt: u64,
    answer: u64,
}

struct Running {
    request: Request,
    written: u64,
    ticket: usize,
}

/// Who is next, and what it hears of the course of things.
trait Rule {
    fn push(&mut self, request: Request);
    /// The next request and what it is called when it has finished.
    fn next(&mut self) -> Option<(Request, usize)>;
    /// A running request has written so many tokens.
    fn wrote(&mut self, ticket: usize, request: Request, written: u64);
    fn finished(&mut self, ticket: usize, request: Request);
}

/// In order of arrival.
#[derive(Default)]
struct Fcfs(VecDeque<Request>);

impl Rule for Fcfs {
    fn push(&mut self, request: Request) {
        self.0.push_back(request);
    }

    fn next(&mut self) -> Option<(Request, usize)> {
        Some((self.0.pop_front()?, 0))
    }

    fn wrote(&mut self, _: usize, _: Request, _: u64) {}

    fn finished(&mut self, _: usize, _: Request) {}
}

/// The counters of VTC, lifted to those of the others when a client comes back.
#[derive(Default)]
struct Vtc {
    lines: [VecDeque<Request>; 2],
    counters: [u64; 2],
}

impl Rule for Vtc {
    fn push(&mut self, request: Request) {
        let client = request.client;
        if self.lines[client].is_empty() && !self.lines[1 - client].is_empty() {
            self.counters[client] = self.counters[client].max(self.counters[1 - client]);
        }
        self.lines[client].push_back(request);
    }

    fn next(&mut self) -> Option<(Request, usize)> {
        let client =
            (0..2).filter(|client| !self.lines[*client].is_empty()).min_by_key(|client| self.counters[*client])?;
        let request = self.lines[client].pop_front()?;
        self.counters[client] += request.prompt;
        Some((request, 0))
    }

    fn wrote(&mut self, _: usize, request: Request, _: u64) {
        self.counters[request.client] += 2;
    }

    fn finished(&mut self, _: usize, _: Request) {}
}

/// What our queue is told that an answer will be.
#[derive(Clone, Copy)]
enum Forecast {
    /// Nothing but the prompt; what VTC knows at this point.
    Prompt,
    /// The truth.
    Oracle,
    /// Nothing but the prompt, revised with each token written.
    Progress,
    /// The truth, wrong by up to half to either side.
    Half,
    /// The mean of the client's last hundred answers.
    Mean,
    /// What nine of ten of the client's last hundred answers did not exceed.
    Ninth,
}

/// Ours: charged by a forecast, settled by the truth.
struct Ours {
    scheduler: Scheduler<Request>,
    forecast: Forecast,
    past: [VecDeque<u64>; 2],
    lines: [VecDeque<Request>; 2],
    tickets: HashMap<usize, TaskId>,
    next: usize,
    random: fastrand::Rng,
}

impl Ours {
    fn new(forecast: Forecast, seed: u64) -> Self {
        Self {
            scheduler: Scheduler::new(&Settings { capacity: usize::MAX, ..Settings::default() }),
            forecast,
            past: Default::default(),
            lines: Default::default(),
            tickets: HashMap::new(),
            next: 0,
            random: fastrand::Rng::with_seed(seed ^ 0xfeed),
        }
    }

    fn expected(&mut self, request: Request) -> u64 {
        let past = &self.past[request.client];
        let answer = match self.forecast {
            Forecast::Progress | Forecast::Prompt => 0,
            Forecast::Oracle => request.answer,
            Forecast::Half => (request.answer as f64 * (0.5 + self.random.f64())) as u64,
            Forecast::Mean | Forecast::Ninth if past.len() < 10 => 256,
            Forecast::Mean => past.iter().sum::<u64>() / past.len() as u64,
            Forecast::Ninth => {
                let mut sorted: Vec<u64> = past.iter().copied().collect();
                sorted.sort_unstable();
                sorted[sorted.len() * 9 / 10]
            }
        };
        request.prompt + 2 * answer
    }

    /// A forecast is made as late as it can be: only the first request of a client stands in the queue.
    fn step_up(&mut self, client: usize) {
        let name = ["a", "b"][client];
        if self.scheduler.status(0, &[name]).is_none_or(|flow| flow.waiting == 0)
            && let Some(request) = self.lines[client].pop_front()
        {
            let ask = Ask::of(self.expected(request));
            let _ = self.scheduler.push(0, &[name], ask, request).expect("there is room");
        }
    }
}

impl Rule for Ours {
    fn push(&mut self, request: Request) {
        self.lines[request.client].push_back(request);
        self.step_up(request.client);
    }

    fn next(&mut self) -> Option<(Request, usize)> {
        let granted = self.scheduler.grant()?;
        self.step_up(granted.task.client);
        self.next += 1;
        self.tickets.insert(self.next, granted.id);
        Some((granted.task, self.next))
    }

    fn wrote(&mut self, ticket: usize, request: Request, written: u64) {
        if matches!(self.forecast, Forecast::Progress)
            && let Some(id) = self.tickets.get(&ticket)
        {
            self.scheduler.revise(*id, request.prompt + 2 * written);
        }
    }

    fn finished(&mut self, ticket: usize, request: Request) {
        let past = &mut self.past[request.client];
        past.push_back(request.answer);
        if past.len() > 100 {
            past.pop_front();
        }
        if let Some(id) = self.tickets.remove(&ticket) {
            self.scheduler.settle(id, request.prompt + 2 * request.answer);
        }
    }
}

/// How far apart two clients get over any stretch of time after a warm-up, in tokens read plus twice the tokens
/// written.
#[derive(Clone, Copy, Default)]
struct Gap {
    /// By what was granted: a request counts what it really takes, when it is taken.
    granted: u64,
    /// By what was delivered, token by token.
    delivered: u64,
}

/// The least and the most by which one client was ahead.
struct Range(i64, i64);

impl Range {
    fn hear(&mut self, work: [u64; 2]) {
        let ahead = work[0] as i64 - work[1] as i64;
        *self = Self(self.0.min(ahead), self.1.max(ahead));
    }

    fn width(&self) -> u64 {
        self.1.abs_diff(self.0)
    }
}

fn replay(rule: &mut dyn Rule, clients: [Client; 2], slots: usize, steps: u64, seed: u64) -> Gap {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut due = [0.0; 2];
    let (mut granted, mut delivered, mut running) = ([0_u64; 2], [0_u64; 2], Vec::<Running>::new());
    let (mut by_grant, mut by_token) = (Range(i64::MAX, i64::MIN), Range(i64::MAX, i64::MIN));
    for step in 0..steps {
        for (client, Client { rate, prompt, answer, spread }) in clients.into_iter().enumerate() {
            while due[client] <= step as f64 {
                let normal = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
                let answer = (answer * (spread * normal).exp()).clamp(1.0, 1_024.0) as u64;
                let prompt = if spread > 0.0 { (prompt as f64 * (0.5 + random.f64())) as u64 } else { prompt };
                rule.push(Request { client, prompt, answer });
                due[client] -= (1.0 - random.f64()).ln() * 1_000.0 / rate;
            }
        }
        // As in the server of the paper, new requests join every few steps.
        while step % ROUND == 0 && running.len() < slots {
            let Some((request, ticket)) = rule.next() else { break };
            delivered[request.client] += request.prompt;
            granted[request.client] += request.prompt + 2 * request.answer;
            if step > steps / 10 {
                by_grant.hear(granted);
            }
            running.push(Running { request, written: 0, ticket });
        }
        running.retain_mut(|one| {
            one.written += 1;
            delivered[one.request.client] += 2;
            rule.wrote(one.ticket, one.request, one.written);
            if one.written >= one.request.answer {
                rule.finished(one.ticket, one.request);
            }
            one.written < one.request.answer
        });
        if step > steps / 10 {
            by_token.hear(delivered);
        }
    }
    Gap { granted: by_grant.width(), delivered: by_token.width() }
}

const ROUND: u64 = 10;

fn main() {
    let test = std::env::args().any(|argument| argument == "--test");
    let (seeds, steps) = if test { (1, 2_000) } else { (10, 60_000) };
    let same = Client { rate: 200.0, prompt: 256, answer: 200.0, spread: 0.6 };
    let more = Client { rate: 400.0, ..same };
    // As in the paper: 256 tokens each way, and one client sends twice as much as the other.
    let fixed = Client { rate: 300.0, prompt: 256, answer: 256.0, spread: 0.0 };
    let twice = Client { rate: 600.0, ..fixed };
    let chatty = Client { rate: 200.0, prompt: 64, answer: 400.0, spread: 0.6 };
    let reader = Client { rate: 400.0, prompt: 512, answer: 50.0, spread: 0.6 };
    for (name, clients) in [
        ("the same request always, twice as many", [fixed, twice]),
        ("same kind of request, twice as many", [same, more]),
        ("short prompts, long answers against the reverse", [chatty, reader]),
    ] {
        for slots in [16, 64] {
            println!("\n{name}; {slots} requests at a time; means of {seeds} runs");
            println!("| rule | gap by what was granted | of VTC's | by what was delivered | of VTC's |");
            println!("|---|---|---|---|---|");
            let run = |make: &dyn Fn(u64) -> Box<dyn Rule>| {
                let gaps = (1..=seeds).map(|seed| replay(&mut *make(seed), clients, slots, steps, seed));
                gaps.fold(Gap::default(), |sum, gap| Gap {
                    granted: sum.granted + gap.granted / seeds,
                    delivered: sum.delivered + gap.delivered / seeds,
                })
            };
            let ours = |forecast| run(&move |seed| Box::new(Ours::new(forecast, seed)));
            let vtc = run(&|_| Box::<Vtc>::default());
            let rows = [
                ("first come, first served", run(&|_| Box::<Fcfs>::default())),
                ("VTC's rule", vtc),
                ("ours, told the prompt only", ours(Forecast::Prompt)),
                ("ours, prompt, then revised as it is written", ours(Forecast::Progress)),
                ("ours, mean of the last 100", ours(Forecast::Mean)),
                ("ours, 90 % of the last 100", ours(Forecast::Ninth)),
                ("ours, wrong by up to half", ours(Forecast::Half)),
                ("ours, oracle", ours(Forecast::Oracle)),
            ];
            let mean = rows[4].1;
            let fixed = clients.iter().all(|client| client.spread == 0.0);
            assert!(!fixed || test || 5 * mean.granted <= vtc.granted, "a fifth of VTC's gap, granted");
            assert!(!fixed || test || 5 * mean.delivered <= vtc.delivered, "a fifth of VTC's gap, delivered");
            let part = |own: u64, other: u64| own as f64 / other.max(1) as f64;
            for (rule, gap) in rows {
                let Gap { granted, delivered } = gap;
                println!(
                    "| {rule} | {granted} | {:.2} | {delivered} | {:.2} |",
                    part(granted, vtc.granted),
                    part(delivered, vtc.delivered)
                );
            }
        }
    }
    queue_bands::run(test);
}
