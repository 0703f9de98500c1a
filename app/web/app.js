// The dashboard: one site, now and planned. It knows nothing that the public API does not say.

import { api } from "./api.js";
import { showCertificate } from "./certificate.js";
import { ago, chip, dayAndTime, duration, element, money, number } from "./format.js";
import { showAlarms, showMode } from "./mode.js";
import { draw } from "./plan-chart.js";
import { showStations } from "./stations.js";

const REFRESH_MS = 15000; // without events; every event that matters refreshes at once
const AFTER_EVENT_MS = 400; // a burst of events makes one refresh
const SIGNED_IN = "smartcharge-signed-in"; // the cookie itself is out of a script's sight
const EVENTS = [
  "plan-made", "delivery-changed", "transaction-started", "transaction-stopped", "status-changed", "wish-changed",
  "meter-values-received", "readings-arrived", "station-connected", "station-disconnected", "site-changed",
  "mode-changed", "alarm-changed", "overrides-changed", "actuator-changed",
];
const REMAINDER_KWH = 0.5; // what minimum currents and steps may leave over all cars
const KINDS = { request: "on request", nightly: "by the nightly run", replan: "automatically" };
const STATUS_TONES = { optimal: "good", feasible: "good", fallback: "bad" };

const get = (id) => document.getElementById(id);
let site = null;
let stream = null;
let pending = null;
let turn = 0; // of refreshes: a slow old answer must not overwrite a new one

async function start() {
  if (!localStorage.getItem(SIGNED_IN)) return showLogin();
  try {
    const sites = await api.sites();
    get("login").hidden = true;
    get("dashboard").hidden = false;
    get("logout").hidden = false;
    await showSites(sites);
  } catch (error) {
    showError(error);
  }
}

function showLogin() {
  localStorage.removeItem(SIGNED_IN);
  stream?.close();
  site = null;
  for (const id of ["dashboard", "logout", "site-label", "live"]) get(id).hidden = true;
  get("mode").textContent = "";
  get("clock").textContent = "";
  get("login").hidden = false;
  get("key").focus();
}

async function showSites(sites) {
  const select = get("site");
  select.replaceChildren(...sites.map((known) => element("option", { value: known.id }, known.name)));
  get("site-label").hidden = sites.length === 0;
  get("site-view").hidden = sites.length === 0;
  get("no-site").hidden = sites.length > 0;
  if (sites.length === 0) return;
  const asked = new URLSearchParams(location.search).get("site");
  select.value = sites.some((known) => known.id === asked) ? asked : sites[0].id;
  select.onchange = () => open(sites.find((known) => known.id === select.value));
  await open(sites.find((known) => known.id === select.value));
}

async function open(chosen) {
  site = chosen;
  const isShadow = site.mode === "shadow";
  get("mode").replaceChildren(isShadow ? chip("shadow: nothing is sent", "warn") : chip(site.mode, "good"));
  listen();
  await refresh();
}

function listen() {
  stream?.close();
  stream = api.events(site.id);
  const live = get("live");
  const say = (isLive) => {
    live.hidden = false;
    live.classList.toggle("on", isLive);
    live.title = isLive ? "live" : "connecting…";
  };
  say(false);
  stream.onopen = () => say(true);
  stream.onerror = () => say(false);
  for (const kind of EVENTS) stream.addEventListener(kind, refreshSoon);
}

function refreshSoon() {
  pending ??= setTimeout(() => { pending = null; refresh(); }, AFTER_EVENT_MS);
}

async function refresh() {
  if (site === null) return;
  const mine = ++turn;
  const { id } = site;
  try {
    const [now, plan, stations, transactions, wishes, certificate, alarms, actuators] = await Promise.all([
      api.now(id), api.latestPlan(id), api.stations(id), api.transactions(id), api.wishes(id), api.certificate(id),
      api.alarms(id), api.actuators(id),
    ]);
    if (mine !== turn || site === null) return;
    get("clock").textContent = `${dayAndTime(now.at, site.time_zone)} · ${site.time_zone}`;
    showMode(get("mode"), get("mode-reason"), now.mode, now.at);
    showAlarms(get("alarms"), alarms, now.at);
    showNow(now, plan, actuators);
    showStations(get("stations"), get("stations-summary"), site, { now, plan, stations, transactions, wishes });
    showCertificate(
      get("certificate-status"), get("certificate"), get("certificate-rests-on"), certificate, site.time_zone);
    await showPlan(plan, now.at);
    get("error").textContent = "";
  } catch (error) {
    showError(error);
  }
}

function showNow(now, plan, actuators) {
  const limit = site.connection.max_import_kw;
  const charging = now.evses.filter((evse) => evse.power.kw > 0.05).length;
  const planned = (series) => inPresentSlot(plan, now.at, series);
  const evses = Object.values(plan?.schedule.evses ?? {});
  get("now").replaceChildren(
    card("Connection", now.connection, planned((problem, schedule) => schedule.import_kw), limit),
    card("Base load", now.base_load, planned((problem) => problem.base_load_kw)),
    card("PV", now.pv, planned((problem) => problem.pv_kw)),
    card(`Charging · ${charging} of ${now.evses.length}`, now.charging,
      planned((_, schedule) => schedule.import_kw.map((_slot, slot) => evses.reduce((sum, evse) => sum + evse.power_kw[slot], 0)))),
    ...actuators.map((one) => actuatorCard(one, now.at)),
  );
}

// A battery charges where it is above 0; an inverter shows the most that it may feed. What it is told is its plan, clipped.
function actuatorCard(one, now) {
  const read = one.read_back;
  const power = {
    kw: read?.power_kw ?? read?.setpoint_kw ?? null,
    source: one.state === "none" ? "read" : one.state,
    age_s: read == null ? null : Math.max(0, (new Date(now) - new Date(read.at)) / 1000),
  };
  const soc = read?.soc == null ? "" : ` · ${Math.round(100 * read.soc)} %`;
  const shown = card(one.id.replace("/", " ") + soc, power, one.wanted_kw);
  shown.dataset.actuator = one.id;
  if (one.reason != null) shown.title = one.reason;
  return shown;
}

function inPresentSlot(plan, now, choose) {
  if (!plan) return null;
  const slot = Math.floor((new Date(now) - new Date(plan.problem.start)) / (plan.problem.slot_minutes * 60000));
  const series = choose(plan.problem, plan.schedule);
  return Array.isArray(series) ? series[slot] : series;
}

function card(title, power, planned, limit) {
  const of = limit == null ? " kW" : ` / ${number(limit, 0)} kW`;
  const bar = element("div", { class: "bar" });
  if (limit != null && power.kw != null) {
    const share = Math.max(0, power.kw / limit);
    if (share > 0.9) bar.classList.add(share > 1 ? "over" : "near");
    bar.append(element("span"));
    bar.firstChild.style.width = `${Math.min(100, share * 100)}%`;
  } else {
    bar.classList.add("none");
  }
  const age = power.age_s == null ? power.source : `${power.source} ${duration(power.age_s)} ago`;
  return element("div", { class: "card" },
    element("h2", {}, title),
    element("p", { class: "value" }, number(power.kw), element("small", {}, of)),
    bar,
    element("p", { class: "quiet note" },
      element("span", {}, power.source === "unknown" ? "not measured" : age),
      planned == null ? null : element("span", {}, `planned ${number(planned)} kW`)),
  );
}

async function showPlan(plan, now) {
  get("plan-empty").hidden = plan !== null;
  get("plan-body").hidden = plan === null;
  if (plan === null) return;
  const { problem, schedule } = plan;
  get("plan-status").replaceChildren(chip(schedule.status, STATUS_TONES[schedule.status], schedule.reason));
  get("plan-made").textContent = `made ${ago(plan.created_at, now)} ${KINDS[plan.kind]}`;
  const spoken = schedule.status === "fallback" ? [schedule.reason, ...schedule.warnings] : schedule.warnings;
  get("plan-warnings").textContent = spoken.filter(Boolean).join(" · ");
  get("figures").replaceChildren(...figures(schedule).map(([name, value, tone]) =>
    element("div", {}, element("dt", {}, name), element("dd", { class: tone }, value))));
  get("inputs").replaceChildren(...inputs(plan.provenance));
  get("plan").dataset.schedule = plan.id;
  await draw(get("plan"), get("plan-legend"), problem, schedule, now);
}

function figures(schedule) {
  const euros = (value) => money(value, schedule.currency);
  const unmet = Object.values(schedule.sessions).reduce((sum, session) => sum + session.unmet_kwh, 0);
  const rows = [
    ["Planned cost", euros(schedule.cost.total)],
    ["of it for the cars", euros(schedule.cost.ev)],
    ["Unmet energy", `${number(unmet)} kWh`, unmet > REMAINDER_KWH ? "bad" : null],
    ["Gap to the bound", schedule.gap == null ? number(null) : `${number(schedule.gap * 100, 2)} %`],
  ];
  for (const [name, baseline] of Object.entries(schedule.baselines)) {
    const title = `If ${name.replace("_", " ")}`;
    const caused = baseline.violations.filter((violation) => !violation.unavoidable);
    const places = [...new Set(caused.map((violation) => violation.where))];
    rows.push([title, euros(baseline.cost.total)]);
    if (places.length) rows.push([`${title}, overloaded`, places.join(", "), "bad"]);
    if (baseline.unmet_kwh > REMAINDER_KWH) rows.push([`${title}, unmet`, `${number(baseline.unmet_kwh)} kWh`, "bad"]);
  }
  return rows;
}

// Where each series comes from: an estimate is never shown as knowledge.
function inputs(provenance) {
  const names = { base_load: "Base load", pv: "PV", import_price: "Price", export_price: "Export price" };
  return Object.entries(names).filter(([kind]) => provenance[kind]).map(([kind, name]) => {
    const { source, detail, estimated } = provenance[kind];
    const text = [source, detail].filter(Boolean).join(": ");
    return element("li", {}, element("strong", {}, name), ` ${text} `, estimated ? chip("estimated", "warn") : null);
  });
}

function showError(error) {
  if (error.status === 401) return showLogin();
  get("error").textContent = error.message;
}

get("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await api.login(get("key").value.trim());
    get("key").value = "";
    get("login-error").textContent = "";
    localStorage.setItem(SIGNED_IN, "yes");
    await start();
  } catch (error) {
    get("login-error").textContent = error.message;
  }
});

get("logout").addEventListener("click", async () => {
  await api.logout().catch(() => null);
  showLogin();
});

get("replan").addEventListener("click", async (event) => {
  const button = event.currentTarget;
  button.disabled = true;
  try {
    await api.plan(site.id);
    await refresh();
  } catch (error) {
    showError(error);
  } finally {
    button.disabled = false;
  }
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
setInterval(refresh, REFRESH_MS);
start();
