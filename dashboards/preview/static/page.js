// The page: its URL contains its whole state; panels request data by panel id.

import * as draw from "./draw.js";
import { colour, instant } from "./format.js";
import { QUICK, name as rangeName, parse } from "./range.js";
import * as text from "./text.js";

const uid = decodeURIComponent(location.pathname.split("/")[2]);
const KINDS = {
  timeseries: draw.timeseries, heatmap: draw.heatmap, "state-timeline": draw.stateTimeline,
  barchart: draw.barchart, stat: text.stat, table: text.table,
};
const MAX_REQUESTS = 6;  // at a time
const find = (id) => document.getElementById(id);
const page = {
  dashboard: null, variables: [], values: {}, from: "", to: "", since: 0, until: 0, events: [],
  theme: document.documentElement.dataset.theme, revision: 0, zoom, choose, address,
};
let loading = new AbortController();
let timer = 0;

async function request(path, body) {
  const options = body && {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: loading.signal,
  };
  const response = await fetch(path, options);
  const content = await response.json().catch(() => ({ error: `the server returned ${response.status}` }));
  if (!response.ok) throw new Error(content.error ?? `the server returned ${response.status}`);
  return content;
}

const requestBody = (more = {}) => ({ since: page.since, until: page.until, variables: page.values, ...more });

async function start() {
  const [boards, dashboard] = await Promise.all([request("/api/dashboards"), request(`/api/d/${uid}`)]);
  page.dashboard = dashboard;
  document.title = dashboard.title;
  find("title").textContent = dashboard.title.replace(/^driftline · /, "");
  find("about").textContent = dashboard.description ?? "";
  readAddress();
  controls(boards);
  build();
  await load();
}

function readAddress() {
  const query = new URLSearchParams(location.search);
  page.from = query.get("from") ?? "";
  page.to = query.get("to") ?? "now";
  for (const [key, value] of query) {
    if (!key.startsWith("var-")) continue;
    const name = key.slice(4);
    page.values[name] = Object.hasOwn(page.values, name) ? [page.values[name], value].flat() : value;
  }
  const names = new Set(page.dashboard.templating.list.map((variable) => variable.name));
  for (const name of Object.keys(page.values)) if (!names.has(name)) delete page.values[name];
}

function writeAddress(push) {
  const query = new URLSearchParams({ from: page.from, to: page.to });
  for (const variable of page.variables) {
    const every = variable.many && variable.value.length === variable.options.length;
    if (!every) for (const value of [variable.value].flat()) query.append(`var-${variable.name}`, value);
  }
  const target = `${location.pathname}?${query}`;
  if (target === location.pathname + location.search) return;
  history[push ? "pushState" : "replaceState"](null, "", target);
  links();
}

async function resolveRange() {
  // "all" is resolved on each load. Without a selection it is the dashboard's own range, or all data
  // if that range is empty, as for a replay of the past.
  const now = Date.now();
  if (page.from && page.from !== "all") {
    page.since = parse(page.from, now);
    page.until = parse(page.to, now);
  }
  if (page.from === "" || page.from === "all") {
    const own = page.dashboard.time;
    const bounds = [parse(own.from, now), parse(own.to, now)];
    [page.since, page.until] = bounds;
    const extent = await request(`/api/d/${uid}/extent`, requestBody());
    const misses = extent && (extent[1] < bounds[0] || extent[0] > bounds[1]);
    const sparse = extent && /T/.test(own.from) && extent[1] - extent[0] < bounds[1] - bounds[0];
    if (page.from === "" && !misses && !sparse) [page.from, page.to] = [own.from, own.to];
    else if (extent) [page.from, page.to, page.since, page.until] = ["all", "all", extent[0], extent[1] + 60_000];
    else [page.from, page.to] = [own.from, own.to];
  }
  if (!(page.until > page.since)) throw new Error("the time range ends before it starts: select another");
  find("range-text").textContent = (page.from === "all" ? "All data · " : "") + rangeName(page.from, page.to, page.since, page.until);
  find("all").setAttribute("aria-pressed", String(page.from === "all"));
}

async function load({ push = false } = {}) {
  loading.abort();
  loading = new AbortController();
  const controller = loading;
  try {
    await resolveRange();
    page.variables = await request(`/api/d/${uid}/variables`, requestBody());
    page.values = Object.fromEntries(page.variables.map(({ name, value }) => [name, value]));
    writeAddress(push);
    choices();
    page.events = events(await request(`/api/d/${uid}/annotations`, requestBody()));
    find("problem").hidden = true;
  } catch (error) {
    if (controller.signal.aborted) return;
    find("problem").textContent = error.message;
    find("problem").hidden = false;
    for (const element of document.querySelectorAll(".panel")) note(element, "error", "not loaded");
    return;
  }
  if (controller.signal.aborted) return;
  const waiting = [...document.querySelectorAll(".panel")];
  for (const element of waiting) {
    element.dataset.state = "loading";
    const title = element.querySelector("h2 span");
    title.textContent = title.title = titled(panelOf(element));
  }
  const worker = async () => { while (waiting.length && !controller.signal.aborted) await show(waiting.shift(), controller); };
  await Promise.all(Array.from({ length: MAX_REQUESTS }, worker));
  if (!controller.signal.aborted) find("updated").textContent = `Updated ${instant(Date.now())}.`;
}

function events(list) {
  return list.flatMap(({ colour: name, rows }) => rows.map(([since, until, text]) => ({
    since: Math.max(since, page.since), until: Math.min(until ?? since, page.until), text, shade: colour(name),
  })));
}

function build() {
  const parts = page.dashboard.panels.map((panel) => {
    if (panel.type === "row") {
      const row = document.createElement("h2");
      row.className = "row";
      row.textContent = panel.title;
      return row;
    }
    return frame(panel);
  });
  find("board").replaceChildren(...parts);
}

function frame(panel) {
  const section = document.createElement("section");
  section.className = "panel";
  section.tabIndex = 0;
  section.dataset.id = panel.id;
  section.dataset.kind = panel.type;
  section.style.setProperty("--w", panel.gridPos.w);
  section.style.setProperty("--h", panel.gridPos.h);
  const heading = document.createElement("h2");
  const title = document.createElement("span");
  const about = document.createElement("button");
  about.className = "about";
  about.type = "button";
  about.textContent = "i";
  about.dataset.text = panel.description;
  about.setAttribute("aria-label", `About: ${panel.description}`);
  const enlarge = document.createElement("button");
  enlarge.className = "enlarge";
  enlarge.type = "button";
  enlarge.textContent = "⤢";
  enlarge.setAttribute("aria-label", "Enlarge");
  enlarge.addEventListener("click", () => toggleLarge(section));
  heading.append(title, about, enlarge);
  const body = document.createElement("div");
  body.className = "body";
  section.append(heading, body);
  return section;
}

const panelOf = (section) => page.dashboard.panels.find((panel) => String(panel.id) === section.dataset.id);

function titled(panel) {
  return panel.title.replace(/\$(\w+)/g, (whole, name) => [page.values[name] ?? whole].flat().join(" + "));
}

async function show(section, controller) {
  const panel = panelOf(section);
  const body = section.querySelector(".body");
  try {
    const points = Math.max(60, Math.round(body.clientWidth / (panel.type === "timeseries" ? 2 : 5)));
    const data = await request(`/api/d/${uid}/panel`, requestBody({ panel: panel.id, points }));
    if (controller.signal.aborted) return;
    section.data = data;
    render(section, panel, data);
  } catch (error) {
    if (controller.signal.aborted) return;
    note(section, "error", error.message);
  }
}

function render(section, panel, data) {
  const body = section.querySelector(".body");
  if (empty(data)) return note(section, "empty", panel.fieldConfig.defaults.noValue);
  clear(body);
  if (panel.type === "stat" || panel.type === "table") KINDS[panel.type](body, panel, data, page);
  else {
    const chart = document.createElement("div");
    chart.className = "chart";
    body.append(chart);
    KINDS[panel.type](chart, panel, data, page);
  }
  section.dataset.state = "data";
}

function clear(body) {
  const chart = body.querySelector(".chart");
  if (chart) window.Plotly.purge(chart);
  body.replaceChildren();
}

function note(section, state, text) {
  const body = section.querySelector(".body");
  clear(body);
  const shown = document.createElement("div");
  shown.className = "note";
  shown.textContent = text;
  body.append(shown);
  section.dataset.state = state;
}

function empty(data) {
  return data.answers.every((answer) => (Array.isArray(answer)
    ? answer.length === 0
    : answer.rows.every((row) => row.every((value) => value === null))));
}

function redraw() {
  for (const section of document.querySelectorAll('.panel[data-state="data"]')) {
    render(section, panelOf(section), section.data);
  }
}

// Actions of the reader

function zoom(since, until) {
  [page.from, page.to] = [String(Math.round(since)), String(Math.round(until))];
  load({ push: true });
}

function choose(name, value) {
  page.values[name] = value;
  load({ push: true });
}

function shift(part) {
  const span = page.until - page.since;
  zoom(page.since + span * part, page.until + span * part);
}

function wider() {
  const span = page.until - page.since;
  zoom(page.since - span / 2, Math.min(page.until + span / 2, Math.max(Date.now(), page.until)));
}

function all() {
  [page.from, page.to] = ["all", "all"];
  load({ push: true });
}

function address(url, value, fields = {}) {
  if (url === "${__value.raw}") return web(String(value));
  const filled = url
    .replace(/\$\{__value\.(?:text|raw)(?::percentencode)?\}/g, () => encodeURIComponent(value))
    .replace(/\$\{__data\.fields\.(\w+)\}/g, (_, name) => encodeURIComponent(fields[name] ?? ""))
    .replace(/\$\{__url_time_range\}/g, () => new URLSearchParams({ from: page.from, to: page.to }).toString())
    .replace(/\$\{(\w+):queryparam\}/g, (_, name) => `var-${name}=${encodeURIComponent(page.values[name] ?? "")}`);
  const report = /\/reports\/\d+$/.exec(filled);
  if (report) return report[0];
  return filled.startsWith("/") ? filled : web(filled);
}

// A link from the database or the config; only http and https are followed.
const web = (url) => (/^https?:\/\//i.test(url) ? url : "#");

function toggleTheme() {
  page.theme = page.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = page.theme;
  localStorage.setItem("theme", page.theme);
  redraw();
}

function toggleLarge(section) {
  const large = section.classList.toggle("large");
  document.body.classList.toggle("enlarged", large);
  const panel = panelOf(section);
  if (section.dataset.state === "data") render(section, panel, section.data);
}

function controls(boards) {
  const nav = find("boards");
  nav.replaceChildren(...boards.slice(0, 8).map((board) => {
    const link = document.createElement("a");
    link.dataset.uid = board.uid;
    link.textContent = board.title.replace(/^driftline · /, "");
    if (board.uid === uid) link.setAttribute("aria-current", "page");
    return link;
  }));
  if (boards.length > 8) nav.append(more(boards.slice(8)));
  links();
  find("refresh").addEventListener("click", () => load());
  find("all").addEventListener("click", all);
  find("out").addEventListener("click", wider);
  find("theme").addEventListener("click", toggleTheme);
  find("help").addEventListener("click", () => find("keys").showModal());
  find("auto").addEventListener("change", () => { localStorage.setItem("auto", find("auto").value); schedule(); });
  find("auto").value = localStorage.getItem("auto") ?? "0";
  find("quick").replaceChildren(...QUICK.map((from) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = from.slice(4);
    button.addEventListener("click", () => ranged(from, "now"));
    return button;
  }));
  find("range-form").addEventListener("submit", (event) => {
    event.preventDefault();
    ranged(find("from").value, find("to").value);
  });
  find("range").addEventListener("toggle", () => {
    find("from").value = /^now/.test(page.from) ? page.from : instant(page.since);
    find("to").value = /^now/.test(page.to) ? page.to : instant(page.until);
  });
  schedule();
}

function ranged(from, to) {
  const valid = [from, to].every((time) => Number.isFinite(parse(time)));
  find("from").setCustomValidity(valid ? "" : "enter a time, such as 2024-03-01 08:00 or now-6h");
  if (!valid) return find("from").reportValidity();
  [page.from, page.to] = [from, to].map((time) => (/^now/.test(time) ? time.trim() : String(parse(time))));
  find("range").open = false;
  return load({ push: true });
}

function more(boards) {
  const select = document.createElement("select");
  select.setAttribute("aria-label", "More dashboards");
  select.append(new Option("more …", ""), ...boards.map((board) => new Option(board.title.replace(/^driftline · /, ""), board.uid, false, board.uid === uid)));
  select.addEventListener("change", () => { if (select.value) location.href = `/d/${encodeURIComponent(select.value)}`; });
  return select;
}

function links() {
  // Links keep the model. They keep only relative ranges: event times and commit times differ.
  const live = /^now/.test(page.from);
  for (const link of find("boards").querySelectorAll("a")) {
    const query = new URLSearchParams(live ? { from: page.from, to: page.to } : {});
    const model = page.values.model;
    if (model) query.set("var-model", model);
    link.href = `/d/${encodeURIComponent(link.dataset.uid)}${query.size ? `?${query}` : ""}`;
  }
}

function choices() {
  find("variables").replaceChildren(...page.variables.map((variable) => {
    const label = document.createElement("label");
    const name = document.createElement("span");
    name.textContent = variable.label;
    const select = document.createElement("select");
    select.name = variable.name;
    if (variable.many) select.append(new Option("All", "", false, variable.value.length === variable.options.length));
    for (const { text: shown, value } of variable.options) {
      const chosen = variable.many ? variable.value.length === 1 && variable.options.length > 1 && variable.value[0] === value : value === variable.value;
      select.append(new Option(shown, value, false, chosen));
    }
    select.addEventListener("change", () => choose(variable.name, variable.many ? (select.value ? [select.value] : []) : select.value));
    label.append(name, select);
    return label;
  }));
}

function schedule() {
  clearInterval(timer);
  const seconds = Number(find("auto").value);
  if (seconds > 0) timer = setInterval(() => { if (!document.hidden) load(); }, seconds * 1000);
}

function step(by) {
  const list = [...document.querySelectorAll(".panel")];
  const at = list.indexOf(document.activeElement.closest?.(".panel"));
  list[Math.max(0, Math.min(list.length - 1, at + by))]?.focus();
}

const KEYS = {
  r: () => load(), a: all, t: toggleTheme, "-": wider, "[": () => shift(-0.5), "]": () => shift(0.5),
  j: () => step(1), k: () => step(-1), "?": () => find("keys").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || find("keys").open) return;
  const large = document.querySelector(".panel.large");
  if (event.key === "Escape" && large) return toggleLarge(large);
  if (event.target.closest("input, select, textarea")) return;
  if (event.key === "Enter" && event.target.classList.contains("panel")) return toggleLarge(event.target);
  if (/^[1-9]$/.test(event.key)) return void find("boards").querySelectorAll("a")[Number(event.key) - 1]?.click();
  KEYS[event.key]?.();
});
document.addEventListener("click", (event) => {
  if (!find("range").contains(event.target)) find("range").open = false;
});
window.addEventListener("popstate", () => { page.values = {}; readAddress(); load(); });
let resized = 0;
window.addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(redraw, 150); });
start().catch((error) => { find("problem").textContent = error.message; find("problem").hidden = false; });
