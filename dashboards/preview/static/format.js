// Format numbers, times and colours for display.

const NAMED = {
  green: "#4fb477", red: "#f2616d", orange: "#f2a65a", blue: "#5ea1ff", purple: "#b07cf0",
  text: "#98a1b0", "dark-red": "#e0323f", "dark-blue": "#2f6fd0",
};
export const PALETTE = [
  "#5ea1ff", "#f2a65a", "#4fb477", "#c084fc", "#f2616d", "#38bdc9", "#e5c453", "#8b93ff",
  "#f078b4", "#9bbf5a", "#98a1b0", "#d08c60",
];

export const colour = (name) => NAMED[name] ?? name;

export function cssColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function withAlpha(hex, alpha) {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}

export function number(value, { unit = "none", decimals } = {}) {
  if (value === null || value === undefined) return "";
  if (unit === "percentunit") return `${fixed(value * 100, decimals ?? (Math.abs(value) < 0.0995 ? 2 : 1))} %`;
  if (unit === "bytes") return scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"], decimals);
  if (unit === "s") return duration(value * 1000);
  if (unit === "ms") return duration(value, decimals);
  if (unit === "short" && Math.abs(value) >= 10_000) return scaled(value, 1000, ["", "K", "M", "B", "T"], decimals);
  return decimals === undefined ? plain(value) : fixed(value, decimals);
}

function plain(value) {
  if (Number.isInteger(value)) return value.toLocaleString("en-US");
  if (value !== 0 && Math.abs(value) < 0.0001) return value.toExponential(1);
  return value.toLocaleString("en-US", { maximumSignificantDigits: Math.abs(value) < 1000 ? 4 : 6 });
}

function fixed(value, decimals) {
  const rounded = value.toLocaleString("en-US", { maximumFractionDigits: decimals });
  return rounded === "-0" ? "0" : rounded;
}

function scaled(value, base, units, decimals = 1) {
  let at = 0;
  while (Math.abs(value) >= base && at < units.length - 1) { value /= base; at += 1; }
  return `${fixed(value, decimals)} ${units[at]}`.trim();
}

function duration(ms, decimals) {
  const size = Math.abs(ms);
  const steps = [[31_557_600_000, "y"], [86_400_000, "d"], [3_600_000, "h"], [60_000, "min"], [1000, "s"]];
  for (const [length, unit] of steps) if (size >= length) return `${fixed(ms / length, 1)} ${unit}`;
  return `${fixed(ms, decimals ?? (size < 10 ? 2 : 1))} ms`;
}

export function instant(ms) {
  return new Date(ms).toISOString().slice(0, 16).replace("T", " ");
}

// Grafana's defaults for a panel without thresholds.
const STEPS = [{ value: null, color: "green" }, { value: 80, color: "red" }];

export function threshold(steps = STEPS, value) {
  let shade = steps[0]?.color;
  for (const step of steps) if (step.value === null || step.value === undefined || value >= step.value) shade = step.color;
  return shade;
}

export function mapping(field, value) {
  for (const { options } of field.mappings ?? []) {
    const text = String(value);
    if (Object.hasOwn(options ?? {}, text)) return options[text];  // hasOwn: a text may be "constructor"
  }
  return null;
}

export function overridden(panel, name, kind) {
  // Field settings of a series or column: the panel's defaults, then all matching overrides.
  const defaults = panel.fieldConfig?.defaults ?? {};
  const field = { ...defaults, custom: { ...defaults.custom } };
  for (const { matcher, properties } of panel.fieldConfig?.overrides ?? []) {
    if (!matches(matcher, name, kind)) continue;
    for (const { id, value } of properties) {
      if (id.startsWith("custom.")) field.custom[id.slice(7)] = value;
      else field[id] = value;
    }
  }
  return field;
}

function matches({ id, options }, name, kind) {
  if (id === "byRegexp") return new RegExp(options.replace(/^\/|\/$/g, "")).test(name);
  return id === "byType" ? options === kind : options === name;
}

export function bin(label) {
  // Formats "[0.406805, 4.44108)" as "0.407 – 4.44"; other texts are unchanged.
  const interval = /^\[(-?[\d.e+-]+), (-?[\d.e+-]+)[)\]]$/.exec(label);
  if (interval) return `${rounded(interval[1])} – ${rounded(interval[2])}`;
  const edge = /^(<|>=) (-?[\d.e+-]+)$/.exec(label);
  return edge ? `${edge[1] === "<" ? "<" : "≥"} ${rounded(edge[2])}` : label;
}

const rounded = (text) => Number(text).toLocaleString("en-US", { maximumSignificantDigits: 3, useGrouping: false });
