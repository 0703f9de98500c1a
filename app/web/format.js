// Numbers, times and states as people read them. Unknown is a dash, never 0.

export const UNKNOWN = "–";

export const number = (value, digits = 1) => (value == null ? UNKNOWN : value.toFixed(digits));

export function money(value, currency) {
  return value == null ? UNKNOWN : new Intl.NumberFormat("en-GB", { style: "currency", currency }).format(value);
}

// Wall-clock time of the site, in the form that plotly reads as a date: "2026-04-26 08:15:00".
export function localTime(moment, timeZone) {
  return new Intl.DateTimeFormat("sv-SE", {
    timeZone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
  }).format(new Date(moment));
}

export function dayAndTime(moment, timeZone) {
  return new Intl.DateTimeFormat("en-GB", {
    timeZone, weekday: "short", day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit",
  }).format(new Date(moment));
}

export function hourAndMinute(moment, timeZone) {
  return new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit" }).format(new Date(moment));
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function ago(moment, now) {
  if (!moment) return "never";
  return `${duration(Math.max(0, (new Date(now) - new Date(moment)) / 1000))} ago`;
}

export const deliveryTone = (state) =>
  ({ verified: "good", applied: "good", accepted: "warn", sent: "warn", withheld: "warn", planned: "" })[state] ?? "bad";

export const statusTone = (status) => ({ Charging: "good", Unavailable: "warn", Faulted: "bad" })[status] ?? "";

export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) node.setAttribute(name, value);
  node.append(...children.filter((child) => child != null));
  return node;
}

export const chip = (text, tone, title) => element("span", { class: `chip ${tone}`, title }, text);
