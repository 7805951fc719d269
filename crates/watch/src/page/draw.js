// Drawing a moment of a story as SVG. What came later than the moment is left out.
const SVG = "http://www.w3.org/2000/svg";

export function seconds(ms) {
  const two = (n) => String(Math.floor(n) % 60).padStart(2, "0");
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 3_600_000 ? `${Math.floor(ms / 60_000)}:${two(ms / 1000)} min` : `${Math.floor(ms / 3_600_000)}:${two(ms / 60_000)} h`;
}

export function stateAt(task, t) {
  return task.states.findLast(([at]) => at <= t)?.[1] ?? "";
}

export function s(name, attributes = {}, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

export function el(name, attributes = {}, text) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

export const titled = (node, text) => (node.append(s("title", {}, text)), node);
export const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
// Text that runs from right to left turns nothing around it.
const apart = (text) => `\u2068${text}\u2069`;
const pen = document.createElement("canvas").getContext("2d");
const letters = new Intl.Segmenter();

const family = getComputedStyle(document.body).fontFamily;
const widths = new Map();

export function width(text, font) {
  const key = `${font} ${text}`;
  if (!widths.has(key)) {
    if (widths.size > 20_000) widths.clear();
    pen.font = `${font} ${family}`;
    widths.set(key, pen.measureText(text).width);
  }
  return widths.get(key);
}

// How wide each place is. Asked for all before anything is drawn: what was drawn would have to be laid out for an answer.
const rooms = new Map();

export const room = (place) => rooms.get(place);
export const measure = (places) => places.forEach((place) => rooms.set(place, place.clientWidth));

// As much of a text as there is room for, in whole characters.
export function fit(text, room, font) {
  if (width(text, font) <= room) return text;
  const whole = [...letters.segment(text)].map((letter) => letter.segment);
  let [fits, not] = [0, whole.length];
  while (not - fits > 1) {
    const middle = (fits + not) >> 1;
    if (width(`${whole.slice(0, middle).join("")}…`, font) <= room) fits = middle;
    else not = middle;
  }
  return `${whole.slice(0, fits).join("")}…`;
}

const isOver = (story, t) => story.head.outcome && t >= story.head.now;

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

// What is drawn as a line or a mark is a line or a mark in the legend, too.
function swatchOf(className) {
  if (className === "mark") return s("path", { class: "mark", d: "M8 10 l-4.5 -8 h9 z" });
  if (className === "cap" || className.startsWith("line")) return s("line", { class: className, x1: 0, x2: 16, y1: 5.5, y2: 5.5 });
  if (className === "tick") return s("line", { class: className, x1: 8, x2: 8, y1: 0, y2: 11 });
  if (className === "chosen") return s("path", { class: className, d: "M4 1l8 4.5l-8 4.5z" });
  if (className === "tried") return s("path", { class: className, d: "M8 0.5l5 5l-5 5l-5 -5z" });
  if (className === "path") return s("rect", { class: "outline", x: 1.5, y: 1.5, width: 13, height: 8, rx: 3 });
  return s("rect", { class: className, width: 16, height: 11, rx: 3 });
}

export function swatch(className) {
  const swatch = s("svg", { width: 16, height: 11, class: "key-svg", "aria-hidden": "true" });
  swatch.append(swatchOf(className));
  return swatch;
}

export function legend(place, entries) {
  const key = entries.join();
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  place.replaceChildren(...entries.map(([className, name]) => {
    const item = el("span");
    item.append(swatch(className), name);
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

// Where each task lies. A layer of many tasks takes the columns that are free, and a plan of very many has flat nodes, so
// that it is seen at a glance; where there is no room for that, it scrolls.
function laidOut(layers, room) {
  const many = layers.flat().length > 24;
  const [high, least, gapX, gapY, beside] = many ? [30, 150, 40, 7, 8] : [46, 190, 46, 12, 12];
  const columns = layers.map(() => 1);
  const rows = (n) => Math.ceil(layers[n].length / columns[n]);
  const gaps = () => (layers.length - 1) * gapX + columns.reduce((sum, more) => sum + (more - 1) * beside, 0);
  const count = () => columns.reduce((sum, more) => sum + more, 0);
  for (;;) {
    const fullest = layers.map((_, n) => n).sort((a, b) => rows(b) - rows(a))[0];
    if (rows(fullest) <= 6 || gaps() + beside + (count() + 1) * least > room) break;
    columns[fullest] += 1;
  }
  const wide = Math.min(300, Math.max(least, (room - gaps()) / count()));
  const down = Math.max(...layers.map((_, n) => rows(n))) * (high + gapY) - gapY;
  const at = new Map();
  let x = 4;
  layers.forEach((layer, n) => {
    const top = 4 + (down - (rows(n) * (high + gapY) - gapY)) / 2;
    const ends = { begin: x, end: x + columns[n] * (wide + beside) - beside, gapY, beside };
    layer.forEach((task, m) => at.set(task.id, { x: x + Math.floor(m / rows(n)) * (wide + beside), y: top + (m % rows(n)) * (high + gapY), ...ends }));
    x += columns[n] * (wide + beside) - beside + gapX;
  });
  return { at, wide, high, across: x - 4 - gapX, down };
}

// An edge from one task to another, which goes between the rows past what lies beside either of them.
function way(from, to, wide, high) {
  const [x1, y1, x2, y2] = [from.x + wide, from.y + high / 2, to.x, to.y + high / 2];
  let [out, path] = [[x1, y1], `M${x1} ${y1}`];
  if (from.end - x1 > 1) {
    const below = from.y + high + from.gapY / 2;
    path += `C${x1 + from.beside} ${y1} ${x1} ${below} ${x1 + from.beside} ${below}H${from.end}`;
    out = [from.end, below];
  }
  if (x2 - to.begin <= 1) return `${path}C${out[0] + 26} ${out[1]} ${x2 - 26} ${y2} ${x2} ${y2}`;
  const above = to.y - to.gapY / 2;
  return `${path}C${out[0] + 26} ${out[1]} ${to.begin - 26} ${above} ${to.begin} ${above}H${x2 - to.beside}C${x2} ${above} ${x2 - to.beside} ${y2} ${x2} ${y2}`;
}

export function drawGraph(place, story, t, chosen, choose) {
  const tasks = story.tasks.filter((task) => stateAt(task, t));
  if (!tasks.length) {
    place.replaceChildren(nothing(isOver(story, t) ? "no plan came of it" : "no plan yet"));
    place.dataset.key = "";
    return;
  }
  const critical = new Set(story.head.critical);
  const key = JSON.stringify([story.head.run, rooms.get(place), chosen, story.head.critical, tasks.map((task) => [task.id, stateAt(task, t), rounds(task, t)])]);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const depth = depths(tasks);
  const layers = [];
  for (const task of tasks) (layers[depth.get(task.id)] ??= []).push(task);
  const { at, wide, high, across, down } = laidOut(layers, rooms.get(place) - 8);
  const svg = s("svg", { width: across + 8, height: down + 12, role: "group", "aria-label": "the plan" });
  for (const task of tasks) for (const need of task.needs.filter((id) => at.has(id))) {
    const [from, to] = [at.get(need), at.get(task.id)];
    const along = critical.has(need) && critical.has(task.id) && story.head.critical.indexOf(task.id) === story.head.critical.indexOf(need) + 1;
    svg.append(s("path", { class: along ? "edge critical" : "edge", d: way(from, to, wide, high) }));
  }
  for (const task of tasks) {
    const drawn = node(task, at.get(task.id), stateAt(task, t), t, critical.has(task.id), { wide, high }, choose);
    drawn.setAttribute("aria-expanded", String(task.id === chosen));
    svg.append(drawn);
  }
  // Whoever goes through the plan with the keyboard goes on where it was.
  const focused = place.contains(document.activeElement) && document.activeElement.dataset.task;
  place.replaceChildren(svg);
  if (focused) [...place.querySelectorAll(".node")].find((node) => node.dataset.task === focused)?.focus({ preventScroll: true });
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
  const judged = task.rounds.findLast((round) => round.judged !== null && round.judged <= t);
  const score = judged ? ` · ${judged.score.toFixed(2)}` : "";
  const again = rounds(task, t) > 1 ? ` · round ${rounds(task, t)}` : "";
  const about = `${apart(cut(task.role, 12))} · ${state.replaceAll("_", " ")}${score}${again}`;
  const [bold, id] = ["600 12px", fit(task.id, 90, "600 12px")];
  const title = fit(task.title, wide - 29 - width(`${id} `, bold), bold);
  group.append(s("text", { class: "title", x: 21, y: 19 }, `${apart(id)} ${apart(title)}`));
  if (high > 40) group.append(s("text", { class: "soft", x: 21, y: 36 }, fit(about, wide - 27, "11px")));
  titled(group, `${task.id} ${task.title}: ${about}`);
  group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(task.id); } });
  return group;
}

// A frame for something over time: where a moment lies, and the grid below it.
export function frame(place, t, end, high, left = 64) {
  const wide = Math.max(rooms.get(place), 240);
  const x = (moment) => left + (Math.min(moment, end) / end) * (wide - left - 8);
  const svg = s("svg", { width: wide, height: high + 20 });
  svg.append(hatchings());
  // As many as leave room between their labels, of which the last one ends where the others have their middle.
  const label = 1.5 * Math.max(width(seconds(end), "11px"), width(seconds(end * 0.9), "11px")) + 8;
  const ticks = [6, 3, 2].find((ticks) => (wide - left - 8) / ticks >= label) ?? 1;
  for (let n = 0; n <= ticks; n += 1) {
    const moment = (end * n) / ticks;
    svg.append(s("line", { class: "grid", x1: x(moment), x2: x(moment), y1: 0, y2: high }));
    svg.append(s("text", { class: `soft ${n === ticks ? "end" : n ? "mid" : ""}`, x: x(moment), y: high + 15 }, seconds(moment)));
  }
  const now = () => { if (t < end) svg.append(s("line", { class: "now", x1: x(t), x2: x(t), y1: 0, y2: high })); };
  return { svg, x, now, left };
}

export const triangle = (x, y, text) => titled(s("path", { class: "mark", d: `M${x} ${y} l-4.5 -8 h9 z` }), text);

export function nothing(text) {
  return el("p", { class: "empty" }, text);
}

// A line that keeps each value until the next one.
export function steps(points, x, y, until) {
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
  const cap = points.at(-1)?.cap ?? null;
  const holds = points.some((point) => point.reserved !== null); // without a budget nothing is reserved
  legend(key, [["line l0", "spent"], ...(holds ? [["f1 area", "reserved"]] : []), ...(cap === null ? [] : [["cap", "cap"]])]);
  if (!points.length) return void place.replaceChildren(nothing(isOver(story, t) ? "nothing was spent" : "nothing spent yet"));
  const { svg, x, now, left } = frame(place, t, end, HIGH);
  const used = Math.max(...points.map((point) => point.spent + (point.reserved ?? 0)), 1e-6);
  // A cap far above what was used would flatten everything; it is then named and not drawn.
  const drawn = cap !== null && cap <= used * 4;
  const most = Math.max(used, drawn ? cap : 0);
  const y = scale(svg, most, left, (value) => `$${value.toFixed(most < 1 ? 3 : 2)}`);
  const from = [{ t: 0, v: 0 }];
  const reserved = steps(from.concat(points.map((point) => ({ t: point.t, v: point.spent + (point.reserved ?? 0) }))), x, y, t);
  const spent = steps(from.concat(points.map((point) => ({ t: point.t, v: point.spent }))), x, y, t);
  if (holds) svg.append(s("path", { class: "area f1", d: `${reserved}V${y(0)}H${x(0)}z` }));
  svg.append(s("path", { class: "line l0", d: spent }));
  if (drawn) svg.append(s("line", { class: "cap", x1: left, x2: x(end), y1: y(cap), y2: y(cap) }));
  else if (cap !== null) svg.append(s("text", { class: "soft end", x: x(end), y: 11 }, `cap $${cap.toFixed(2)}`));
  now();
  place.replaceChildren(svg);
}

export function drawLimits(place, key, story, t, end) {
  const marks = story.marks.filter((mark) => mark.what === "429" && mark.t <= t);
  const pauses = [];
  for (const mark of story.marks) if (mark.what === "paused" && mark.t <= t) {
    const before = pauses.findLast((pause) => pause.quota === mark.quota);
    if (before && mark.t <= before.until) before.until = Math.max(before.until, mark.until);
    else pauses.push({ ...mark });
  }
  const lines = new Map();
  for (const limit of story.limits) if (limit.t <= t) {
    const name = `${limit.quota} ${limit.dimension}`;
    if (!lines.has(name)) lines.set(name, Object.assign([], { quota: limit.quota }));
    lines.get(name).push({ t: limit.t, v: limit.limit });
  }
  const names = [...lines.keys()].slice(0, 6);
  legend(key, [...names.map((name, n) => [`line l${n}`, `${cut(name, 28)}: ${lines.get(name).at(-1).v}`]), ["mark", "429"], ...(pauses.length ? [["pause", "pause"]] : [])]);
  if (!names.length && !marks.length && !pauses.length) return void place.replaceChildren(nothing("no limit was found, and nobody was told to slow down"));
  const { svg, x, now, left } = frame(place, t, end, HIGH);
  // Requests and calls at once do not compare: each has a band and a measure of its own.
  const band = (HIGH - 14) / Math.max(names.length, 1);
  // While a quota pauses, its limits are shaded; one without a limit shades the whole height.
  const owners = names.map((name) => lines.get(name).quota);
  for (const pause of pauses) for (const [from, long] of owners.includes(pause.quota) ? owners.flatMap((quota, n) => (quota === pause.quota ? [[14 + n * band, band]] : [])) : [[0, HIGH]]) {
    const wide = x(Math.min(pause.until, t)) - x(pause.t);
    svg.append(titled(s("rect", { class: "pause", x: x(pause.t), y: from, width: Math.max(wide, 1.5), height: long - 4 }), pause.text));
  }
  if (!names.length) svg.append(s("line", { class: "grid", x1: left, x2: x(end), y1: HIGH - 4, y2: HIGH - 4 }));
  names.forEach((name, n) => {
    const points = lines.get(name);
    const most = Math.max(...points.map((point) => point.v), 1);
    const ground = 14 + (n + 1) * band - 4;
    svg.append(s("line", { class: "grid", x1: left, x2: x(end), y1: ground, y2: ground }));
    svg.append(s("text", { class: "soft end", x: left - 6, y: 14 + n * band + 12 }, most.toLocaleString("en")));
    if (band > 30) svg.append(s("text", { class: "soft end", x: left - 6, y: ground + 4 }, "0"));
    svg.append(s("path", { class: `line l${n}`, d: steps(points, x, (value) => ground - (value / most) * (band - 12), t) }));
  });
  for (const mark of marks) svg.append(triangle(x(mark.t), 10, mark.text));
  now();
  place.replaceChildren(svg);
}

// What each flow had of the tokens, and as dashed lines what was due to it.
export function drawShares(place, key, story, t, end) {
  const shares = story.shares.filter((share) => share.t <= t);
  const flows = [...new Set(shares.map((share) => share.flow))].slice(0, 6);
  const last = new Map(shares.map((share) => [share.flow, share]));
  const sum = (of) => [...last.values()].reduce((sum, share) => sum + share[of], 0);
  const percent = (flow, of) => Math.round((last.get(flow)[of] / (sum(of) || 1)) * 100);
  const contended = flows.some((flow) => Math.abs(percent(flow, "tokens") - percent(flow, "due")) >= 1);
  const entry = (flow) => `${cut(flow, 16)} ${percent(flow, "tokens")} %${contended ? `, due ${percent(flow, "due")} %` : ""}`;
  legend(key, [...flows.map((flow, n) => [`f${n}`, entry(flow)]), ...(contended ? [["line due", "due"]] : [])]);
  if (!flows.length) return void place.replaceChildren(nothing(isOver(story, t) ? "no tokens were used" : "no tokens yet"));
  const { svg, x, now, left } = frame(place, t, end, HIGH);
  const y = scale(svg, 1, left, (part) => `${Math.round(part * 100)} %`);
  // Where the part of each flow ends, from each moment on; what happens within a pixel is one moment.
  const [so, edges, all] = [new Map(), [], { tokens: 0, due: 0 }];
  for (const share of shares) {
    for (const of of ["tokens", "due"]) all[of] += share[of] - (so.get(share.flow)?.[of] ?? 0);
    so.set(share.flow, share);
    const tops = (of) => { let below = 0; return flows.map((flow) => (below += (so.get(flow)?.[of] ?? 0) / (all[of] || 1))); };
    const edge = { at: x(share.t), tokens: tops("tokens"), due: tops("due") };
    if (edges.length && edge.at - edges.at(-1).at < 1) edges[edges.length - 1] = { ...edge, at: edges.at(-1).at };
    else edges.push(edge);
  }
  const forth = (n, of) => `M${edges[0].at} ${y(edges[0][of][n])}${edges.map((edge) => `H${edge.at}V${y(edge[of][n])}`).join("")}H${x(t)}`;
  flows.forEach((_, n) => {
    const back = edges.map((edge) => `V${y(edge.tokens[n - 1] ?? 0)}H${edge.at}`).reverse().join("");
    svg.append(s("path", { class: `solid f${n}`, d: `${forth(n, "tokens")}${back}z` }));
  });
  if (contended) for (let n = 0; n < flows.length - 1; n += 1) svg.append(s("path", { class: "line due", d: forth(n, "due") }));
  now();
  place.replaceChildren(svg);
}
