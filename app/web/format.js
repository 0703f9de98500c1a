// Numbers, times and states as people read them. Unknown is a dash, never 0.

export const kw = (value, digits = 1) => (value == null ? "–" : value.toFixed(digits));

export function money(value, currency) {
  return value == null ? "–" : new Intl.NumberFormat("en-GB", { style: "currency", currency }).format(value);
}

// Wall-clock time of the site, in the form that plotly reads as a date: "2026-04-26 08:15:00".
export function localTime(moment, timeZone) {
  return new Intl.DateTimeFormat("sv-SE", {
    timeZone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  }).format(new Date(moment));
}

export function hourAndMinute(moment, timeZone) {
  return new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit" }).format(new Date(moment));
}

export function ago(moment, now) {
  if (!moment) return "never";
  const seconds = Math.max(0, (new Date(now) - new Date(moment)) / 1000);
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}

export const deliveryTone = (state) =>
  ({ verified: "good", accepted: "warn", sent: "warn", withheld: "warn", planned: "" })[state] ?? "bad";

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children.filter((child) => child != null));
  return node;
}
