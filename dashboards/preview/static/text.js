// Panels without a chart: single numbers and tables.

import { colour, cssColour, instant, mapping, number, overridden, threshold } from "./format.js";

export function stat(element, panel, data) {
  const { columns, rows } = data.answers[0];
  const at = Math.max(0, columns.findIndex((column) => column.kind === "number"));
  const value = rows[0][at];
  const field = overridden(panel, columns[at].name);
  const mapped = mapping(field, value);
  const shade = mapped?.color ?? threshold(field.thresholds?.steps, value);
  const shown = document.createElement("div");
  shown.className = "figure";
  shown.textContent = mapped?.text ?? (typeof value === "number" ? number(value, field) : String(value));
  shown.style.color = shade && shade !== "text" ? colour(shade) : cssColour("--text");
  element.replaceChildren(shown);
}

export function table(element, panel, data, page) {
  const { columns, rows } = data.answers[0];
  const sorted = { at: -1, down: true };
  const box = document.createElement("div");
  box.className = "scroll";
  box.tabIndex = 0;
  const grid = document.createElement("table");
  const head = grid.createTHead().insertRow();
  columns.forEach((column, at) => {
    if (hidden(panel, column)) return;
    const cell = document.createElement("th");
    cell.scope = "col";
    if (column.kind === "number") cell.className = "number";
    const sort = document.createElement("button");
    sort.textContent = column.name;
    sort.addEventListener("click", () => {
      sorted.down = sorted.at === at ? !sorted.down : true;
      sorted.at = at;
      fill([...rows].sort((a, b) => compare(a[at], b[at]) * (sorted.down ? -1 : 1)));
    });
    cell.append(sort);
    head.append(cell);
  });
  const body = grid.createTBody();
  function fill(list) {
    body.replaceChildren(...list.map((row) => line(panel, columns, row, page)));
  }
  fill(rows);
  box.append(grid);
  element.replaceChildren(box);
}

const hidden = (panel, column) => overridden(panel, column.name, column.kind).custom.hidden === true;

function compare(a, b) {
  if (a === null || b === null) return (a === null ? 0 : 1) - (b === null ? 0 : 1);
  return typeof a === "number" ? a - b : String(a).localeCompare(String(b));
}

function line(panel, columns, row, page) {
  const element = document.createElement("tr");
  const fields = Object.fromEntries(columns.map((column, at) => [column.name, row[at]]));
  columns.forEach((column, at) => {
    if (hidden(panel, column)) return;
    const cell = element.insertCell();
    if (column.kind === "number") cell.className = "number";
    const field = overridden(panel, column.name, column.kind);
    const value = row[at];
    if (value === null) cell.append(field.noValue ?? "");
    if (value === null || value === "") return;
    const text = shown(column, field, value);
    cell.title = text;
    cell.append(content(field, value, text, page, fields));
  });
  return element;
}

function shown(column, field, value) {
  const mapped = mapping(field, value);
  if (mapped) return mapped.text;
  if (column.kind === "time") return instant(value);
  return typeof value === "number" ? number(value, field) : String(value);
}

function content(field, value, text, page, fields) {
  const how = field.custom.cellOptions?.type;
  if (how === "color-background") {
    const pill = document.createElement("span");
    pill.className = "pill";
    pill.style.setProperty("--pill", colour(mapping(field, value)?.color ?? "text"));
    pill.textContent = text;
    return pill;
  }
  if (how === "gauge") {
    const meter = document.createElement("span");
    meter.className = "meter";
    const bar = document.createElement("i");
    bar.style.setProperty("--part", `${Math.min(100, value * 100)}%`);
    meter.append(bar, text);
    return meter;
  }
  const link = field.links?.[0];
  if (!link) return document.createTextNode(text);
  const anchor = document.createElement("a");
  anchor.href = page.address(link.url, value, fields);
  anchor.textContent = /^https?:/.test(text) ? link.title : /^\d+$/.test(text) ? `${link.title} ${text}` : text;
  if (link.targetBlank || anchor.pathname.startsWith("/reports/")) {
    anchor.target = "_blank";
    anchor.rel = "noopener noreferrer";
  }
  return anchor;
}
