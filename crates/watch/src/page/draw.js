// Drawing a moment of a story as SVG. What came later than the moment is left out.
const SVG = "http://www.w3.org/2000/svg";

export const seconds = (ms) => (ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60_000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")} min`);

export function stateAt(task, t) {
  return task.states.findLast(([at]) => at <= t)?.[1] ?? "";
}

function s(name, attributes = {}, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const titled = (node, text) => (node.append(s("title", {}, text)), node);
const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

// The reasons of waiting, told apart by the direction of their hatching as well as by colour.
function hatchings() {
  const defs = s("defs");
  const add = (why, turn, ink) => {
    const pattern = s("pattern", { id: `h-${why}`, width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: `rotate(${turn})` });
    pattern.append(s("rect", { class: "back", width: 7, height: 7 }), ink);
    defs.append(pattern);
  };
  add("queue", 45, s("rect", { class: "ink queue", width: 3, height: 7 }));
  add("quota", -45, s("rect", { class: "ink quota", width: 3, height: 7 }));
  add("dependency", 0, s("rect", { class: "ink dependency", width: 7, height: 2 }));
  add("retry", 0, s("circle", { class: "ink retry", cx: 3.5, cy: 3.5, r: 1.8 }));
  return defs;
}

export function legend(place, entries) {
  const key = entries.join();
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  place.replaceChildren(...entries.map(([className, name]) => {
    const item = document.createElement("span");
    const swatch = s("svg", { width: 16, height: 11, class: "key-svg", "aria-hidden": "true" });
    swatch.append(s("rect", { class: className, width: 16, height: 11, rx: 3 }));
    item.append(swatch, name);
    return item;
  }));
}

// How deep each task lies: one more than the deepest task it needs.
function depths(tasks) {
  const depth = new Map();
  const find = (task, seen) => {
    if (depth.has(task.id)) return depth.get(task.id);
    if (seen.has(task.id)) return 0;
    const needs = tasks.filter((other) => task.needs.includes(other.id));
    const found = Math.max(0, ...needs.map((need) => 1 + find(need, new Set(seen).add(task.id))));
    depth.set(task.id, found);
    return found;
  };
  tasks.forEach((task) => find(task, new Set()));
  return depth;
}

export function drawGraph(place, story, t, chosen, choose) {
  const tasks = story.tasks.filter((task) => stateAt(task, t));
  if (!tasks.length) {
    place.replaceChildren(nothing("no plan yet"));
    place.dataset.key = "";
    return;
  }
  const critical = new Set(story.head.critical);
  const key = JSON.stringify([story.head.run, place.clientWidth, chosen, story.head.critical, tasks.map((task) => [task.id, stateAt(task, t), rounds(task, t)])]);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const depth = depths(tasks);
  const layers = [];
  for (const task of tasks) (layers[depth.get(task.id)] ??= []).push(task);
  const high = 46, gapX = 46, gapY = 12;
  // As wide as there is room for, within reason; a narrow window scrolls.
  const wide = Math.min(300, Math.max(190, (place.clientWidth - 8 - (layers.length - 1) * gapX) / layers.length));
  const at = new Map();
  const tallest = Math.max(...layers.map((layer) => layer.length)) * (high + gapY);
  layers.forEach((layer, x) => layer.forEach((task, y) => at.set(task.id, { x: 4 + x * (wide + gapX), y: 4 + (tallest - layer.length * (high + gapY)) / 2 + y * (high + gapY) })));
  const svg = s("svg", { width: layers.length * (wide + gapX) - gapX + 8, height: tallest + 4, role: "group", "aria-label": "the plan" });
  for (const task of tasks) for (const need of task.needs.filter((id) => at.has(id))) {
    const [from, to] = [at.get(need), at.get(task.id)];
    const [x1, y1, x2, y2] = [from.x + wide, from.y + high / 2, to.x, to.y + high / 2];
    const along = critical.has(need) && critical.has(task.id) && story.head.critical.indexOf(task.id) === story.head.critical.indexOf(need) + 1;
    svg.append(s("path", { class: along ? "edge critical" : "edge", d: `M${x1} ${y1} C${x1 + 26} ${y1} ${x2 - 26} ${y2} ${x2} ${y2}` }));
  }
  for (const task of tasks) svg.append(node(task, at.get(task.id), stateAt(task, t), t, critical.has(task.id), { wide, high }, choose));
  place.replaceChildren(svg);
  // A plan that is drawn anew between press and release would swallow a click on one of its nodes.
  place.onclick = (event) => {
    const at = event.target.closest(".node") ?? document.elementFromPoint(event.clientX, event.clientY)?.closest(".node");
    if (at && place.contains(at)) choose(at.dataset.task);
  };
}

const rounds = (task, t) => task.rounds.filter((round) => round.drafted <= t).length;

function node(task, { x, y }, state, t, critical, { wide, high }, choose) {
  const group = s("g", { class: `node ${state}${critical ? " critical" : ""}`, transform: `translate(${x} ${y})`, tabindex: 0, role: "button", "data-task": task.id, "aria-label": `${task.id} ${task.title}: ${state}` });
  group.append(s("rect", { width: wide, height: high, rx: 8 }), s("rect", { class: `bar s-${state}`, width: 7, height: high - 12, x: 6, y: 6, rx: 3 }));
  group.append(s("text", { x: 21, y: 19, "font-weight": 600 }, cut(`${task.id} ${task.title}`, Math.floor((wide - 24) / 7.4))));
  const judged = task.rounds.findLast((round) => round.judged !== null && round.judged <= t);
  const score = judged ? ` · ${judged.score.toFixed(2)}` : "";
  const again = rounds(task, t) > 1 ? ` · round ${rounds(task, t)}` : "";
  const about = `${cut(task.role, 12)} · ${state.replaceAll("_", " ")}${score}${again}`;
  group.append(s("text", { class: "soft", x: 21, y: 36 }, cut(about, Math.floor((wide - 24) / 5.9))));
  titled(group, `${task.id} ${task.title}`);
  group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(task.id); } });
  return group;
}

// A frame for something over time: where a moment lies, and the grid below it.
function frame(place, t, end, high, left = 64) {
  const wide = Math.max(place.clientWidth, 240);
  const x = (moment) => left + (Math.min(moment, end) / end) * (wide - left - 8);
  const svg = s("svg", { width: wide, height: high + 20 });
  svg.append(hatchings());
  const ticks = wide < 420 ? 3 : 6;
  for (let n = 0; n <= ticks; n += 1) {
    const moment = (end * n) / ticks;
    svg.append(s("line", { class: "grid", x1: x(moment), x2: x(moment), y1: 0, y2: high }));
    svg.append(s("text", { class: `soft ${n === ticks ? "end" : n ? "mid" : ""}`, x: x(moment), y: high + 15 }, seconds(moment)));
  }
  const now = () => { if (t < end) svg.append(s("line", { class: "now", x1: x(t), x2: x(t), y1: 0, y2: high })); };
  return { svg, x, now, left };
}

export function drawLanes(place, story, t, end) {
  const { lanes } = story.head;
  const row = 26;
  const { svg, x, now, left } = frame(place, t, end, lanes.length * row + 10, 92);
  lanes.forEach((lane, n) => svg.append(s("text", { class: "soft end", x: left - 8, y: n * row + 27 }, cut(lane, 13))));
  const seen = story.spans.filter((span) => span.from <= t);
  for (const span of [...seen.filter((span) => !span.why), ...seen.filter((span) => span.why)]) {
    const to = Math.min(span.to ?? t, t);
    const y = span.lane * row + 14;
    const width = Math.max(x(to) - x(span.from), 1.5);
    const about = `${span.task ? `${span.task} ` : ""}${span.what}${span.why ? ` waits: ${span.why}` : ""}, ${seconds(to - span.from)} from ${seconds(span.from)}`;
    svg.append(titled(s("rect", { class: `span ${span.why ?? span.what}`, x: x(span.from), y, width, height: row - 8, rx: 3 }), about));
    if (!span.why && span.task && width > 26) svg.append(s("text", { class: "on-colour", x: x(span.from) + 5, y: y + 13 }, cut(span.task, Math.floor(width / 8))));
  }
  for (const mark of story.marks) if (mark.what === "429" && mark.t <= t) svg.append(triangle(x(mark.t), 9, mark.text));
  now();
  place.replaceChildren(svg);
}

const triangle = (x, y, text) => titled(s("path", { class: "mark", d: `M${x} ${y} l-4.5 -8 h9 z` }), text);

function nothing(text) {
  const note = document.createElement("p");
  note.className = "empty";
  note.textContent = text;
  return note;
}

// A line that keeps each value until the next one.
function steps(points, x, y, until) {
  let path = "";
  points.forEach((point, n) => { path += n ? `H${x(point.t)}V${y(point.v)}` : `M${x(point.t)} ${y(point.v)}`; });
  return points.length ? `${path}H${x(until)}` : "";
}

const HIGH = 150;

function scale(svg, most, left, format) {
  const y = (value) => HIGH - 4 - (value / (most || 1)) * (HIGH - 22);
  for (const part of [0, 0.5, 1]) svg.append(s("text", { class: "soft end", x: left - 6, y: y(most * part) + 4 }, format(most * part)));
  return y;
}

export function drawMoney(place, key, story, t, end) {
  const points = story.money.filter((point) => point.t <= t);
  legend(key, [["f0", "spent"], ["f1 area", "reserved for calls under way"], ["mark", "cap"]]);
  if (!points.length) return void place.replaceChildren(nothing("nothing spent yet"));
  const { svg, x, now, left } = frame(place, t, end, HIGH);
  const cap = points.at(-1).cap;
  const used = Math.max(...points.map((point) => point.spent + (point.reserved ?? 0)), 1e-6);
  // A cap far above what was used would flatten everything; it is then named and not drawn.
  const drawn = cap !== null && cap <= used * 4;
  const y = scale(svg, Math.max(used, drawn ? cap : 0), left, (value) => `$${value.toFixed(value < 1 ? 3 : 2)}`);
  const from = [{ t: 0, v: 0 }];
  const reserved = steps(from.concat(points.map((point) => ({ t: point.t, v: point.spent + (point.reserved ?? 0) }))), x, y, t);
  const spent = steps(from.concat(points.map((point) => ({ t: point.t, v: point.spent }))), x, y, t);
  svg.append(s("path", { class: "area f1", d: `${reserved}V${y(0)}H${x(0)}z` }), s("path", { class: "line l0", d: spent }));
  if (drawn) svg.append(s("line", { class: "cap", x1: left, x2: x(end), y1: y(cap), y2: y(cap) }));
  else if (cap !== null) svg.append(s("text", { class: "soft end", x: x(end), y: 11 }, `cap $${cap.toFixed(2)}`));
  now();
  place.replaceChildren(svg);
}

export function drawLimits(place, key, story, t, end) {
  const marks = story.marks.filter((mark) => mark.what === "429" && mark.t <= t);
  const lines = new Map();
  for (const limit of story.limits) if (limit.t <= t) {
    const name = `${limit.quota} ${limit.dimension}`;
    lines.set(name, [...(lines.get(name) ?? []), { t: limit.t, v: limit.limit }]);
  }
  const names = [...lines.keys()].slice(0, 6);
  legend(key, [...names.map((name, n) => [`f${n}`, `${name}: ${lines.get(name).at(-1).v}`]), ["mark", "429"]]);
  if (!names.length && !marks.length) return void place.replaceChildren(nothing("no limit was found, and nobody was told to slow down"));
  const { svg, x, now, left } = frame(place, t, end, HIGH);
  svg.append(s("line", { class: "grid", x1: left, x2: x(end), y1: HIGH - 4, y2: HIGH - 4 }));
  names.forEach((name, n) => {
    // Each line has a measure of its own: requests and calls at once do not compare.
    const points = lines.get(name);
    const most = Math.max(...points.map((point) => point.v), 1);
    svg.append(s("path", { class: `line l${n}`, d: steps(points, x, (value) => HIGH - 4 - (value / most) * (HIGH - 30), t) }));
  });
  for (const mark of marks) svg.append(triangle(x(mark.t), 10, mark.text));
  now();
  place.replaceChildren(svg);
}

export function drawShares(place, key, story, t, end) {
  const shares = story.shares.filter((share) => share.t <= t);
  const flows = [...new Set(shares.map((share) => share.flow))].slice(0, 6);
  const total = new Map(shares.map((share) => [share.flow, share.tokens]));
  const all = [...total.values()].reduce((sum, tokens) => sum + tokens, 0);
  legend(key, flows.map((flow, n) => [`f${n}`, `${cut(flow, 16)} ${Math.round((total.get(flow) / all) * 100)} %`]));
  if (!flows.length) return void place.replaceChildren(nothing("no tokens yet"));
  const { svg, x, now, left } = frame(place, t, end, HIGH);
  const y = scale(svg, 1, left, (part) => `${Math.round(part * 100)} %`);
  const so = new Map();
  shares.forEach((share, n) => {
    so.set(share.flow, share.tokens);
    const sum = [...so.values()].reduce((sum, tokens) => sum + tokens, 0);
    const to = shares[n + 1]?.t ?? t;
    let below = 0;
    flows.forEach((flow, index) => {
      const part = (so.get(flow) ?? 0) / sum;
      if (part && to > share.t) svg.append(s("rect", { class: `solid f${index}`, x: x(share.t), y: y(below + part), width: x(to) - x(share.t) + 0.3, height: y(below) - y(below + part) }));
      below += part;
    });
  });
  now();
  place.replaceChildren(svg);
}
