// The lane of each agent: what it did, and what it waited for.
import { fit, frame, s, seconds, titled, triangle, width } from "./draw.js";

// The place of each lane: roles in the order in which they came, their agents by number.
function ranks(lanes) {
  const split = lanes.map((lane) => { const at = lane.lastIndexOf("#"); return [lane.slice(0, at), Number(lane.slice(at + 1))]; });
  const roles = [...new Set(split.map(([role]) => role))];
  const order = lanes.map((_, n) => n).sort((a, b) => roles.indexOf(split[a][0]) - roles.indexOf(split[b][0]) || split[a][1] - split[b][1]);
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
  const { svg, x, now, left } = frame(place, t, end, lanes.length * row + 10, 92);
  const rank = ranks(lanes);
  lanes.forEach((lane, n) => svg.append(s("text", { class: "soft end", x: left - 8, y: rank[n] * row + 27 }, fit(lane, left - 12, "11px"))));
  const seen = story.spans.filter((span) => span.from <= t);
  const waits = seen.filter((span) => span.why);
  // So that short ones are seen; where there are very many, they would look like one long one.
  const least = Math.min(1.5, Math.max(0.3, ((x(end) - left) * lanes.length) / (2 * seen.length)));
  const names = [];
  for (const span of [...seen.filter((span) => !span.why), ...waits]) {
    const to = Math.min(span.to ?? t, t);
    const y = rank[span.lane] * row + 14;
    const long = Math.max(x(to) - x(span.from), least);
    const about = `${span.task ? `${span.task} ` : ""}${span.what}${span.why ? ` waits: ${span.why}` : ""}, ${seconds(to - span.from)} from ${seconds(span.from)}`;
    svg.append(titled(s("rect", { class: `span ${span.why ?? colour(span.what)}`, x: x(span.from), y, width: long, height: row - 8, rx: 3 }), about));
    if (span.why || !span.task || long < 20) continue;
    const [begin, end] = bare(span, to, waits);
    if (width(span.task, "600 12px") + 9 <= x(end) - x(begin)) names.push(s("text", { class: "on-colour", x: x(begin) + 5, y: y + 13 }, span.task));
  }
  svg.append(...names);
  for (const mark of story.marks) if (mark.what === "429" && mark.t <= t) svg.append(triangle(x(mark.t), 9, mark.text));
  now();
  place.replaceChildren(svg);
}
