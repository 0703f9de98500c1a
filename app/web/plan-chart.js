// The plan of the day: base load and each EVSE stacked against the limit, PV, and the price on its own axis.

import { localTime } from "./format.js";

// Far apart in hue, alike in weight, and legible on white and on black; an EVSE keeps its colour from plan to plan.
const EVSE_COLOURS = [
  "#2a9d8f", "#e76f51", "#4c78a8", "#e9a23b", "#8e6bbf", "#7fb069", "#d1495b", "#3aa6d0", "#d98cb3", "#a0793d",
  "#3f7d54", "#7d87d6",
];
const NARROW_PX = 640;

const expanded = (series, slots) => (Array.isArray(series) ? series : new Array(slots).fill(series));
const colours = () => {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    ink: read("--ink"), quiet: read("--quiet"), grid: read("--grid"), card: read("--card"), base: read("--base-load"),
    pv: read("--pv"), limit: read("--bad"), price: read("--price"),
  };
};

export const colourOf = (problem, evseId) =>
  EVSE_COLOURS[problem.evses.findIndex((evse) => evse.id === evseId) % EVSE_COLOURS.length];

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
  const paint = colours();
  const steps = (series) => {
    const values = expanded(series, problem.slots);
    return [...values, values[values.length - 1]];
  };
  const line = (name, series, style, more = {}) => ({
    name, x: times, y: steps(series), mode: "lines", line: { shape: "hv", ...style },
    hovertemplate: "%{y:.1f} kW", ...more,
  });
  const area = (name, series, colour, more = {}) =>
    line(name, series, { width: 0.6, color: paint.card }, { stackgroup: "load", fillcolor: colour, ...more });

  // Between the forecast's low and high quantile, as one outline with the steps written out.
  const band = (name, low, high, colour) => {
    if (low == null || high == null) return [];
    const [lower, upper] = [expanded(low, problem.slots), expanded(high, problem.slots)];
    if (upper.every((value, slot) => value - lower[slot] < 0.01)) return [];
    const edges = times.slice(0, -1).flatMap((time, slot) => [time, times[slot + 1]]);
    const corners = (values) => values.flatMap((value) => [value, value]);
    return [{
      name, x: [...edges, ...edges.toReversed()], y: [...corners(upper), ...corners(lower).toReversed()],
      mode: "none", fill: "toself", fillcolor: `${colour}4d`, hoverinfo: "skip",
      line: {},
    }];
  };

  const result = [area("base load", problem.base_load_kw, paint.base)];
  for (const [name, evse] of Object.entries(schedule.evses)) {
    if (!evse.power_kw.some((power) => power > 0)) continue;
    result.push(area(name, evse.power_kw, colourOf(problem, name)));
  }
  for (const [name, battery] of Object.entries(schedule.batteries)) {
    result.push(line(`battery ${name}`, battery.power_kw, { width: 1.8, color: paint.quiet }));
  }
  result.push(...band("base load, likely", problem.base_load_low_kw, problem.base_load_high_kw, paint.quiet));
  result.push(...band("PV, likely", problem.pv_low_kw, problem.pv_high_kw, paint.pv));
  if (expanded(problem.pv_kw, problem.slots).some((power) => power > 0)) {
    result.push(line("PV", problem.pv_kw, { width: 2.2, color: paint.pv }));
  }
  result.push(line("grid import", schedule.import_kw, { width: 1.6, color: paint.ink }));
  if (problem.connection.max_import_kw != null) {
    const limit = new Array(problem.slots).fill(problem.connection.max_import_kw);
    result.push(line("connection limit", limit, { width: 2, color: paint.limit, dash: "dash" }));
  }
  result.push(
    line("price", problem.import_price_per_kwh, { width: 1.8, color: paint.price, dash: "dot" }, {
      yaxis: "y2", hovertemplate: `%{y:.3f} ${problem.currency}/kWh`,
    }),
  );
  return result;
}

// Room above the highest of load and limit, so that the limit is a line inside the picture and not its frame.
function highest(drawn) {
  const stacked = drawn.filter((trace) => trace.stackgroup).map((trace) => trace.y);
  const load = stacked[0].map((_, slot) => stacked.reduce((sum, series) => sum + series[slot], 0));
  const lines = drawn.filter((trace) => !trace.stackgroup && trace.yaxis !== "y2").flatMap((trace) => trace.y);
  return Math.max(...load, ...lines, 1) * 1.06;
}

// The day, or as far as the plan lets a car charge; the rest of the horizon is a double click away.
function shownSlots(problem, schedule) {
  const powers = Object.values(schedule.evses).map((evse) => evse.power_kw.findLastIndex((power) => power > 0));
  const day = (24 * 60) / problem.slot_minutes;
  return Math.min(problem.slots, Math.max(day, ...powers.map((slot) => slot + 8)));
}

function priceRange(prices) {
  const [low, high] = [Math.min(0, ...prices), Math.max(...prices, 0.01)];
  return [low * 1.1, high * 1.12];
}

function layout(problem, schedule, drawn, now, width) {
  const isNarrow = width < NARROW_PX;
  const paint = colours();
  const at = localTime(now, problem.time_zone);
  const lowest = Math.min(0, ...drawn.filter((trace) => trace.yaxis !== "y2").flatMap((trace) => trace.y));
  const times = slotTimes(problem);
  const prices = expanded(problem.import_price_per_kwh, problem.slots);
  const title = (text, colour) => ({ text, standoff: 6, font: { size: 12, color: colour } });
  return {
    margin: { l: isNarrow ? 34 : 52, r: isNarrow ? 38 : 60, t: 20, b: 40 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: paint.quiet, family: "system-ui, sans-serif", size: 12 },
    hovermode: "x unified",
    hoverlabel: { bgcolor: paint.card, bordercolor: paint.grid, font: { color: paint.ink, size: 12 } },
    showlegend: false, // ours is HTML below the chart: it wraps at every width
    xaxis: {
      type: "date", range: [times[0], times[shownSlots(problem, schedule)]], gridcolor: paint.grid, tickformat: "%H:%M\n%a %-d %b",
      hoverformat: "%a %H:%M", nticks: Math.max(4, Math.floor(width / 85)), tickangle: 0,
    },
    yaxis: {
      title: isNarrow ? undefined : title("kW", paint.quiet), range: [lowest * 1.06, highest(drawn)],
      gridcolor: paint.grid, zerolinecolor: paint.grid,
    },
    yaxis2: {
      title: isNarrow ? undefined : title(`${problem.currency}/kWh`, paint.price), range: priceRange(prices), overlaying: "y",
      side: "right", showgrid: false, zeroline: false, tickmode: "auto", tickformat: ".2f",
      nticks: 7, tickfont: { color: paint.price },
    },
    shapes: [{ type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, line: { color: paint.ink, width: 1.2 } }],
    annotations: [{
      x: at, y: 1, yref: "paper", xanchor: "left", yanchor: "bottom", text: "now", showarrow: false,
      font: { size: 11, color: paint.ink },
    }],
    uirevision: problem.start, // a zoom survives new data, but not a new horizon
  };
}

function legend(node, drawn) {
  const entries = drawn.map((trace) => {
    const entry = document.createElement("li");
    const mark = document.createElement("span");
    const dash = { dash: "dashed", dot: "dotted" }[trace.line.dash] ?? "solid";
    if (trace.fillcolor) mark.style.background = trace.fillcolor;
    else mark.style.borderTop = `2px ${dash} ${trace.line.color}`;
    mark.className = trace.fillcolor ? "area" : "line";
    entry.append(mark, trace.name);
    return entry;
  });
  node.replaceChildren(...entries);
}

export async function draw(node, legendNode, problem, schedule, now) {
  const drawn = traces(problem, schedule);
  legend(legendNode, drawn);
  await Plotly.react(node, drawn, layout(problem, schedule, drawn, now, node.clientWidth), {
    responsive: true, displayModeBar: false, doubleClick: "autosize",
  });
}
