// The plan as a graph: what needs what, and where each task is.
import { apart, become, cut, fit, isOver, nothing, picture, renew, room, s, stateAt, titled, width } from "./draw.js";

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

// What is drawn in a place: the nodes by task, and the edges.
const plans = new WeakMap();

export function drawGraph(place, story, t, chosen, choose) {
  const tasks = story.tasks.filter((task) => stateAt(task, t));
  if (!tasks.length) {
    plans.delete(place);
    return void renew(place, nothing(isOver(story, t) ? "no plan came of it" : "no plan yet"));
  }
  const { critical, run } = story.head;
  const key = JSON.stringify([run, room(place), tasks.map((task) => [task.id, task.needs])]);
  const focused = place.contains(document.activeElement) && document.activeElement.dataset.task;
  if (plans.get(place)?.key !== key) plans.set(place, { key, ...lay(place, tasks) });
  const { nodes, edges, at, size } = plans.get(place);
  const next = new Map(critical.slice(1).map((id, n) => [critical[n], id]));
  for (const { from, to, path } of edges) {
    const named = next.get(from) === to ? "edge critical" : "edge";
    if (path.getAttribute("class") !== named) path.setAttribute("class", named);
  }
  const lit = new Set(critical);
  for (const task of tasks) {
    const drawn = nodes.get(task.id);
    const judged = task.rounds.findLast((round) => round.judged !== null && round.judged <= t);
    const seen = [stateAt(task, t), rounds(task, t), judged?.score, lit.has(task.id), task.id === chosen, task.title, task.role];
    if (seen.every((part, n) => part === drawn.seen[n])) continue;
    drawn.seen = seen;
    become(drawn.group, node(task, at.get(task.id), seen, size));
  }
  // Whoever goes through the plan with the keyboard goes on where it was, though the plan is another one.
  if (focused && !place.contains(document.activeElement)) nodes.get(focused)?.group.focus({ preventScroll: true });
  // A node whose words change between press and release would swallow a click on it.
  const pressed = (event) => event.target.closest(".node") ?? document.elementFromPoint(event.clientX, event.clientY)?.closest(".node");
  place.onclick = (event) => { if (place.contains(pressed(event))) choose(pressed(event).dataset.task); };
  place.onkeydown = (event) => {
    const node = event.target.closest(".node");
    if (!node || (event.key !== "Enter" && event.key !== " ")) return;
    event.preventDefault();
    choose(node.dataset.task);
  };
}

// Where everything lies is worked out for a plan and a width; what becomes of the tasks changes nothing about it.
function lay(place, tasks) {
  const depth = depths(tasks);
  const layers = [];
  for (const task of tasks) (layers[depth.get(task.id)] ??= []).push(task);
  const { at, wide, high, across, down } = laidOut(layers, room(place) - 8);
  const svg = picture(across + 8, down + 12, "the plan");
  svg.setAttribute("role", "group"); // its tasks can be opened
  const [edges, nodes] = [[], new Map()];
  for (const task of tasks) for (const need of task.needs.filter((id) => at.has(id))) {
    const path = s("path", { class: "edge", d: way(at.get(need), at.get(task.id), wide, high) });
    edges.push({ from: need, to: task.id, path });
    svg.append(path);
  }
  for (const task of tasks) {
    nodes.set(task.id, { group: s("g"), seen: [] });
    svg.append(nodes.get(task.id).group);
  }
  place.replaceChildren(svg);
  return { edges, nodes, at, size: { wide, high } };
}

const rounds = (task, t) => task.rounds.filter((round) => round.drafted <= t).length;

function node(task, { x, y }, [state, round, scored, critical, open], { wide, high }) {
  const group = s("g", { class: `node ${state}${critical ? " critical" : ""}`, transform: `translate(${x} ${y})`, tabindex: 0, role: "button", "data-task": task.id, "aria-label": `${task.id} ${task.title}: ${state}`, "aria-expanded": open });
  group.append(s("rect", { width: wide, height: high, rx: 8 }), s("rect", { class: `bar s-${state}`, width: 7, height: high - 12, x: 6, y: 6, rx: 3 }));
  const score = scored === undefined ? "" : ` · ${scored.toFixed(2)}`;
  const again = round > 1 ? ` · round ${round}` : "";
  const about = `${apart(cut(task.role, 12))} · ${state.replaceAll("_", " ")}${score}${again}`;
  const [bold, id] = ["600 12px", fit(task.id, 90, "600 12px")];
  const title = fit(task.title, wide - 29 - width(`${id} `, bold), bold);
  group.append(s("text", { class: "title", x: 21, y: 19 }, `${apart(id)} ${apart(title)}`));
  if (high > 40) group.append(s("text", { class: "soft", x: 21, y: 36 }, fit(about, wide - 27, "11px")));
  titled(group, `${task.id} ${task.title}: ${about}`);
  return group;
}
