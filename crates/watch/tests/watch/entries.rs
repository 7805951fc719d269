//! A run's entries, as a journal gives them back.

use bellwether_core::Timestamp;
use bellwether_core::journal::{Entry, Recorded};
use serde_json::{Value, json};

/// When the run began, in milliseconds since the Unix epoch.
pub(crate) const BEGAN: u64 = 1_700_000_000_000;

/// What a call took.
const SPENT: &str = r#"{"calls":1,"retries":0,"unpriced":0,"busy":{"secs":0,"nanos":500000000},
    "usage":{"input_tokens":100,"output_tokens":50,"cached_tokens":null,"reasoning_tokens":null,"cost":10000000}}"#;

pub(crate) struct Entries {
    pub(crate) entries: Vec<Recorded>,
}

impl Entries {
    /// A run that was begun and no more.
    pub(crate) fn begin() -> Self {
        let mut run = Self { entries: Vec::new() };
        run.at(
            0,
            "run_started",
            r#"{"schema":1,"team":"pair","request":"Build it","terms":{
                "review":"threshold 0.75, rounds 1",
                "role lead: kind":"planner","role lead: models":"big","role lead: prompt":"...",
                "role coder: kind":"worker","role coder: models":"small, big","role coder: prompt":"...",
                "role critic: kind":"reviewer","role critic: models":"big","role critic: prompt":"..."}}"#,
        );
        run
    }

    /// An entry so many milliseconds after the beginning.
    pub(crate) fn at(&mut self, t: u64, kind: &str, body: &str) {
        let body: Value = serde_json::from_str(body).expect("the test writes JSON");
        self.push(t, kind, body);
    }

    fn push(&mut self, t: u64, kind: &str, body: Value) {
        let seq = self.entries.len() as u64 + 1;
        let entry = Entry { kind: kind.to_owned(), body };
        self.entries.push(Recorded { seq, at: Timestamp::from_millis(BEGAN + t), entry });
    }

    /// An event of the team.
    pub(crate) fn event(&mut self, t: u64, kind: &str, event: &str) {
        let event: Value = serde_json::from_str(event).expect("the test writes JSON");
        self.push(t, kind, json!({ "at": t * 1_000_000, "event": event }));
    }

    pub(crate) fn began(&mut self, t: u64, phase: &str, task: &str, round: u32) {
        self.push(
            t,
            "began",
            json!({ "at": t * 1_000_000, "event": { "job": { phase: { "task": task, "round": round } }, "tier": 0 } }),
        );
    }

    fn produced(&mut self, t: u64, task: &str, text: &str) {
        let spent: Value = serde_json::from_str(SPENT).expect("the test writes JSON");
        self.push(t, "produced", json!({ "event": { "task": task, "text": text, "spent": spent } }));
    }

    fn judged(&mut self, t: u64, task: &str, decision: &str, score: f64, say: &str) {
        let spent: Value = serde_json::from_str(SPENT).expect("the test writes JSON");
        let verdict = json!({ "decision": decision, "score": score, "summary": say, "issues": [{ "severity": "major", "place": say, "fix": say }] });
        self.push(t, "judged", json!({ "event": { "task": task, "verdict": verdict, "spent": spent } }));
    }

    /// A note of a call.
    pub(crate) fn heard(&mut self, t: u64, what: &str, task: &str, phase: &str, more: &str) {
        let role = if phase == "review" { "critic" } else { "coder" };
        let note = format!(
            r#"{{"lost":0,"notes":[{{"at":{},"what":"{what}","call":{{"role":"{role}","task":"{task}","phase":"{phase}","round":0,"model":"small","provider":"main"}}{more}}}]}}"#,
            BEGAN + t
        );
        self.at(t, "heard", &note);
    }
}

/// Three tasks, of which the third needs the first; the first goes back once.
pub(crate) fn ordinary() -> Vec<Recorded> {
    let mut run = Entries::begin();
    run.event(10, "began", r#"{"job":"plan","tier":0}"#);
    let plan = |id: &str, needs: &str| {
        format!(
            r#"{{"id":"{id}","title":"Part {id}","objective":"Do {id}","acceptance":[],"role":"coder","depends_on":[{needs}],"complexity":2}}"#
        )
    };
    let tasks = [plan("t1", ""), plan("t2", ""), plan("t3", "\"t1\"")].join(",");
    run.event(
        1_000,
        "planned",
        &format!(r#"{{"plan":{{"summary":"three parts","tasks":[{tasks}],"degraded":false}},"spent":{SPENT}}}"#),
    );
    run.began(1_050, "work", "t1", 0);
    run.began(1_050, "work", "t2", 0);
    run.heard(1_100, "queued", "t1", "work", "");
    run.heard(1_100, "queued", "t2", "work", "");
    run.heard(1_500, "admitted", "t1", "work", "");
    run.heard(2_000, "admitted", "t2", "work", "");
    run.heard(2_100, "throttled", "t2", "work", r#","wait":250"#);
    run.heard(2_100, "retried", "t2", "work", r#","kind":"overloaded","delay":250"#);
    run.heard(2_350, "queued", "t2", "work", "");
    run.heard(2_350, "admitted", "t2", "work", "");
    run.produced(2_700, "t1", "the first draft of t1");
    run.produced(2_800, "t2", "the work of t2");
    run.began(2_900, "review", "t1", 0);
    run.judged(3_400, "t1", "revise", 0.5, "not yet");
    run.began(3_450, "review", "t2", 0);
    run.judged(3_480, "t2", "accept", 0.8, "good");
    run.began(3_500, "work", "t1", 1);
    run.produced(5_000, "t1", "the second draft of t1");
    run.began(5_100, "review", "t1", 1);
    run.judged(5_900, "t1", "accept", 0.9, "good");
    run.began(6_000, "work", "t3", 0);
    run.produced(6_500, "t3", "the work of t3");
    run.heard(6_600, "refused", "t3", "work", r#","kind":"queue_full""#);
    run.at(7_000, "run_finished", r#"{"at":7000000000,"outcome":"succeeded"}"#);
    let retries: Vec<usize> =
        (0..run.entries.len()).filter(|n| run.entries[*n].entry.body["event"]["text"] == "the work of t2").collect();
    for n in retries {
        run.entries[n].entry.body["event"]["spent"]["retries"] = json!(1);
    }
    run.entries
}

/// What models must not be able to do, in every place where they can say something.
pub(crate) const XSS: &str = "<script>alert(1)</script><img src=x onerror=alert(1)>![x](https://evil.example/?q=1)\
    <svg onload=alert(1)><a href=\"javascript:alert(1)\">x</a><b>bold\u{1b}]52;c;eA==\u{7}\u{9b}31m\u{202e}'\"><iframe src=//evil.example>";

/// A run in which everything that a model can say is hostile.
pub(crate) fn hostile() -> Vec<Recorded> {
    let mut run = Entries::begin();
    let spent: Value = serde_json::from_str(SPENT).expect("the test writes JSON");
    run.entries[0].entry.body["request"] = json!(XSS);
    run.entries[0].entry.body["team"] = json!(XSS);
    let task = |id: &str| json!({ "id": id, "title": XSS, "objective": XSS, "role": XSS, "depends_on": [XSS], "complexity": 2 });
    let plan = json!({ "summary": XSS, "tasks": [task("t1"), task(XSS)], "degraded": false });
    run.push(100, "planned", json!({ "event": { "plan": plan, "spent": spent } }));
    run.began(200, "work", "t1", 0);
    run.heard(210, "queued", "t1", "work", "");
    run.produced(300, "t1", XSS);
    run.began(400, "review", "t1", 0);
    run.judged(500, "t1", XSS, 0.5, XSS);
    run.push(600, "unusable", json!({ "event": { "job": { XSS: { "task": XSS, "round": 0 } }, "attempt": { "answer": XSS, "problems": [XSS] }, "spent": spent } }));
    run.push(
        700,
        "failed",
        json!({ "event": { "job": "plan", "failure": { "kind": XSS, "message": XSS }, "spent": spent } }),
    );
    run.push(800, XSS, json!({ "event": XSS }));
    run.push(900, "routed", json!({ "event": XSS }));
    let weighed = json!({ "model": XSS, "mean": 0.5, "sample": 0.6, "seen": 2, "cost": 0.01, "ruled_out": XSS });
    let route =
        json!({ "tier": 0, "name": XSS, "why": XSS, "mode": XSS, "features": { "group": XSS }, "weighed": [weighed] });
    run.push(910, "routed", json!({ "event": { "task": XSS, "route": route } }));
    run.push(950, "stopped", json!({ "event": { "stop": { "hopeless": { "message": XSS } } } }));
    run.entries
}
