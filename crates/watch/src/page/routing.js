// Where tasks start: what is believed of each tier, what money is worth, and each decision with its reason.
import { cut, el, frame, keep, legend, renew, room, s, seconds, steps, swatch, titled } from "./draw.js";

const LINES = 400;
const HIGH = 64;
const percent = (part) => `${Math.round(part * 100)} %`;
const dollars = (usd) => `$${usd.toFixed(usd < 0.001 ? 6 : usd < 100 ? 4 : 0)}`;
const count = (n) => n.toLocaleString("en", { maximumFractionDigits: 1 });
const figure = (n) => String(Number(n.toPrecision(3)));

export const routedBy = (story, t) => story.routes.filter((route) => route.t <= t);

export function drawRouting({ key, sum, beliefs, lambda, choices }, story, t, end) {
  const routes = routedBy(story, t);
  if (!routes.length) return;
  const last = routes.at(-1);
  const priced = routes.filter((route, n) => n === 0 || route.lambda !== routes[n - 1].lambda);
  const tick = { thompson: "sampled", ucb: "upper bound" }[last.mode] ?? "reckoned with";
  const tried = routes.filter((route) => route.explored).length;
  const twice = routes.filter((route) => route.audit).length;
  legend(key, [["s-accepted", "accepted, as is believed"], ["tick", tick], ["chosen", "where the latest task started"],
    ...(tried ? [["tried", "to learn about a tier"]] : []), ...(priced.length > 1 ? [["line l3", "λ, the price of money"]] : [])]);
  sum.textContent = [last.mode, `${count(routes.length)} decision${routes.length > 1 ? "s" : ""}${routes.length > LINES ? `, the latest ${LINES} shown` : ""}`,
    ...(tried ? [`${count(tried)} to learn about a tier`] : []), ...(twice ? [`${count(twice)} to be judged twice`] : []), `λ\u00a0${figure(last.lambda)}`].filter(Boolean).join(" · ");
  lambda.hidden = priced.length < 2;
  if (!lambda.hidden) drawLambda(lambda, story.head.run, priced, t, end);
  // A decision stays what it is: where there is none more, nothing is drawn anew.
  const drawn = `${story.head.run} ${routes.length} ${last.seq}`;
  if (beliefs.dataset.key === drawn) return;
  beliefs.dataset.key = drawn;
  beliefs.replaceChildren(table(latest(routes)));
  const numbers = [...story.routes.keys()].filter((n) => story.routes[n].t <= t);
  keep(choices, story.head.run, numbers.slice(-LINES).reverse(), (n) => choice(story.routes[n]));
}

// The latest decision on each kind of task: what is learnt is learnt for a role, a hardness and a kind.
function latest(routes) {
  const cells = new Map();
  for (const route of routes) if (route.weighed.length) cells.set(JSON.stringify([route.role, route.bucket, route.group]), route);
  return [...cells].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, route]) => route);
}

function table(cells) {
  if (!cells.length) return el("p", { class: "empty" }, "nothing was weighed");
  const table = el("table");
  const head = el("tr");
  for (const [name, kind] of [["tier", ""], ["accepted", ""], ["seen", "n"], ["a try", "n"]]) head.append(el("th", { scope: "col", class: kind }, name));
  const top = el("thead");
  top.append(head);
  table.append(top);
  for (const route of cells) {
    const body = el("tbody");
    const name = el("th", { colspan: 4, scope: "rowgroup" }, `${route.role} · ${route.group}, hardness ${route.bucket} `);
    name.append(el("span", { class: "soft" }, `as of ${route.task}, ${seconds(route.t)}`));
    const row = el("tr");
    row.append(name);
    body.append(row, ...route.weighed.map((tier, n) => believed(tier, n === route.tier)));
    table.append(body);
  }
  return table;
}

function believed(tier, chosen) {
  const row = el("tr", chosen ? { class: "chosen" } : {});
  const [name, tag] = [el("td"), el("div", { class: "tier" })];
  tag.append(swatch(chosen ? "chosen" : "none"), el("span", { title: tier.model }, tier.model));
  name.append(tag);
  if (tier.ruled_out) name.append(el("div", { class: "soft" }, tier.ruled_out));
  const chance = el("td");
  const bar = s("svg", { class: "chance", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": `accepted ${percent(tier.mean)}, reckoned with ${percent(tier.sample)}` });
  bar.append(s("rect", { class: "ground", width: 100, height: 10 }), s("rect", { class: "s-accepted", width: tier.mean * 100, height: 10 }), s("line", { class: "tick", x1: tier.sample * 100, x2: tier.sample * 100, y1: 0, y2: 10 }));
  const both = el("div", { class: "both" });
  both.append(titled(bar, `believed ${percent(tier.mean)}, reckoned with ${percent(tier.sample)}`), el("span", {}, percent(tier.mean)));
  chance.append(both);
  row.append(name, chance, el("td", { class: "n" }, count(tier.seen)), el("td", { class: "n" }, dollars(tier.cost)));
  return row;
}

function choice(route) {
  const row = el("li");
  const why = el("span");
  why.append(el("b", {}, `${route.name || `tier ${route.tier}`} `));
  if (route.explored) why.append(swatch("tried"), "tried ");
  const more = [...(route.propensity < 1 ? [`chosen ${percent(route.propensity)} of the time`] : []), ...(route.audit ? ["to be judged twice"] : [])];
  why.append(el("span", { class: "soft" }, [route.why, ...more].join(" · ")));
  row.append(el("time", {}, seconds(route.t)), el("span", { title: route.task }, cut(route.task, 16)), why);
  return row;
}

function drawLambda(place, run, priced, t, end) {
  const key = [run, priced.length, t, end, room(place)].join();
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const { svg, x, now, left } = frame(place, "λ, the price of money, over time", t, end, HIGH);
  const most = Math.max(...priced.map((route) => route.lambda)) || 1;
  const y = (value) => HIGH - 2 - (value / most) * (HIGH - 14);
  for (const value of [0, most]) svg.append(s("text", { class: "soft end", x: left - 6, y: y(value) + 4 }, figure(value)));
  svg.append(s("path", { class: "line l3", d: steps(priced.map((route) => ({ t: route.t, v: route.lambda })), x, y, t) }));
  now();
  renew(place, svg);
}
