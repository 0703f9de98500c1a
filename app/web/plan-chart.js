// The plan of the day: base load and each EVSE stacked against the limit, PV, and the price on its own axis.

import { localTime } from "./format.js";

const SERIES = ["#0b7a75", "#e07a5f", "#3d5a80", "#f2a541", "#81b29a", "#9b5de5", "#c44569", "#4d908e", "#b5838d", "#577590", "#90be6d", "#bc6c25"];

const expanded = (series, slots) => (Array.isArray(series) ? series : new Array(slots).fill(series));

// Slot starts in the site's local time, and the horizon's end: steps need a value to hold on to.
export function slotTimes(problem) {
  const start = new Date(problem.start).getTime();
  const times = [];
  for (let slot = 0; slot <= problem.slots; slot += 1) {
    times.push(localTime(start + slot * problem.slot_minutes * 60000, problem.time_zone));
  }
  return times;
}

export function traces(problem, schedule) {
  const times = slotTimes(problem);
  const steps = (series) => {
    const values = expanded(series, problem.slots);
    return [...values, values[values.length - 1]];
  };
  const line = (name, series, style, more = {}) => ({
    name, x: times, y: steps(series), mode: "lines", line: { shape: "hv", ...style },
    hovertemplate: "%{y:.1f} kW<extra>%{fullData.name}</extra>", ...more,
  });

  const result = [
    line("base load", problem.base_load_kw, { width: 0 }, { stackgroup: "load", fillcolor: "rgba(120,140,148,.45)" }),
  ];
  const active = Object.entries(schedule.evses).filter(([, evse]) => evse.power_kw.some((power) => power > 0));
  active.forEach(([name, evse], position) => {
    const color = SERIES[position % SERIES.length];
    result.push(line(name, evse.power_kw, { width: 0, color }, { stackgroup: "load", fillcolor: color, meta: { evse: name } }));
  });
  if (expanded(problem.pv_kw, problem.slots).some((power) => power > 0)) {
    result.push(line("PV", problem.pv_kw, { width: 2, color: "#f4c20d" }));
  }
  result.push(line("grid import", schedule.import_kw, { width: 1.5, color: "#17262b", dash: "dot" }));
  if (problem.connection.max_import_kw != null) {
    result.push(line("connection limit", problem.connection.max_import_kw, { width: 2, color: "#a8232a", dash: "dash" }));
  }
  result.push(
    line("price", problem.import_price_per_kwh, { width: 1.5, color: "#7b5ea7" }, {
      yaxis: "y2", hovertemplate: `%{y:.3f} ${problem.currency}/kWh<extra>price</extra>`,
    }),
  );
  return result;
}

export async function draw(node, problem, schedule, now) {
  const style = getComputedStyle(document.documentElement);
  const [ink, grid] = [style.getPropertyValue("--ink").trim(), style.getPropertyValue("--grid").trim()];
  const layout = {
    margin: { l: 48, r: 54, t: 8, b: 32 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: ink, family: "system-ui, sans-serif", size: 12 },
    hovermode: "x unified",
    legend: { orientation: "h", y: -0.12, yanchor: "top" },
    xaxis: { type: "date", gridcolor: grid },
    yaxis: { title: { text: "kW" }, rangemode: "tozero", gridcolor: grid, zeroline: false },
    yaxis2: { title: { text: `${problem.currency}/kWh` }, overlaying: "y", side: "right", showgrid: false, zeroline: false },
    shapes: [{ type: "line", x0: localTime(now, problem.time_zone), x1: localTime(now, problem.time_zone), yref: "paper", y0: 0, y1: 1, line: { color: ink, width: 1, dash: "dot" } }],
    uirevision: problem.start,
  };
  await Plotly.react(node, traces(problem, schedule), layout, { responsive: true, displaylogo: false, displayModeBar: false });
}
