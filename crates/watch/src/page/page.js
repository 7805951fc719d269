// The live page: keeps one run's story up to date and shows any moment of it. Every text is set as text, never as HTML.
import { become, drawLimits, drawMoney, drawShares, el, keep, legend, measure, reach, stateAt, seconds } from "./draw.js";
import { drawLanes } from "./lanes.js";
import { drawGraph } from "./plan.js";
import { drawRounds } from "./rounds.js";
import { drawRouting, routedBy } from "./routing.js";

const $ = (id) => document.getElementById(id);
const PARTS = ["tasks", "spans", "costs", "money", "routes", "shares", "limits", "marks", "wholes", "log"];
const LOG_LINES = 400;
const RESTS = ["accepted", "unreviewed", "rejected", "failed", "skipped", "cancelled"];

let runs = [];
let listed = ""; // what the list of runs shows
let chosenRun; // the run that is marked there
let story = null;
let stream = null;
let moment = null; // the moment that is shown; null follows the run
let playing = null;
let chosen = null; // the task whose rounds are shown
let heardAt = 0; // when the last entry was written, by this page's clock
let listedAt = -Infinity; // when it was last known who works on what
let over = false;
let unknown = false; // whether the journal knows no such run
let due = false;
let shown = 0; // the moment that was drawn last
let stale = false; // whether there are news that are not drawn yet
let rested = 0; // until when nothing is drawn unless somebody asks: where very much is drawn, time is left for who clicks

function empty(run) {
  const story = { head: { run, now: 0, lanes: [], critical: [] } };
  for (const part of PARTS) story[part] = [];
  return story;
}

function take(news) {
  if (news.whole) story = empty(story.head.run);
  const run = story.head.run;
  Object.assign(story.head, news.head, { run: news.head.run || run });
  for (const part of PARTS) for (const [n, item] of news.put[part] || []) story[part][n] = item;
  // Whoever comes while nothing happens is told since when: of the whole story the list says how old it is.
  const known = news.whole && runs.find((run) => run.run === story.head.run && run.entries === story.head.seq);
  heardAt = known ? listedAt - known.silent : performance.now();
  stale = true;
  if (performance.now() >= rested) redraw();
}

function open(run) {
  story = empty(run);
  moment = null;
  chosen = null;
  stop();
  location.hash = run;
  $("kind").value = "";
  follow(run);
  list();
}

function follow(run) {
  over = unknown = false;
  if (stream) stream.close();
  stream = null;
  if (document.hidden) return;
  // Reconnects by itself, and says then which entry it saw last.
  const after = story.head.seq ? `?after=${story.head.seq}` : "";
  stream = new EventSource(`api/runs/${encodeURIComponent(run)}/events${after}`);
  const mine = stream;
  stream.addEventListener("open", () => status("connected: what is new is shown as it comes"));
  stream.addEventListener("error", () => {
    // A server may end with its run before it could say that this was all.
    if (story.head.outcome) end(mine);
    else if (mine === stream && mine.readyState === EventSource.CLOSED) refused(run, mine);
    else if (mine === stream) status("connection lost; trying again");
    // Nothing is known of it yet: what is shown is another run.
    if (mine === stream && !story.head.seq) $("main").hidden = true;
  });
  stream.addEventListener("news", (event) => { if (mine === stream) take(JSON.parse(event.data)); });
  stream.addEventListener("over", () => end(mine));
}

// An answer that is no stream: there is no such run, or whoever serves the page is in trouble for now.
async function refused(run, which) {
  const answer = await fetch(`api/runs/${encodeURIComponent(run)}`, { method: "HEAD" }).catch(() => null);
  if (which !== stream) return;
  if (answer?.status === 404) {
    unknown = true;
    status(`the journal knows no run ${run.slice(0, 60)}`);
    $("main").hidden = true;
  } else {
    status("connection lost; trying again");
    setTimeout(() => { if (which === stream) follow(run); }, 2000);
  }
}

function end(which) {
  which.close();
  if (which !== stream) return;
  over = true;
  // Whoever served the page may have ended with the run, and can be asked no more.
  runs = runs.map((run) => (run.run === story.head.run ? { ...run, live: false, outcome: story.head.outcome } : run));
  show(story.head.run);
  status("this run is over: move the slider to see any moment of it");
  list();
  redraw();
}

const status = (text) => { $("link").textContent = text; };

async function list() {
  try {
    const answer = await fetch("api/runs");
    if (answer.ok) [runs, listedAt] = [await answer.json(), performance.now()];
  } catch {
    return; // the stream says that the connection is lost
  }
  const current = story && story.head.run;
  // Somebody goes on with a run that was over.
  if (over && runs.some((run) => run.run === current && run.entries > story.head.seq)) follow(current);
  // What nobody knew has begun.
  if (unknown && runs.some((run) => run.run === current)) follow(current);
  show(current);
  // Only the latest runs are listed; the address may name another one.
  const wanted = named() || runs[0]?.run;
  if (!current && wanted) open(wanted);
}

function named() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return location.hash.slice(1);
  }
}

function show(current) {
  // What is the same stays: a list that is made anew between press and release would swallow a click.
  const key = JSON.stringify([current, ...runs.map(({ run, request, began, live, outcome }) => [run, request, began, live, outcome])]);
  if (key === listed) return;
  listed = key;
  const rows = runs.map((run) => {
    const row = el("button", { type: "button" });
    row.dataset.run = run.run;
    if (run.run === current) row.setAttribute("aria-current", "true");
    const state = run.outcome ? run.outcome.replaceAll("_", " ") : run.live ? "running" : "interrupted";
    row.append(el("b", {}, run.request || run.run), el("span", { class: run.outcome || (run.live ? "on" : "off") }, `${state} · ${when(run.began)}`));
    row.addEventListener("click", () => open(run.run));
    return row;
  });
  if (!rows.length) rows.push(el("p", { class: "soft" }, "the journal knows no runs yet"));
  const focused = document.activeElement && document.activeElement.dataset.run;
  $("runs").replaceChildren(...rows);
  if (current !== chosenRun) rows.find((row) => row.dataset.run === current)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  chosenRun = current;
  if (focused) rows.find((row) => row.dataset.run === focused)?.focus();
}

const when = (began) => (began ? new Date(began).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }) : "");

// The latest moment anything is known of; while the run is on, time goes on between two pieces of news, as long as somebody
// says that it is on.
function latest() {
  const { now, outcome } = story.head;
  const live = runs.find((run) => run.run === story.head.run)?.live;
  return outcome || over || !live ? now : now + Math.max(Math.min(performance.now(), listedAt + 10_000) - heardAt, 0);
}

// Whether a run stands still without an end: nobody works on it.
function interrupted() {
  const known = runs.find((run) => run.run === story.head.run);
  return !story.head.outcome && known !== undefined && !known.live && !known.outcome;
}

function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    if (story && story.head.seq) draw();
  });
}

function draw() {
  const end = Math.max(latest(), 1);
  const t = moment === null ? end : Math.min(moment, end);
  const axis = story.head.outcome || over || interrupted() ? end : reach(end);
  const last = (points) => points.findLast((point) => point.t <= t);
  const began = performance.now();
  [stale, rested] = [false, Infinity];
  $("main").hidden = false;
  $("routing").hidden = !routedBy(story, t).length;
  measure(["graph", "lanes", "money", "limits", "shares", "lambda"].map($));
  $("over").textContent = `team ${story.head.team} · run ${story.head.run}`;
  $("request").textContent = story.head.request;
  document.title = `${story.head.request.slice(0, 60)} · Bellwether`;
  const ended = story.head.outcome && t >= story.head.now;
  const left = moment === null && interrupted();
  const outcome = ended ? story.head.outcome : left ? "off" : "on";
  $("outcome").textContent = ended ? outcome.replaceAll("_", " ") : left ? "interrupted" : moment === null ? "running" : "as it was";
  $("outcome").className = `badge ${outcome}`;
  const onward = `nobody works on it; bellwether resume ${story.head.run} goes on with it`;
  $("stop").textContent = left ? onward : ended && story.head.stop ? story.head.stop : "";
  const states = story.tasks.map((task) => stateAt(task, t));
  $("graph").classList.toggle("still", left);
  // Whatever glows has its whole plan painted anew with each frame.
  $("graph").classList.toggle("calm", states.length > 60);
  const count = (...wanted) => states.filter((state) => wanted.includes(state)).length;
  const shares = new Map(story.shares.filter((share) => share.t <= t).map((share) => [share.flow, share.tokens]));
  const tokens = [...shares.values()].reduce((sum, more) => sum + more, 0);
  tiles({
    "tasks accepted": `${count("accepted")} of ${states.length}`,
    "at work": String(left ? 0 : count("running", "in_review")),
    time: seconds(t),
    spent: `$${(last(story.money)?.spent ?? 0).toFixed(4)}`,
    tokens: tokens.toLocaleString("en"),
    "429s": String(story.marks.filter((mark) => mark.what === "429" && mark.t <= t).length),
  });
  $("slider").value = String(Math.round((t / end) * 1000));
  $("slider").setAttribute("aria-valuetext", seconds(t));
  $("moment").textContent = seconds(t);
  $("live").setAttribute("aria-pressed", String(moment === null));
  $("live").textContent = story.head.outcome || interrupted() ? "end" : "live";
  $("play").textContent = playing ? "❚❚" : "▶";
  $("play").setAttribute("aria-label", playing ? "pause" : "play");
  drawGraph($("graph"), story, t, chosen, choose);
  drawLanes($("lanes"), story, t, axis);
  drawMoney($("money"), $("money-key"), story, t, axis);
  drawLimits($("limits"), $("limits-key"), story, t, axis);
  drawShares($("shares"), $("shares-key"), story, t, axis);
  drawRouting({ key: $("routing-key"), sum: $("routing-sum"), beliefs: $("beliefs"), lambda: $("lambda"), choices: $("choices") }, story, t, axis);
  // Once a task is taken up again it was made of less than there will be.
  const whole = states.every((state) => !state || RESTS.includes(state)) ? last(story.wholes) : undefined;
  $("whole").hidden = !whole;
  if ($("whole-text").textContent !== (whole?.text ?? "")) $("whole-text").textContent = whole?.text ?? "";
  drawRounds($("detail"), story.head.run, story.tasks.find((task) => task.id === chosen), t);
  shown = t;
  drawLog(t);
  // What a drawing takes, with all that the browser does for it, is known when the next one could be.
  requestAnimationFrame(() => { rested = performance.now() + 2 * (performance.now() - began); });
}

function tiles(values) {
  const fresh = $("tiles").cloneNode();
  fresh.append(...Object.entries(values).map(([name, value]) => {
    const tile = el("div");
    tile.append(el("dt", {}, name), el("dd", {}, value));
    return tile;
  }));
  become($("tiles"), fresh);
}

function choose(id) {
  chosen = chosen === id ? null : id;
  redraw();
}

function drawLog(t) {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const kind = $("kind").value;
  const kinds = [...new Set(story.log.map((line) => line.kind))].sort();
  if ($("kind").options.length !== kinds.length + 1) {
    $("kind").replaceChildren(el("option", { value: "" }, "everything"), ...kinds.map((kind) => el("option", { value: kind }, kind)));
    $("kind").value = kind;
  }
  const fits = (line) => line.t <= t && (!kind || line.kind === kind) && words.every((word) => `${line.kind} ${line.text}`.toLowerCase().includes(word));
  const lines = [...story.log.keys()].filter((n) => fits(story.log[n]));
  $("count").textContent = `${lines.length} events${lines.length > LOG_LINES ? `, the latest ${LOG_LINES} shown` : ""}`;
  keep($("log"), story.head.run, lines.slice(-LOG_LINES).reverse(), (n) => {
    const line = story.log[n];
    const row = el("li");
    row.dataset.seq = line.seq;
    row.append(el("time", {}, seconds(line.t)), el("b", { class: `k${line.kind.replace(/[^a-z0-9_]/gi, "")}` }, line.kind), el("span", {}, line.text));
    return row;
  });
}

function stop() {
  if (playing) clearInterval(playing);
  playing = null;
}

// From the beginning, or from where the slider stands, to the end in about ten seconds.
function play() {
  if (playing) {
    stop();
  } else {
    if (moment === null) moment = 0;
    playing = setInterval(() => {
      moment += latest() / 100;
      if (moment >= latest()) {
        moment = null;
        stop();
      }
      redraw();
    }, 100);
  }
  redraw();
}

$("slider").addEventListener("input", () => {
  stop();
  moment = (Number($("slider").value) / 1000) * latest();
  redraw();
});
$("live").addEventListener("click", () => { stop(); moment = null; redraw(); });
$("play").addEventListener("click", play);
for (const [field, change] of [["filter", "input"], ["kind", "change"]]) $(field).addEventListener(change, () => drawLog(shown));
addEventListener("resize", redraw);
// A browser has few connections for all pages of a server: one that nobody sees leaves its own to the others.
document.addEventListener("visibilitychange", () => {
  if (!story || over || unknown) return;
  if (document.hidden) stream?.close();
  else if (!stream || stream.readyState === EventSource.CLOSED) follow(story.head.run);
});
addEventListener("hashchange", () => {
  if (story && named() && named() !== story.head.run) open(named());
});
legend($("states"), [["s-pending", "pending"], ["s-running", "running"], ["s-produced", "produced"], ["s-in_review", "in review"], ["s-revising", "revising"], ["s-accepted", "accepted"], ["s-rejected", "wanting"], ["s-failed", "came to nothing"], ["path", "critical path"]]);
legend($("kinds"), [["plan", "plan"], ["work", "work"], ["review", "review"], ["other", "other"], ["span queue", "waits: queue"], ["span quota", "quota"], ["span dependency", "dependency"], ["span retry", "retry"], ["mark", "429"]]);
setInterval(() => { if (story && (stale || (!over && moment === null)) && performance.now() >= rested) redraw(); }, 250);
setInterval(list, 3000);
list();
