// The lane of each agent: what it did, and what it waited for.
import { fit, frame, renew, s, seconds, titled, triangle, width } from "./draw.js";

// The place of each lane: roles in the order in which they came, their agents by number. One that was only taken to be at
// something has none.
function ranks(lanes, spans) {
  const split = lanes.map((lane) => { const at = lane.lastIndexOf("#"); return [lane.slice(0, at), Number(lane.slice(at + 1))]; });
  const roles = [...new Set(split.map(([role]) => role))];
  const used = new Set(spans.map((span) => span.lane));
  const order = lanes.map((_, n) => n).filter((n) => used.has(n)).sort((a, b) => roles.indexOf(split[a][0]) - roles.indexOf(split[b][0]) || split[a][1] - split[b][1]);
  return lanes.map((_, n) => order.indexOf(n));
}

// The longest part of some work that no wait lies over.
function bare(span, to, waits) {
  let [best, from] = [[span.from, span.from], span.from];
  const over = waits.filter((wait) => wait.lane === span.lane && wait.from < to && (wait.to ?? to) > span.from).sort((a, b) => a.from - b.from);
  for (const wait of [...over, { from: to, to }]) {
    if (wait.from - from > best[1] - best[0]) best = [from, wait.from];
    from = Math.max(from, wait.to ?? to);
  }
  return best;
}

// What agents do beside planning, working and judging, such as summing up, has one colour.
const colour = (what) => ({ plan: "plan", work: "work", review: "review", audit: "review" })[what] ?? "other";

export function drawLanes(place, story, t, end) {
  const { lanes } = story.head;
  const row = 26;
  const rank = ranks(lanes, story.spans);
  const shown = rank.filter((at) => at >= 0).length;
  const { svg, x, now, left } = frame(place, "who worked on what, and waited for what", t, end, shown * row + 10, 92);
  lanes.forEach((lane, n) => rank[n] < 0 || svg.append(s("text", { class: "soft end", x: left - 8, y: rank[n] * row + 27 }, fit(lane, left - 12, "11px"))));
  const seen = story.spans.filter((span) => span.from <= t);
  const waits = seen.filter((span) => span.why);
  // So that short ones are seen; where there are very many, they would look like one long one.
  const least = Math.min(1.5, Math.max(0.3, ((x(end) - left) * shown) / (2 * story.spans.length)));
  const [works, waiting, names, marks] = [[], [], s("g"), s("g")];
  for (const span of seen) {
    const to = Math.min(span.to ?? t, t);
    const y = rank[span.lane] * row + 14;
    const long = Math.max(x(to) - x(span.from), least);
    const over = span.to !== null && span.to <= t;
    (span.why ? waiting : works).push([`span ${span.why ?? colour(span.what)}`, x(span.from), y, long, row - 8, span, over]);
    if (span.why || !span.task || long < 20) continue;
    const [begin, end] = bare(span, to, waits);
    if (width(span.task, "600 12px") + 9 <= x(end) - x(begin)) names.append(s("text", { class: "on-colour", x: x(begin) + 5, y: y + 13 }, span.task));
  }
  for (const mark of story.marks) if (mark.what === "429" && mark.t <= t) marks.append(triangle(x(mark.t), 9, mark.text));
  // The number of lines of the grid and of lanes changes, the place of what lies on them does not.
  const ground = s("g");
  ground.append(...svg.childNodes);
  svg.append(ground, s("g", { "data-own": "works" }), s("g", { "data-own": "waits" }), names, marks);
  now();
  renew(place, svg);
  bars(place.querySelector("[data-own=works]"), works);
  bars(place.querySelector("[data-own=waits]"), waiting);
}

// What each bar was drawn from: there are thousands of them, and most of them stay what they are.
const sources = new WeakMap();

function bars(layer, wanted) {
  let bar = layer.firstChild;
  for (const source of wanted) {
    if (!bar) {
      bar = titled(s("rect", { rx: 3 }), "");
      layer.append(bar);
    }
    if (!sources.get(bar)?.every((part, n) => part === source[n])) {
      sources.set(bar, source);
      const [named, x, y, wide, high, span, over] = source;
      for (const [name, value] of Object.entries({ class: named, x, y, width: wide, height: high })) bar.setAttribute(name, value);
      const said = about(span, over);
      if (bar.textContent !== said) bar.firstChild.textContent = said;
    }
    bar = bar.nextSibling;
  }
  while (bar) {
    const next = bar.nextSibling;
    bar.remove();
    bar = next;
  }
}

// How long it takes is known when it is over; whoever reads that it goes on can read on.
function about(span, over) {
  const when = over ? `${seconds(span.to - span.from)} from ${seconds(span.from)}` : `from ${seconds(span.from)} on`;
  return `${span.task ? `${span.task} ` : ""}${span.what}${span.why ? ` waits: ${span.why}` : ""}, ${when}`;
}
