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

// Makes what is in a place what it should be, and leaves alone what is so already: whoever points at something goes on
// reading what it says, and the browser lays out and paints what changed.
export function renew(place, fresh) {
  if (place.childNodes.length === 1 && place.firstChild.nodeName === fresh.nodeName) become(place.firstChild, fresh);
  else place.replaceChildren(fresh);
}

export function become(old, fresh) {
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  let kept = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const next = kept?.nextSibling;
    const own = child.dataset?.own; // what is in it is drawn by somebody else
    if (!kept) old.append(child);
    else if (kept.nodeName !== child.nodeName || kept.dataset?.own !== own) kept.replaceWith(child);
    else if (kept.nodeType === Node.ELEMENT_NODE && !own) become(kept, child);
    else if (kept.data !== child.data) kept.data = child.data;
    kept = next;
  }
  while (kept) {
    const next = kept.nextSibling;
    kept.remove();
    kept = next;
  }
}

// Makes the rows of a list those of the items with these numbers, in their order. What a row says never changes.
export function keep(list, of, numbers, make) {
  if (list.dataset.of !== of) list.replaceChildren();
  list.dataset.of = of;
  const wanted = new Set(numbers);
  const rows = new Map([...list.children].map((row) => [Number(row.dataset.n), row]));
  for (const [n, row] of rows) if (!wanted.has(n)) row.remove();
  let next = list.firstChild;
  for (const n of wanted) {
    const row = rows.get(n) ?? make(n);
    row.dataset.n = n;
    if (row === next) next = row.nextSibling;
    else list.insertBefore(row, next);
  }
}

export const titled = (node, text) => (node.append(s("title", {}, text)), node);
export const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
// Text that runs from right to left turns nothing around it.
export const apart = (text) => `\u2068${text}\u2069`;
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

export const isOver = (story, t) => story.head.outcome && t >= story.head.now;

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

// How far the axis of a run that is on reaches: beyond its latest moment, so that what is drawn stays where it is for a while.
export function reach(end) {
  const second = 1000;
  const step = [0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 3600].findLast((step) => step * second * 6 <= end) ?? 0.5;
  return (Math.floor(end / (step * second)) + 1) * step * second;
}

// A picture with a name, which can be made smaller than it was drawn.
export const picture = (wide, high, name) => s("svg", { width: wide, height: high, viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": name });

// A frame for something over time: where a moment lies, and the grid below it.
export function frame(place, name, t, end, high, left = 64) {
  const wide = Math.max(rooms.get(place), 240);
  const x = (moment) => left + (Math.min(moment, end) / end) * (wide - left - 8);
  const svg = picture(wide, high + 20, name);
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
  if (!points.length) return void renew(place, nothing(isOver(story, t) ? "nothing was spent" : "nothing spent yet"));
  const { svg, x, now, left } = frame(place, "what was spent and reserved", t, end, HIGH);
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
  renew(place, svg);
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
  if (!names.length && !marks.length && !pauses.length) return void renew(place, nothing("no limit was found, and nobody was told to slow down"));
  const { svg, x, now, left } = frame(place, "limits as they were found, 429s and pauses", t, end, HIGH);
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
  renew(place, svg);
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
  if (!flows.length) return void renew(place, nothing(isOver(story, t) ? "no tokens were used" : "no tokens yet"));
  const { svg, x, now, left } = frame(place, "what part of the tokens each flow had", t, end, HIGH);
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
  renew(place, svg);
}
