// One function per chart type; all take (element, panel, data, page).

import { PALETTE, bin, colour, cssColour, mapping, number, overridden, threshold, withAlpha } from "./format.js";

const MAX_LENGTH = 200;  // characters of a text
const CONFIG = { displayModeBar: false, responsive: false, doubleClick: false, scrollZoom: false };

export function timeseries(element, panel, data, page) {
  const list = data.answers.flat();
  const bars = panel.fieldConfig.defaults.custom?.drawStyle === "bars";
  const bands = list.map((series) => overridden(panel, series.name).custom.fillBelowTo).filter(Boolean);
  // Plotly fills a band down to the previous series, so the order is: lower edge, upper edge, others
  const rank = ({ name }) => (bands.includes(name) ? 0 : overridden(panel, name).custom.fillBelowTo ? 1 : 2);
  list.sort((a, b) => rank(a) - rank(b));
  const width = Math.max(data.interval, step(list));
  const traces = list.map((series, at) => (bars ? bar : line)(series, overridden(panel, series.name), at, width));
  plot(element, traces, {
    ...layout(page, panel),
    barmode: "stack",
    hovermode: "x unified",
    shapes: shapes(page),
    annotations: marks(page),
    xaxis: timeAxis(page),
    yaxis: { ...axis(), rangemode: bars ? "tozero" : "normal", ...valueAxis(panel), ...softLimits(panel, list, bars) },
    ...legended(element, traces),
  }, page);
}

function legended(element, traces) {
  const names = traces.filter((trace) => trace.showlegend !== false).map((trace) => trace.name);
  if (names.length < 2) return { showlegend: false };
  // Plotly makes all legend entries as wide as the longest
  const columns = Math.max(1, Math.floor((element.clientWidth - 70) / (48 + Math.max(...names.map((name) => name.length)) * 6.4)));
  const lines = Math.min(4, Math.ceil(names.length / columns));
  return { showlegend: true, margin: { l: 56, r: 16, t: 12, b: 41 + lines * 19 } };
}

function bar(series, field, at, width) {
  return {
    type: "bar", name: escape(series.name), x: series.x, y: series.y, width: width * 0.88, offset: 0,
    marker: { color: seriesColour(field, at), line: { width: 0 } },
    hovertemplate: hover(field, series),
    customdata: series.y.map((y) => number(y, field)),
  };
}

function line(series, field, at) {
  const shade = seriesColour(field, at);
  const custom = field.custom;
  const hidden = custom.lineWidth === 0;
  return {
    type: "scatter", mode: series.x.length < 40 && !hidden && custom.lineStyle === undefined ? "lines+markers" : "lines",
    name: escape(series.name), x: series.x, y: series.y, connectgaps: false, showlegend: !hidden,
    line: { color: shade, width: custom.lineWidth ?? 2, dash: custom.lineStyle ? "dash" : "solid" },
    marker: { size: 4 },
    fill: custom.fillBelowTo ? "tonexty" : "none",
    fillcolor: custom.fillBelowTo ? withAlpha(shade, 0.18) : undefined,
    hovertemplate: hover(field, series), customdata: series.y.map((y) => number(y, field)),
  };
}

const hover = (_, series) => `${escape(series.name)}: <b>%{customdata}</b><extra></extra>`;

function seriesColour(field, at) {
  return field.color?.mode === "fixed" ? colour(field.color.fixedColor) : PALETTE[at % PALETTE.length];
}

const MARK = " ◂ objective";  // suffix of the label of the bin with the objective

export function heatmap(element, panel, data, page) {
  const bins = data.answers[0];
  const grid = regular(bins, data.interval);
  const labels = bins.map((series) => series.name.replace(/^[\u200b\u200c]+/, ""));
  const names = labels.map((label) => bin(label.replace(MARK, "")));
  const marked = labels.findIndex((label) => label.endsWith(MARK));
  const warm = panel.options?.color?.scheme === "Oranges";
  const light = page.theme === "light";
  const scale = light
    ? [[0, "#f3f6fb"], [0.5, warm ? "#f7b267" : "#79aef8"], [1, warm ? "#a63c06" : "#12398a"]]
    : [[0, "#1b2230"], [0.5, warm ? "#c8641c" : "#2f6fd0"], [1, warm ? "#ffe3b8" : "#cfe3ff"]];
  const every = Math.max(1, Math.ceil(names.length / Math.max(3, Math.floor(element.clientHeight / 34))));
  const ticks = names.map((_, at) => at).filter((at) => at % every === 0);
  plot(element, [{
    type: "heatmap", x: grid.x, y: names.map((_, at) => at), z: grid.z, colorscale: scale, zmin: 0,
    xgap: grid.x.length < 200 ? 1 : 0, ygap: 1, showscale: false, hoverongaps: false,
    text: grid.z.map((row, at) => row.map(() => escape(names[at]))),
    hovertemplate: "%{x|%Y-%m-%d %H:%M}<br>%{text}: <b>%{z:.1%}</b><extra></extra>",
  }], {
    ...layout(page, panel), hovermode: "closest", shapes: [...shapes(page), ...objective(marked)], xaxis: timeAxis(page),
    margin: { l: Math.min(130, 16 + Math.max(...ticks.map((at) => names[at].length)) * 6.6), r: 16, t: 12, b: 38 },
    yaxis: { ...axis(), ticks: "", tickvals: ticks, ticktext: ticks.map((at) => escape(names[at])), showgrid: false },
    showlegend: false,
  }, page);
}

export function stateTimeline(element, panel, data, page) {
  const rows = [...data.answers[0]].reverse();
  const grid = regular(rows, data.interval);
  const defaults = panel.fieldConfig.defaults;
  // as in Grafana: with colours by threshold, merged values ignore the colours of mappings
  const plain = defaults.color?.mode === "thresholds" && panel.options?.mergeValues !== false;
  const states = Object.entries(defaults.mappings[0].options).map(([value, shown]) => ({
    value: Number(value), ...shown, ...(plain ? { color: threshold(defaults.thresholds?.steps, Number(value)) } : {}),
  }));
  const low = Math.min(...states.map((state) => state.value));
  const span = states.length;
  const scale = states.flatMap(({ color }, at) => [[at / span, colour(color)], [(at + 1) / span, colour(color)]]);
  const drawn = new Set(grid.z.flat());
  legend(element, states.filter((state) => drawn.has(state.value)));
  const names = rows.map((series) => series.name);
  const longest = Math.max(...names.map((name) => name.length));
  plot(element, [{
    type: "heatmap", x: grid.x, y: names, z: grid.z, colorscale: scale,
    zmin: low - 0.5, zmax: low + span - 0.5, showscale: false, ygap: 3, xgap: 0, hoverongaps: false,
    text: grid.z.map((row) => row.map((z) => mapping(panel.fieldConfig.defaults, z)?.text ?? "")),
    customdata: grid.z.map((row, at) => row.map(() => escape(names[at]))),
    hovertemplate: "<b>%{customdata}</b>: %{text}<br>%{x|%Y-%m-%d %H:%M}<extra></extra>",
  }], {
    ...layout(page, panel), hovermode: "closest", shapes: shapes(page), xaxis: timeAxis(page),
    margin: { l: Math.min(170, 16 + longest * 7.2), r: 16, t: 12, b: 36 },
    yaxis: { ...axis(), type: "category", showgrid: false, automargin: false, ticks: "", tickvals: names, ticktext: names.map((name) => escape(cut(name))) },
    showlegend: false,
  }, page);
  const link = panel.fieldConfig.defaults.links?.[0]?.url ?? "";
  if (link.includes("var-column=")) {
    element.classList.add("clickable");
    element.on("plotly_click", (event) => page.choose("column", event.points[0].y));
  }
}

const cut = (name) => (name.length > 34 ? `${name.slice(0, 33)}…` : name);

function legend(element, states) {
  const list = document.createElement("div");
  list.className = "legend";
  for (const state of states) {
    const item = document.createElement("span");
    const dot = document.createElement("i");
    dot.style.background = colour(state.color);
    item.append(dot, state.text);
    list.append(item);
  }
  element.parentElement.append(list);
  element.classList.add("with-legend");
}

export function barchart(element, panel, data, page) {
  const { columns, rows } = data.answers[0];
  const names = rows.map((row) => String(row[0]));
  const flat = panel.options?.orientation === "horizontal";
  const most = panel.options?.xTickLabelMaxLength ?? MAX_LENGTH;
  const short = names.map((name) => (name.length > most ? `${name.slice(0, most)}...` : cut(bin(name))));
  const traces = columns.slice(1).map((column, at) => {
    const field = overridden(panel, column.name);
    const values = rows.map((row) => row[at + 1]);
    const places = flat ? { x: values, y: names, orientation: "h" } : { x: names, y: values };
    return {
      type: "bar", name: escape(column.name), ...places, marker: { color: seriesColour(field, at), line: { width: 0 } },
      text: flat ? values.map((value) => number(value, field)) : undefined, textposition: "outside",
      textfont: { color: cssColour("--text"), size: 11.5 }, cliponaxis: false,
      width: flat && rows.length < 6 ? 0.12 * rows.length : undefined, customdata: values.map((value, row) => [number(value, field), escape(names[row])]),
      hovertemplate: `%{customdata[1]}<br>${escape(column.name)}: <b>%{customdata[0]}</b><extra></extra>`,
    };
  });
  const labels = { type: "category", showgrid: false, tickvals: names, ticktext: short.map(escape) };
  const values = { ...axis(), ...valueAxis(panel), rangemode: "tozero" };
  const every = Math.max(1, Math.ceil((names.length * 16) / Math.max(element.clientWidth, 1)));
  if (!flat) { labels.tickvals = names.filter((_, at) => at % every === 0); labels.ticktext = short.filter((_, at) => at % every === 0).map(escape); }
  const longest = Math.max(...short.map((name) => name.length));
  const margin = flat
    ? { l: Math.min(element.clientWidth * 0.5, 18 + longest * 6.8), r: 60, t: 6, b: 26 }
    : { l: panel.fieldConfig.defaults.custom?.axisLabel ? 70 : 54, r: 14, t: 30, b: Math.min(96, 26 + longest * 5) };
  plot(element, traces, {
    ...layout(page, panel), barmode: "group", bargap: flat ? 0.35 : 0.18, bargroupgap: 0.04, margin,
    hovermode: "closest", showlegend: !flat && traces.length > 1,
    legend: { ...layout(page, panel).legend, yref: "paper", y: 1.01 },
    xaxis: flat ? { ...values, fixedrange: true } : { ...axis(), ...labels, fixedrange: true, tickangle: longest > 4 ? -40 : 0 },
    yaxis: flat ? { ...axis(), ...labels, autorange: "reversed" } : values,
  }, page);
}

function plot(element, traces, layout, page) {
  window.Plotly.react(element, traces, layout, CONFIG);
  element.removeAllListeners?.("plotly_relayout");
  element.on("plotly_relayout", (change) => {
    const since = change["xaxis.range[0]"], until = change["xaxis.range[1]"];
    if (layout.xaxis.type === "date" && since !== undefined) page.zoom(utc(since), utc(until));
  });
}

const utc = (text) => (typeof text === "number" ? text : Date.parse(`${text.replace(" ", "T").slice(0, 23)}Z`));

function layout(page, panel) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", dragmode: "zoom",
    font: { family: getComputedStyle(document.body).fontFamily, size: 11.5, color: cssColour("--soft") },
    margin: { l: panel.fieldConfig.defaults.custom?.axisLabel ? 72 : 56, r: 16, t: 12, b: 38 },
    legend: { orientation: "h", x: 0, y: 0.005, yref: "container", yanchor: "bottom", font: { size: 11.5 }, traceorder: "normal" },
    hoverlabel: { bgcolor: cssColour("--hover"), bordercolor: cssColour("--line"), font: { color: cssColour("--text"), size: 12 }, namelength: -1 },
    uirevision: page.revision,
  };
}

function axis() {
  return { gridcolor: withAlpha(cssColour("--soft").padEnd(7, "0"), 0.14), linecolor: cssColour("--line"), zeroline: false, fixedrange: true, automargin: false };
}

function timeAxis(page) {
  return { ...axis(), type: "date", range: [page.since, page.until], fixedrange: false, showgrid: false, ticks: "outside", tickcolor: cssColour("--line"), ticklen: 4 };
}

function valueAxis(panel) {
  const { unit, min, max, custom } = panel.fieldConfig.defaults;
  const options = { tickformat: unit === "percentunit" ? ".0%" : unit === "bytes" ? ".2s" : ",~r" };
  if (custom?.axisLabel) options.title = { text: escape(custom.axisLabel), standoff: 6, font: { size: 11.5 } };
  if (unit === "ms" || unit === "s") { options.tickformat = ",~r"; options.ticksuffix = ` ${unit}`; }
  if (min !== undefined && max !== undefined) options.range = [min, max * 1.03];
  else if (min !== undefined) options.rangemode = "tozero";
  return options;
}

// Axis limits that apply while all values are within them; stacked bars are summed.
function softLimits(panel, list, stacked) {
  const { axisSoftMin: low, axisSoftMax: high } = panel.fieldConfig.defaults.custom ?? {};
  if (low === undefined || high === undefined) return {};
  const heights = new Map();
  for (const { x, y } of list) {
    x.forEach((time, at) => heights.set(stacked ? time : heights.size, (stacked && heights.get(time) || 0) + y[at]));
  }
  const all = [...heights.values()];
  return all.every((value) => value >= low && value <= high) ? { range: [low, high] } : {};
}

function objective(at) {
  if (at < 0) return [];
  return [{
    type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: at, y1: at, name: "objective",
    line: { color: "#d55e00", width: 1.4, dash: "dash" },
  }];
}

function shapes(page) {
  return page.events.map(({ since, until, shade }) => {
    const long = until - since > (page.until - page.since) / 300;
    const shape = { xref: "x", yref: "paper", y0: 0, y1: 1, x0: since, x1: long ? until : since, layer: "below" };
    return long
      ? { ...shape, type: "rect", fillcolor: withAlpha(shade, 0.12), line: { width: 0 } }
      : { ...shape, type: "line", line: { color: shade, width: 1.4, dash: "dash" }, layer: "above" };
  });
}

function marks(page) {
  return page.events.map(({ since, text, shade }) => ({
    x: since, y: 1, xref: "x", yref: "paper", text: "▾", showarrow: false, hovertext: escape(text), font: { color: shade, size: 15 },
    yanchor: "middle", captureevents: true,
  }));
}

function step(list) {
  const times = [...new Set(list.flatMap((series) => series.x))].sort((a, b) => a - b);
  let smallest = Infinity;
  for (let at = 1; at < times.length; at += 1) smallest = Math.min(smallest, times[at] - times[at - 1]);
  return Number.isFinite(smallest) ? smallest : 0;
}

function regular(list, interval) {
  // Cells at every step, so that a gap stays empty instead of widening the previous cell.
  const width = Math.max(step(list) || interval, interval);
  const times = list.flatMap((series) => series.x);
  const first = times.reduce((a, b) => Math.min(a, b)), last = times.reduce((a, b) => Math.max(a, b));
  const count = Math.min(5000, Math.round((last - first) / width) + 1);
  const x = Array.from({ length: count }, (_, at) => first + at * width);
  const z = list.map((series) => {
    const row = Array(count).fill(null);
    series.x.forEach((time, at) => { row[Math.min(count - 1, Math.round((time - first) / width))] = series.y[at]; });
    return row;
  });
  return { x, z };
}

// Escapes texts from the database: Plotly interprets texts as HTML, and % as templates.
function escape(text) {
  const short = String(text);
  return (short.length > MAX_LENGTH ? `${short.slice(0, MAX_LENGTH)}…` : short)
    .replace(/[&<>%]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", "%": "&#37;" })[c]);
}

