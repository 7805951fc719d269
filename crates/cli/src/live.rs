//! What goes on, on standard error: a line per task that is redrawn, or a line per change.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bellwether_core::{Call, Fact, Observer, RunId, TaskId, TaskState, Usage};
use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use tokio::time::Instant;

use crate::args::Progress;
use crate::terminal::{cut, note, plain};

/// The reasons of waiting, in the words of page and report.
const FOR_TURN: &str = "waits: queue";
const FOR_QUOTA: &str = "waits: quota";
const TICK: Duration = Duration::from_millis(120);

/// Hears facts and shows them.
#[derive(Debug)]
pub(crate) struct Live {
    began: Instant,
    mode: Mode,
    view: Mutex<View>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Bars,
    Lines,
    Silent,
}

#[derive(Debug)]
struct View {
    bars: MultiProgress,
    lines: HashMap<Option<TaskId>, Line>,
    /// The model that was asked last to work on each task.
    models: HashMap<TaskId, Arc<str>>,
    /// Until when the quotas pause.
    paused: Option<Instant>,
}

/// What is shown of a task, or of the planning.
#[derive(Debug)]
struct Line {
    bar: ProgressBar,
    /// The task's id, or `plan`.
    name: String,
    title: String,
    role: String,
    state: &'static str,
    waiting: Option<&'static str>,
    usage: Usage,
    watch: Arc<Stopwatch>,
}

/// How long something takes; read anew with each redraw.
#[derive(Debug, Default)]
struct Stopwatch {
    began: OnceLock<Instant>,
    ended: OnceLock<Instant>,
}

impl Stopwatch {
    fn begin(&self) {
        self.began.get_or_init(Instant::now);
    }

    fn end(&self) {
        self.ended.get_or_init(Instant::now);
    }

    fn elapsed(&self) -> Duration {
        let until = self.ended.get().copied().unwrap_or_else(Instant::now);
        self.began.get().map_or(Duration::ZERO, |began| until - *began)
    }

    fn told(&self) -> String {
        format!("{:.1}s", self.elapsed().as_secs_f64())
    }
}

impl Live {
    pub(crate) fn new(progress: Progress) -> Self {
        let mode = match progress {
            Progress::Auto if io::stderr().is_terminal() => Mode::Bars,
            Progress::Live => Mode::Bars,
            Progress::Plain => Mode::Lines,
            Progress::Auto | Progress::None => Mode::Silent,
        };
        let view = View { bars: MultiProgress::new(), lines: HashMap::new(), models: HashMap::new(), paused: None };
        Self { began: Instant::now(), mode, view: Mutex::new(view) }
    }

    /// Says something without disturbing the lines.
    pub(crate) fn say(&self, text: &str) {
        match self.mode {
            Mode::Bars => self.with(|view| view.bars.suspend(|| note(text))),
            Mode::Lines | Mode::Silent => note(text),
        }
    }

    /// Leaves the lines as they are.
    pub(crate) fn end(&self) {
        self.with(|view| view.lines.values().for_each(|line| line.bar.abandon()));
    }

    fn with<T>(&self, show: impl FnOnce(&mut View) -> T) -> T {
        show(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A line per change.
    fn change(&self, who: &str, what: &str) {
        if self.mode == Mode::Lines {
            note(&format!("{:8.2}s  {who:<18} {what}", self.began.elapsed().as_secs_f64()));
        }
    }

    /// Changes what is shown of a task, or of the planning.
    fn update(&self, task: Option<&TaskId>, change: impl FnOnce(&mut Line)) {
        if self.mode == Mode::Bars {
            self.with(|view| {
                if let Some(line) = view.lines.get_mut(&task.cloned()) {
                    change(line);
                    line.draw();
                }
            });
        }
    }

    fn add(&self, task: Option<TaskId>, title: &str) {
        if self.mode == Mode::Bars {
            self.with(|view| {
                let bar = view.bars.add(ProgressBar::new_spinner());
                let name = task.as_ref().map_or_else(|| "plan".to_owned(), ToString::to_string);
                let line = Line::new(bar, name, title);
                line.draw();
                view.lines.insert(task, line);
            });
        }
    }

    fn began(&self, run: &RunId, team: &str) {
        if self.mode != Mode::Silent {
            self.say(&format!("run {run} of team {}", plain(team, false)));
        }
        self.add(None, "");
    }

    fn planned(&self, tasks: &[(TaskId, Arc<str>)], degraded: bool) {
        let how = if degraded { " (no plan could be read: one task for everything)" } else { "" };
        self.change("plan", &format!("{} tasks{how}", tasks.len()));
        self.update(None, |line| line.rest("planned"));
        for (task, title) in tasks {
            self.change(task.as_str(), &plain(title, false));
            self.add(Some(task.clone()), &plain(title, false));
        }
    }

    fn spawned(&self, parent: &TaskId, tasks: &[(TaskId, Arc<str>)]) {
        self.change(parent.as_str(), &format!("asks for {} further tasks", tasks.len()));
        for (task, title) in tasks {
            self.change(task.as_str(), &plain(title, false));
            self.add(Some(task.clone()), &plain(title, false));
        }
    }

    fn moved(&self, task: &TaskId, role: &str, to: TaskState, round: u32) {
        let round = if round > 0 { format!(" (revision {round})") } else { String::new() };
        if to != TaskState::Pending {
            self.change(&format!("{task} {}", plain(role, false)), &format!("{}{round}", to.as_str()));
        }
        self.update(Some(task), |line| {
            line.role = plain(role, false);
            line.state = to.as_str();
            line.waiting = None;
            if to == TaskState::Running {
                line.begin();
            }
            if to.is_final() {
                line.rest(to.as_str());
            }
        });
        if to.is_final() && self.mode == Mode::Bars {
            self.with(|view| view.make_room(task));
        }
    }
}

impl Live {
    fn queued(&self, call: &Call) {
        let task = call.context.task.as_ref();
        if let Some(task) = task.filter(|_| call.context.phase == "work") {
            let before = self.with(|view| view.models.insert(task.clone(), Arc::clone(&call.model)));
            if before.is_some_and(|before| before != call.model) {
                self.change(task.as_str(), &format!("goes on with {}", plain(&call.model, false)));
            }
        }
        let paused = self.with(|view| view.paused.is_some_and(|until| until > Instant::now()));
        self.update(task, |line| {
            line.begin();
            line.waiting = Some(if paused { FOR_QUOTA } else { FOR_TURN });
        });
    }

    /// Whoever waits behind others waits for the quota from now on.
    fn paused(&self, wait: Duration) {
        if self.mode == Mode::Bars {
            self.with(|view| {
                view.paused = view.paused.max(Some(Instant::now() + wait));
                for line in view.lines.values_mut().filter(|line| line.waiting == Some(FOR_TURN)) {
                    line.waiting = Some(FOR_QUOTA);
                    line.draw();
                }
            });
        }
    }
}

impl Observer for Live {
    fn observe(&self, fact: &Fact) {
        if self.mode == Mode::Silent {
            return;
        }
        match fact {
            Fact::RunStarted { run, team } => self.began(run, team),
            Fact::PlanAccepted { tasks, degraded, .. } => self.planned(tasks, *degraded),
            Fact::PlanRejected { reason, .. } => self.change("plan", &format!("not usable: {}", plain(reason, false))),
            Fact::RouteDecided { task, tier, why, .. } => {
                self.change(task.as_str(), &format!("starts on {}: {}", plain(tier, false), plain(why, false)));
            }
            Fact::TasksSpawned { parent, tasks, .. } => self.spawned(parent, tasks),
            Fact::TaskMoved { task, role, to, round, .. } => self.moved(task, role, *to, *round),
            Fact::TaskReviewed { task, score, accepted, .. } => {
                let verdict = if *accepted { "accepted" } else { "wanting" };
                self.change(task.as_str(), &format!("score {score:.2}, {verdict}"));
            }
            Fact::CallQueued { call } => self.queued(call),
            Fact::CallAdmitted { call, .. } => self.update(call.context.task.as_ref(), |line| line.waiting = None),
            Fact::CallCompleted { call, usage, .. } => {
                self.update(call.context.task.as_ref(), |line| line.usage += *usage);
            }
            Fact::CallHedged { call, end } => {
                let who = call.context.task.as_ref().map_or("plan", TaskId::as_str);
                let said =
                    format!("{} took long and was sent twice; the second try {}", call.context.phase, end.as_str());
                self.change(who, &said);
            }
            Fact::CallRetried { call, kind, delay } => {
                let who = call.context.task.as_ref().map_or("plan", TaskId::as_str);
                let when = format!("{:.1}s", delay.as_secs_f64());
                self.change(who, &format!("{} failed: {}; again in {when}", call.context.phase, kind.as_str()));
                self.update(call.context.task.as_ref(), |line| line.waiting = Some("waits: retry"));
            }
            Fact::CallThrottled { call, retry_after } => {
                let pause = retry_after.map_or_else(|| "a while".to_owned(), |d| format!("{:.1}s", d.as_secs_f64()));
                self.change(&call.provider, &format!("asks everybody to stay away for {pause}"));
            }
            Fact::CallWaiting { call, .. } => {
                self.update(call.context.task.as_ref(), |line| line.waiting = Some(FOR_QUOTA));
            }
            Fact::QuotaPaused { wait, .. } => self.paused(*wait),
            _ => {}
        }
    }
}

// === impl View ===

impl View {
    /// Where there are more lines than rows, whoever comes to rest is written above them: else those that are at work would
    /// lie below the last row, where nobody sees them.
    fn make_room(&mut self, task: &TaskId) {
        let (rows, columns) = Term::stderr().size();
        if self.lines.len() < usize::from(rows) {
            return;
        }
        if let Some(line) = self.lines.remove(&Some(task.clone())) {
            self.bars.remove(&line.bar);
            let text = format!("  {}{:>8}  {}", line.prefix(), line.watch.told(), line.message());
            let _ = self.bars.println(cut(&text, usize::from(columns)));
        }
    }
}

// === impl Line ===

impl Line {
    fn new(bar: ProgressBar, name: String, title: &str) -> Self {
        let watch = Arc::<Stopwatch>::default();
        let shown = Arc::clone(&watch);
        let style = ProgressStyle::with_template("{spinner} {prefix}{took:>8}  {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner())
            .with_key("took", move |_: &ProgressState, to: &mut dyn fmt::Write| {
                let _ = to.write_str(&shown.told());
            });
        bar.set_style(style);
        Self {
            bar,
            name,
            // Terminals differ in how wide characters are that are joined to one or have a variant.
            title: title.chars().filter(|c| !matches!(c, '\u{200d}' | '\u{fe00}'..='\u{fe0f}')).collect(),
            role: String::new(),
            state: "pending",
            waiting: None,
            usage: Usage::default(),
            watch,
        }
    }

    /// Somebody is at it; until then nothing turns.
    fn begin(&self) {
        if self.watch.began.get().is_none() {
            self.watch.begin();
            self.bar.enable_steady_tick(TICK);
        }
    }

    /// Comes to rest.
    fn rest(&mut self, state: &'static str) {
        self.state = state;
        self.waiting = None;
        self.watch.end();
        self.draw();
        self.bar.abandon();
    }

    fn draw(&self) {
        // Where the terminal is narrow, the end is cut: what stands before the message fits into 40 columns.
        self.bar.set_prefix(self.prefix());
        self.bar.set_message(self.message());
    }

    fn prefix(&self) -> String {
        let state = self.waiting.unwrap_or(self.state).replace('_', " ");
        format!("{:<4} {state:<12}", cut(&self.name, 10))
    }

    fn message(&self) -> String {
        let cost = self.usage.cost.map_or_else(String::new, |cost| cost.to_string());
        let role = cut(&self.role, 10);
        format!("{role:<10} {:>6} tok {cost:>9}  {}", self.usage.tokens(), self.title)
    }
}
