// Time ranges: relative as in Grafana, absolute, or all data.

const SIZES = { s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5, M: 2592e6, y: 31536e6 };
const NAMES = { s: "second", m: "minute", h: "hour", d: "day", w: "week", M: "month", y: "year" };
export const QUICK = ["now-15m", "now-1h", "now-6h", "now-24h", "now-7d", "now-30d"];

export function parse(text, now = Date.now()) {
  const value = String(text).trim();
  if (value === "now") return now;
  const match = /^now-(\d+)([smhdwMy])$/.exec(value);
  if (match) return now - Number(match[1]) * SIZES[match[2]];
  if (/^\d{10,}$/.test(value)) return Number(value);
  const iso = value.replace(" ", "T");
  return Date.parse(/[zZ]|[+-]\d\d:\d\d$/.test(iso) ? iso : iso.length > 10 ? `${iso}Z` : iso);
}

export function name(from, to, since, until) {
  const match = /^now-(\d+)([smhdwMy])$/.exec(from);
  if (match && to === "now") return `Last ${match[1]} ${NAMES[match[2]]}${match[1] === "1" ? "" : "s"}`;
  return `${short(since)} – ${short(until)}`;
}

function short(ms) {
  const text = new Date(ms).toISOString();
  return text.slice(11, 16) === "00:00" ? text.slice(0, 10) : text.slice(0, 16).replace("T", " ");
}
