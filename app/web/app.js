// The dashboard: one site, now and planned. It knows nothing that the public API does not say.

import { api } from "./api.js";
import { ago, deliveryTone, element, hourAndMinute, kw, localTime, money } from "./format.js";
import { draw } from "./plan-chart.js";

const REFRESH_MS = 15000; // without events; every event that matters refreshes at once
const AFTER_EVENT_MS = 400; // a burst of events makes one refresh

const get = (id) => document.getElementById(id);
let site = null;
let stream = null;
let pending = null;

async function start() {
  try {
    const sites = await api.sites();
    get("login").hidden = true;
    get("dashboard").hidden = false;
    await showSites(sites);
  } catch (error) {
    if (error.status !== 401) return showError(error);
    get("dashboard").hidden = true;
    get("login").hidden = false;
    get("key").focus();
  }
}

async function showSites(sites) {
  const select = get("site");
  select.replaceChildren(...sites.map((known) => element("option", { value: known.id }, known.name)));
  get("site-label").hidden = sites.length === 0;
  if (sites.length === 0) return showError(new Error("No site yet: smartcharge import site docs/site.yaml"));
  const asked = new URLSearchParams(location.search).get("site");
  select.value = sites.some((known) => known.id === asked) ? asked : sites[0].id;
  select.onchange = () => open(sites.find((known) => known.id === select.value));
  await open(sites.find((known) => known.id === select.value));
}

async function open(chosen) {
  site = chosen;
  const mode = get("mode");
  mode.textContent = site.mode;
  mode.className = `chip ${site.mode === "optimised" ? "good" : "warn"}`;
  stream?.close();
  stream = api.events(site.id);
  stream.onopen = () => get("live").classList.add("on");
  stream.onerror = () => get("live").classList.remove("on");
  for (const kind of ["plan-made", "delivery-changed", "transaction-started", "transaction-stopped", "status-changed",
    "meter-values-received", "readings-arrived", "station-connected", "station-disconnected", "wish-changed"]) {
    stream.addEventListener(kind, refreshSoon);
  }
  await refresh();
}

function refreshSoon() {
  if (pending) return;
  pending = setTimeout(() => { pending = null; refresh(); }, AFTER_EVENT_MS);
}

async function refresh() {
  try {
    const [now, plan, stations, transactions, wishes] = await Promise.all([
      api.now(site.id), api.latestPlan(site.id), api.stations(site.id), api.transactions(site.id), api.wishes(site.id),
    ]);
    get("clock").textContent = `${localTime(now.at, site.time_zone)} ${site.time_zone}`;
    showNow(now);
    await showPlan(plan, now.at);
    showStations(now, plan, stations, transactions, wishes);
    get("error").textContent = "";
  } catch (error) {
    showError(error);
  }
}

function showNow(now) {
  const limit = site.connection.max_import_kw;
  get("now").replaceChildren(
    card("Connection", now.connection, limit),
    card("Base load", now.base_load),
    card("PV", now.pv),
    card("Charging", now.charging),
  );
}

function card(title, power, limit) {
  const note = power.source === "unknown" ? "not measured" : power.age_s == null ? power.source : `${power.source}, ${Math.round(power.age_s)} s old`;
  const node = element("div", { class: "card" }, element("h2", {}, title),
    element("p", { class: "value" }, kw(power.kw), element("small", {}, limit == null ? " kW" : ` / ${kw(limit, 0)} kW`)));
  if (limit != null && power.kw != null) {
    const share = Math.max(0, power.kw / limit);
    const fill = element("span");
    fill.style.width = `${Math.min(100, share * 100)}%`;
    node.append(element("div", { class: `bar ${share > 1 ? "over" : share > 0.9 ? "near" : ""}` }, fill));
  }
  node.append(element("p", { class: "quiet" }, note));
  return node;
}

async function showPlan(plan, now) {
  get("plan-empty").hidden = plan !== null;
  get("plan").hidden = plan === null;
  if (plan === null) return;
  const { problem, schedule } = plan;
  await draw(get("plan"), problem, schedule, now);
  const status = get("plan-status");
  status.textContent = schedule.status;
  status.className = `chip ${schedule.status === "fallback" ? "bad" : "good"}`;
  status.title = schedule.reason ?? "";
  get("plan-made").textContent = `made ${ago(plan.created_at, now)} (${plan.kind})`;
  get("plan-warnings").textContent = [...schedule.warnings, schedule.reason].filter(Boolean).join(" · ");
  const unmet = Object.values(schedule.sessions).reduce((sum, session) => sum + session.unmet_kwh, 0);
  const figures = [
    ["Planned cost", money(schedule.cost.total, schedule.currency)],
    ["of it for the EVs", money(schedule.cost.ev, schedule.currency)],
    ["Unmet energy", `${unmet.toFixed(1)} kWh`],
    ["Gap to the bound", schedule.gap == null ? "–" : `${(schedule.gap * 100).toFixed(2)} %`],
  ];
  for (const [name, baseline] of Object.entries(schedule.baselines)) {
    const broken = baseline.violations.length ? `, ${baseline.violations.length} limits broken` : "";
    figures.push([name.replace("_", " "), `${money(baseline.cost.total, schedule.currency)}${broken}`]);
  }
  get("figures").replaceChildren(
    ...figures.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
  );
}

function showStations(now, plan, stations, transactions, wishes) {
  const deliveries = new Map((plan?.deliveries ?? []).map((row) => [`${row.charging_station_id}/${row.evse_id}`, row]));
  const running = new Map(transactions.map((row) => [`${row.charging_station_id}/${row.evse_id}`, row]));
  const known = new Map(stations.map((row) => [row.id, row]));
  const rows = now.evses.map((evse) => {
    const key = `${evse.charging_station_id}/${evse.evse_id}`;
    const station = known.get(evse.charging_station_id);
    const status = station?.evses?.find((row) => row.evse_id === evse.evse_id)?.status;
    const delivery = deliveries.get(key);
    return element("tr", { "data-evse": key },
      element("td", {}, element("strong", {}, key)),
      element("td", {}, station?.connected ? chip(status ?? "connected", "good") : chip("offline", "bad")),
      element("td", {}, sessionText(running.get(key), plan, wishes)),
      element("td", {}, sentText(plan, key, now.at)),
      element("td", {}, delivery ? chip(delivery.state, deliveryTone(delivery.state), delivery.detail) : "–"),
      element("td", {}, `${kw(evse.power.kw)} kW`),
      element("td", { class: "quiet" }, ago(station?.last_seen_at, now.at)),
    );
  });
  get("stations").tBodies[0].replaceChildren(...rows);
  const connected = stations.filter((row) => row.connected).length;
  const verified = [...deliveries.values()].filter((row) => row.state === "verified").length;
  get("stations-summary").textContent = `${connected} of ${stations.length} connected · ${verified} of ${deliveries.size} profiles verified`;
}

function sessionText(transaction, plan, wishes) {
  if (!transaction) return "–";
  const energy = transaction.energy_kwh == null ? "–" : transaction.energy_kwh.toFixed(1);
  const wish = wishes.find((row) => row.charging_station_id === transaction.charging_station_id
    && (row.evse_id == null || row.evse_id === transaction.evse_id)
    && (row.id_tag == null || row.id_tag === transaction.id_tag));
  if (!wish) return `${energy} kWh, no wish`;
  return `${energy} of ${wish.required_energy_kwh.toFixed(1)} kWh by ${hourAndMinute(wish.departure, site.time_zone)}`;
}

// What the plan lets the EVSE draw in the present slot.
function sentText(plan, key, now) {
  const evse = plan?.schedule.evses[key];
  if (!evse) return "–";
  const slot = Math.floor((new Date(now) - new Date(plan.problem.start)) / (plan.problem.slot_minutes * 60000));
  const power = evse.power_kw[slot];
  if (power == null) return "–";
  return evse.current_a ? `${evse.current_a[slot].toFixed(1)} A · ${kw(power)} kW` : `${kw(power)} kW`;
}

const chip = (text, tone, title) => element("span", { class: `chip ${tone}`, title: title ?? "" }, text);

function showError(error) {
  if (error.status === 401) return start();
  get("error").textContent = error.message;
}

get("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await api.login(get("key").value.trim());
    get("login-error").textContent = "";
    await start();
  } catch (error) {
    get("login-error").textContent = error.message;
  }
});

get("replan").addEventListener("click", async (event) => {
  event.target.disabled = true;
  try {
    await api.plan(site.id);
    await refresh();
  } catch (error) {
    showError(error);
  } finally {
    event.target.disabled = false;
  }
});

setInterval(() => { if (site && !get("dashboard").hidden) refresh(); }, REFRESH_MS);
start();
