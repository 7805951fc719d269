// The rounds of a task: what was handed in, what changed since the round before, and what the reviewer said.
import { el, stateAt } from "./draw.js";

const MOST = 2_000; // lines that differ, beyond which they are not compared
const AROUND = 3; // lines around a change that are shown with it
const entire = new Set(); // the rounds whose whole text is wanted, not what changed
let drawn = [];

export function drawRounds(place, run, task, t) {
  place.hidden = !task;
  if (!task) return void (drawn = []);
  const rounds = task.rounds.filter((round) => round.drafted <= t);
  const judged = (round) => round.judged !== null && round.judged <= t;
  // News of a task are a new task: where it is the same, and no round more or less is seen, nothing has to be drawn.
  const seen = [run, task, stateAt(task, t), rounds.length, rounds.filter(judged).length];
  if (seen.every((part, n) => part === drawn[n])) return;
  drawn = seen;
  const head = el("p");
  head.append(el("b", {}, `${task.id} ${task.title} `), el("span", { class: `badge ${stateAt(task, t)}` }, stateAt(task, t).replaceAll("_", " ")));
  const about = `${task.role}${task.model ? ` on ${task.model}` : ""} · ${task.calls} calls, ${task.retries} sent again · $${task.usd.toFixed(4)}`;
  const ladder = el("ol");
  rounds.forEach((round, n) => ladder.append(step(round, rounds[n - 1], n, judged(round), `${run} ${task.id} ${n}`)));
  const parts = [head, el("p", { class: "soft" }, about), el("p", {}, task.objective), ladder];
  if (task.failure) parts.push(el("p", { class: "soft" }, task.failure));
  // Whoever goes through it with the keyboard, or has scrolled a text, goes on where it was.
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.at : undefined;
  const places = place.dataset.of === `${run} ${task.id}` ? [...place.querySelectorAll("pre")].map((text) => text.scrollTop) : [];
  place.dataset.of = `${run} ${task.id}`;
  place.replaceChildren(...parts);
  place.querySelectorAll("pre").forEach((text, n) => { text.scrollTop = places[n] ?? 0; });
  if (focused) [...place.querySelectorAll("button")].find((button) => button.dataset.at === focused)?.focus({ preventScroll: true });
}

function step(round, before, n, judged, id) {
  const step = el("li");
  const name = `round ${n + 1}${round.model ? ` on ${round.model}` : ""}`;
  step.append(el("p", {}, judged ? `${name}: ${round.score.toFixed(2)}, ${round.decision}. ${round.summary}` : `${name}: handed in, not judged yet`));
  if (judged) for (const [severity, place, fix] of round.issues) step.append(el("p", { class: "soft" }, `${severity} ${place}: ${fix}`));
  if (!before) {
    step.append(work(n, round.text));
    return step;
  }
  const rows = changes(before.text, round.text);
  const bar = el("p", { class: "toggle" });
  const text = work(n, "");
  const fill = () => {
    const whole = entire.has(id) || !rows;
    text.replaceChildren(...(whole ? [round.text] : folded(rows).map(line)));
    bar.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String((button.dataset.view === "whole") === whole)));
  };
  if (rows) for (const view of ["changes", "whole"]) {
    const button = el("button", { type: "button", "data-view": view, "data-at": `${id} ${view}` }, view);
    button.addEventListener("click", () => { entire[view === "whole" ? "add" : "delete"](id); fill(); });
    bar.append(button);
  }
  bar.append(el("span", { class: "soft" }, rows ? told(rows, n) : `more than ${MOST.toLocaleString("en")} lines differ from round ${n}: the whole of it`));
  step.append(bar, text);
  fill();
  return step;
}

// A long text scrolls, also for who has no mouse.
const work = (n, text) => el("pre", { tabindex: 0, "aria-label": `the work of round ${n + 1}` }, text);

function told(rows, n) {
  const count = (sign, what) => {
    const many = rows.filter(([of]) => of === sign).length;
    return many ? [`${many.toLocaleString("en")} line${many > 1 ? "s" : ""} ${what}`] : [];
  };
  return `${[...count("+", "added"), ...count("−", "removed")].join(", ") || "nothing changed"} since round ${n}`;
}

// What is the same far from any change is only counted.
function folded(rows) {
  const near = rows.map(() => false);
  rows.forEach(([sign], n) => { if (sign !== " ") near.fill(true, Math.max(n - AROUND, 0), n + AROUND + 1); });
  const shown = [];
  for (let n = 0; n < rows.length; n += 1) {
    if (near[n]) {
      shown.push(rows[n]);
      continue;
    }
    const from = n;
    while (n + 1 < rows.length && !near[n + 1]) n += 1;
    shown.push(n > from ? ["⋯", `${(n - from + 1).toLocaleString("en")} lines the same`] : rows[n]);
  }
  return shown;
}

function line([sign, text]) {
  const row = el({ "+": "ins", "−": "del" }[sign] ?? "span", { class: sign === "⋯" ? "row soft" : "row" });
  row.append(`${sign} ${text}\n`);
  return row;
}

// The lines of two texts, each kept, added or removed, by their longest common subsequence; null where too many differ.
export function changes(before, after) {
  const numbers = new Map();
  const read = (text) => text.split("\n").map((line) => numbers.get(line) ?? (numbers.set(line, numbers.size), numbers.size - 1));
  const [a, b] = [read(before), read(after)];
  const lines = [...numbers.keys()];
  let begin = 0;
  while (begin < Math.min(a.length, b.length) && a[begin] === b[begin]) begin += 1;
  let [m, n] = [a.length, b.length];
  while (m > begin && n > begin && a[m - 1] === b[n - 1]) [m, n] = [m - 1, n - 1];
  if (Math.max(m, n) - begin > MOST) return null;
  // How many lines the rests from each pair of lines on have in common.
  const wide = n - begin + 1;
  const common = new Uint16Array((m - begin + 1) * wide);
  const at = (i, j) => (i - begin) * wide + j - begin;
  for (let i = m - 1; i >= begin; i -= 1) for (let j = n - 1; j >= begin; j -= 1) {
    common[at(i, j)] = a[i] === b[j] ? common[at(i + 1, j + 1)] + 1 : Math.max(common[at(i + 1, j)], common[at(i, j + 1)]);
  }
  const rows = a.slice(0, begin).map((line) => [" ", lines[line]]);
  for (let [i, j] = [begin, begin]; i < m || j < n;) {
    if (i < m && j < n && a[i] === b[j]) {
      rows.push([" ", lines[a[i]]]);
      [i, j] = [i + 1, j + 1];
    } else if (j === n || (i < m && common[at(i + 1, j)] >= common[at(i, j + 1)])) {
      rows.push(["−", lines[a[i]]]);
      i += 1;
    } else {
      rows.push(["+", lines[b[j]]]);
      j += 1;
    }
  }
  return [...rows, ...a.slice(m).map((line) => [" ", lines[line]])];
}
