// The table of stations: who is there, what was sent, whether the station holds it, and what is drawn.

import { api } from "./api.js";
import { ago, chip, deliveryTone, element, hourAndMinute, number, statusTone, UNKNOWN } from "./format.js";

const WISH_WAITS_MS = 24 * 3600 * 1000; // a wish said before the car came holds for a day, as in the planner

const PROVEN = new Set(["applied", "verified"]); // read back; and with the meter too

const keyOf = (row) => `${row.charging_station_id}/${row.evse_id}`;

export function showStations(table, summary, site, { now, plan, stations, transactions, wishes }) {
  const deliveries = new Map((plan?.deliveries ?? []).map((row) => [keyOf(row), row]));
  const running = new Map(transactions.toReversed().map((row) => [keyOf(row), row])); // the newest of an EVSE wins
  const known = new Map(stations.map((row) => [row.id, row]));
  table.tBodies[0].replaceChildren(...now.evses.map((evse) => {
    const key = keyOf(evse);
    const station = known.get(evse.charging_station_id);
    const delivery = deliveries.get(key);
    return element("tr", { "data-evse": key },
      cell("evse", plan?.schedule.evses[key] ? asksWhy(plan.id, key, now.at) : key),
      cell("status", statusChip(station, evse.evse_id)),
      cell("car", ...car(site, running.get(key), wishes)),
      cell("sent", ...sent(site, delivery, station, evse.evse_id, now.at)),
      cell("state", stateChip(delivery, plan?.provenance?.uncontrollable?.[key])),
      cell("drawn", evse.power.kw == null ? UNKNOWN : `${number(evse.power.kw)} kW`),
      cell("spoke", ago(station?.last_seen_at, now.at)),
    );
  }));
  const connected = stations.filter((row) => row.connected).length;
  const proven = [...deliveries.values()].filter((row) => PROVEN.has(row.state)).length;
  const profiles = deliveries.size === 1 ? "profile" : "profiles";
  summary.textContent = `${connected} of ${stations.length} connected · ${proven} of ${deliveries.size} ${profiles} applied`;
}

// The EVSE's name is the question; the answer, below the table, outlives the next refresh.
function asksWhy(planId, key, at) {
  const button = element("button", { type: "button", class: "why", title: "why it charges now, or does not" }, key);
  button.addEventListener("click", async () => {
    const answer = document.getElementById("why");
    answer.textContent = `${key} …`;
    try {
      const why = await api.why(planId, key, at);
      answer.textContent = [why.text, ...why.changes.map((change) => change.text)].join(" ");
    } catch (error) {
      answer.textContent = error.message;
    }
  });
  return button;
}

const cell = (name, ...content) => element("td", { class: name }, ...content);

function statusChip(station, evseId) {
  if (!station?.connected) return chip("offline", "bad");
  const evse = station.evses.find((row) => row.evse_id === evseId);
  const status = evse?.status ?? "connected";
  return chip(status, statusTone(status), evse?.error_code === "NoError" ? null : evse?.error_code);
}

function car(site, transaction, wishes) {
  if (!transaction) return [UNKNOWN];
  const wish = wishOf(transaction, wishes);
  const energy = number(transaction.energy_kwh);
  if (!wish) return [`${energy} kWh `, element("small", {}, "nothing asked")];
  const share = Math.min(1, (transaction.energy_kwh ?? 0) / wish.required_energy_kwh);
  const bar = element("span", { class: "bar" }, element("span"));
  bar.firstChild.style.width = `${share * 100}%`;
  const by = ` by ${hourAndMinute(wish.departure, site.time_zone)}`;
  return [`${energy} of ${number(wish.required_energy_kwh)} kWh`, element("small", {}, by), bar];
}

// The newest wish that means this transaction, by the planner's own rule; the API lists the newest first.
function wishOf(transaction, wishes) {
  return wishes.find((wish) => {
    if (wish.transaction_id != null) return wish.transaction_id === transaction.id;
    const fits = (wish.charging_station_id ?? transaction.charging_station_id) === transaction.charging_station_id
      && (wish.evse_id ?? transaction.evse_id) === transaction.evse_id
      && (wish.id_tag ?? transaction.id_tag) === transaction.id_tag;
    const [start, created] = [new Date(transaction.start), new Date(wish.created_at)];
    const waited = start - created <= WISH_WAITS_MS || wish.arrival != null;
    return fits && (created >= start || (waited && new Date(wish.departure) > start));
  });
}

// What the profile that was sent allows now, and what comes next. Without one the station's fallback rules.
function sent(site, delivery, station, evseId, now) {
  const profile = delivery?.profile;
  if (!profile) {
    const fallback = station?.passport?.fallback_a?.[evseId];
    return [fallback == null ? UNKNOWN : element("small", {}, `fallback ${number(fallback)} A`)];
  }
  const start = new Date(profile.start).getTime();
  const elapsed = (new Date(now) - start) / 1000;
  const text = (period) => (profile.unit === "W" ? `${number(period.limit / 1000)} kW` : `${number(period.limit)} A`);
  const at = (period) => hourAndMinute(start + period.start_s * 1000, site.time_zone);
  const position = profile.periods.findLastIndex((period) => period.start_s <= elapsed);
  const present = profile.periods[Math.max(0, position)];
  const next = profile.periods[position + 1];
  const all = profile.periods.map((period) => `${at(period)}  ${text(period)}`);
  if (profile.valid_to) all.push(`${hourAndMinute(profile.valid_to, site.time_zone)}  fallback`);
  return [
    element("span", { title: all.join("\n"), class: "limit" }, text(present)),
    next ? element("small", {}, `then ${text(next)} at ${at(next)}`) : null,
  ];
}

function stateChip(delivery, uncontrollable) {
  if (delivery) return chip(delivery.state, deliveryTone(delivery.state), delivery.detail);
  return uncontrollable ? chip("not planned", "bad", uncontrollable) : UNKNOWN;
}
